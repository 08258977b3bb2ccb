"""The rules on classes and anchors, and the counts of each split."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from yolopipe.arrays import Ints
from yolopipe.inspection.checks.check_report import AnchorFit, Check, Hit, SplitFacts
from yolopipe.inspection.checks.dataset import Dataset
from yolopipe.inspection.checks.image_checks import image_hit
from yolopipe.inspection.checks.rules import ANCHOR_GAIN, RARE_SHARE, make_check
from yolopipe.labels.anchors import anchor_fit, anchor_text, proposed_fit, size_iou

__all__ = ["anchor_checks", "anchor_fits", "class_checks", "split_facts"]


def split_facts(data: Dataset) -> dict[str, SplitFacts]:
    """The counts of each split."""
    return {name: _facts(data, number) for number, name in enumerate(data.split_names)}


def _facts(data: Dataset, number: int) -> SplitFacts:
    images = np.flatnonzero(data.split == number)
    boxes = data.boxes_of_split(data.split_names[number])
    counts = np.diff(data.offsets)[images]
    classes, sizes = data.classes[boxes].astype(np.int64), data.sizes_wh[boxes]
    names = len(data.manifest.class_names)
    shown = np.unique(np.repeat(np.arange(len(images)), counts) * names + classes) % names
    many, times = np.unique(counts, return_counts=True)
    return SplitFacts(
        images=len(images),
        boxes=len(classes),
        backgrounds=int((counts == 0).sum()),
        boxes_per_class=tuple(np.bincount(classes, minlength=names).tolist()),
        images_per_class=tuple(np.bincount(shown, minlength=names).tolist()),
        images_with=dict(zip(many.tolist(), times.tolist(), strict=True)),
        smallest_px=round(float(sizes.min()), 3) if len(sizes) else 0.0,
        largest_px=round(float(sizes.max(initial=0.0)), 3),
        ignored=int(data.ignored[images].sum()),
    )


def class_checks(data: Dataset, facts: dict[str, SplitFacts]) -> Iterator[Check]:
    """Classes missing in train or val, and rare classes."""
    names = data.manifest.class_names
    none = (0,) * len(names)
    train, val = (np.array(facts[s].boxes_per_class if s in facts else none) for s in ("train", "val"))
    only_val = np.flatnonzero((train == 0) & (val > 0))
    yield make_check(
        "val-only-class",
        len(only_val),
        len(names),
        _named(data, only_val, "in val, not in train") or "every class of val is in train",
        sorted((_first_of_class(data, "val", label) for label in only_val.tolist()), key=lambda hit: hit.line),
    )
    unused = np.flatnonzero((train == 0) & (val == 0))
    yield make_check(
        "unused-class", len(unused), len(names), _named(data, unused, "no box") or "every class has boxes"
    )
    untested = np.flatnonzero((train > 0) & (val == 0))
    words = _named(data, untested, "in train, not in val") or "every class of train is in val"
    yield make_check("untested-class", len(untested), len(names), words)
    rare = np.flatnonzero((train > 0) & (train < RARE_SHARE * train.max(initial=0)))
    yield make_check("class-balance", len(rare), len(names), _balance(data, train))


def _named(data: Dataset, labels: Ints, words: str, most: int = 8) -> str:
    if not len(labels):
        return ""
    shown = ", ".join(data.manifest.class_names[label] for label in labels[:most].tolist())
    return f"{words}: {shown}" + (f" and {len(labels) - most} more" if len(labels) > most else "")


def _balance(data: Dataset, train: Ints, most: int = 4) -> str:
    order = np.argsort(-train, kind="stable")
    total = max(1, int(train.sum()))
    shares = [f"{data.manifest.class_names[n]} {train[n] / total:.1%}" for n in order.tolist() if train[n]]
    if len(shares) > 2 * most:
        shares = [*shares[:most], "...", *shares[-most:]]
    return "boxes of train: " + (", ".join(shares) or "none")


def _first_of_class(data: Dataset, split: str, label: int) -> Hit:
    boxes = data.boxes_of_split(split)
    box = boxes.start + int(np.flatnonzero(data.classes[boxes] == label)[0])
    image, number = data.number_of(box)
    message = f"first box of {data.manifest.class_names[label]}"
    return image_hit(data, image, message, boxes=(number,), origin=data.origins[box].tolist())


def anchor_fits(data: Dataset, left_out: list[str]) -> tuple[AnchorFit | None, AnchorFit | None]:
    """The fit of the anchors in use to the boxes of train, and that of nine proposed ones.

    Args:
        data: boxes with an area.
        left_out: a sentence is appended when there are too few distinct sizes for a proposal.
    """
    sizes = _train_sizes(data)
    if not len(sizes):
        left_out.append("anchor-fit, unused-anchor: train has no boxes")
        return None, None
    now = anchor_fit(sizes, data.manifest.anchors_px.reshape(-1, 2))
    try:
        return now, proposed_fit(sizes)
    except ValueError as error:
        left_out.append(f"anchor-fit: no anchors could be proposed: {error}")
        return now, None


def _train_sizes(data: Dataset) -> npt.NDArray[np.float32]:
    sizes = data.sizes_wh[data.boxes_of_split("train")]
    return sizes[(sizes > 0).all(axis=1)]


def anchor_checks(data: Dataset, now: AnchorFit | None, proposal: AnchorFit | None) -> Iterator[Check]:
    """Whether other anchors would fit clearly better, and anchors that are the best of no box."""
    if now is None:
        return
    sizes = _train_sizes(data)
    size = data.manifest.input_size
    if proposal is not None:
        gain = proposal.mean_best_iou - now.mean_best_iou
        better = 0
        if gain >= ANCHOR_GAIN:
            better = int((_best_iou(sizes, proposal) - _best_iou(sizes, now) >= ANCHOR_GAIN).sum())
        proposed = f"the proposed nine reach {proposal.mean_best_iou:.3f} at {size} px"
        words = f"mean best IoU {now.mean_best_iou:.3f}; {proposed}"
        yield make_check("anchor-fit", better, len(sizes), words)
    idle = [anchor for anchor, share in zip(now.anchors_wh, now.share, strict=True) if not share]
    named = ", ".join(map(anchor_text, idle))
    words = f"best anchor of no box in train: {named}" if idle else "each is the best anchor of some box"
    yield make_check("unused-anchor", len(idle), len(now.anchors_wh), words)


def _best_iou(sizes_wh: npt.NDArray[np.float32], fit: AnchorFit) -> npt.NDArray[np.float64]:
    best = np.zeros(len(sizes_wh))
    for anchor in fit.anchors_wh:  # one at a time, for memory
        np.maximum(best, size_iou(sizes_wh, [anchor])[:, 0], out=best)
    return best
