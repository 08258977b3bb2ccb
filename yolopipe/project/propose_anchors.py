"""``yolopipe anchors``: the fit of the anchors to the training boxes, and a proposal that fits better."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from yolopipe import console, paths
from yolopipe.config.params import STRIDES, Config
from yolopipe.errors import DataError, UsageError
from yolopipe.labels.anchors import AnchorFit, anchor_fit, anchor_text, anchors_yaml, proposed_fit
from yolopipe.tables import read_table, split_boxes

__all__ = ["AnchorAdvice", "advise", "run", "show"]

IN_NETWORK = 9
MOST_ANCHORS = 100
BAR = 20
"""Length of the bar for all boxes, in characters."""


@dataclass(frozen=True, slots=True)
class AnchorAdvice:
    """The fit of the anchors in use and of a proposal.

    Args:
        boxes: number of training boxes, without augmented copies.
        size: side of the network input in pixels that they were letterboxed to.
        present: fit of the nine anchors of ``params.yaml``.
        proposal: fit of the proposed anchors, rounded as they would be written.
        warnings: what is wrong with the anchors in use.
    """

    boxes: int
    size: int
    present: AnchorFit
    proposal: AnchorFit
    warnings: tuple[str, ...]

    @property
    def yaml(self) -> str:
        """The proposal as lines of ``params.yaml``; empty unless it has as many anchors as the network."""
        return anchors_yaml(self.proposal) if len(self.proposal.anchors_wh) == IN_NETWORK else ""

    def report(self) -> dict[str, Any]:
        """The advice as plain JSON."""
        fits = {
            name: {**asdict(fit), "anchors": [anchor_text(anchor) for anchor in fit.anchors_wh]}
            for name, fit in (("present", self.present), ("proposal", self.proposal))
        }
        gain = self.proposal.mean_best_iou - self.present.mean_best_iou
        return {
            **{"boxes": self.boxes, "size": self.size, **fits, "gain": gain},
            **{"yaml": self.yaml, "warnings": list(self.warnings)},
        }


def run(config: Config, *, k: int = IN_NETWORK, size: int | None = None) -> AnchorAdvice:
    """Measure the fit to the boxes of the training images as annotated, and propose anchors.

    Args:
        config: reads ``assignment.anchors`` and ``precompute.input_size``.
        k: how many anchors to propose; 1 to 100.
        size: side of the network input in pixels; by default the largest of ``precompute.input_size``.

    Raises:
        UsageError: ``k`` or ``size`` is out of range.
        DataError: no ``data/parsed``, no boxes, or too few distinct sizes.
    """
    size = config.precompute.input_size if size is None else size
    if not 1 <= k <= MOST_ANCHORS:
        raise UsageError(f"--k must be from 1 to {MOST_ANCHORS}, got {k}")
    if not 32 <= size <= 4096 or size % 32:
        raise UsageError(f"--size must be a multiple of 32 from 32 to 4096, got {size}")
    sizes_wh = _training_sizes(size)
    if not len(sizes_wh):
        raise DataError(f"no boxes in {paths.PARSED}/train.parquet")
    return advise(sizes_wh, config.assignment.anchors_px, k=k, size=size)


def advise(sizes_wh: npt.ArrayLike, anchors_px: npt.ArrayLike, *, k: int, size: int) -> AnchorAdvice:
    """Compare anchors with ``k`` better ones.

    Args:
        sizes_wh: (N, 2) box sizes in pixels of the network input.
        anchors_px: (3, 3, 2) anchors in use, small stride first.
        k: how many to propose.
        size: side of the network input in pixels; only reported.

    Raises:
        DataError: fewer distinct sizes than ``k``.

    >>> advice = advise([[30, 30], [30, 30], [60, 90]], np.full((3, 3, 2), 30.0), k=2, size=416)
    >>> round(advice.present.mean_best_iou, 3), advice.proposal.mean_best_iou, advice.yaml
    (0.722, 1.0, '')
    """
    sizes = np.asarray(sizes_wh, np.float64)
    try:
        proposal = proposed_fit(sizes, k)
    except ValueError as error:
        raise DataError(f"{error}", hint="use a smaller --k") from None
    return AnchorAdvice(
        boxes=len(sizes),
        size=size,
        present=anchor_fit(sizes, anchors_px),
        proposal=proposal,
        warnings=tuple(_out_of_order(np.asarray(anchors_px))),
    )


def _training_sizes(size: int) -> npt.NDArray[np.float64]:
    table, _ = read_table(paths.PARSED / "train.parquet", made_by="parse")
    boxes_xyxy, _, _, offsets = split_boxes(table)
    longest = np.maximum(table["width"].to_numpy(), table["height"].to_numpy())
    scale = np.repeat(size / longest, np.diff(offsets))
    sizes: npt.NDArray[np.float64] = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]) * scale[:, np.newaxis]
    return sizes


def _out_of_order(anchors_px: npt.NDArray[np.float64]) -> list[str]:
    """Warnings on anchors that are not sorted by stride: larger ones belong to the coarser grid."""
    areas = anchors_px.prod(axis=-1).reshape(len(STRIDES), -1)
    return [
        f"anchors out of order: one of stride {STRIDES[i]} is larger than one of stride {STRIDES[i + 1]}; "
        "list them by rising area"
        for i in range(len(STRIDES) - 1)
        if areas[i].max() > areas[i + 1].min()
    ]


def show(advice: AnchorAdvice) -> None:
    """Print the advice."""
    present, proposal = advice.present, advice.proposal
    gain = proposal.mean_best_iou - present.mean_best_iou
    rows = {
        "present": f"mean best IoU {present.mean_best_iou:.3f}",
        "proposal": f"mean best IoU {proposal.mean_best_iou:.3f} ({gain:+.3f}), k-means by IoU",
    }
    console.summary(f"anchors: {advice.boxes:,} training boxes at {advice.size} px", rows)
    for warning in advice.warnings:
        console.note(f"warning: {warning}")
    console.line()
    _show_shares(advice)
    console.line()
    _show_recall(present, proposal)
    console.line()
    if advice.yaml:
        console.line("Paste into params.yaml (no file was changed), then run dvc repro:\n")
        console.line(advice.yaml)
    else:
        console.line(
            f"The network has {IN_NETWORK} anchors; these {len(proposal.anchors_wh)} are for comparison only."
        )


def _show_shares(advice: AnchorAdvice) -> None:
    present, proposal = _share_rows(advice.present, advice.boxes), _share_rows(advice.proposal, advice.boxes)
    strides = [stride for stride in STRIDES for _ in range(IN_NETWORK // len(STRIDES))]
    columns = ["anchor", "boxes", ""]
    if len(proposal) == IN_NETWORK:
        rows = [(stride, *old, *new) for stride, old, new in zip(strides, present, proposal, strict=True)]
        console.table(["stride", "present", "boxes", "", "proposal", "boxes", ""], rows)
    else:
        console.table(["stride", *columns], [(stride, *old) for stride, old in zip(strides, present, strict=True)])
        console.line()
        console.table(["proposal", *columns[1:]], proposal)


def _share_rows(fit: AnchorFit, boxes: int) -> list[tuple[str, int, str]]:
    return [
        (anchor_text(anchor), round(share * boxes), "█" * round(share * BAR) or ("▏" if share else ""))
        for anchor, share in zip(fit.anchors_wh, fit.share, strict=True)
    ]


def _show_recall(present: AnchorFit, proposal: AnchorFit) -> None:
    shown = range(0, len(present.recall), 2)
    columns = ["boxes with IoU from", *(f"{present.recall[i][0]:.2f}" for i in shown)]
    rows = [
        [name, *(fit.recall[i][1] for i in shown)] for name, fit in (("present", present), ("proposal", proposal))
    ]
    console.table(columns, rows)
