"""Targets as text of at most 100 columns, and as plain JSON types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import zip_longest
from types import MappingProxyType
from typing import Any

from yolopipe.inspection.checks.check_report import Place
from yolopipe.inspection.checks.origins import place_of
from yolopipe.inspection.ignored_boxes import IgnoredBox, ignored_boxes
from yolopipe.inspection.label_totals import ImageTally, SplitTotals
from yolopipe.shards.label_info import collisions_text, smaller_text
from yolopipe.shards.manifest import Manifest
from yolopipe.shards.schema import Row
from yolopipe.shards.targets import BoxTargets, TargetPlace

__all__ = [
    "COLUMNS",
    "NO_FILES",
    "Files",
    "background_text",
    "ignored_lines",
    "ignored_report",
    "row_report",
    "row_text",
    "totals_report",
    "totals_text",
]

COLUMNS = 100

NAME_WIDTH = 12

Files = Mapping[str, str]
NO_FILES: Files = MappingProxyType({})


def row_text(
    row: Row, targets: Sequence[BoxTargets], manifest: Manifest, *, split: str, files: Files = NO_FILES
) -> str:
    """One image's boxes, each with the cells and anchors assigned to it and those overwritten by other boxes.

    Args:
        row: from the shards.
        targets: of the same row.
        manifest: of the same shards.
        split: of the row.
        files: annotation file by split, and that of the corrections, where known: for the place of each box.
    """
    ignored = ignored_boxes(row, manifest.strides)
    copies = manifest.splits[split].copies
    size = manifest.input_size
    (scale_x, _, left), (_, scale_y, top) = row.matrix.tolist()
    mirrored = ", mirrored" if scale_x * scale_y < 0 else ""
    lines = [
        _tail(row.path, COLUMNS),
        f"{split}, copy {row.copy} (copies 0 to {copies - 1})" if copies > 1 else split,
        f"source {row.source_wh[0]} x {row.source_wh[1]} px, network input {size} x {size} px, "
        f"scale {abs(scale_x):.3f}{mirrored}, offset {left:+.1f} {top:+.1f}",
        _tally(targets, len(ignored)),
        *_table(targets, manifest, [place_of(files, split, origin) for origin in row.boxes.origins.tolist()]),
        *ignored_lines(ignored, manifest, manifest.strides, split=split, files=files),
    ]
    return "\n".join(lines)


def _tally(targets: Sequence[BoxTargets], ignored: int) -> str:
    if not targets:
        return f"no boxes: {background_text('the whole image', ignored)}"
    parts = [_count(len(targets), "box"), _count(sum(len(box.assigned) for box in targets), "positive")]
    unassigned = sum(not box.assigned for box in targets)
    partly = sum(bool(box.assigned and box.overwritten) for box in targets)
    forced = sum(box.forced for box in targets)
    parts += [f"{unassigned} not assigned to any anchor"] if unassigned else []
    parts += [f"{partly} partly overwritten"] if partly else []
    parts += [f"{forced} forced onto the best anchor"] if forced else []
    return ", ".join(parts)


def background_text(whole: str, ignored: int) -> str:
    """What is background where there are no boxes.

    >>> background_text("the whole image", 0), background_text("the whole image", 2)
    ('the whole image is background', 'the whole image but 2 boxes to be ignored is background')
    """
    but = f"but {_count(ignored, 'box')} to be ignored " if ignored else ""
    return f"{whole} {but}is background"


def _count(number: int, noun: str) -> str:
    plural = {"box": "boxes"}.get(noun, f"{noun}s")
    return f"{number:,} {noun if number == 1 else plural}"


def _tail(text: str, width: int) -> str:
    return text if len(text) <= width else "..." + text[-(width - 3) :]


def _head(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def _table(targets: Sequence[BoxTargets], manifest: Manifest, places: Sequence[Place]) -> Iterator[str]:
    if not targets:
        return
    yield ""
    yield (
        f"{'box':>4} {'class':<{NAME_WIDTH}} {'x1':>6} {'y1':>6} {'x2':>6} {'y2':>6}"
        f"  {'stride':>6}  {'cell y,x':<9}{'anchor':<11}{'IoU':>4}"
    )
    for box in targets:
        x1, y1, x2, y2 = box.box_xyxy
        name = _head(manifest.class_names[box.class_id], NAME_WIDTH)
        start = f"{box.number:>4} {name:<{NAME_WIDTH}} {x1:>6.1f} {y1:>6.1f} {x2:>6.1f} {y2:>6.1f}"
        starts = [start, f"{'':>5}{_tail(str(places[box.number]), len(start) - 5)}"]
        for start, place in zip_longest(starts, map(_place, box.places), fillvalue=""):
            yield f"{start:<{len(starts[0])}}  {place}".rstrip()
        if not box.assigned:
            yield f"{'':>5}not assigned to any anchor: other boxes took every one it matches"
        for stride in box.unlisted:
            yield (
                f"{'':>5}beyond the box list of stride {stride} "
                f"({manifest.max_bbox_per_scale} boxes): not covered by the ignore mask there"
            )


def _place(place: TargetPlace) -> str:
    y, x = place.cell_yx
    width, height = place.anchor_wh
    anchor = f"{place.anchor} {width:g}x{height:g}"
    remarks = ["forced"] if place.forced else []
    remarks += ["next anchor"] if place.rescued else []
    remarks += [] if place.taken_by is None else [f"taken by {place.taken_by}"]
    cell = f"{y},{x}"
    return f"{place.stride:>6}  {cell:<9}{anchor:<11}{place.iou:>4.2f}  {', '.join(remarks)}"


def ignored_lines(
    boxes: Sequence[IgnoredBox], manifest: Manifest, strides: Sequence[int], *, split: str, files: Files
) -> Iterator[str]:
    """Boxes to be ignored, two lines each: the box and the lists that it is in, then its place.

    Args:
        boxes: of one image.
        manifest: of the shards.
        strides: whose lists are named.
        split: of the image.
        files: annotation file by split, and that of the corrections, where known.
    """
    if boxes:
        yield ""
        yield f"{_count(len(boxes), 'box')} to be ignored: predictions there do not count as background"
    for box in boxes:
        corners = " ".join(f"{side:>6.1f}" for side in box.box_xyxy)
        name = _head(box.class_name(manifest.class_names), NAME_WIDTH)
        full = [str(stride) for stride in strides if stride in box.unlisted]
        lists = [str(stride) for stride in strides if stride not in box.unlisted]
        parts = [f"in the list of stride {', '.join(lists)}"] if lists else []
        parts += [f"list full: stride {', '.join(full)}"] if full else []
        yield f"{box.number:>4} {name:<{NAME_WIDTH}} {corners}  {'; '.join(parts)}"
        yield f"{'':>5}{_tail(str(place_of(files, split, box.origin)), COLUMNS - 5)}"


def ignored_report(
    boxes: Sequence[IgnoredBox], manifest: Manifest, *, split: str, files: Files
) -> list[dict[str, Any]]:
    """The same facts for programs; ``class`` is None for any class."""
    return [
        {
            "number": box.number,
            "class_id": box.class_id,
            "class": None if box.class_id < 0 else manifest.class_names[box.class_id],
            "box_xyxy": list(box.box_xyxy),
            "unlisted_strides": list(box.unlisted),
            **place_of(files, split, box.origin)._asdict(),
        }
        for box in boxes
    ]


def row_report(
    row: Row, targets: Sequence[BoxTargets], manifest: Manifest, *, split: str, files: Files = NO_FILES
) -> dict[str, Any]:
    """The facts of :func:`row_text` for programs."""
    return {
        "image": row.path,
        "split": split,
        "copy": row.copy,
        "source_wh": list(row.source_wh),
        "input_size": manifest.input_size,
        "matrix": row.matrix.tolist(),
        "boxes": [
            _box_report(box, manifest) | place_of(files, split, origin)._asdict()
            for box, origin in zip(targets, row.boxes.origins.tolist(), strict=True)
        ],
        "ignored": ignored_report(ignored_boxes(row, manifest.strides), manifest, split=split, files=files),
    }


def _box_report(box: BoxTargets, manifest: Manifest) -> dict[str, Any]:
    return {
        "number": box.number,
        "class_id": box.class_id,
        "class": manifest.class_names[box.class_id],
        "box_xyxy": list(box.box_xyxy),
        "taught": bool(box.assigned),
        "unlisted_strides": list(box.unlisted),
        "places": [
            {**asdict(place), "cell_yx": list(place.cell_yx), "anchor_wh": list(place.anchor_wh)}
            for place in box.places
        ],
    }


def totals_text(totals: SplitTotals, manifest: Manifest) -> str:
    """The labels of a split: positives per anchor, boxes that are overwritten or forced, and the worst images."""
    split, copy = totals.split, totals.copy
    copies = manifest.splits[split].copies
    which = f"all {copies} copies" if copy is None and copies > 1 else f"copy {copy or 0}" if copies > 1 else ""
    ignored = f", {_count(totals.ignored, 'box')} to be ignored" if totals.ignored else ""
    lines = [
        ", ".join(part for part in (split, which, f"network input {manifest.input_size} px") if part),
        f"{_count(totals.images, 'image')}, {_count(totals.boxes, 'box')}, {_count(totals.backgrounds, 'image')} "
        f"without boxes{ignored}",
        "stored labels: equal to a new assignment of the stored boxes",
        "",
        *_positives(totals, manifest),
        "",
        *_unlearned(totals, manifest),
        *_smaller(totals, manifest),
        *_worst(totals),
    ]
    return "\n".join(lines)


def _positives(totals: SplitTotals, manifest: Manifest) -> Iterator[str]:
    yield f"{'stride':>6} {'grid':>9} {'in list':>10} {'positives':>10}   of these, by anchor"
    total = max(1, int(totals.positives.sum()))
    for index, stride in enumerate(manifest.strides):
        grid = manifest.input_size // stride
        anchors = [
            f"{width:g}x{height:g} {count:,} ({count / total:.0%})"
            for (width, height), count in zip(manifest.anchors[index], totals.positives[index].tolist(), strict=True)
        ]
        listed, positives = int(totals.listed[index]), int(totals.positives[index].sum())
        yield f"{stride:>6} {f'{grid}x{grid}':>9} {listed:>10,} {positives:>10,}   {'  '.join(anchors)}"


def _unlearned(totals: SplitTotals, manifest: Manifest) -> Iterator[str]:
    listed = totals.boxes + totals.ignored
    rows = [
        (totals.overwritten, totals.boxes, "not assigned to any anchor: other boxes overwrote all they match"),
        (totals.partly_overwritten, totals.boxes, "partly overwritten: other boxes took some of their anchors"),
        (
            totals.forced,
            totals.boxes,
            f"match no anchor above IoU {manifest.iou_threshold:g}: forced onto their best one",
        ),
        (
            totals.past_list_end,
            listed,
            f"beyond a box list of {manifest.max_bbox_per_scale}: not covered by the ignore mask",
        ),
    ]
    for count, base, meaning in rows:
        share = f"{count / max(1, base):.1%}"
        yield f"{count:>9,} {share:>6} of boxes  {meaning}"
    yield ""
    yield "not assigned to any anchor, by rule (assignment.collisions):"
    yield f"  {collisions_text(totals.without_positive, totals.boxes, manifest.collisions)}"


def _smaller(totals: SplitTotals, manifest: Manifest) -> Iterator[str]:
    for size, labels in totals.smaller.items():
        yield ""
        yield f"labels at {size} px (anchors keep their size in pixels):"
        yield f"  {smaller_text(labels)}"
        by_rule = collisions_text(labels.without_positive, totals.boxes, manifest.collisions)
        yield f"  unassigned: {by_rule}"


def _worst(totals: SplitTotals) -> Iterator[str]:
    if not totals.worst:
        return
    yield ""
    yield f"{'unassigned':>10} {'partly':>7} {'forced':>7} {'past end':>9} {'of boxes':>9}   in"
    for tally in totals.worst:
        yield (
            f"{tally.overwritten:>10,} {tally.partly_overwritten:>7,} {tally.forced:>7,} "
            f"{tally.past_list_end:>9,} {tally.boxes:>9,}   {_tail(_named(tally), COLUMNS - 50)}"
        )


def _named(tally: ImageTally) -> str:
    copy = f" (copy {tally.copy})" if tally.copy else ""
    ignored = f", {tally.ignored:,} ignored" if tally.ignored else ""
    return f"{tally.path}{copy}{ignored}"


def totals_report(totals: SplitTotals, manifest: Manifest) -> dict[str, Any]:
    """The same facts for programs."""
    scales = [
        {
            "stride": stride,
            "boxes_listed": int(totals.listed[index]),
            "positives": int(totals.positives[index].sum()),
            "anchors": [
                {"anchor_wh": list(size), "positives": count}
                for size, count in zip(manifest.anchors[index], totals.positives[index].tolist(), strict=True)
            ],
        }
        for index, stride in enumerate(manifest.strides)
    ]
    return {
        "split": totals.split,
        "copy": totals.copy,
        "images": totals.images,
        "boxes": totals.boxes,
        "backgrounds": totals.backgrounds,
        "ignored": totals.ignored,
        "overwritten": totals.overwritten,
        "partly_overwritten": totals.partly_overwritten,
        "forced": totals.forced,
        "past_list_end": totals.past_list_end,
        "collisions": manifest.collisions,
        "without_positive": dict(totals.without_positive),
        "scales": scales,
        "smaller": {str(size): asdict(labels) for size, labels in totals.smaller.items()},
        "most_trouble": [asdict(tally) for tally in totals.worst],
    }
