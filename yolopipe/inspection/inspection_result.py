"""What ``inspect-labels`` returns."""

from __future__ import annotations

from dataclasses import dataclass

from yolopipe.result import CommandResult

__all__ = ["Inspection"]


@dataclass(frozen=True)
class Inspection(CommandResult):
    """A result whose ``text`` is the whole answer for people, at most 100 columns wide.

    Args:
        text: for people.
        exit_code: 1 when a check found something at or above ``--fail-on``.
    """

    text: str = ""
    exit_code: int = 0
