"""One row of ``yolopipe check``: what was checked, the result, and the advice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from yolopipe.inspection.checks.check_report import SEVERITIES

__all__ = ["SEVERITY_ORDER", "CheckRow", "RowSeverity", "class_list", "ok"]

RowSeverity = Literal["error", "warning", "note", "ok"]
SEVERITY_ORDER: tuple[RowSeverity, ...] = (*SEVERITIES, "ok")
"""Worst first."""


@dataclass(frozen=True, slots=True)
class CheckRow:
    """The result of one check.

    Args:
        name: what was checked, e.g. ``params.yaml`` or ``stage train``.
        result: what was found, with ``file:line:column`` where there is one.
        severity: ``ok`` when nothing is wrong.
        advice: how to fix it; empty when nothing is wrong.
    """

    name: str
    result: str
    severity: RowSeverity
    advice: str = ""


def ok(name: str, result: str) -> CheckRow:
    """A check that found nothing wrong.

    >>> ok("git", "a repository").severity
    'ok'
    """
    return CheckRow(name, result, "ok")


def class_list(names: Sequence[str]) -> str:
    """Number and name of the first ten classes, and how many more there are.

    >>> class_list(["cat", "dog"])
    '0 cat, 1 dog'
    """
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(f"{number} {name}" for number, name in enumerate(names[:10])) + more
