"""Paper, boards and what lies on them: the ground that the embedded handwriting stands on."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["clutter", "ink_colour", "photograph", "surface", "vary_colour"]

Floats = npt.NDArray[np.float32]
Random = np.random.Generator


def vary_colour(random: Random, colour: Floats, amount: float) -> Floats:
    """A colour near ``colour``: each channel off by at most ``amount``, within 0 to 1."""
    return np.clip(colour + random.uniform(-amount, amount, 3), 0, 1).astype(np.float32)


_PAPERS = ((0.97, 0.96, 0.93), (0.95, 0.91, 0.80), (0.90, 0.94, 0.97), (0.98, 0.92, 0.62), (0.93, 0.93, 0.93))
_BOARDS = ((0.13, 0.22, 0.18), (0.14, 0.15, 0.19), (0.10, 0.18, 0.32), (0.27, 0.18, 0.14))
_INKS = ((0.08, 0.10, 0.30), (0.07, 0.07, 0.08), (0.60, 0.08, 0.10), (0.06, 0.30, 0.16), (0.30, 0.10, 0.42))
_CHALKS = ((0.95, 0.95, 0.93), (0.97, 0.88, 0.50), (0.98, 0.72, 0.70), (0.66, 0.88, 0.97))


def _pick(random: Random, colours: tuple[tuple[float, ...], ...]) -> Floats:
    return np.array(colours[int(random.integers(len(colours)))], np.float32)


def ink_colour(random: Random, *, dark: bool) -> Floats:
    """The colour of a pen, or of chalk on a dark board; (3,) float32 RGB, 0 to 1."""
    return vary_colour(random, _pick(random, _CHALKS if dark else _INKS), 0.05)


def surface(random: Random, width: int, height: int, *, dark: bool) -> Floats:
    """Paper or board: a colour, uneven light, blotches, and perhaps ruled lines.

    Args:
        random: the scene's generator.
        width: pixels.
        height: pixels.
        dark: a board rather than paper.

    Returns:
        (height, width, 3) float32 RGB, 0 to 1.

    >>> surface(np.random.default_rng(0), 12, 9, dark=True).shape
    (9, 12, 3)
    """
    colour = vary_colour(random, _pick(random, _BOARDS if dark else _PAPERS), 0.03)
    canvas = np.empty((height, width, 3), np.float32)
    canvas[:] = colour
    x, y = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    angle, depth = random.uniform(0, 2 * np.pi), random.uniform(0.02, 0.13)
    light = 1 - depth * (np.cos(angle) * x + np.sin(angle) * y) - random.uniform(0, 0.08) * (x * x + y * y)
    blotches = random.normal(0, random.uniform(0.004, 0.03 if dark else 0.018), (6, 6)).astype(np.float32)
    light = light + cv2.resize(blotches, (width, height), interpolation=cv2.INTER_CUBIC)
    canvas *= light.astype(np.float32)[..., None]
    if random.random() < 0.4:
        _rule(random, canvas, dark=dark)
    return canvas


def _rule(random: Random, canvas: Floats, *, dark: bool) -> None:
    """Ruled or squared paper, a little askew."""
    height, width = canvas.shape[:2]
    pitch = random.uniform(0.07, 0.14) * max(height, width)
    tilt = random.uniform(-0.03, 0.03)
    colour = vary_colour(random, np.array((0.45, 0.60, 0.80), np.float32), 0.1)
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    distance = np.abs((y + tilt * x) % pitch - pitch / 2)
    if random.random() < 0.4:
        distance = np.minimum(distance, np.abs((x - tilt * y) % pitch - pitch / 2))
    alpha = np.clip(1.1 - distance, 0, 1)[..., None] * (0.25 if dark else 0.5)
    canvas += alpha * (colour - canvas)


def clutter(random: Random, canvas: Floats, *, dark: bool) -> None:
    """Draw what lies on a desk and is no digit: rings, rulers, crumbs, shadows, slips of paper.

    Args:
        random: the scene's generator.
        canvas: (H, W, 3) float32 RGB, changed in place.
        dark: a board rather than paper.
    """
    kinds = (_ring, _strip, _dots, _shadow, _note)
    for _ in range(int(random.choice(4, p=(0.35, 0.35, 0.2, 0.1)))):
        kinds[int(random.integers(len(kinds)))](random, canvas, dark)


def _stain(canvas: Floats, mask: npt.NDArray[np.uint8], colour: Floats, strength: float) -> None:
    canvas += (mask.astype(np.float32) / 255 * strength)[..., None] * (colour - canvas)


def _mask(canvas: Floats) -> npt.NDArray[np.uint8]:
    return np.zeros(canvas.shape[:2], np.uint8)


def _point(random: Random, canvas: Floats, margin: float = 0.1) -> tuple[int, int]:
    xy = random.uniform(-margin, 1 + margin, 2) * canvas.shape[1::-1]
    return int(xy[0]), int(xy[1])


def _ring(random: Random, canvas: Floats, dark: bool) -> None:
    """The ring of a cup, wide as no digit is."""
    mask, long_side = _mask(canvas), max(canvas.shape[:2])
    axes = tuple(int(v) for v in random.uniform(0.3, 0.45) * long_side * random.uniform(0.9, 1.1, 2))
    start = float(random.uniform(0, 360))
    thickness = max(1, round(random.uniform(0.01, 0.03) * long_side))
    cv2.ellipse(
        mask,
        _point(random, canvas, 0.3),
        axes,
        0,
        start,
        start + random.uniform(150, 330),
        255,
        thickness,
        cv2.LINE_AA,
    )
    _stain(canvas, mask, np.array((0.45, 0.30, 0.18), np.float32), random.uniform(0.12, 0.35))


def _strip(random: Random, canvas: Floats, dark: bool) -> None:
    """A pencil or ruler that crosses the whole picture."""
    mask, (height, width) = _mask(canvas), canvas.shape[:2]
    angle, reach = random.uniform(0, np.pi), 2.0 * max(height, width)
    middle = np.array(_point(random, canvas, 0.0))
    step = np.array((np.cos(angle), np.sin(angle))) * reach
    ends = [tuple(int(v) for v in middle + sign * step) for sign in (-1, 1)]
    thickness = max(1, round(random.uniform(0.005, 0.05) * max(height, width)))
    cv2.line(mask, ends[0], ends[1], 255, thickness, cv2.LINE_AA)
    _stain(canvas, mask, random.uniform(0.1, 0.9, 3).astype(np.float32), random.uniform(0.35, 0.8))


def _dots(random: Random, canvas: Floats, dark: bool) -> None:
    """Crumbs, spray, chalk dust."""
    mask = _mask(canvas)
    for _ in range(int(random.integers(8, 40))):
        radius = max(1, round(random.uniform(0.002, 0.008) * max(canvas.shape[:2])))
        cv2.circle(mask, _point(random, canvas), radius, 255, -1, cv2.LINE_AA)
    tone = 0.9 if dark else 0.2
    _stain(canvas, mask, np.full(3, tone, np.float32), random.uniform(0.2, 0.6))


def _shadow(random: Random, canvas: Floats, dark: bool) -> None:
    """The shadow of a hand or a lamp: a large soft triangle."""
    mask, long_side = _mask(canvas), max(canvas.shape[:2])
    corners = np.array([_point(random, canvas, 0.6) for _ in range(3)], np.int32)
    cv2.fillPoly(mask, [corners], 255)
    mask = np.asarray(cv2.blur(mask, (max(3, long_side // 12),) * 2), np.uint8)
    _stain(canvas, mask, np.zeros(3, np.float32), random.uniform(0.08, 0.22))


def _note(random: Random, canvas: Floats, dark: bool) -> None:
    """A slip of paper under the writing, of the same brightness as the ground, so that ink stays legible on it."""
    mask, long_side = _mask(canvas), max(canvas.shape[:2])
    wh = random.uniform(0.25, 0.6, 2) * long_side
    rectangle = (_point(random, canvas), (float(wh[0]), float(wh[1])), float(random.uniform(0, 90)))
    cv2.fillPoly(mask, [cv2.boxPoints(rectangle).astype(np.int32)], 255, cv2.LINE_AA)
    _stain(canvas, mask, vary_colour(random, _pick(random, _BOARDS if dark else _PAPERS), 0.05), 0.85)


def photograph(random: Random, canvas: Floats) -> npt.NDArray[np.uint8]:
    """A little lens blur, sensor grain, and eight bits.

    Args:
        random: the scene's generator.
        canvas: (H, W, 3) float32 RGB, 0 to 1.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    blurred = cv2.GaussianBlur(canvas, (0, 0), random.uniform(0.3, 0.75))
    grain = random.standard_normal(canvas.shape[:2], np.float32) * np.float32(random.uniform(0.004, 0.03))
    return np.asarray(np.clip(np.rint((blurred + grain[..., None]) * 255), 0, 255), np.uint8)
