"""The train stage from a file of weights, with frozen parts, and what comes out exported again."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from yolopipe import paths
from yolopipe.cli import app, guarded
from yolopipe.config.params import Config
from yolopipe.config.params_file import load_config
from yolopipe.errors import ConfigError, DataError
from yolopipe.files import sha256_file
from yolopipe.stages import train
from yolopipe.training.start_file import start_file

SIZE = 64
DATA = {"train": "t", "val": "v", "classes": "c", "images": "i"}


def config(**train_params: Any) -> Config:
    schedule = {"epochs": 1, "batch_size": 2, "lr_init": 1e-3, "lr_end": 1e-6, "warmup_epochs": 0}
    return Config.model_validate(
        {"data": DATA, "model": {"width": 0.125, "depth": 0.1}, "train": {**schedule, **train_params}}
    )


@pytest.fixture
def project(tmp_path: Path, shards: ModuleType, darknet: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Shards of three classes, and a Darknet file of 80 in ``start weights/``."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (3, SIZE, SIZE, 3), dtype=np.uint8)
    rows = [
        shards.build_row(f"{n}.png", [[5, 5, 40, 30]], [n], size=SIZE, pixels=noise[n]) for n in range(len(noise))
    ]
    names = ("red", "green", "çelik")
    shards.build_shards(tmp_path / paths.SHARDS, {"train": rows, "val": rows}, size=SIZE, class_names=names)
    sections = darknet.small_cfg(classes=80)
    darknet.write(tmp_path / "start weights", sections, darknet.random_weights(sections))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return tmp_path


@pytest.mark.slow
def test_from_darknet_and_back(project: Path, darknet: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """All but the heads start there and are frozen: they end as they began; OpenCV reads the export alike."""
    weights = "start weights/yolov3.weights"
    result = train.run(config(weights=weights, freeze="all-but-heads", freeze_epochs=1))
    assert result.report["started_from"]["loaded"] == {"backbone": 16, "neck": 20}
    assert re.findall(r"\d+", str(result.rows["loaded"])) == ["16", "20", "3", "80", "3"]
    assert weights in str(result.rows["started from"])
    assert result.rows["frozen"] == "all-but-heads, epochs 1 to 1"
    assert result.report["started_from"]["left"] == {"head": 3}
    assert json.loads(json.dumps(result.report)) == result.report
    card = json.loads(paths.MODEL_CARD.read_text())
    assert card["started_from"] == {"path": weights, "sha256": sha256_file(weights)}

    assert guarded(lambda: app(["export", "darknet", "--out", "for others", "--json"], standalone_mode=False)) == 0
    report = json.loads(capsys.readouterr().out)
    assert {p.name: sha256_file(p) for p in Path("for others").iterdir()} == {
        name: file["sha256"] for name, file in report["files"].items()
    }
    assert Path("for others/model.names").read_text() == "red\ngreen\nçelik\n"

    from yolopipe.model.model_file import load_model

    model, _ = load_model(paths.LAST_WEIGHTS)
    begun = darknet.random_weights(darknet.small_cfg(classes=80))
    np.testing.assert_array_equal(model.get_layer("backbone_00_norm").moving_mean, begun[2])
    kernel = np.asarray(model.get_layer("neck_19_conv").kernel).transpose(3, 2, 0, 1)
    np.testing.assert_array_equal(kernel, begun[-3])
    images = np.random.default_rng(1).random((1, SIZE, SIZE, 3), np.float32)
    cfg, exported = Path("for others/model.cfg"), Path("for others/model.weights")
    outputs = zip(model(images, training=False), darknet.opencv_outputs(cfg, exported, images), strict=True)
    assert max(float(np.abs(np.asarray(ours) - theirs).max()) for ours, theirs in outputs) < 1e-4


@pytest.mark.parametrize(
    ("deps", "watched"),
    [
        ("[data/shards]", False),
        ("[data/shards, '${train.weights}']", True),
        ("[data/shards, start weights/yolov3.weights]", True),
        ("7", False),
    ],
)
def test_the_summary_warns_if_dvc_does_not_watch_the_file(project: Path, deps: str, watched: bool) -> None:
    Path("dvc.yaml").write_text(f"stages: {{train: {{cmd: x, deps: {deps}}}}}\n")
    start = start_file("start weights/yolov3.weights")
    assert start.watched == watched
    assert ("not watched" in start.rows("")) != watched


@pytest.mark.parametrize("content", ["", "[", "stages: 1", "\x00"])
def test_with_an_unreadable_pipeline_the_file_is_not_watched(project: Path, content: str) -> None:
    Path("dvc.yaml").write_text(content)
    assert not start_file("start weights/yolov3.weights").watched


def test_without_a_pipeline_there_is_no_warning(project: Path) -> None:
    assert set(start_file("start weights/yolov3.weights").rows("")) == {"started from", "loaded"}


@pytest.mark.parametrize("weights", ["nowhere.weights", "start weights", "nowhere/x.weights.h5"])
def test_a_missing_file_is_refused_before_anything_else(tmp_path: Path, monkeypatch: Any, weights: str) -> None:
    monkeypatch.chdir(tmp_path)  # no shards either
    with pytest.raises(DataError, match=rf"train\.weights: .*{weights}") as caught:
        train.run(config(weights=weights))
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("path", [paths.BEST_WEIGHTS, Path("models/../models/last.weights.h5")])
def test_its_own_output_is_refused(project: Path, path: Path) -> None:
    paths.LAST_WEIGHTS.parent.mkdir()
    path.write_bytes(b"x")
    for weights in (str(path), str(project / path)):
        with pytest.raises(DataError, match=rf"train\.weights: {weights} ") as caught:
            train.run(config(weights=weights))
        assert f"cp {weights} start/" in str(caught.value.hint)


@pytest.mark.slow
def test_a_file_that_does_not_fit_leaves_no_output(project: Path) -> None:
    Path("cut.weights").write_bytes(Path("start weights/yolov3.weights").read_bytes()[:-1])
    with pytest.raises(DataError, match=r"cut\.weights: .*\b546,752 .*\b3 classes\b"):
        train.run(config(weights="cut.weights"))
    assert not paths.MODEL_CARD.exists()
    assert not paths.LAST_WEIGHTS.exists()


def test_freezing_for_no_epochs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(f"data: {DATA}\ntrain: {{freeze: backbone}}\n")
    with pytest.raises(ConfigError, match=r"params\.yaml:2:1: .*freeze_epochs"):
        load_config(tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("arguments", "code", "fact"),
    [
        (["--out", "o"], 4, "models/last.weights.h5"),
        (["--out", "o", "--weights", "best"], 4, "models/best.weights.h5"),
        (["--out", "o", "--weights", "alone.weights.h5"], 4, "alone.weights.h5"),
        (["--out", "o", "--weights", "alone.weights.h5", "--name", "a/b"], 2, "'a/b'"),
        ([], 2, "--out"),
    ],
)
def test_export_names_the_wrong_value(
    tmp_path: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, fact: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("alone.weights.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    assert guarded(lambda: app(["export", "darknet", *arguments], standalone_mode=False)) == code
    assert fact in capsys.readouterr().err
    assert not Path("o").exists()
