"""One row of ``yolopipe check``: what was looked at, what was found, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

from yolopipe.errors import UsageError
from yolopipe.inspection.checks.check_report import SEVERITIES

__all__ = ["ORDER", "FailOn", "Row", "Verdict", "class_list", "fail_on", "fails", "fine"]

Verdict = Literal["error", "warning", "note", "fine"]
ORDER: tuple[Verdict, ...] = (*SEVERITIES, "fine")
"""Worst first."""

FailOn = Literal["error", "warning", "never"]


@dataclass(frozen=True, slots=True)
class Row:
    """What one check found.

    Args:
        name: what was looked at, e.g. ``params.yaml`` or ``stage train``.
        result: what was found, with ``file:line:column`` where there is one.
        severity: how bad it is; ``fine`` when nothing is.
        advice: what to do about it; empty when nothing.
    """

    name: str
    result: str
    severity: Verdict
    advice: str = ""


def fine(name: str, result: str) -> Row:
    """A check that found nothing to mend.

    >>> fine("git", "a repository").severity
    'fine'
    """
    return Row(name, result, "fine")


def class_list(names: Sequence[str]) -> str:
    """Number and name of the first ten classes, and how many more there are.

    >>> class_list(["cat", "dog"])
    '0 cat, 1 dog'
    """
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(f"{number} {name}" for number, name in enumerate(names[:10])) + more


def fail_on(text: str) -> FailOn:
    """The value of ``--fail-on``.

    Raises:
        UsageError: another word.

    >>> fail_on("warning")
    'warning'
    """
    for known in get_args(FailOn):
        if text == known:
            return cast(FailOn, text)
    raise UsageError(f"--fail-on is one of {', '.join(get_args(FailOn))}; got {text!r}")


def fails(rows: Sequence[Row], worst: FailOn) -> bool:
    """Is a row as bad as ``worst``, or worse?

    >>> fails([Row("git", "none", "warning")], "error"), fails([Row("git", "none", "warning")], "warning")
    (False, True)
    """
    if worst == "never":
        return False
    return any(row.severity in SEVERITIES[: SEVERITIES.index(worst) + 1] for row in rows)
