"""``yolopipe export darknet``: weights, cfg and names for Darknet, OpenCV and other readers of these files."""

from __future__ import annotations

from pathlib import Path

from yolopipe import paths
from yolopipe.backend import import_tensorflow
from yolopipe.errors import DataError, UsageError
from yolopipe.files import atomic_file, sha256_file
from yolopipe.result import CommandResult

__all__ = ["run"]

KEPT = {"best": paths.BEST_WEIGHTS, "last": paths.LAST_WEIGHTS}


def run(out: str | Path, *, weights: str = "last", name: str = "model") -> CommandResult:
    """Write ``NAME.weights``, ``NAME.cfg`` and ``NAME.names``.

    Args:
        out: the folder to write to; created if needed.
        weights: ``best`` or ``last`` of the project, or a ``.weights.h5`` file.
        name: base name of the three files.

    Returns:
        What was written.

    Raises:
        UsageError: the name is empty or holds a slash.
        DataError: weights or card are missing, damaged or of different models.
    """
    if not name or Path(name).name != name:
        raise UsageError(
            f"--name: expected the base name of three files, without a folder, got {name!r}", hint="--name model"
        )
    source = KEPT.get(weights, Path(weights))
    if not source.is_file():
        raise DataError(
            f"no weights at {source}",
            hint="train first: yolopipe train; or name best, last or a .weights.h5 file",
        )
    import_tensorflow()
    return _export(source, Path(out), name)


def _export(source: Path, out: Path, name: str) -> CommandResult:
    from yolopipe.export.darknet_cfg import darknet_cfg
    from yolopipe.model.darknet_weights import write_darknet
    from yolopipe.model.model_file import load_model

    model, card = load_model(source)
    files = {suffix: out / f"{name}.{suffix}" for suffix in ("weights", "cfg", "names")}
    write_darknet(files["weights"], model, steadied=True)
    _write_text(files["cfg"], darknet_cfg(model, card))
    _write_text(files["names"], "".join(f"{class_name}\n" for class_name in card.class_names))
    size = f"{card.input_size} x {card.input_size} pixels"
    return CommandResult(
        f"export darknet: {model.count_params():,} weights, {len(card.class_names)} classes, {size}",
        {**{suffix: path for suffix, path in files.items()}, "from": source},
        {
            "source": str(source),
            "weights": model.count_params(),
            "classes": list(card.class_names),
            "input_size": card.input_size,
            "files": {path.name: {"path": str(path), "sha256": sha256_file(path)} for path in files.values()},
        },
        next_step=f"cv2.dnn.readNetFromDarknet({str(files['cfg'])!r}, {str(files['weights'])!r})",
    )


def _write_text(path: Path, text: str) -> None:
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
