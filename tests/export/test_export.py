"""Each format written, run by its own program on other images, and compared with the network by another road."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import re
import shutil
import subprocess
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf

from tests.helpers.small_network import SmallYOLO, install
from yolopipe import paths
from yolopipe.cli import app
from yolopipe.cli.guard import guarded
from yolopipe.detection.nms import detect
from yolopipe.detection.suppression import Suppression
from yolopipe.errors import UsageError
from yolopipe.export import onnx_file
from yolopipe.export.difference import Answer
from yolopipe.export.provenance import git_state, metrics_of
from yolopipe.export.request import ExportRequest
from yolopipe.model.card import ModelCard
from yolopipe.model.decode import decode
from yolopipe.model.model_file import load_model, save_model
from yolopipe.model.yolov3 import YOLOv3

pytestmark = pytest.mark.slow

SIZE = 64
NAMES = ("a cat", "çelik", "0")
SUFFIX = {"saved-model": "", "onnx": ".onnx", "tflite": ".tflite"}
SUPPRESSION = Suppression(score_threshold=0.05, nms_iou=0.45, max_detections=40)
POST = ("--post-processing", "--min-score", "0.05", "--nms-iou", "0.45", "--max-detections", "40")


def pictures(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)
    images[:, 10:40, 20:50] = rng.integers(0, 256, (count, 1, 1, 3))
    return images


def make_project(folder: Path, shards: Any, network: Any) -> Path:
    """Shards of noise and a network that detects things in it."""
    rows = [
        shards.build_row(f"{n}.png", [[10, 10, 40, 40]], [n % 3], size=SIZE, pixels=image)
        for n, image in enumerate(pictures(6, 1))
    ]
    shards.build_shards(folder / paths.SHARDS, {"train": rows, "val": rows[:4]}, size=SIZE, class_names=NAMES)
    keras.utils.set_random_seed(3)
    model = network(3, width=0.125, depth=0.1)
    rng = np.random.default_rng(5)
    for layer in model.layers:
        if layer.name.startswith("head_"):
            kernel, bias = layer.get_weights()
            layer.set_weights([rng.normal(0, 0.03, kernel.shape), rng.normal(-0.5, 0.5, bias.shape)])
        elif layer.name.endswith("_norm"):
            layer.momentum = 0.0  # one look at a batch sets the statistics, so that outputs are of ordinary size
    model(pictures(8, 4) / np.float32(255), training=True)
    anchors = tuple(map(tuple, shards.ANCHORS_PX.reshape(9, 2).tolist()))
    card = ModelCard(NAMES, anchors, input_size=SIZE, width=0.125, depth=0.1)
    (folder / "models").mkdir()
    save_model(folder / paths.LAST_WEIGHTS, model, card)
    return folder


@pytest.fixture(scope="module")
def project(shards, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In a folder with a blank and an umlaut."""
    return make_project(tmp_path_factory.mktemp("ein Bär"), shards, YOLOv3)


