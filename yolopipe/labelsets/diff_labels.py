"""``yolopipe labels diff``: boxes added, removed, moved and re-classed between two versions of a set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolopipe.formats.annotation_line import number_text
from yolopipe.labelsets.compare import Changes, compare
from yolopipe.labelsets.label_set import LabelSet, OnBad, left_out_rows, read_versions
from yolopipe.result import CommandResult

__all__ = ["BoxChange", "DiffResult", "box_changes", "run"]

MOST_SHOWN = 40
"""Changes listed on the screen; Markdown and JSON list all."""


@dataclass(frozen=True, slots=True)
class BoxChange:
    """One changed box.

    Args:
        kind: ``added``, ``removed``, ``moved``, ``re-classed`` or ``moved+re-classed``.
        image: path of its image.
        place: ``FILE:LINE`` of the image, in the new version where it is there.
        was: box and class before, ``x1,y1,x2,y2 NAME`` or ``x1,y1,x2,y2 ignored NAME``; empty for added.
        now: box and class after; empty for removed.
    """

    kind: str
    image: str
    place: str
    was: str
    now: str

    def __str__(self) -> str:
        change = f"{self.was} -> {self.now}" if self.was and self.now else self.was or self.now
        return f"{self.place}: {self.kind}: {change}"


@dataclass(frozen=True)
class DiffResult(CommandResult):
    """What a comparison found.

    Args:
        markdown: the same for a pull request.
    """

    markdown: str = ""


def run(
    old: str,
    new: str,
    *,
    classes: Path | None = None,
    old_classes: Path | None = None,
    on_bad: OnBad = "fail",
) -> DiffResult:
    """Compare two versions of an annotation text.

    Args:
        old: a file, or ``REV:PATH`` for a file as a git revision has it.
        new: the same.
        classes: names file of the new version; by default ``classes.names`` beside it.
        old_classes: names file of the old version; by default that of the new one.
        on_bad: what becomes of lines that cannot be read.

    Raises:
        DataError: a text cannot be used.
    """
    before, after, left_out = read_versions(old, new, classes, old_classes, on_bad=on_bad)
    found = compare(before, after)
    changes = list(box_changes(before, after, found))
    counts = {
        "equal": len(found.equal),
        "added": len(found.added),
        "removed": len(found.removed),
        "moved": len(found.moved),
        "re_classed": len(found.reclassed),
        "moved_and_re_classed": len(found.moved_reclassed),
        "images_added": len(found.added_images),
        "images_removed": len(found.removed_images),
    }
    rows: dict[str, object] = {name.replace("_", " "): f"{count:,}" for name, count in counts.items()}
    rows["images with changes"] = f"{len({change.image for change in changes}):,}"
    rows |= left_out_rows(left_out)
    report = {"old": old, "new": new, **counts, "changes": [_as_json(change) for change in changes]}
    listed = "\n".join(map(str, changes[:MOST_SHOWN]))
    more = (
        f"\n... and {len(changes) - MOST_SHOWN:,} more: --json or --markdown FILE"
        if len(changes) > MOST_SHOWN
        else ""
    )
    title = (
        f"{listed}{more}\n\nlabels diff: {len(changes):,} boxes changed" if changes else "labels diff: no box changed"
    )
    return DiffResult(title, rows, report, markdown=_markdown(old, new, counts, changes))


def box_changes(old: LabelSet, new: LabelSet, found: Changes) -> Iterator[BoxChange]:
    """Every changed box, in the order of the new version's images; then those of images that it lacks.

    Args:
        old: the earlier version.
        new: the later one.
        found: from :func:`~yolopipe.labelsets.compare.compare`.
    """
    row_of = {path: row for row, path in enumerate(new.image_paths)}
    rows: list[tuple[int, int, str, int, int]] = []  # image order, box order, kind, old box, new box
    for kind, pairs in (
        ("re-classed", found.reclassed),
        ("moved", found.moved),
        ("moved+re-classed", found.moved_reclassed),
    ):
        rows += [(int(new.box_image[two]), two, kind, one, two) for one, two in pairs.tolist()]
    rows += [(int(new.box_image[box]), box, "added", -1, box) for box in found.added.tolist()]
    for box in found.removed.tolist():
        image = int(old.box_image[box])
        at = row_of.get(old.image_paths[image], len(new.image_paths) + image)
        rows.append((at, len(new.classes) + box, "removed", box, -1))
    for at, _, kind, one, two in sorted(rows):
        inside = at < len(new.image_paths)
        image = at if inside else at - len(new.image_paths)
        holder = new if inside else old
        was = _box_text(old, one) if one >= 0 else ""
        now = _box_text(new, two) if two >= 0 else ""
        yield BoxChange(kind, holder.image_paths[image], holder.place(image), was, now)


def _box_text(label_set: LabelSet, box: int) -> str:
    corners = ",".join(map(number_text, label_set.boxes_xyxy[box].tolist()))
    number = int(label_set.classes[box])
    name = label_set.names[number] if number >= 0 else "any class"
    return f"{corners} {'ignored ' * bool(label_set.ignore[box])}{name}"


def _as_json(change: BoxChange) -> dict[str, Any]:
    return {
        "kind": change.kind,
        "image": change.image,
        "place": change.place,
        "was": change.was or None,
        "now": change.now or None,
    }


def _markdown(old: str, new: str, counts: dict[str, int], changes: Sequence[BoxChange]) -> str:
    """A table of counts, and the changes folded up by image."""
    kinds = ("added", "removed", "moved", "re_classed", "moved_and_re_classed", "images_added", "images_removed")
    lines = [f"### Labels: {_code(old)} to {_code(new)}", "", "| change | number |", "|---|---|"]
    lines += [f"| {kind.replace('_', ' ')} | {counts[kind]:,} |" for kind in kinds if counts[kind]]
    if not changes:
        return "\n".join([*lines[:2], "No box changed.", ""])
    lines += [
        "",
        "<details><summary>all changes</summary>",
        "",
        "| image | change | was | now |",
        "|---|---|---|---|",
    ]
    for change in changes:
        cells = (_code(change.image), change.kind, _code(change.was), _code(change.now))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", "</details>", ""])


def _code(text: str) -> str:
    """A cell of a Markdown table that shows the text as it is."""
    if not text:
        return ""
    fence = "``" if "`" in text else "`"
    inner = text.replace("|", "\\|")
    return f"{fence} {inner} {fence}" if "`" in text else f"{fence}{inner}{fence}"
