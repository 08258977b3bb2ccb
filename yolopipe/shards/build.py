"""Building one shard from its samples, in a worker process: decode, warp, colour, encode, assign."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from yolopipe.cache.keys import codec_identity, picture_key
from yolopipe.cache.settings import CacheRun
from yolopipe.cache.store import cached, trouble
from yolopipe.config.params import STRIDES, Assignment, Precompute
from yolopipe.errors import ImageError, Problem, YolopipeError
from yolopipe.files import atomic_file, sha256_file
from yolopipe.imaging.augmentation import apply_colour
from yolopipe.imaging.geometry import (
    compose,
    corners_after,
    fill_outside,
    invert_affine,
    letterbox_matrix,
    transform_boxes,
    translation_matrix,
    warp,
)
from yolopipe.imaging.images import decode_image, read_bytes
from yolopipe.labels.assign import Assignment as Assigned
from yolopipe.labels.assign import assign
from yolopipe.labels.scale_label import Labels, count_unlisted
from yolopipe.labels.sparse import encode_sparse
from yolopipe.shards.label_info import LabelInfo, count_labels
from yolopipe.shards.manifest import ShardInfo
from yolopipe.shards.plan import PlannedShard
from yolopipe.shards.reader import WRITERS
from yolopipe.shards.schema import Row, RowBoxes, boxes_at_size
from yolopipe.tables import Boxes, split_boxes

__all__ = ["BuiltShard", "ShardTask", "build_shard", "encoded_bytes"]

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ShardTask:
    """The input of a worker that builds one shard; picklable, a few hundred kilobytes.

    Args:
        plan: name, copy and order.
        samples: the rows of the augmented table, in the order to write.
        directory: of the shard.
        precompute: params of the pixels.
        assignment: params of the labels.
        num_classes: of the whole data set.
        project: where relative image paths start; a worker on another machine has another working folder.
        cache: of encoded pixels; None encodes all of them.
    """

    plan: PlannedShard
    samples: pa.Table
    directory: Path
    precompute: Precompute
    assignment: Assignment
    num_classes: int
    project: Path = Path()
    cache: CacheRun | None = None


@dataclass(frozen=True)
class BuiltShard:
    """The result of a task: manifest entry and counts, or the problems of its images."""

    info: ShardInfo | None
    problems: tuple[Problem, ...]
    labels: dict[int, LabelInfo]
    backgrounds: int
    ignored: int
    label_bytes: int
    boxes_per_class: npt.NDArray[np.int64]
    reused: int = 0
    cache_trouble: str = ""


class _BadImages(Exception):
    """Ends the writing of a shard, so that no file is left."""


def build_shard(task: ShardTask) -> BuiltShard:
    """Write one shard atomically.

    Images that cannot be read are returned as problems, so that those of all shards can be listed at once.
    """
    matrices, boxes, ignored = _geometry(task)
    count, per_row = task.samples.num_rows, np.diff(ignored.offsets)
    found = {size: _assign(task, boxes, size) for size in task.precompute.input_sizes}
    labels = {size: encode_sparse(each, boxes.rows, count, per_row) for size, each in found.items()}
    problems: list[Problem] = []
    reused: list[bool] = []
    rows = _rows(task, matrices, boxes, ignored, labels, problems, reused)
    path = task.directory / f"{task.plan.name}.{task.precompute.format}"
    info = None
    try:
        with atomic_file(path, concurrent_writers=True) as partial:
            WRITERS[task.precompute.format](partial, rows)
            if problems:
                raise _BadImages
        info = ShardInfo(
            path.name,
            task.plan.copy,
            count,
            len(boxes.classes),
            path.stat().st_size,
            sha256_file(path),
        )
    except _BadImages:
        pass
    except OSError as error:  # pyarrow names no file
        raise OSError(error.errno, os.strerror(error.errno) if error.errno else str(error), str(path)) from None
    return BuiltShard(
        info=info,
        problems=tuple(problems),
        labels={size: count_labels(each, _unlisted(labels[size], boxes, ignored)) for size, each in found.items()},
        backgrounds=int((np.diff(boxes.offsets) == 0).sum()),
        ignored=len(ignored.classes),
        label_bytes=sum(part.nbytes for rows in labels.values() for row in rows for label in row for part in label)
        + sum(part.nbytes for both in (boxes, ignored) for part in (both.boxes_xyxy, both.classes)),
        boxes_per_class=np.bincount(boxes.classes, minlength=task.num_classes),
        reused=sum(reused),
        cache_trouble=trouble(task.cache),
    )


def _unlisted(labels: list[Labels], boxes: Boxes, ignored: Boxes) -> int:
    """How often a box to be ignored is not in a list, over all rows."""
    per_row = zip(labels, np.diff(boxes.offsets).tolist(), np.diff(ignored.offsets).tolist(), strict=True)
    return sum(count_unlisted(row, found, more) for row, found, more in per_row if more)


def _assign(task: ShardTask, boxes: Boxes, size: int) -> Assigned:
    """The labels of one input size.  Anchors are the same in pixels at every size, boxes are not."""
    return assign(
        boxes_at_size(boxes.boxes_xyxy, size, task.precompute.input_size),
        boxes.rows,
        input_size=size,
        anchors=task.assignment.anchors_px / np.array(STRIDES)[:, np.newaxis, np.newaxis],
        iou_threshold=task.assignment.iou_threshold,
        max_bbox_per_scale=task.assignment.max_bbox_per_scale,
        collisions=task.assignment.collisions,
    )


def _geometry(task: ShardTask) -> tuple[npt.NDArray[np.float64], Boxes, Boxes]:
    """Source-to-input matrices (R, 2, 3), boxes to be found and boxes to be ignored in input pixels."""
    samples, size = task.samples, task.precompute.input_size
    frames_wh = np.stack([samples[name].to_numpy() for name in ("frame_width", "frame_height")], axis=-1)
    letterboxes = letterbox_matrix(frames_wh, size)
    to_frame = samples["matrix"].combine_chunks().flatten().to_numpy().reshape(-1, 2, 3)

    def in_input(boxes: Boxes) -> Boxes:
        moved = transform_boxes(letterboxes[boxes.rows], boxes.boxes_xyxy)
        return boxes._replace(boxes_xyxy=np.clip(moved, 0, size).astype(np.float32))  # clipping removes rounding

    boxes, ignored = (in_input(split_boxes(samples, ignored=ignored)) for ignored in (False, True))
    return compose(to_frame, letterboxes), boxes, ignored


def _rows(
    task: ShardTask,
    matrices: npt.NDArray[np.float64],
    boxes: Boxes,
    ignored: Boxes,
    labels: dict[int, list[Labels]],
    problems: list[Problem],
    reused: list[bool],
) -> Iterator[Row]:
    """The rows, one at a time: memory is one row group, whatever the shard's length."""
    picture, size = _pictures(task), task.precompute.input_size
    for index, sample in enumerate(_records(task.samples)):
        try:
            image, known = picture(sample, matrices[index])
        except ImageError as error:
            problems.append(Problem(sample["image"], 0, 0, error.rule, error.message, sample["image"]))
            continue
        if problems:
            continue  # no shard will be written: only look for more problems
        reused.append(known)
        yield Row(
            path=sample["image"],
            copy=task.plan.copy,
            image=image,
            source_wh=(sample["width"], sample["height"]),
            matrix=matrices[index],
            boxes=_of_row(boxes, index),
            ignored=_of_row(ignored, index),
            labels=labels[size][index],
            smaller={other: of_size[index] for other, of_size in labels.items() if other != size},
        )


