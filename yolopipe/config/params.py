"""Sections, keys, types, ranges and defaults of ``params.yaml``, as frozen classes.

A stage may read the sections and keys that :data:`STAGE_PARAMS` names for it and nothing else; ``dvc.yaml`` lists
exactly those (held by a test), so that a changed value re-runs the stages that use it and no other.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

__all__ = ["ALGORITHMS", "ANCHORS_PER_SCALE", "STAGES", "STAGE_PARAMS", "STRIDES", "Config"]

STAGES = ("parse", "augment", "precompute", "train", "evaluate")

STRIDES = (8, 16, 32)
"""Pixels of the network input per grid cell, small stride first (docs/formulas.md, "Labels")."""

ANCHORS_PER_SCALE = 3

ALGORITHMS = {"sample": 1, "parse": 2, "augment": 2, "precompute": 3, "train": 2, "evaluate": 3}
"""Version of each stage's algorithm, raised when the same input and params give another result.

``params.yaml`` has the same numbers under ``algorithm``, and DVC watches those instead of the code: an edited comment
does not start a training run, and after a changed rule no old result is reused.
"""

STAGE_PARAMS: dict[str, tuple[str, ...]] = {
    "sample": ("sample", "algorithm.sample"),
    "parse": ("data", "parse", "precompute.input_size", "algorithm.parse"),
    "augment": ("seed", "augment", "algorithm.augment"),
    "precompute": ("precompute", "assignment", "algorithm.precompute"),
    "train": ("seed", "model", "train", "algorithm.train"),
    "evaluate": ("evaluate", "algorithm.evaluate"),
}


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("expected a number, not true or false")
    return value


def _whole_number(value: Any) -> Any:
    """3.0 becomes 3 (DVC does not distinguish them), 3.5 is refused later."""
    _no_bool(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _number(value: Any) -> Any:
    """An integer becomes a float; text is refused (strict mode), also ``"1e-4"``."""
    _no_bool(value)
    try:
        return float(value) if isinstance(value, int) else value
    except OverflowError:  # hundreds of digits
        return math.inf


MOST_EPOCHS = 1_000_000

Int = Annotated[int, BeforeValidator(_whole_number), Field(lt=2**63)]
Float = Annotated[float, BeforeValidator(_number)]
Probability = Annotated[Float, Field(ge=0.0, le=1.0)]


class Section(BaseModel):
    """One block of ``params.yaml``: only known keys, right types and finite numbers; values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Data(Section):
    """Paths of the input, from the project folder.  The only section with keys that have no default."""

    train: str = Field(min_length=1)
    val: str = Field(min_length=1)
    classes: str = Field(min_length=1)
    images: str = Field(min_length=1)
    corrections: str = ""


class Sample(Section):
    """The embedded data: scenes composed of real handwriting."""

    train_images: Int = Field(1500, ge=1, le=1_000_000)
    val_images: Int = Field(300, ge=1, le=1_000_000)
    size: Int = Field(192, ge=32, le=4096)
    max_digits: Int = Field(6, ge=1, le=100)
    seed: Int = Field(7, ge=0)


class Parse(Section):
    """Reading of annotation text."""

    on_bad: Literal["fail", "clip", "drop-box", "drop-image"] = "fail"
    min_box_px: Float = Field(1.0, ge=0.0)


class Augment(Section):
    """Variants of each training image (docs/formulas.md, "Augmentation")."""

    copies: Int = Field(4, ge=1, le=1000)
    flip: Probability = 0.5
    flip_vertical: Probability = 0.0
    crop: Probability = 0.5
    translate: Probability = 0.5
    hue: Probability = 0.0
    saturation: Probability = 0.0
    value: Probability = 0.0


def _input_sizes(value: Any) -> Any:
    """One size or several as a rising tuple; one message for the whole value, whatever its form."""
    sizes = [_whole_number(size) for size in (value if isinstance(value, list | tuple) else [value])]
    if not sizes or not all(isinstance(size, int) and 32 <= size <= 4096 and size % 32 == 0 for size in sizes):
        raise ValueError("expected one size or a list of sizes, each a multiple of 32 from 32 to 4096")
    if len(set(sizes)) < len(sizes):
        raise ValueError("a size is listed twice")
    return tuple(sorted(sizes))


class Precompute(Section):
    """Pixels and shards.

    ``input_size`` in ``params.yaml`` is one size or a list of sizes: pixels are stored at the largest, labels for
    each.  Here ``input_sizes`` are all of them, ``input_size`` is the largest.

    >>> params = Precompute(input_size=[608, 320])
    >>> params.input_size, params.smallest_size, params.input_sizes
    (608, 320, (320, 608))
    """

    model_config = ConfigDict(serialize_by_alias=True)

    input_sizes: Annotated[tuple[int, ...], BeforeValidator(_input_sizes)] = Field((416,), alias="input_size")
    format: Literal["tfrecord", "parquet"] = "parquet"
    encoding: Literal["jpeg", "png", "raw"] = "jpeg"
    jpeg_quality: Int = Field(95, ge=1, le=100)
    shard_rows: Int = Field(512, ge=1)

    @property
    def input_size(self) -> int:
        """Side of the stored pixels: the largest size."""
        return self.input_sizes[-1]

    @property
    def smallest_size(self) -> int:
        """Where a box is smallest, too small to learn perhaps."""
        return self.input_sizes[0]


