"""One row of ``yolopipe check``: what was looked at, what was found, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from yolopipe.checks.report import SEVERITIES, Severity

__all__ = ["FailOn", "Row", "fails", "fine"]

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
    severity: Severity | Literal["fine"]
    advice: str = ""


def fine(name: str, result: str) -> Row:
    """A check that found nothing to mend.

    >>> fine("git", "a repository").severity
    'fine'
    """
    return Row(name, result, "fine")


def fails(rows: Sequence[Row], fail_on: FailOn) -> bool:
    """Is a row as bad as ``fail_on``, or worse?

    >>> fails([Row("git", "none", "warning")], "error"), fails([Row("git", "none", "warning")], "warning")
    (False, True)
    """
    if fail_on == "never":
        return False
    return any(row.severity in SEVERITIES[: SEVERITIES.index(fail_on) + 1] for row in rows)
