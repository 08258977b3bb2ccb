"""The train stage on real shards of a dozen drawn images."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import small_network
from tests.helpers.recording_config import run_as_declared
from yolopipe import paths
from yolopipe.config.params import Config, Evaluate
from yolopipe.errors import ShardError, YolopipeError
from yolopipe.files import sha256_file
from yolopipe.shards import tfdata
from yolopipe.shards.reader import read_rows
from yolopipe.stages import augment, evaluate, parse, precompute, train

pytestmark = pytest.mark.slow

OUTPUTS = (
    paths.BEST_WEIGHTS,
    paths.LAST_WEIGHTS,
    paths.MODEL_CARD,
    paths.TRAIN_METRICS,
    paths.TRAIN_PLOTS / "curves.csv",
)


def draw(folder: Path) -> None:
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    for split, count in (("train", 10), ("val", 3)):
        lines = []
        for index in range(count):
            image, kind = rng.integers(90, 130, (80, 64, 3)).astype(np.uint8), index % 2
            x, y = (int(v) for v in rng.integers(0, 40, 2))
            image[y : y + 22, x : x + 22] = (30, 220, 30) if kind else (30, 30, 220)
            cv2.imwrite(str(folder / f"images/{split}{index}.png"), image)
            box = f" {x},{y},{x + 22},{y + 22},{kind}" if index else ""
            lines.append(f"images/{split}{index}.png{box}\n")
        (folder / f"{split}.txt").write_text("".join(lines))
    (folder / "classes.names").write_text("red\ngreen\n")


def config(seed: int = 1, input_size: int | list[int] = 64, **train_params: Any) -> Config:
    return Config.model_validate(
        {
            "seed": seed,
            "data": {"train": "train.txt", "val": "val.txt", "classes": "classes.names", "images": "images"},
            "augment": {"copies": 2},
            "precompute": {"input_size": input_size, "shard_rows": 4},
            "model": {"width": 0.125, "depth": 0.1},
            "train": {"epochs": 2, "batch_size": 4, "warmup_epochs": 1, "lr_init": 1e-3, **train_params},
        }
    )


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """The real network is trained by test_train_start.py and tests/training/test_step.py."""
    with pytest.MonkeyPatch.context() as patch:
        small_network.install(patch)
        yield


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    draw(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for stage in (parse, augment, precompute):
            stage.run(config())
    return folder


@pytest.fixture(scope="module")
def two_runs(project: Path) -> tuple[Path, list[dict[Path, str]], Any]:
    """Hashes of all outputs of two runs of one configuration, and the result of the second."""
    hashes = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        patch.delenv("DVC_ROOT", raising=False)
        patch.delenv("DVC_EXP_NAME", raising=False)
        for workers in (1, 2):
            result = train.run(config(), workers=workers)
            hashes.append({path: sha256_file(path) for path in OUTPUTS})
    return project, hashes, result


def test_the_same_seed_gives_the_same_bytes(two_runs: Any) -> None:
    _, (first, second), _ = two_runs
    assert first == second


def test_a_list_of_sizes_trains_and_scores_at_the_largest(two_runs: Any, tmp_path: Path, monkeypatch: Any) -> None:
    """Shards with labels for a second size train bit for bit as shards of the largest size alone do.

    No stage reads a key of params.yaml that ``dvc.yaml`` does not list for it.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    draw(tmp_path)
    for stage in (parse, augment, precompute, train):
        run_as_declared(stage, config(input_size=[64, 32]))
    assert {path: sha256_file(path) for path in OUTPUTS} == two_runs[1][0]
    assert run_as_declared(evaluate, config(input_size=[64, 32])).report["detections"] >= 0
    assert json.loads(paths.MODEL_CARD.read_text())["input_size"] == 64


def test_only_the_declared_outputs_appear(two_runs: Any) -> None:
    folder = two_runs[0]
    files = {
        str(p.relative_to(folder)) for top in ("models", "metrics", "plots") for p in (folder / top).rglob("*.*")
    }
    assert files == {str(path) for path in OUTPUTS}


def test_outputs_name_no_time_and_no_place(two_runs: Any) -> None:
    folder = two_runs[0]
    for path in OUTPUTS[2:]:
        text = (folder / path).read_text()
        assert str(folder) not in text
        assert "second" not in text


def test_metrics_curves_and_summary_agree(two_runs: Any) -> None:
    folder, _, result = two_runs
    metrics = json.loads((folder / paths.TRAIN_METRICS).read_text())
    header, *lines = (folder / paths.TRAIN_PLOTS / "curves.csv").read_text().splitlines()
    rows = [dict(zip(header.split(","), map(float, line.split(",")), strict=True)) for line in lines]
    assert metrics["epochs"] == len(rows) == 2
    assert rows[metrics["best_epoch"] - 1]["val_total_loss"] == min(row["val_total_loss"] for row in rows)
    assert rows[-1]["train_total_loss"] == metrics["train_loss"]
    assert rows[-1]["lr"] == pytest.approx(config().train.lr_end, rel=1e-3)
    assert result.report["best_epoch"] == metrics["best_epoch"]
    assert json.loads(json.dumps(result.report)) == result.report
    assert "CPU" in str(result.rows["device"]) or "GPU" in str(result.rows["device"])


