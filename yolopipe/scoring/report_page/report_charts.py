"""Charts of the report page: precision over recall, and calibration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from yolopipe.pages.chart import Chart
from yolopipe.pages.svg import Frame, drawing, grid_x, grid_y, label, line, linear, polyline
from yolopipe.scoring.score_curves import Calibration

__all__ = ["calibration_chart", "precision_recall"]

TICKS = [0, 0.2, 0.4, 0.6, 0.8, 1]


def _unit_grid(frame: Frame, across: str) -> list[Markup]:
    x, y = linear((0, 1), frame.x_range), linear((0, 1), frame.y_range)
    return [grid_x(frame, x, TICKS, lambda t: f"{t:g}", across), grid_y(frame, y, TICKS, lambda t: f"{t:g}")]


def precision_recall(
    mean: npt.NDArray[np.float64] | None,
    of_class: Sequence[npt.NDArray[np.float64] | None],
    class_names: Sequence[str],
) -> Chart:
    """Precision at 101 recall levels, IoU .5; the page shows one class at a time beside the mean.

    Args:
        mean: (101,) over the classes that have truth; None where none has.
        of_class: the same of each class.
        class_names: by number.
    """
    frame = Frame(height=300)
    x, y = linear((0, 1), frame.x_range), linear((0, 1), frame.y_range)
    parts = _unit_grid(frame, "recall")
    for number, values in enumerate(of_class):
        if values is not None:
            points = _points(values, x, y)
            curve = Markup(
                '<polyline points="{}" class="curve curve1 of-class" data-class="{}"><title>{}</title></polyline>'
            )
            parts.append(curve.format(points, number, class_names[number]))
    if mean is not None:
        recall = np.linspace(0, 1, len(mean))
        parts.append(
            polyline([(x(r), y(p)) for r, p in zip(recall.tolist(), mean.tolist(), strict=True)], "curve curve0")
        )
    else:
        parts.append(label((frame.left + frame.width) / 2, frame.height / 2, "no annotated boxes"))
    note = "Precision over recall at IoU .5; a perfect detector reaches the upper right corner."
    rows = [("all classes", *_at(mean)), *((class_names[n], *_at(values)) for n, values in enumerate(of_class))]
    return Chart(
        "precision-recall",
        "Precision and recall",
        note,
        drawing(frame.width, frame.height, parts, title="Precision over recall", about=note),
        ("class", *(f"at recall {level:g}" for level in (0.5, 0.7, 0.9))),
        tuple(rows),
        (("series0", "mean of the classes"), ("series1", "chosen class")),
    )


def _points(values: npt.NDArray[np.float64], x: object, y: object) -> str:
    recall = np.linspace(0, 1, len(values)).tolist()
    places = ((x(r), y(p)) for r, p in zip(recall, values.tolist(), strict=True))  # type: ignore[operator]
    return " ".join(f"{across:.1f},{up:.1f}" for across, up in places)


def _at(values: npt.NDArray[np.float64] | None) -> tuple[str, ...]:
    if values is None:
        return ("–",) * 3
    return tuple(f"{values[round(level * (len(values) - 1))]:.3f}" for level in (0.5, 0.7, 0.9))


def calibration_chart(bins: Calibration) -> Chart:
    """Observed precision per score bin.

    Args:
        bins: of the detections from the shown score on.
    """
    frame = Frame(height=300)
    x, y = linear((0, 1), frame.x_range), linear((0, 1), frame.y_range)
    parts = [*_unit_grid(frame, "mean score"), line(x(0), y(0), x(1), y(1), "diagonal")]
    rows = list(zip(bins.score.tolist(), bins.precision.tolist(), bins.count.tolist(), strict=True))
    parts.append(polyline([(x(score), y(share)) for score, share, _ in rows], "curve curve0"))
    most = max([count for *_, count in rows], default=1)
    for score, share, count in rows:
        mark = Markup('<circle cx="{}" cy="{}" r="{}" class="series0"><title>{}</title></circle>')
        text = f"score {score:.2f}: {share:.0%} of {count:,} are true positives"
        parts.append(mark.format(f"{x(score):.1f}", f"{y(share):.1f}", f"{2 + 5 * (count / most) ** 0.5:.1f}", text))
    if not rows:
        parts.append(label((frame.left + frame.width) / 2, frame.height / 2, "no detections"))
    error = bins.error()
    result = "No detections." if error is None else f"Expected calibration error: {error:.3f}."
    note = f"Observed precision per score bin; on the diagonal the score equals the precision. {result}"
    return Chart(
        "calibration",
        "Calibration",
        note,
        drawing(frame.width, frame.height, parts, title="Calibration", about=note),
        ("mean score", "precision", "detections"),
        tuple((f"{score:.3f}", f"{share:.3f}", count) for score, share, count in rows),
    )
