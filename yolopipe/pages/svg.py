"""Small pieces of inline SVG: scales, ticks, axes, bars, lines; colours are classes of ``page.css``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import floor, log2, log10

from markupsafe import Markup

__all__ = [
    "Frame",
    "Scale",
    "bar",
    "drawing",
    "grid_x",
    "grid_y",
    "label",
    "line",
    "linear",
    "logarithmic",
    "nice_ticks",
    "path_number",
    "polyline",
    "shortened",
]

Scale = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Frame:
    """The plotting area of a drawing, in its user units.

    Args:
        width: of the whole drawing.
        height: of the whole drawing.
        left: room for the labels of the vertical axis.
        right: margin.
        top: margin.
        bottom: room for the labels of the horizontal axis.
    """

    width: float = 460
    height: float = 260
    left: float = 44
    right: float = 12
    top: float = 10
    bottom: float = 38

    @property
    def x_range(self) -> tuple[float, float]:
        """Left and right edge of the plotting area."""
        return self.left, self.width - self.right

    @property
    def y_range(self) -> tuple[float, float]:
        """Bottom and top edge of the plotting area: values grow upwards."""
        return self.height - self.bottom, self.top


def linear(domain: tuple[float, float], extent: tuple[float, float]) -> Scale:
    """Values of ``domain`` to places in ``extent``.

    >>> linear((0, 10), (100, 200))(5)
    150.0
    """
    (low, high), (start, end) = domain, extent
    factor = (end - start) / ((high - low) or 1)
    return lambda value: start + (value - low) * factor


def logarithmic(domain: tuple[float, float], extent: tuple[float, float]) -> Scale:
    """The same on a logarithmic axis; ``domain`` is above 0.

    >>> logarithmic((1, 100), (0, 2))(10)
    1.0
    """
    place = linear((log2(domain[0]), log2(domain[1])), extent)
    return lambda value: round(place(log2(value)), 9)


def nice_ticks(high: float, count: int = 4) -> list[float]:
    """Round numbers from 0 up to at most ``high``, about ``count`` steps.

    >>> nice_ticks(0.87)
    [0.0, 0.2, 0.4, 0.6, 0.8]
    >>> nice_ticks(0)
    [0.0]
    """
    if high <= 0:
        return [0.0]
    rough = high / count
    power = 10.0 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= 0.75 * rough)
    return [round(index * step, 10) for index in range(int(high / step + 1e-9) + 1)]


def path_number(value: float) -> str:
    """A coordinate as short text: tenths are finer than a screen shows.

    >>> path_number(12.04), path_number(3.26)
    ('12', '3.3')
    """
    return f"{value:.1f}".removesuffix(".0")


_n = path_number


def label(x: float, y: float, text: str, *, anchor: str = "middle", kind: str = "") -> Markup:
    """A text, escaped; ``anchor`` as in SVG.

    >>> label(1, 2, "<b>")
    Markup('<text x="1" y="2" text-anchor="middle">&lt;b&gt;</text>')
    """
    named = Markup(' class="{}"').format(kind) if kind else Markup("")
    return Markup('<text x="{}" y="{}" text-anchor="{}"{}>{}</text>').format(_n(x), _n(y), anchor, named, text)


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """A straight line of a class."""
    return Markup('<line x1="{}" y1="{}" x2="{}" y2="{}" class="{}"/>').format(_n(x1), _n(y1), _n(x2), _n(y2), kind)


def bar(x: float, y: float, width: float, height: float, kind: str, title: str = "") -> Markup:
    """A rectangle of a CSS class, with a title shown on hover."""
    inner = Markup("<title>{}</title>").format(title) if title else Markup("")
    return Markup('<rect x="{}" y="{}" width="{}" height="{}" class="{}">{}</rect>').format(
        _n(x), _n(y), _n(max(0.0, width)), _n(max(0.0, height)), kind, inner
    )


def drawing(width: float, height: float, parts: Iterable[Markup], *, title: str, about: str) -> Markup:
    """A whole ``<svg>`` with a title and a description for those who cannot see it."""
    return Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>{}</svg>'
    ).format(_n(width), _n(height), f"{title}. {about}", title, Markup("").join(parts))


def grid_x(frame: Frame, scale: Scale, ticks: Sequence[float], text: Callable[[float], str], name: str) -> Markup:
    """Vertical grid lines, their labels below, and what the axis is."""
    bottom, top = frame.y_range
    parts = [line(scale(tick), top, scale(tick), bottom, "gridline") for tick in ticks]
    parts += [label(scale(tick), bottom + 14, text(tick)) for tick in ticks]
    left, right = frame.x_range
    parts.append(label((left + right) / 2, frame.height - 5, name, kind="axis-name"))
    return Markup("").join(parts)


def grid_y(frame: Frame, scale: Scale, ticks: Sequence[float], text: Callable[[float], str]) -> Markup:
    """Horizontal grid lines and their labels to the left."""
    left, right = frame.x_range
    parts = [line(left, scale(tick), right, scale(tick), "gridline") for tick in ticks]
    parts += [label(left - 6, scale(tick) + 3.5, text(tick), anchor="end") for tick in ticks]
    return Markup("").join(parts)


def polyline(points: Sequence[tuple[float, float]], kind: str) -> Markup:
    """A line through points, in drawing units."""
    places = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
    return Markup('<polyline points="{}" class="{}"/>').format(places, kind)


def shortened(text: str, most: int) -> str:
    """At most ``most`` characters.

    >>> shortened("Platelets", 6)
    'Plate…'
    """
    return text if len(text) <= most else f"{text[: most - 1]}…"