def test_the_saved_model_has_the_validation_loss_of_the_metrics(two_runs: Any) -> None:
    """The best weights, loaded by the card, have the validation loss that the metrics say."""
    import tensorflow as tf

    from yolopipe.model.card import read_card
    from yolopipe.model.model_file import card_of_model, load_model
    from yolopipe.shards.manifest import load_manifest
    from yolopipe.shards.tfdata import batches
    from yolopipe.training.step import eval_step

    folder = two_runs[0]
    model, card = load_model(folder / paths.BEST_WEIGHTS)
    assert card.class_names == ("red", "green")
    assert read_card(folder / paths.MODEL_CARD) == card == card_of_model(folder / paths.LAST_WEIGHTS)
    manifest = load_manifest(folder / paths.SHARDS)
    (batch,) = batches(folder / paths.SHARDS, manifest, "val", batch_size=3)
    losses = eval_step(model, batch, anchors=card.anchors, ignore_threshold=0.5, label_smoothing=0.01)
    metrics = json.loads((folder / paths.TRAIN_METRICS).read_text())
    assert float(losses["total_loss"]) == pytest.approx(metrics["best_val_loss"], rel=1e-4)
    assert tf.executing_eagerly()


def test_map_while_training_is_what_evaluate_measures(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(project, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("models", ".yolopipe"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    recipe = config(epochs=24, lr_init=5e-3, best_by="mAP", val_every=8)
    text = Path("val.txt").read_text()
    Path("val.txt").write_text(text.replace("val0.png\n", "val0.png 0,0,64,80,-1,1\n"))  # all of the background image
    for stage in (parse, augment, precompute):
        stage.run(recipe)
    trained = train.run(recipe)
    scored = evaluate.run(recipe.model_copy(update={"evaluate": Evaluate(weights="best")}))
    assert trained.report["best_mAP"] == pytest.approx(scored.report["mAP"], abs=1e-6)
    assert trained.report["best_mAP"] > 0
    assert "by validation mAP" in str(trained.rows["best epoch"])


def test_tensorboard_events_are_in_no_output(two_runs: Any) -> None:
    folder = two_runs[0]
    events = list((folder / ".yolopipe/tensorboard").rglob("events.*"))
    assert events
    assert not list((folder / "plots").rglob("events.*"))


def test_a_loss_that_is_not_finite_stops_the_stage(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("DVC_EXP_NAME", "bold-try")
    with pytest.raises(YolopipeError) as caught:
        train.run(config(lr_init=1e30, warmup_epochs=0))
    assert caught.value.exit_code == 5
    assert os.listdir(tmp_path / ".yolopipe/tensorboard") == ["bold-try"]
    report = json.loads((tmp_path / ".yolopipe/train-nonfinite.json").read_text())
    for fact in (f"{report['epoch']}/2 ", f"step {report['step']}: {report['term']} "):
        assert fact in caught.value.message
    assert report["images"][0]["image"] in caught.value.message
    assert f"--image {report['images'][0]['image']} " in str(caught.value.hint)
    assert report["values"][report["term"]] in ("nan", "inf", "-inf")


def test_an_image_with_nan_boxes_is_named(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One image in one copy has NaN for boxes: whatever the order of the data, its batch is named."""
    poisoned, shown = "images/train7.png", 4
    shutil.copytree(project, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("models", ".yolopipe"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    real = tfdata.batches

    def batches(directory: Path, manifest: Any, split: str, *, copy: int | None = None, **options: Any) -> Any:
        rows = list(read_rows(directory, manifest, split, copy=copy))
        number = next((n for n, row in enumerate(rows) if row.path == poisoned and row.copy == 1), -1)

        def poison(batch: Any) -> Any:
            hit = (batch["row"] == number)[:, None, None]
            return {**batch, "boxes_xyxy": tf.where(hit, float("nan"), batch["boxes_xyxy"])}

        return real(directory, manifest, split, copy=copy, **options).map(poison)

    monkeypatch.setattr(tfdata, "batches", batches)
    with pytest.raises(YolopipeError):
        train.run(config())
    report = json.loads((tmp_path / ".yolopipe/train-nonfinite.json").read_text())
    assert {"image": poisoned, "copy": 1} in report["images"]
    assert 1 <= len(report["images"]) <= shown
    assert (report["epoch"], report["split"], report["term"]) == (2, "train", "giou_loss")
    assert report["step"] in (4, 5, 6)


def test_missing_shards_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ShardError, match=str(paths.SHARDS)):
        train.run(config())


def test_importing_the_stage_does_not_import_tensorflow() -> None:
    code = "import sys, yolopipe.stages.train; sys.exit(any(m in sys.modules for m in ('tensorflow', 'keras')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