def _of_row(boxes: Boxes, row: int) -> RowBoxes:
    ours = slice(boxes.offsets[row], boxes.offsets[row + 1])
    return RowBoxes(boxes.boxes_xyxy[ours], boxes.classes[ours], boxes.origins[ours])


def _records(samples: pa.Table) -> Iterator[dict[str, Any]]:
    names = ["image", "width", "height", "orientation", "hue", "saturation", "value"]
    names += ["frame_width", "frame_height", "visible_xyxy"]
    return iter(samples.select(names).to_pylist())


def _pictures(
    task: ShardTask, *, keep: bool = True
) -> Callable[[dict[str, Any], npt.NDArray[np.float64]], tuple[bytes, bool]]:
    """A function from sample and matrix to encoded pixels and whether the cache had them."""
    params, encode = task.precompute, _encoder(task.precompute)
    identity = codec_identity(
        input_size=params.input_size, encoding=params.encoding, jpeg_quality=params.jpeg_quality
    )

    def picture(sample: dict[str, Any], matrix: npt.NDArray[np.float64]) -> tuple[bytes, bool]:
        source = read_bytes(sample["image"], folder=task.project)
        key = picture_key(identity, sample, matrix, source)
        return cached(
            task.cache, key, lambda: encode(_sample_pixels(source, sample, matrix, params.input_size)), keep=keep
        )

    return picture


