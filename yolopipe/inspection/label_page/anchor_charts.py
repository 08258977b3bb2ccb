"""The charts of the fit of the anchors: functions, as in :mod:`.label_charts`."""

from __future__ import annotations

from yolopipe.labels.anchors import AnchorFit, anchor_text
from yolopipe.pages.chart import Chart, percent, series_keys
from yolopipe.pages.svg import Frame, bar, drawing, grid_x, grid_y, label, linear, nice_ticks, polyline

__all__ = ["anchor_shares", "recall_curves"]


def anchor_shares(now: AnchorFit, proposal: AnchorFit | None) -> Chart:
    """The share of boxes that each anchor fits best, for the anchors in use and the proposed ones.

    Args:
        now: the anchors in use.
        proposal: the proposed anchors, if any.
    """
    fits = {"now": now} | ({"proposed": proposal} if proposal else {})
    frame = Frame(bottom=52)
    highest = max([share for fit in fits.values() for share in fit.share], default=0) or 1
    y = linear((0, highest), frame.y_range)
    step = (frame.x_range[1] - frame.left) / max(len(fit.share) for fit in fits.values())
    thick = (step - 8) / len(fits)
    parts = [grid_y(frame, y, nice_ticks(highest), percent)]
    for index, (name, fit) in enumerate(fits.items()):
        for place, (anchor, share) in enumerate(zip(fit.anchors_wh, fit.share, strict=True)):
            left = frame.left + place * step + 4
            text = f"{name}, {anchor_text(anchor)} px: best for {share:.1%} of the boxes"
            height = frame.y_range[0] - y(share)
            parts.append(bar(left + index * thick, y(share), thick - 1, height, f"series{index}", text))
            row = frame.y_range[0] + 14 + 13 * index
            parts.append(label(left + step / 2 - 4, row, anchor_text(anchor), kind=f"small text{index}"))
    note = "Share of the boxes that each anchor fits best, small anchors first."
    return Chart(
        "anchor-shares",
        "Share for each anchor",
        note,
        drawing(frame.width, frame.height, parts, title="Share of the boxes for each anchor", about=note),
        ("anchor", *(column for name in fits for column in (f"{name}, px", f"{name}, share"))),
        tuple(
            (number, *(cell for wh, share in pairs for cell in (anchor_text(wh), f"{share:.1%}")))
            for number, pairs in enumerate(
                zip(*(zip(fit.anchors_wh, fit.share, strict=True) for fit in fits.values()), strict=True)
            )
        ),
        series_keys(list(fits)),
    )


def recall_curves(now: AnchorFit, proposal: AnchorFit | None) -> Chart:
    """The share of boxes whose best anchor reaches each IoU.

    Args:
        now: the anchors in use.
        proposal: the proposed anchors, if any.
    """
    fits = {"now": now} | ({"proposed": proposal} if proposal else {})
    frame = Frame()
    x, y = linear((0.3, 0.95), frame.x_range), linear((0, 1), frame.y_range)
    parts = [
        grid_x(
            frame,
            x,
            [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
            lambda tick: f"{tick:.1f}",
            "IoU of a box and its best anchor",
        ),
        grid_y(frame, y, [0, 0.25, 0.5, 0.75, 1], lambda tick: f"{tick:.0%}"),
    ]
    for index, fit in enumerate(fits.values()):
        parts.append(polyline([(x(iou), y(share)) for iou, share in fit.recall], f"curve curve{index}"))
    note = "Share of the boxes whose best anchor reaches the IoU; higher is better."
    return Chart(
        "recall",
        "Recall of the anchors",
        note,
        drawing(frame.width, frame.height, parts, title="Recall of the anchors over IoU", about=note),
        ("IoU", *fits),
        tuple(
            (f"{points[0][0]:.2f}", *(f"{share:.1%}" for _, share in points))
            for points in zip(*(fit.recall for fit in fits.values()), strict=True)
        ),
        series_keys(list(fits)),
    )
