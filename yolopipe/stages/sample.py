"""Stage ``sample``: scenes of handwriting, their annotation text and the class names.

:mod:`yolopipe.sample.scenes` makes the scenes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from yolopipe import console, paths
from yolopipe.config.params import Config, Sample
from yolopipe.errors import YolopipeError
from yolopipe.files import atomic_directory, atomic_file
from yolopipe.formats.annotation_text import format_annotation
from yolopipe.formats.class_names import write_class_names
from yolopipe.result import CommandResult
from yolopipe.sample.scenes import CLASS_NAMES, Scene, compose_scene, split_handwriting
from yolopipe.workers.mapping import map_in_order
from yolopipe.workers.pool import Workers

__all__ = ["load_handwriting", "run"]

IMAGES = paths.SAMPLE / "images"
CLASSES = paths.SAMPLE / "classes.names"
SPLITS = ("train", "val")
JPEG_QUALITY = 95
CHUNK_SCENES = 100


class _Task(NamedTuple):
    """Scenes ``first`` to ``last`` (1-based, both included) of a split, and their handwriting."""

    split: str
    first: int
    last: int
    folder: Path
    params: Sample
    glyphs: npt.NDArray[np.uint8]
    digits: npt.NDArray[np.int64]


class _Done(NamedTuple):
    """The annotation lines of a task, and the number of boxes of each class."""

    lines: list[str]
    per_class: npt.NDArray[np.int64]
    backgrounds: int


def run(config: Config, *, workers: Workers = 1) -> CommandResult:
    """Write ``data/sample``: images, ``train.txt``, ``val.txt``, ``classes.names``.

    Scene k of a split depends on (seed, split, k) alone; train and val share no handwriting.

    Args:
        config: reads ``sample``.
        workers: processes; never changes the result.

    Returns:
        What was written.

    Raises:
        YolopipeError: a scene could not be written.
    """
    with atomic_directory(IMAGES) as folder:
        for split in SPLITS:
            (folder / split).mkdir()
        done = _compose(list(_tasks(config.sample, folder.absolute())), workers)
    for split in SPLITS:
        with atomic_file(paths.SAMPLE / f"{split}.txt") as partial:
            lines = [line for task, part in done for line in part.lines if task.split == split]
            partial.write_bytes("".join(f"{line}\n" for line in lines).encode())
    write_class_names(CLASSES, CLASS_NAMES)
    return _result(done)


def _tasks(params: Sample, folder: Path) -> Iterator[_Task]:
    glyphs, digits = load_handwriting()  # here, not in each worker: importing scikit-learn is slow
    shares = split_handwriting(digits, params.seed)
    for split, count, own in zip(SPLITS, (params.train_images, params.val_images), shares, strict=True):
        for first in range(1, count + 1, CHUNK_SCENES):
            last = min(first + CHUNK_SCENES - 1, count)
            yield _Task(split, first, last, folder, params, glyphs[own], digits[own])


def _compose(tasks: Sequence[_Task], workers: Workers) -> list[tuple[_Task, _Done]]:
    done: list[_Done] = []
    with console.progress("sample", sum(task.last - task.first + 1 for task in tasks)) as advance:
        for result in map_in_order(_compose_chunk, tasks, workers=workers, name=_name_of):
            done.append(result)
            advance(len(result.lines))
    return list(zip(tasks, done, strict=True))


def _name_of(task: _Task) -> str:
    return f"{task.split} scenes {task.first} to {task.last}"


def load_handwriting() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The digits of scikit-learn: (1797, 8, 8) uint8 ink from 0 to 16, and (1797,) int64 labels.

    >>> glyphs, digits = load_handwriting()
    >>> glyphs.shape, int(glyphs.max()), digits[:4].tolist()
    ((1797, 8, 8), 16, [0, 1, 2, 3])
    """
    from sklearn.datasets import load_digits

    found = load_digits()
    return found.images.astype(np.uint8), found.target.astype(np.int64)


def _compose_chunk(task: _Task) -> _Done:
    glyphs = (task.glyphs / 16).astype(np.float32)
    done = _Done([], np.zeros(len(CLASS_NAMES), np.int64), 0)
    for number in range(task.first, task.last + 1):
        random = np.random.default_rng([task.params.seed, SPLITS.index(task.split), number])
        scene = compose_scene(glyphs, task.digits, random, size=task.params.size, max_digits=task.params.max_digits)
        name = f"{task.split}/{number:06}.jpg"
        _save(task.folder / name, scene)
        boxes = np.column_stack([scene.boxes_xyxy, scene.classes])
        done.lines.append(format_annotation((IMAGES / name).as_posix(), boxes))
        done = done._replace(
            per_class=done.per_class + np.bincount(scene.classes, minlength=len(CLASS_NAMES)),
            backgrounds=done.backgrounds + (len(scene.classes) == 0),
        )
    return done


def _save(file: Path, scene: Scene) -> None:
    ok, encoded = cv2.imencode(".jpg", scene.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not ok:
        raise YolopipeError(f"OpenCV could not encode {file.name}")
    file.write_bytes(encoded.tobytes())


def _result(done: Sequence[tuple[_Task, _Done]]) -> CommandResult:
    report: dict[str, dict[str, object]] = {}
    rows: dict[str, object] = {}
    for split in SPLITS:
        parts = [part for task, part in done if task.split == split]
        images, backgrounds = sum(len(part.lines) for part in parts), sum(part.backgrounds for part in parts)
        per_class = np.sum([part.per_class for part in parts], axis=0)
        report[split] = {
            "images": images,
            "backgrounds": backgrounds,
            "boxes": int(per_class.sum()),
            "boxes_per_class": dict(zip(CLASS_NAMES, per_class.tolist(), strict=True)),
        }
        rows[split] = f"{images:,} scenes, {backgrounds:,} of them without digits, {per_class.sum():,} digits"
    rows["handwriting"] = "scikit-learn's digits; train and val share none"
    rows["written"] = f"{paths.SAMPLE}/{{images/, train.txt, val.txt, classes.names}}"
    total = sum(len(part.lines) for _, part in done)
    return CommandResult(f"sample: {total:,} scenes of handwriting", rows, report, next_step="yolopipe parse")
