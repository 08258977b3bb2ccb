"""Output of git commands about the working folder."""

from __future__ import annotations

import subprocess

__all__ = ["git_lines", "git_output"]


def git_output(*arguments: str) -> str | None:
    """Standard output of ``git ARGUMENTS``; None where git is missing or fails.

    Bytes that are not UTF-8, for example in file names, become surrogates, as in :func:`os.fsdecode`.

    Args:
        arguments: of git, without ``git`` itself.

    >>> git_output("no-such-command") is None
    True
    """
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, check=False)
    except OSError:
        return None
    return done.stdout.decode(errors="surrogateescape") if done.returncode == 0 else None


def git_lines(*arguments: str) -> list[str]:
    """The lines, or with ``-z`` the entries, that ``git ARGUMENTS`` prints; none where it fails.

    >>> git_lines("no-such-command")
    []
    """
    text = git_output(*arguments) or ""
    return [line for line in text.replace("\0", "\n").split("\n") if line]
