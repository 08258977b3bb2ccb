"""The three export formats: one module each, imported only when it is needed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from yolopipe.backend import import_tensorflow
from yolopipe.errors import DataError, UsageError
from yolopipe.export.difference import Answer, Images

if TYPE_CHECKING:
    from yolopipe.export.serving_graph import ServingModel

__all__ = [
    "SUFFIX",
    "ExportFormat",
    "check_packages",
    "check_place",
    "export_format",
    "form_of",
    "read_artefact_card",
]

SUFFIX = {"onnx": ".onnx", "tflite": ".tflite"}

MODULES = {
    "saved-model": "yolopipe.export.saved_model",
    "onnx": "yolopipe.export.onnx_file",
    "tflite": "yolopipe.export.tflite_file",
}

ONNX_PACKAGES = ("tf2onnx", "onnx", "onnxruntime")


class ExportFormat(Protocol):
    """What the module of a format offers."""

    def write(
        self, path: Path, serving: ServingModel, card: str, *, precision: str, examples: Iterable[Images]
    ) -> None:
        """Write a network with its card.

        Args:
            path: the file, or the folder of a SavedModel.
            serving: the network with its post-processing.
            card: the text of the card.
            precision: one of :data:`~yolopipe.export.request.PRECISIONS`.
            examples: for int8, (1, S, S, 3) images that show the range of every activation.
        """

    def load(self, path: Path) -> Callable[[Images], Answer]:
        """Load with the format's own program, as a function of (B, S, S, 3) uint8 images."""

    def card_text(self, path: Path) -> str | None:
        """The text of the card inside; None where there is none."""


def export_format(form: str) -> ExportFormat:
    """The module of a format; TensorFlow is imported before, where it is needed, so that it is quiet."""
    if form == "tflite":
        import_tensorflow()
    return cast(ExportFormat, import_module(MODULES[form]))


def check_packages(form: str) -> None:
    """Check that the packages of a format are installed.

    Raises:
        UsageError: a package is missing.
    """
    missing = [name for name in ONNX_PACKAGES if form == "onnx" and find_spec(name) is None]
    if missing:
        raise UsageError(
            f"packages that ONNX needs are not installed: {', '.join(missing)}", hint="pip install 'yolopipe[onnx]'"
        )


def check_place(out: Path, form: str) -> None:
    """Check the name of the output; a folder is replaced only if it holds a SavedModel: ``--out .`` empties nothing.

    Raises:
        UsageError: another suffix, or something else is there.
    """
    suffix = SUFFIX.get(form)
    if suffix:
        if out.suffix != suffix or out.is_dir():
            raise UsageError(f"--out: expected a {suffix} file, got {out}", hint=f"--out model{suffix}")
    elif out.is_file() or (out.is_dir() and any(out.iterdir()) and not _is_saved_model(out)):
        raise UsageError(
            f"--out: expected a new folder, or one with a SavedModel to be replaced, got {out}",
            hint="--out exported/model/1",
        )


def _is_saved_model(folder: Path) -> bool:
    return (folder / "saved_model.pb").is_file()


def form_of(path: Path) -> str:
    """The format of a file or folder, by suffix.

    Raises:
        DataError: another format, or it does not exist.
    """
    if path.is_dir() and _is_saved_model(path):
        return "saved-model"
    for form, suffix in SUFFIX.items():
        if path.suffix == suffix and path.is_file():
            return form
    what = "is not an exported network" if path.exists() else "does not exist"
    raise DataError(f"{path} {what}: expected the folder of a SavedModel, or a {' or '.join(SUFFIX.values())} file")


def read_artefact_card(path: str | Path) -> dict[str, Any]:
    """The card inside an exported network.

    Args:
        path: a SavedModel's folder, an ``.onnx`` or a ``.tflite`` file.

    Raises:
        DataError: another kind of file, a damaged one, or one without a card of yolopipe.
        UsageError: a package is missing.
    """
    path = Path(path)
    form = form_of(path)
    check_packages(form)
    try:
        card = json.loads(export_format(form).card_text(path) or "null")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except Exception as error:  # the readers of three formats, at bytes of any kind
        raise DataError(f"{path} is damaged: {type(error).__name__}", hint="export it again") from None
    if not isinstance(card, dict):
        raise DataError(f"{path} holds no model card of yolopipe: another program wrote it", hint="export it again")
    return card
