"""What every command returns: lines for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CommandResult"]


@dataclass(frozen=True)
class CommandResult:
    """What a command did.

    Args:
        title: one line, e.g. ``parse: 1,800 images, 6,312 boxes, 10 classes``.
        rows: name and value of each line of the one-screen summary, for people.
        report: the same facts for programs (``--json``); plain JSON types only.
        next_step: the command to type next.
    """

    title: str
    rows: Mapping[str, object]
    report: Mapping[str, Any] = field(default_factory=dict)
    next_step: str | None = None
