"""The file that ``train.weights`` names, checked before anything else, without TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from yolopipe import paths
from yolopipe.errors import DataError
from yolopipe.files import sha256_file

__all__ = ["StartFile", "start_file"]


@dataclass(frozen=True)
class StartFile:
    """A file of weights to start from.

    Args:
        path: as ``train.weights`` has it.
        sha256: of its content; the model card holds it.
        watched: DVC runs ``train`` again when the file changes.
    """

    path: str
    sha256: str
    watched: bool

    def rows(self, outcome: object) -> dict[str, object]:
        """Rows of the summary; ``outcome`` says what was loaded."""
        rows = {"started from": f"{self.path} (SHA-256 {self.sha256[:12]}...)", "loaded": outcome}
        if self.watched:
            return rows
        return {
            **rows,
            "not watched": f"DVC does not notice changes: add {self.path} to the deps of train in dvc.yaml",
        }


def start_file(path: str) -> StartFile:
    """Find and hash the file that ``train.weights`` names.

    Args:
        path: as in ``params.yaml``: relative to the project folder, or absolute.

    Raises:
        DataError: no such file, or it is an output of ``train`` itself.
    """
    outputs = [output.resolve() for output in (paths.BEST_WEIGHTS, paths.LAST_WEIGHTS)]
    if Path(path).resolve() in outputs:
        raise DataError(
            f"train.weights: {path} is an output of train, and DVC deletes outputs before it runs a stage",
            hint=f"name a copy instead: mkdir start && cp {path} start/",
        )
    if not Path(path).is_file():
        raise DataError(
            f"train.weights: no file {path} (relative to {Path.cwd()})",
            hint='name a file, or set train.weights: "" to start from random weights',
        )
    return StartFile(path, sha256_file(path), _is_watched(path))


def _is_watched(path: str, pipeline: Path = Path("dvc.yaml")) -> bool:
    """True if the file is among the deps of ``train``, or if there is no pipeline to watch it."""
    try:
        stage: Any = YAML(typ="safe").load(pipeline.read_text(encoding="utf-8"))["stages"]["train"]
        return bool({path, "${train.weights}"} & {str(dep) for dep in stage.get("deps", ())})
    except FileNotFoundError:
        return True
    except (OSError, YAMLError, KeyError, TypeError, AttributeError, UnicodeDecodeError):
        return False
