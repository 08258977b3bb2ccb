"""``manifest.json``: contents, parameters and checksums of the shards.

A TFRecord file cut between two records reads short without an error, and Parquet returns flipped bits unless asked
not to; so counts and checksums live here.  The manifest is written last and holds nothing of machine, time or path.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from yolopipe.errors import ShardError
from yolopipe.files import write_json
from yolopipe.shards.label_info import LabelInfo
from yolopipe.shards.schema import SCHEMA_VERSION

__all__ = ["Manifest", "ShardInfo", "SplitInfo", "load_manifest", "write_manifest"]

FILE = "manifest.json"


@dataclass(frozen=True)
class ShardInfo:
    """One file: its name, augmented copy, counts, length and checksum."""

    name: str
    copy: int
    rows: int
    boxes: int
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class SplitInfo(LabelInfo):
    """Train or val; the numbers of :class:`LabelInfo` are those of its labels.

    Args:
        rows: samples, all copies together.
        copies: augmented copies of each image; 1 for val.
        boxes: boxes in all rows.
        backgrounds: rows without boxes.
        ignored: boxes to be ignored in all rows; they are in none of the other numbers but ``past_list_end``.
        boxes_per_class: in the order of the class names.
        label_bytes: bytes of the sparse labels before compression.
        smaller: the same numbers for the labels of each smaller input size (as text); empty when there is one size.
        shards: the files, in order of copy and name.
    """

    rows: int
    copies: int
    boxes: int
    backgrounds: int
    ignored: int
    boxes_per_class: tuple[int, ...]
    label_bytes: int
    smaller: Mapping[str, LabelInfo]
    shards: tuple[ShardInfo, ...]

    @property
    def rows_per_copy(self) -> int:
        """Samples an epoch reads."""
        return self.rows // self.copies

    def of_copy(self, copy: int | None) -> tuple[ShardInfo, ...]:
        """The files of one copy, or all of them for ``None``."""
        return tuple(shard for shard in self.shards if copy is None or shard.copy == copy)


@dataclass(frozen=True)
class Manifest:
    """Everything that a reader needs to know before it opens a shard.

    ``input_size`` is the side of the stored pixels, the largest of ``input_sizes``; there are labels for all of them.
    """

    format: str
    encoding: str
    jpeg_quality: int
    input_size: int
    input_sizes: tuple[int, ...]
    strides: tuple[int, ...]
    anchors: tuple[tuple[tuple[float, float], ...], ...]
    iou_threshold: float
    max_bbox_per_scale: int
    collisions: str
    class_names: tuple[str, ...]
    splits: Mapping[str, SplitInfo]

    @property
    def smaller_sizes(self) -> tuple[int, ...]:
        """The input sizes that have labels but no pixels of their own."""
        return tuple(size for size in self.input_sizes if size != self.input_size)

    @property
    def anchors_px(self) -> npt.NDArray[np.float64]:
        """(3, 3, 2) width and height in pixels of the network input, small stride first."""
        return np.array(self.anchors, np.float64)

    @property
    def anchors_in_strides(self) -> npt.NDArray[np.float64]:
        """(3, 3, 2) width and height in units of the stride."""
        return np.divide(self.anchors_px, np.array(self.strides, np.float64)[:, np.newaxis, np.newaxis])


def write_manifest(directory: str | Path, manifest: Manifest) -> None:
    """Write ``manifest.json`` into ``directory``."""
    write_json(Path(directory) / FILE, {"schema_version": SCHEMA_VERSION, **asdict(manifest)})


def load_manifest(directory: str | Path, *, check_files: bool = True) -> Manifest:
    """Read the manifest and check that every file it names is there with the right length.

    Args:
        directory: the folder of shards.
        check_files: False does not look at the files.

    Returns:
        The manifest.

    Raises:
        ShardError: no manifest, another schema version, a damaged manifest, a missing or cut shard.
    """
    folder = Path(directory)
    tree = _read(folder)
    version = tree.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ShardError(
            f"{folder / FILE}: shards of schema version {version}; this yolopipe reads version {SCHEMA_VERSION}",
            hint="regenerate them: dvc repro -f precompute",
        )
    try:
        manifest = _from_json(tree)
    except (KeyError, TypeError, ValueError) as error:
        raise ShardError(
            f"{folder / FILE}: not a complete manifest ({error!r})", hint="regenerate it: dvc repro -f precompute"
        ) from None
    for split in manifest.splits.values() if check_files else ():
        for shard in split.shards:
            _check_length(folder, shard)
    return manifest


def _read(folder: Path) -> dict[str, Any]:
    file = folder / FILE
    try:
        tree = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ShardError(
            f"no shards here: {file} is missing", hint="yolopipe precompute   (or all at once: dvc repro)"
        ) from None
    except ValueError as error:
        raise ShardError(f"{file}: not JSON: {error}", hint="regenerate it: dvc repro -f precompute") from None
    return tree if isinstance(tree, dict) else {}


def _from_json(tree: dict[str, Any]) -> Manifest:
    known = {key: value for key, value in tree.items() if key in Manifest.__dataclass_fields__}
    splits = {name: _split_from_json(split) for name, split in known.pop("splits").items()}
    anchors = tuple(tuple((float(w), float(h)) for w, h in scale) for scale in known.pop("anchors"))
    for name in ("input_sizes", "strides", "class_names"):
        known[name] = tuple(known[name])
    return Manifest(**known, anchors=anchors, splits=splits)


def _split_from_json(tree: dict[str, Any]) -> SplitInfo:
    shards = tuple(ShardInfo(**shard) for shard in tree["shards"])
    smaller = {size: LabelInfo(**_with_tuples(labels)) for size, labels in tree["smaller"].items()}
    fields = _with_tuples({**tree, "boxes_per_class": tuple(tree["boxes_per_class"])})
    return SplitInfo(**{**fields, "shards": shards, "smaller": smaller})


def _with_tuples(tree: dict[str, Any]) -> dict[str, Any]:
    return {**tree, "positives": {stride: tuple(counts) for stride, counts in tree["positives"].items()}}


def _check_length(folder: Path, shard: ShardInfo) -> None:
    path = folder / shard.name
    found = path.stat().st_size if path.is_file() else None
    if found != shard.bytes:
        state = "is missing" if found is None else f"has {found:,} bytes, the manifest says {shard.bytes:,}"
        raise ShardError(f"shard {path} {state}", hint="regenerate the shards: dvc repro -f precompute")
