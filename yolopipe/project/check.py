"""``yolopipe check``: config, paths and wiring, before any work; reads some lines, no TensorFlow, a second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from yolopipe import console, paths
from yolopipe.config.params import ALGORITHMS, Data
from yolopipe.config.params_file import ParamsFile, read_params
from yolopipe.formats.yaml_file import plain
from yolopipe.project.check_rows import ORDER, Row, fine
from yolopipe.project.environment import check_disk, check_environment, check_repository
from yolopipe.project.inputs import check_inputs, uses_sample
from yolopipe.project.wiring import check_pipeline, check_sample_pipeline

__all__ = ["report", "run", "show"]


def run(params_file: str | Path = "params.yaml") -> list[Row]:
    """Check everything that can be known before any work.

    Args:
        params_file: ``params.yaml`` of the project in the current folder.

    Returns:
        A row a check, the worst first; inputs and disk are left out where ``params.yaml`` does not say enough.

    Raises:
        ConfigError: when the params file cannot be read at all.
    """
    params = read_params(params_file)
    data = _data(params)
    rows = [*_check_params(params), *_check_wiring(params, data), *check_repository(data)]
    if data is not None:
        rows += check_inputs(params, data)
    if params.config is not None:
        rows += check_disk(params.config)
    return sorted([*rows, *check_environment()], key=lambda row: ORDER.index(row.severity))


def _data(params: ParamsFile) -> Data | None:
    """The section ``data``, which may be right where another is wrong."""
    try:
        return Data.model_validate(plain(params.tree).get("data"))
    except ValidationError:
        return None


def _check_params(params: ParamsFile) -> list[Row]:
    name = str(params.file)
    if params.config is None:
        return [Row(name, mistake, "error", "correct it") for mistake in params.mistakes]
    wrong = filter(None, (params.algorithm_mistake(stage) for stage in ALGORITHMS))
    rows = [Row(name, error.message, "error", error.hint or "") for error in wrong]
    return rows or [fine(name, "every key known, every value in range, algorithm numbers of this yolopipe")]


def _check_wiring(params: ParamsFile, data: Data | None) -> list[Row]:
    values = plain(params.tree)
    rows = check_pipeline(Path("dvc.yaml"), values)
    sample = paths.SAMPLE / "dvc.yaml"
    if data is not None and uses_sample(data) and sample.is_file():
        rows += check_sample_pipeline(sample, values)
    return rows


def report(rows: Sequence[Row]) -> dict[str, Any]:
    """The rows for programs."""
    counts = Counter(row.severity for row in rows)
    return {"counts": {severity: counts[severity] for severity in ORDER}, "rows": [asdict(row) for row in rows]}


def show(rows: Sequence[Row]) -> None:
    """Print the rows for people."""
    counts = Counter(row.severity for row in rows)
    told = [f"{counts[s]} {s}{'s' * (counts[s] != 1 and s != 'fine')}" for s in ORDER if counts[s]]
    table = [(row.severity, row.name, row.result + (f"\n→ {row.advice}" if row.advice else "")) for row in rows]
    console.table(["", "what", "result"], table, title=f"check: {', '.join(told)}")
    if not any(row.severity == "error" for row in rows):
        console.line("next: dvc repro")
