"""What is read beside the shards: annotation lines, annotation files, and what parse dropped.

Read from the project that the shards lie in: ``data/parsed`` for lines and problems, ``params.yaml`` for the names of
the annotation files.  All of it is optional: what is missing is reported, and the rules that need it are left out.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from yolopipe import paths
from yolopipe.config.params_file import load_config
from yolopipe.errors import YolopipeError
from yolopipe.inspection.checks.check_report import MOST_HITS, Hit, Place
from yolopipe.shards.manifest import Manifest
from yolopipe.shards.schema import Row
from yolopipe.tables import BOX_COLUMNS, TableReader, split_boxes

__all__ = [
    "PARSE_RULES",
    "DroppedBoxes",
    "Sources",
    "annotation_files",
    "place_of",
    "project_of",
    "read_sources",
    "source_boxes",
]

PARSE_RULES = {
    "no-area": "zero-size",
    "outside-image": "outside-image",
    "missing-image": "unreadable",
    "not-an-image": "unreadable",
    "truncated-image": "unreadable",
    "broken-header": "unreadable",
    "unsupported-image": "unreadable",
    "outside-images-folder": "unwatched",
}
"""Rules of parse and the checks that report them; all others are reported by ``dropped``."""


@dataclass
class DroppedBoxes:
    """Boxes and images in parse's list of problems that one check reports.

    Args:
        actions: how often parse took each action, e.g. ``dropped-box``.
        rules: how often each rule of parse applied.
        hits: the first :data:`MOST_HITS`.
    """

    actions: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    hits: list[Hit] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many there are."""
        return self.actions.total()


@dataclass(frozen=True)
class Sources:
    """Everything read beside the shards.

    Args:
        folder: where relative image paths start.
        lines: annotation line of each image, by split; empty without ``data/parsed``.
        files: annotation file by split, and that of the ``corrections``; empty without ``params.yaml``.
        dropped: by our rules; None when parse's list is not there.
        boxes_read: boxes in the annotation texts, good and bad.
        images_read: images in them.
        missing: why something is not known, one sentence each.
    """

    folder: Path
    lines: Mapping[str, Mapping[str, int]]
    files: Mapping[str, str]
    dropped: Mapping[str, DroppedBoxes] | None
    boxes_read: int = 0
    images_read: int = 0
    missing: tuple[str, ...] = ()


def project_of(shards: Path) -> Path:
    """The project folder that shards belong to: the one whose ``data/shards`` they are, else the working folder.

    >>> project_of(Path("/mine/data/shards")).as_posix(), project_of(Path("copied")).as_posix()
    ('/mine', '.')
    """
    if shards.parts[-2:] == paths.SHARDS.parts:
        return shards.parent.parent
    return Path()


def read_sources(shards: Path, manifest: Manifest, params: Path | None = None) -> Sources:
    """Read what is beside the shards.

    Args:
        shards: their folder.
        manifest: of the same shards.
        params: the params file; by default ``params.yaml`` of the project that the shards lie in.

    Returns:
        What could be read; missing or damaged files are no error.
    """
    folder = project_of(shards)
    missing: list[str] = []
    files = annotation_files(shards, params, missing)
    parsed = folder / paths.PARSED
    try:
        lines = {split: _lines(parsed / f"{split}.parquet", manifest, split) for split in manifest.splits}
        counts = json.loads((parsed / "counts.json").read_text(encoding="utf-8"))["splits"].values()
        dropped = _dropped(parsed / "problems.csv", files, lines)
        boxes_read, images_read = (sum(int(s[name]) for s in counts) for name in ("boxes_read", "images_read"))
    except (YolopipeError, OSError, csv.Error, ValueError, KeyError, TypeError) as error:
        reason = error.message if isinstance(error, YolopipeError) else f"{parsed} is incomplete ({error})"
        rules = ", ".join(dict.fromkeys([*PARSE_RULES.values(), "dropped"]))
        missing.append(f"boxes and images that parse dropped ({rules}), and annotation lines: {reason}")
        return Sources(folder, {}, files, None, missing=tuple(missing))
    return Sources(folder, lines, files, dropped, boxes_read, images_read, tuple(missing))


