"""A chart of a page: a drawing, how to read it, and the numbers it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

__all__ = ["Chart", "percent", "series_keys"]


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing and the numbers in it.

    Args:
        name: short, for ids.
        title: what is shown.
        note: how to read it, one line.
        svg: the drawing.
        columns: head of the table.
        rows: the numbers.
        keys: class and name of each colour.
    """

    name: str
    title: str
    note: str
    svg: Markup
    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | float, ...], ...]
    keys: tuple[tuple[str, str], ...] = ()


def percent(share: float) -> str:
    """A share as text, with a tenth where it is small.

    >>> percent(0.25), percent(0.012)
    ('25%', '1.2%')
    """
    return f"{share * 100:.{0 if share >= 0.1 else 1}f}".removesuffix(".0") + "%"


def series_keys(names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Colour class and name of each series."""
    return tuple((f"series{index}", name) for index, name in enumerate(names))