@pytest.fixture(scope="module")
def small_project(shards, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For what is about the export and not about the network: converting takes a tenth of the time."""
    return make_project(tmp_path_factory.mktemp("small"), shards, SmallYOLO)


@pytest.fixture
def at_small(small_project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    install(monkeypatch)
    monkeypatch.chdir(small_project)
    return small_project


@pytest.fixture
def at(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    return project


@pytest.fixture(scope="module")
def network(project: Path) -> tuple[keras.Model, ModelCard]:
    return load_model(project / paths.LAST_WEIGHTS)


def yolopipe(*arguments: str | Path) -> int:
    return guarded(lambda: app([str(argument) for argument in arguments], standalone_mode=False))


@pytest.fixture(scope="module")
def exported(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Path, dict[str, Any]]]:
    """Each artefact is made once: converting is what takes time."""
    folder = tmp_path_factory.mktemp("größe 1")

    @cache
    def make(form: str, *options: str) -> tuple[Path, dict[str, Any]]:
        out = folder / f"{'-'.join((form, *options))}{SUFFIX[form]}"
        with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.chdir(project):
            assert yolopipe("export", form, "--out", out, *options, "--json") == 0
        assert not list(folder.glob(".*")), "no temporary file is left"
        return out, json.loads(said.getvalue())

    return make


def answered(path: Path, form: str, images: np.ndarray) -> Answer:
    """As a user of the format would, without yolopipe."""
    if form == "saved-model":
        signature = tf.saved_model.load(str(path)).signatures["serving_default"]
        return {name: value.numpy() for name, value in signature(images=tf.constant(images)).items()}
    if form == "onnx":
        session = onnxruntime.InferenceSession(str(path))
        return dict(
            zip([out.name for out in session.get_outputs()], session.run(None, {"images": images}), strict=True)
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = tf.lite.Interpreter(model_path=str(path)).get_signature_runner()
    parts = [
        run(images=part)
        for part in ([images] if "head_8" in run.get_output_details() else np.split(images, len(images)))
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@pytest.mark.parametrize("form", SUFFIX)
def test_raw_outputs_are_the_networks(network, exported, form: str) -> None:
    out, report = exported(form)
    assert max(report["largest_difference"].values()) < 1e-4
    for count in (1, 3):
        images = pictures(count, 9)
        found = answered(out, form, images)
        for stride, expected in zip((8, 16, 32), network[0](images / np.float32(255)), strict=True):
            assert found[f"head_{stride}"].shape == (count, SIZE // stride, SIZE // stride, 24)
            np.testing.assert_allclose(found[f"head_{stride}"], expected, atol=2e-4)


@pytest.mark.parametrize("form", SUFFIX)
def test_detections_are_those_of_evaluate(network, exported, form: str) -> None:
    out, _ = exported(form, *POST)
    images = pictures(3, 11)
    raw, anchors = network[0](images / np.float32(255)), network[1].anchors
    scales = [np.asarray(decode(*scale)) for scale in zip(raw, anchors, (8, 16, 32), strict=True)]
    found = answered(out, form, images)
    assert {name: value.dtype.name for name, value in found.items()} == {
        **{"boxes_xyxy": "float32", "scores": "float32"},
        **{"classes": "int32", "count": "int32"},
    }
    seen = set()
    for n in range(len(images)):
        expected = detect(np.concatenate([scale[n].reshape(-1, 8) for scale in scales]), SUPPRESSION)
        kept = int(found["count"][n])
        assert kept == len(expected.scores) > 3
        np.testing.assert_allclose(found["scores"][n, :kept], expected.scores, atol=1e-5)
        np.testing.assert_array_equal(found["classes"][n, :kept], expected.classes)
        np.testing.assert_allclose(found["boxes_xyxy"][n, :kept], expected.boxes_xyxy, atol=0.02)
        assert not found["scores"][n, kept:].any()
        seen |= set(expected.classes.tolist())
    assert len(seen) > 1, "classes must compete, or nothing is shown"


def test_sparing_memory_copies_no_weights_and_changes_no_byte(at: Path, tmp_path: Path, monkeypatch) -> None:
    """Fails when tf2onnx no longer calls what is replaced, or no longer copies: then the replacement can go."""
    import tf2onnx.optimizer
    from tf2onnx.graph import Graph, Node

    counts = {"weight bytes": 0, "graphs": 0}
    update = Node.update_proto

    def counted(node: Any, *arguments: Any, **keywords: Any) -> None:
        update(node, *arguments, **keywords)
        if node.is_const():
            counts["weight bytes"] += len(node.op.SerializeToString())

    def copied(value: Any) -> Any:
        counts["graphs"] += isinstance(value, Graph)
        return copy.deepcopy(value)

    monkeypatch.setattr(Node, "update_proto", counted)
    monkeypatch.setattr(tf2onnx.optimizer, "copy", SimpleNamespace(deepcopy=copied))
    assert yolopipe("export", "onnx", "--out", tmp_path / "lean.onnx", *POST) == 0
    size = (tmp_path / "lean.onnx").stat().st_size
    assert counts["graphs"] == 0
    assert counts["weight bytes"] < size / 4
    assert Node.update_proto is counted, "restored"
    monkeypatch.setattr(onnx_file, "_few_copies_of_weights", contextlib.nullcontext)
    assert yolopipe("export", "onnx", "--out", tmp_path / "plain.onnx", *POST) == 0
    assert counts["graphs"] > 10
    assert counts["weight bytes"] > 10 * size
    assert (tmp_path / "plain.onnx").read_bytes() == (tmp_path / "lean.onnx").read_bytes()


def test_one_image_in_val_is_enough_to_check(shards, at_small: Path, tmp_path: Path, monkeypatch) -> None:
    row = shards.build_row("one.png", [[10, 10, 40, 40]], [0], size=SIZE)
    shards.build_shards(tmp_path / paths.SHARDS, {"train": [row], "val": [row]}, size=SIZE, class_names=NAMES)
    monkeypatch.chdir(tmp_path)
    assert yolopipe("export", "onnx", "--model", at_small / paths.LAST_WEIGHTS, "--out", "deep/er/m.onnx") == 0
    assert (tmp_path / "deep/er/m.onnx").is_file()


def test_smaller_numbers(at: Path, exported, tmp_path: Path) -> None:
    """Half and a quarter of the bytes; the same seed the same bytes; outputs stay float32 and near."""
    files = {name: exported("tflite", "--precision", name)[0] for name in ("float16", "int8")}
    files["float32"], _ = exported("tflite")
    sizes = {name: path.stat().st_size for name, path in files.items()}
    for path in files.values():
        assert {value.dtype.name for value in answered(path, "tflite", pictures(2, 9)).values()} == {"float32"}
    assert sizes["int8"] < 0.4 * sizes["float32"]
    assert sizes["float16"] < 0.65 * sizes["float32"]
    assert yolopipe("export", "tflite", "--out", tmp_path / "again.tflite", "--precision", "int8") == 0
    assert (tmp_path / "again.tflite").read_bytes() == files["int8"].read_bytes()


def test_a_difference_in_half_floats_is_measured_on_detections_too(exported) -> None:
    _, report = exported("tflite", *POST, "--precision", "float16")
    assert 0 < report["largest_difference"]["scores"] < 0.05


def test_too_small_a_tolerance_leaves_nothing(at_small: Path, tmp_path: Path, capsys) -> None:
    assert yolopipe("export", "saved-model", "--out", tmp_path / "m", "--tolerance", "0") == 1
    said = capsys.readouterr().err
    assert "head_8" in said
    assert "--tolerance" in said
    assert not list(tmp_path.iterdir())


def test_what_answers_otherwise_gets_no_name(at_small: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    original = onnx_file.load

    def damaged(path: Path) -> Any:
        answer = original(path)
        return lambda images: {name: value + 0.01 * (name == "head_16") for name, value in answer(images).items()}

    monkeypatch.setattr(onnx_file, "load", damaged)
    assert yolopipe("export", "onnx", "--out", tmp_path / "m.onnx") == 1
    assert re.search(r"head_16\D+0\.01\D+0\.001", capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


def test_wrong_weights_inside_are_found_and_the_old_file_stays(at_small: Path, tmp_path: Path, monkeypatch) -> None:
    """The file itself is wrong: another network of the same kind was written."""
    out = tmp_path / "m.onnx"
    out.write_bytes(b"older")
    original = onnx_file.write

    def other(path: Path, serving, card: str, **options: object) -> None:
        before = serving.network.get_weights()
        keras.utils.set_random_seed(8)
        serving.network.set_weights(SmallYOLO(3).get_weights())
        original(path, serving, card, **options)
        serving.network.set_weights(before)

    monkeypatch.setattr(onnx_file, "write", other)
    assert yolopipe("export", "onnx", "--out", out, *POST) == 1
    assert out.read_bytes() == b"older"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("form", SUFFIX)
def test_the_card_travels(exported, tmp_path: Path, form: str, capsys, shards) -> None:
    out, report = exported(form, *POST)
    moved = tmp_path / f"moved{SUFFIX[form]}"
    (shutil.copytree if out.is_dir() else shutil.copy)(out, moved)
    assert yolopipe("export", "card", moved, "--json") == 0
    card = json.loads(capsys.readouterr().out)
    assert card == report["card"]
    assert card["class_names"] == list(NAMES)
    assert card["anchors_px"] == shards.ANCHORS_PX.reshape(9, 2).tolist()
    assert (card["strides"], card["input_size"], card["letterbox"]["fill"]) == ([8, 16, 32], SIZE, 128)
    assert (card["format"], card["precision"], card["git"], card["metrics"]) == (form, "float32", None, None)
    assert card["post_processing"]["score_threshold"] == 0.05
    assert list(card["outputs"]) == ["boxes_xyxy", "classes", "count", "scores"]
    assert len(card["data_sha256"]) == len(card["weights_sha256"]) == 64
    assert yolopipe("export", "card", moved) == 0
    assert "çelik" in capsys.readouterr().out
    if form == "onnx":
        model = onnx.load(str(moved))
        assert {value.name: value.type.tensor_type.shape.dim[0].dim_param for value in model.graph.output} == (
            dict.fromkeys(card["outputs"], "batch")
        )


def test_commit_and_scores_go_along_when_they_belong(at_small: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    import hashlib

    folder = tmp_path / "p"
    shutil.copytree(at_small, folder)
    monkeypatch.chdir(folder)
    git = ["git", "-c", "user.name=n", "-c", "user.email=e@e"]
    (folder / ".gitignore").write_text("*.onnx\n")
    metrics = {"mAP": 0.5, "mAP50": 0.75}
    paths.EVAL_METRICS.parent.mkdir()
    paths.EVAL_METRICS.write_text(json.dumps(metrics))
    weights, scores = (
        hashlib.md5(path.read_bytes()).hexdigest() for path in (paths.LAST_WEIGHTS, paths.EVAL_METRICS)
    )
    Path("dvc.lock").write_text(
        "stages: {evaluate: {params: {params.yaml: {evaluate: {weights: last}}},"
        f" deps: [{{path: models/last.weights.h5, md5: {weights}}}],"
        f" outs: [{{path: metrics/eval.json, md5: {scores}}}]}}}}\n"
    )
    for line in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *line], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()

    def exported() -> dict[str, object]:
        assert yolopipe("export", "onnx", "--out", "m.onnx", "--json") == 0
        return json.loads(capsys.readouterr().out)["card"]

    card = exported()
    assert (card["git"], card["metrics"]) == ({"commit": head, "dirty": False}, metrics)
    first = Path("m.onnx").read_bytes()
    exported()
    assert Path("m.onnx").read_bytes() == first, "the same project gives the same bytes"
    paths.EVAL_METRICS.write_text(json.dumps({**metrics, "mAP": 0.9}))  # of other weights, or made up
    assert git_state() == {"commit": head, "dirty": True}
    assert metrics_of(paths.LAST_WEIGHTS) is None


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["onnx", "--out", "m.pb"], ".onnx"),
        (["tflite", "--out", "m.onnx"], ".tflite"),
        (["saved-model", "--out", "."], "--out"),
        (["saved-model", "--out", "models/last.weights.h5"], "models/last.weights.h5"),
        (["tflite", "--out", "m.tflite", "--precision", "float8"], "float32, float16, int8"),
        (["tflite", "--out", "m.tflite", "--precision", "int8", "--post-processing"], "--post-processing"),
        (["onnx", "--out", "m.onnx", "--precision", "int8"], "--precision"),
        (["onnx", "--out", "m.onnx", "--tolerance", "-1"], "--tolerance"),
        (["onnx", "--out", "m.onnx", "--tolerance", "nan"], "--tolerance"),
        (["onnx", "--out", "m.onnx", "--min-score", "0.3"], "--post-processing"),
        (["onnx", "--out", "m.onnx", "--post-processing", "--min-score", "1.5"], "--min-score"),
        (["onnx", "--out", "m.onnx", "--post-processing", "--min-score", "nan"], "--min-score"),
        (["onnx", "--out", "m.onnx", "--post-processing", "--max-detections", "0"], "--max-detections"),
        (["onnx", "--out", "m.onnx", "--post-processing", "--max-detections", "10001"], "--max-detections"),
    ],
)
def test_wrong_calls(at: Path, capsys, arguments: list[str], named: str) -> None:
    before = sorted(at.rglob("*"))
    assert yolopipe("export", *arguments) == 2
    assert named in capsys.readouterr().err
    assert sorted(at.rglob("*")) == before


def test_soft_suppression_cannot_be_exported() -> None:
    with pytest.raises(UsageError):
        ExportRequest("onnx", Suppression(soft_nms_sigma=0.5))


def test_without_the_extra_a_sentence_names_it(at: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("yolopipe.export.writers.find_spec", lambda name: None if name == "tf2onnx" else name)
    assert yolopipe("export", "onnx", "--out", tmp_path / "m.onnx") == 2
    said = capsys.readouterr().err
    assert "tf2onnx" in said
    assert "yolopipe[onnx]" in said


def test_broken_models_and_shards(at: Path, tmp_path: Path, monkeypatch, capsys, shards) -> None:
    cut = tmp_path / "cut.weights.h5"
    cut.write_bytes((at / paths.LAST_WEIGHTS).read_bytes()[:9000])
    for model in (cut, tmp_path / "none.weights.h5"):
        assert yolopipe("export", "onnx", "--model", model, "--out", tmp_path / "m.onnx") == 4
        assert str(model) in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    last = at / paths.LAST_WEIGHTS
    assert yolopipe("export", "tflite", "--model", last, "--out", "m.tflite") == 4
    assert "data/shards/manifest.json" in capsys.readouterr().err
    row = shards.build_row("one.png", [[10, 10, 40, 40]], [0], size=SIZE)
    shards.build_shards(tmp_path / paths.SHARDS, {"train": [row], "val": [row]}, size=SIZE, class_names=("x",))
    assert yolopipe("export", "tflite", "--model", last, "--out", "m.tflite") == 4
    assert "çelik" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["m.onnx", "m.tflite", "m.txt", "nothing.onnx", "folder"])
def test_the_card_of_something_else(tmp_path: Path, capsys, name: str) -> None:
    (tmp_path / "folder").mkdir()
    if name.startswith("m."):
        (tmp_path / name).write_bytes(b"\x08\x07 no model")
    assert yolopipe("export", "card", tmp_path / name) == 4
    assert str(tmp_path / name) in capsys.readouterr().err


def test_the_documents_snippet_runs(repo: Path, exported, network, tmp_path: Path, monkeypatch, capsys) -> None:
    """As printed in docs/export.md; what it says is what Detector says of the same picture, near enough."""
    import cv2

    from yolopipe import Detector

    out, _ = exported("onnx", *POST)
    monkeypatch.chdir(tmp_path)
    shutil.copy(out, "model.onnx")
    cv2.imwrite("picture.jpg", pictures(1, 21)[0, :48])  # padded, not scaled: there the two ways differ a little
    (snippet,) = re.findall(r"```python\n(.*?)```", (repo / "docs/export.md").read_text(), re.DOTALL)
    exec(compile(snippet, "docs/export.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    save_model(Path("m.weights.h5"), *network)
    found = Detector("m.weights.h5", min_score=0.3, nms_iou=0.45, max_detections=40).predict("picture.jpg")
    said = [
        (line[: line.index("[") - 1].rsplit(" ", 1), np.array(line[line.index("[") + 1 : -1].split(), float))
        for line in lines
    ]
    assert len(found) > 3
    for name, score, box in zip(found.names, found.scores, found.boxes_xyxy, strict=True):
        gaps = [
            np.abs(np.clip(other, 0, [64, 48, 64, 48]) - box).max()
            for (other_name, other_score), other in said
            if other_name == name and abs(float(other_score) - score) < 0.006
        ]
        assert min(gaps) < 0.1