def encoded_bytes(task: ShardTask, row: int) -> int | None:
    """Size of the encoded pixels of one row, or None where its image cannot be read; adds nothing to the cache."""
    one = replace(task, samples=task.samples.slice(row, 1))
    try:
        return len(_pictures(one, keep=False)(next(_records(one.samples)), _geometry(one)[0][0])[0])
    except ImageError:
        return None


def _sample_pixels(source: bytes, sample: dict[str, Any], matrix: npt.NDArray[np.float64], size: int) -> Pixels:
    image = decode_image(source, sample["orientation"], name=sample["image"])
    height, width = image.shape[:2]
    if (width, height) != (sample["width"], sample["height"]):
        raise ImageError(
            "changed-image",
            f"it is {width}x{height} now, parse saw {sample['width']}x{sample['height']}; run: dvc repro",
        )
    part, to_input = _visible_part(image, sample, matrix, size)
    pixels = apply_colour(warp(part, to_input, size), [sample["hue"], sample["saturation"], sample["value"]])
    fill_outside(pixels, corners_after(to_input, part))  # colour changes the grey around the picture, too
    return pixels


def _visible_part(
    image: Pixels, sample: dict[str, Any], matrix: npt.NDArray[np.float64], size: int
) -> tuple[Pixels, npt.NDArray[np.float64]]:
    """The part of the source that the frame shows, and its map to the input: what was cropped leaves no trace.

    Crops and moves are by whole source pixels, so that this part is, too.
    """
    letterbox = letterbox_matrix((sample["frame_width"], sample["frame_height"]), size)
    to_source = compose(letterbox, invert_affine(matrix))
    x1, y1, x2, y2 = np.rint(transform_boxes(to_source, [sample["visible_xyxy"]])[0]).astype(int).tolist()
    return image[y1:y2, x1:x2], compose(translation_matrix(x1, y1), matrix)


def _encoder(params: Precompute) -> Callable[[Pixels], bytes]:
    """RGB pixels to bytes.  JPEG is 4:2:0, baseline, without metadata: the same bytes for the same pixels."""
    import cv2

    if params.encoding == "raw":
        return lambda pixels: pixels.tobytes()
    suffix, options = ".png", [cv2.IMWRITE_PNG_COMPRESSION, 6]
    if params.encoding == "jpeg":
        suffix, options = ".jpg", [cv2.IMWRITE_JPEG_QUALITY, params.jpeg_quality]

    def encode(pixels: Pixels) -> bytes:
        good, encoded = cv2.imencode(suffix, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
        if not good:
            raise YolopipeError(f"OpenCV could not encode a {pixels.shape} image as {suffix}")
        return encoded.tobytes()

    return encode
