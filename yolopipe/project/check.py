"""``yolopipe check``: params, paths and pipeline, before any work; reads the first lines only, without TensorFlow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from yolopipe import console, paths
from yolopipe.config.params import ALGORITHMS, Data
from yolopipe.config.params_file import ParamsFile, read_params
from yolopipe.formats.yaml_file import plain
from yolopipe.inspection.checks.check_report import SEVERITIES
from yolopipe.project.check_rows import SEVERITY_ORDER, CheckRow, ok
from yolopipe.project.environment import check_disk, check_environment, check_repository
from yolopipe.project.inputs import check_inputs, uses_sample
from yolopipe.project.wiring import check_pipeline, check_sample_pipeline

__all__ = ["exit_code", "report", "run", "show"]


def run(params_file: str | Path = "params.yaml") -> list[CheckRow]:
    """Check everything that can be checked before any work.

    Args:
        params_file: ``params.yaml`` of the project in the current folder.

    Returns:
        A row for each check, the worst first; inputs and disk are left out if ``params.yaml`` lacks what they need.

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
    return sorted([*rows, *check_environment()], key=lambda row: SEVERITY_ORDER.index(row.severity))


def _data(params: ParamsFile) -> Data | None:
    """The section ``data``, which may be right where another is wrong."""
    try:
        return Data.model_validate(plain(params.tree).get("data"))
    except ValidationError:
        return None


def _check_params(params: ParamsFile) -> list[CheckRow]:
    name = str(params.file)
    if params.config is None:
        return [CheckRow(name, mistake, "error", "fix it") for mistake in params.mistakes]
    wrong = filter(None, (params.algorithm_mistake(stage) for stage in ALGORITHMS))
    rows = [CheckRow(name, error.message, "error", error.hint or "") for error in wrong]
    return rows or [ok(name, "all keys known, all values in range, algorithm numbers current")]


def _check_wiring(params: ParamsFile, data: Data | None) -> list[CheckRow]:
    values = plain(params.tree)
    rows = check_pipeline(Path("dvc.yaml"), values)
    sample = paths.SAMPLE / "dvc.yaml"
    if data is not None and uses_sample(data) and sample.is_file():
        rows += check_sample_pipeline(sample, values)
    return rows


def report(rows: Sequence[CheckRow]) -> dict[str, Any]:
    """The rows as plain JSON."""
    counts = Counter(row.severity for row in rows)
    return {
        "counts": {severity: counts[severity] for severity in SEVERITY_ORDER},
        "rows": [asdict(row) for row in rows],
    }


def exit_code(rows: Sequence[CheckRow], fail_on: Literal["error", "warning", "never"]) -> int:
    """1 when a row has severity ``fail_on`` or a higher one, else 0.

    >>> rows = [CheckRow("git", "no commit", "warning")]
    >>> exit_code(rows, "error"), exit_code(rows, "warning")
    (0, 1)
    """
    if fail_on == "never":
        return 0
    return int(any(row.severity in SEVERITIES[: SEVERITIES.index(fail_on) + 1] for row in rows))


def show(rows: Sequence[CheckRow]) -> None:
    """Print the rows as a table."""
    counts = Counter(row.severity for row in rows)
    shown = [f"{counts[s]} {s}{'s' * (counts[s] != 1 and s != 'ok')}" for s in SEVERITY_ORDER if counts[s]]
    table = [(row.severity, row.name, row.result + (f"\n→ {row.advice}" if row.advice else "")) for row in rows]
    console.table(["", "what", "result"], table, title=f"check: {', '.join(shown)}")
    if not any(row.severity == "error" for row in rows):
        console.line("next: dvc repro")
