"""The five stages, and the sample that feeds the demo: input and output and their order, no maths.

Each module has ``run(config, *, workers) -> StageResult``; module, command, ``dvc.yaml`` stage and section of
``params.yaml`` carry the same name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["StageResult"]


@dataclass(frozen=True)
class StageResult:
    """What a stage did.

    Args:
        title: one line, e.g. ``parse: 1,800 images, 6,312 boxes, 10 classes``.
        rows: name and value of each line of the one-screen summary, for people.
        report: the same facts for programs (``--json``); plain JSON types only.
        next_step: the command to type next.
    """

    title: str
    rows: Mapping[str, object]
    report: Mapping[str, Any] = field(default_factory=dict)
    next_step: str | None = None
