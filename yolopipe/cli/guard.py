"""Exceptions to messages and exit codes; no traceback for an error that a user can cause."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from typing import Any

import typer

from yolopipe import console
from yolopipe.cli.application import app
from yolopipe.errors import ProblemsError, YolopipeError
from yolopipe.problems import MOST_SHOWN

__all__ = ["guarded", "main"]

INTERRUPTED = 130


def main() -> None:
    """Run the command line and exit with the documented code."""
    # Arrow reads this when it is imported, here and in worker processes.  Its own allocator keeps freed memory,
    # the system's does not and is as fast.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    sys.exit(guarded(lambda: app(standalone_mode=False)))


def guarded(work: Callable[[], Any]) -> int:
    """Run ``work``; print what it raises, and return the exit code."""
    try:
        code = work()
    except ProblemsError as error:
        _print_problems(error)
        return error.exit_code
    except YolopipeError as error:
        console.error(str(error))
        return error.exit_code
    except typer.TyperException as error:
        return _usage(error)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except OSError as error:
        console.error(_os_message(error))
        return YolopipeError.exit_code
    if code == INTERRUPTED:  # Typer, too, turns Ctrl-C into this
        console.error("interrupted; no partial output was left behind")
    return code if isinstance(code, int) else 0


def _usage(error: Any) -> int:
    error.show()
    return int(error.exit_code)


def _print_problems(error: ProblemsError) -> None:
    for problem in error.problems[:MOST_SHOWN]:
        console.note(str(problem))
    rest = len(error.problems[MOST_SHOWN:]) + error.more
    if rest:
        console.note(f"... and {rest:,} more")
    console.error(str(error))


def _os_message(error: OSError) -> str:
    place = f"{error.filename}: " if error.filename else ""
    reason = error.strerror or str(error)
    hints = {
        errno.ENOSPC: "free some space; no partial output was left behind",
        errno.EFBIG: "raise the limit on file sizes (ulimit -f); no partial output was left behind",
        errno.EACCES: "make the folder writable, or work in another with -C",
        errno.EROFS: "the file system is read-only; work in another folder with -C",
    }
    hint = hints.get(error.errno or 0)
    return f"{place}{reason}" + (f"\n  try: {hint}" if hint else "")
