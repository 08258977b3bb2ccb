"""Truth and predictions of ``yolopipe score`` as arrays, from COCO's two files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from yolopipe.errors import Problem, ProblemsError
from yolopipe.formats.coco import read_coco_results, read_coco_truth
from yolopipe.formats.coco_records import normal_id
from yolopipe.scoring.scores import Detections, Truth

__all__ = ["ScoreFiles", "read_score_files"]


@dataclass(frozen=True)
class ScoreFiles:
    """Content of the two files; images and classes are numbered from 0 in the order of their ids.

    Args:
        truth: annotated boxes.
        detections: predictions.
        class_names: by class number.
        images: how many the truth lists.
    """

    truth: Truth
    detections: Detections
    class_names: tuple[str, ...]
    images: int


def read_score_files(predictions: str | Path, truth: str | Path) -> ScoreFiles:
    """Read a pair of files.

    Args:
        predictions: see :func:`~yolopipe.formats.coco.read_coco_results`.
        truth: see :func:`~yolopipe.formats.coco.read_coco_truth`.

    Raises:
        DataError: a file cannot be opened or is not UTF-8 text.
        ProblemsError: a file is not COCO JSON, or some of its records are wrong; all of them are listed.
    """
    annotated = read_coco_truth(truth)
    coco = annotated.coco
    if any(problem.rule in ("bad-json", "duplicate-key") or not problem.line for problem in coco.problems):
        raise _problems_error(coco.problems, "--truth takes COCO annotations, --predictions a list of results")
    found = read_coco_results(predictions, coco)
    problems = [*coco.problems, *found.problems]
    if problems:
        raise _problems_error(problems, "fix the files: one wrong record changes every score")
    image, category = _ranks(coco.images), _ranks(coco.categories)
    names = [name for name, _ in coco.categories.values()]
    return ScoreFiles(
        Truth(
            image[coco.image],
            coco.boxes_xyxy,
            category[coco.category],
            sizes_wh=annotated.sizes_wh,
            area=annotated.area,
            ignore=annotated.crowd,
            difficult=annotated.difficult,
        ),
        Detections(
            image[found.image], found.boxes_xyxy, found.scores, category[found.category], sizes_wh=found.sizes_wh
        ),
        tuple(names[position] for position in np.argsort(category)),
        len(coco.images),
    )


def _ranks(ids: Iterable[int | str]) -> npt.NDArray[np.int64]:
    """The rank of the id at each position: whole numbers first, then text."""
    normal = [normal_id(key) for key in ids]
    order = sorted(range(len(normal)), key=lambda position: (isinstance(normal[position], str), normal[position]))
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


def _problems_error(problems: Sequence[Problem], hint: str) -> ProblemsError:
    rules = Counter(problem.rule for problem in problems)
    parts = ", ".join(f"{count:,} {rule}" for rule, count in sorted(rules.items()))
    count = f"{len(problems):,} problem{'' if len(problems) == 1 else 's'} ({parts})"
    return ProblemsError(f"{count}; nothing was scored", problems, hint=hint)