def source_boxes(shards: Path, split: str, row: Row) -> npt.NDArray[np.float32] | None:
    """The boxes of an image as parse read them, (N, 4) source pixels; None without its table, or with another one."""
    file = project_of(shards) / paths.PARSED / f"{split}.parquet"
    try:
        with TableReader(file, made_by="parse") as reader:
            for piece in reader.pieces(["image", *BOX_COLUMNS]):
                found = split_boxes(piece.filter(pc.equal(piece["image"], row.path)))
                if len(found.classes):
                    return found.boxes_xyxy if np.array_equal(found.origins, row.boxes.origins) else None
    except YolopipeError:
        pass
    return None


def annotation_files(shards: Path, params: Path | None, missing: list[str]) -> dict[str, str]:
    """The annotation file of each split, and that of the ``corrections``.

    Empty where there is no ``params.yaml``, with the reason in ``missing``.

    Args:
        shards: their folder.
        params: the params file; by default ``params.yaml`` of the project that the shards lie in.
        missing: a sentence is appended.
    """
    try:
        data = load_config(project_of(shards) / "params.yaml" if params is None else params).data
    except YolopipeError as error:
        missing.append(f"names of the annotation files: {error.message.splitlines()[0]}")
        return {}
    corrections = {"corrections": data.corrections} if data.corrections else {}
    return {"train": data.train, "val": data.val} | corrections


def place_of(files: Mapping[str, str], split: str, origin: Sequence[int]) -> Place:
    """Where a box is written.

    Args:
        files: from :func:`annotation_files`.
        split: of the box.
        origin: line and column from the shards; the line is negative for a box that the corrections added.

    >>> files = {"train": "train.txt", "corrections": "fixes.txt"}
    >>> print(place_of(files, "train", (15, 32)), place_of(files, "train", (-3, 9)))
    train.txt:15:32 fixes.txt:3:9
    """
    line, column = origin
    return Place(files.get("corrections" if line < 0 else split, ""), abs(line), column)


def _lines(table_file: Path, manifest: Manifest, split: str) -> dict[str, int]:
    lines: dict[str, int] = {}
    boxes = 0
    with TableReader(table_file, made_by="parse") as reader:
        for piece in reader.pieces(["image", "line", "ignore"]):
            lines.update(zip(piece["image"].to_pylist(), piece["line"].to_pylist(), strict=True))
            boxes += pc.sum(pc.invert(pc.list_flatten(piece["ignore"]))).as_py() or 0
    of_copy = manifest.splits[split].of_copy(0)
    if (len(lines), boxes) != (sum(shard.rows for shard in of_copy), sum(shard.boxes for shard in of_copy)):
        raise ValueError(f"{table_file.name} and the shards hold different images; run: dvc repro")
    return lines


def _dropped(file: Path, files: Mapping[str, str], lines: Mapping[str, Mapping[str, int]]) -> dict[str, DroppedBoxes]:
    """Parse's problems by check; the file is read line by line, and the first hits are kept."""
    found: dict[str, DroppedBoxes] = {rule: DroppedBoxes() for rule in [*PARSE_RULES.values(), "dropped"]}
    split_of = {files[split]: split for split in lines if split in files}
    with file.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if row["action"] == "noted" and row["rule"] not in PARSE_RULES:
                continue
            dropped = found[PARSE_RULES.get(row["rule"], "dropped")]
            dropped.actions[row["action"]] += 1
            dropped.rules[row["rule"]] += 1
            if len(dropped.hits) < MOST_HITS:
                split = split_of.get(row["file"]) or next((s for s in lines if row["image"] in lines[s]), "")
                dropped.hits.append(_hit(row, split))
    return found


def _hit(row: Mapping[str, str], split: str) -> Hit:
    own = PARSE_RULES.get(row["rule"])
    message = row["message"] if own in ("zero-size", "outside-image") else f"{row['rule']}: {row['message']}"
    done = f" ({row['action'].replace('-', ' ')})" if row["action"] != "noted" else ""
    place = Place(row["file"], int(row["line"]), int(row["column"]))
    return Hit(split, row["image"], message + done, (), *place)
