"""The three formats behind three functions: write, open, read the card; each imports only what it needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolopipe.backend import import_tensorflow
from yolopipe.errors import DataError, UsageError
from yolopipe.export.difference import Answer, Images

if TYPE_CHECKING:
    from yolopipe.export.serving_graph import Served

__all__ = ["SUFFIX", "check_packages", "check_place", "form_of", "opened", "read_artefact_card", "written"]

SUFFIX = {"onnx": ".onnx", "tflite": ".tflite"}

ONNX_PACKAGES = ("tf2onnx", "onnx", "onnxruntime")


def check_packages(form: str) -> None:
    """Insist on what a format needs.

    Raises:
        UsageError: a package is missing.
    """
    missing = [name for name in ONNX_PACKAGES if form == "onnx" and find_spec(name) is None]
    if missing:
        raise UsageError(
            f"ONNX needs what is not installed here: {', '.join(missing)}", hint="pip install 'yolopipe[onnx]'"
        )


def check_place(out: Path, form: str) -> None:
    """Insist on a name of the format; a folder that is replaced must hold a SavedModel: ``--out .`` empties nothing.

    Raises:
        UsageError: another suffix, or something else is there.
    """
    suffix = SUFFIX.get(form)
    if suffix:
        if out.suffix != suffix or out.is_dir():
            raise UsageError(f"--out is a file that ends with {suffix}, got {out}", hint=f"--out model{suffix}")
    elif out.is_file() or (out.is_dir() and any(out.iterdir()) and not _is_saved_model(out)):
        raise UsageError(
            f"--out is a new folder, or one that holds a SavedModel to be replaced, got {out}",
            hint="--out exported/model/1",
        )


def _is_saved_model(folder: Path) -> bool:
    return (folder / "saved_model.pb").is_file()


def form_of(path: Path) -> str:
    """Which format a file or folder is of, by suffix.

    Raises:
        DataError: none of ours, or nothing is there.
    """
    if path.is_dir() and _is_saved_model(path):
        return "saved-model"
    for form, suffix in SUFFIX.items():
        if path.suffix == suffix and path.is_file():
            return form
    what = "is no exported network" if path.exists() else "is not there"
    raise DataError(f"{path} {what}: expected a SavedModel's folder, or a file {' or '.join(SUFFIX.values())}")


def written(form: str, path: Path, served: Served, card: str, *, precision: str, examples: Iterable[Images]) -> None:
    """Write a network in a format, with its card; see the module of each format."""
    if form == "saved-model":
        from yolopipe.export import saved_model

        saved_model.written(path, served, card)
    elif form == "onnx":
        from yolopipe.export import onnx_file

        onnx_file.written(path, served, card)
    else:
        from yolopipe.export import tflite_file

        tflite_file.written(path, served, card, precision=precision, examples=examples)


def opened(form: str, path: Path) -> Callable[[Images], Answer]:
    """Load what was written, with the format's own program, as a function of (B, S, S, 3) uint8 images."""
    if form == "saved-model":
        from yolopipe.export import saved_model

        return saved_model.opened(path)
    if form == "onnx":
        from yolopipe.export import onnx_file

        return onnx_file.opened(path)
    from yolopipe.export import tflite_file

    return tflite_file.opened(path)


def read_artefact_card(path: str | Path) -> dict[str, Any]:
    """The card that travels in an exported network.

    Args:
        path: a SavedModel's folder, an ``.onnx`` or a ``.tflite`` file.

    Raises:
        DataError: it is none of these, damaged, or holds no card of ours.
        UsageError: a package is missing.
    """
    path = Path(path)
    form = form_of(path)
    check_packages(form)
    try:
        card = json.loads(_card_text(form, path) or "null")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except Exception as error:  # the readers of three formats, at bytes of any kind
        raise DataError(f"{path} is damaged: {type(error).__name__}", hint="export it again") from None
    if not isinstance(card, dict):
        raise DataError(f"{path} holds no model card of yolopipe: another program wrote it")
    return card


def _card_text(form: str, path: Path) -> str | None:
    if form == "saved-model":
        from yolopipe.export.card_files import CARD_FILE

        file = path / CARD_FILE
        return file.read_text(encoding="utf-8") if file.is_file() else None
    if form == "onnx":
        from yolopipe.export import onnx_file

        return onnx_file.card_of(path)
    import_tensorflow()
    from yolopipe.export import tflite_file

    return tflite_file.card_of(path)
