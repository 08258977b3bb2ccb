"""The return value of every command: lines to print, and the same facts as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CommandResult"]


@dataclass(frozen=True)
class CommandResult:
    """The result of a command.

    Args:
        title: one line, e.g. ``parse: 1,800 images, 6,312 boxes, 10 classes``.
        rows: name and value of each line of the summary.
        report: the same facts for ``--json``; plain JSON types only.
        next_step: the command to type next.
    """

    title: str
    rows: Mapping[str, object]
    report: Mapping[str, Any] = field(default_factory=dict)
    next_step: str | None = None