COCO_ANCHORS = (
    *("10x13", "16x30", "33x23"),
    *("30x61", "62x45", "59x119"),
    *("116x90", "156x198", "373x326"),
)


def _parse_anchor(text: str) -> tuple[float, float]:
    width, separator, height = text.partition("x")
    try:
        size = float(width), float(height)
    except ValueError:
        size = (0.0, 0.0)
    if not separator or not all(0 < side < 1e6 for side in size):
        raise ValueError(f"expected an anchor as WIDTHxHEIGHT in pixels, like 116x90; got {text!r}")
    return size


CollisionRule = Literal["notes", "keep-best-iou", "next-anchor"]


class Assignment(Section):
    """Assignment of boxes to anchors (docs/formulas.md, "Labels")."""

    anchors: tuple[str, ...] = Field(COCO_ANCHORS, min_length=9, max_length=9, strict=False)
    iou_threshold: Float = Field(0.3, ge=0.0, lt=1.0)
    max_bbox_per_scale: Int = Field(150, ge=1, le=65_535)
    collisions: CollisionRule = "notes"

    @field_validator("anchors")
    @classmethod
    def _check_anchors(cls, anchors: tuple[str, ...]) -> tuple[str, ...]:
        for anchor in anchors:
            _parse_anchor(anchor)
        return anchors

    @property
    def anchors_px(self) -> npt.NDArray[np.float64]:
        """The anchors as (3, 3, 2) width and height in pixels of the network input, small stride first."""
        return np.array([_parse_anchor(anchor) for anchor in self.anchors]).reshape(3, 3, 2)


class Model(Section):
    """The network; 1.0 and 1.0 is the true YOLOv3."""

    width: Float = Field(1.0, gt=0.0, le=4.0)
    depth: Float = Field(1.0, gt=0.0, le=4.0)


class Train(Section):
    """Training (docs/formulas.md, "Loss", "Training step" and "Learning rate")."""

    epochs: Int = Field(50, ge=1, le=MOST_EPOCHS)
    batch_size: Int = Field(8, ge=1)
    warmup_epochs: Float = Field(2.0, ge=0.0, le=MOST_EPOCHS)
    lr_init: Float = Field(1e-3, gt=0.0)
    lr_end: Float = Field(1e-6, ge=0.0)
    ignore_threshold: Probability = 0.5
    label_smoothing: Float = Field(0.01, ge=0.0, lt=1.0)
    shuffle_rows: Int = Field(2048, ge=1)
    sizes: Literal["one", "all"] = "one"
    class_weights: Literal["none", "inverse-sqrt"] = "none"
    weight_decay: Float = Field(0.0, ge=0.0)
    clip_norm: Float = Field(0.0, ge=0.0)
    ema: Float = Field(0.0, ge=0.0, lt=1.0)
    val_every: Int = Field(1, ge=1)
    best_by: Literal["loss", "mAP"] = "loss"
    early_stop_epochs: Int = Field(0, ge=0)
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    jit_compile: bool = False
    weights: str = ""
    freeze: Literal["none", "backbone", "all-but-heads"] = "none"
    freeze_epochs: Int = Field(0, ge=0)

    @model_validator(mode="after")
    def _freezing_lasts(self) -> Self:
        if self.freeze != "none" and self.freeze_epochs == 0:
            raise ValueError(f"freeze: {self.freeze} needs freeze_epochs of 1 or more; none trains all weights")
        return self

    @model_validator(mode="after")
    def _falling_rate(self) -> Self:
        if self.lr_end > self.lr_init:
            raise ValueError(f"lr_end ({self.lr_end:g}) must not exceed lr_init ({self.lr_init:g})")
        return self


class Evaluate(Section):
    """Decoding, non-maximum suppression and scores."""

    weights: Literal["last", "best"] = "last"
    score_threshold: Probability = 0.001
    nms_iou: Probability = 0.5
    soft_nms_sigma: Float = Field(0.0, ge=0.0)
    max_detections: Int = Field(300, ge=1)
    batch_size: Int = Field(8, ge=1)
    picture_images: Int = Field(9, ge=1, le=100)
    picture_score: Probability = 0.3


class Algorithm(Section):
    """Versions, as in :data:`ALGORITHMS`, of the algorithms that made the project's results."""

    sample: Int = ALGORITHMS["sample"]
    parse: Int = ALGORITHMS["parse"]
    augment: Int = ALGORITHMS["augment"]
    precompute: Int = ALGORITHMS["precompute"]
    train: Int = ALGORITHMS["train"]
    evaluate: Int = ALGORITHMS["evaluate"]


class Config(Section):
    """All of ``params.yaml``.

    >>> Config(data={"train": "t.txt", "val": "v.txt", "classes": "c", "images": "i"}).augment.copies
    4
    """

    seed: Int = Field(42, ge=0)
    data: Data
    sample: Sample = Sample()
    parse: Parse = Parse()
    augment: Augment = Augment()
    precompute: Precompute = Precompute()
    assignment: Assignment = Assignment()
    model: Model = Model()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    algorithm: Algorithm = Algorithm()
