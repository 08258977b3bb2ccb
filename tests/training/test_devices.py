"""Training on two devices at once, which are two virtual CPUs here, against training on one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from yolopipe.config.params_file import load_config
from yolopipe.errors import DataError
from yolopipe.stages import augment, parse, precompute, train
from yolopipe.stages.train import _check_batch
from yolopipe.training.device import strategy_over

TWO_CPUS = """
import sys
from yolopipe.backend import import_tensorflow
from yolopipe.training.device import strategy_over
tf = import_tensorflow()
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
devices = ["CPU:0", "CPU:1"] if sys.argv[1] == "2" else []
"""

STEPS = (
    TWO_CPUS
    + """
import keras
import numpy as np
from yolopipe.model.yolov3 import YOLOv3
from yolopipe.training.trainer import _share_statistics
from yolopipe.training.step import compiled_eval_step, compiled_train_step

arrays = np.load(sys.argv[2])
batches = [
    {name.split("/")[1]: tf.constant(arrays[name]) for name in arrays if name.startswith(f"{number}/")}
    for number in range(int(arrays["count"]))
]
options = {"anchors": arrays["anchors"], "ignore_threshold": 0.5, "label_smoothing": 0.01}
with strategy_over(devices).scope():
    keras.utils.set_random_seed(3)
    model = YOLOv3(2, width=0.125, depth=0.1)
    if devices:
        _share_statistics(model)
    optimizer = keras.optimizers.SGD(1e-3)
    train = compiled_train_step(model, optimizer, input_size=160, clip_norm=14.0, **options)
    evaluate = compiled_eval_step(model, input_size=160, **options)
    values = [np.concatenate([train(batch).numpy(), evaluate(batch).numpy()]) for batch in batches]
np.save(sys.argv[3], np.array(values))
"""
)

STAGE = (
    TWO_CPUS
    + """
import json
from yolopipe.config.params_file import load_config
from yolopipe.stages import train

train.training_devices = lambda: devices
print(json.dumps(train.run(load_config()).report))
"""
)

PARAMS = """\
seed: 5
data: {train: train.txt, val: val.txt, classes: classes.names, images: images}
augment: {copies: 1}
precompute: {input_size: 160, shard_rows: 16}
model: {width: 0.125, depth: 0.1}
train: {epochs: 1, batch_size: 4, warmup_epochs: 0, lr_init: 1.0e-5}
"""


def python(code: str, *arguments: object, cwd: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    run = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


def drawn_batches(scenes: Any) -> list[dict[str, np.ndarray]]:
    """Even, uneven, fewer rows than devices, and even again."""
    rows = [scenes(index) for index in range(12)]
    cuts = ((0, 4), (4, 9), (9, 10), (10, 12))
    return [{name: np.concatenate([row[name] for row in rows[a:b]]) for name in rows[0]} for a, b in cuts]


def test_two_devices_give_the_losses_of_one(tmp_path: Path) -> None:
    """Losses after updates agree only if gradients did; images of 160 pixels, so that normalisation has numbers."""
    rng = np.random.default_rng(8)

    def scene(number: int) -> dict[str, np.ndarray]:
        image, kind = rng.integers(90, 130, (1, 160, 160, 3)).astype(np.uint8), number % 2
        side, stride, anchor = ((20, 16, 1), (36, 32, 1))[kind]
        x, y = (int(value) for value in rng.integers(0, 160 - side, 2))
        image[:, y : y + side, x : x + side, kind] = 230
        cell = ((y + side // 2) // stride * (160 // stride) + (x + side // 2) // stride) * 3 + anchor
        found = {"image": image, "row": np.array([number]), "classes": np.array([[kind]], np.int32)}
        found["boxes_xyxy"] = np.array([[[x, y, x + side, y + side]]], np.float32)
        for name, empty, value in (("cell", -1, cell), ("box", 0, 0), ("slots", -1, 0)):
            for other in (8, 16, 32):
                found[f"{name}_{other}"] = np.array([[value if other == stride else empty]], np.int32)
        return found

    batches = drawn_batches(scene)
    arrays = {f"{number}/{name}": value for number, batch in enumerate(batches) for name, value in batch.items()}
    sides = np.array([[4, 8, 12], [16, 20, 24], [30, 36, 48]], float)
    anchors = np.repeat(sides[..., None], 2, axis=2) / np.array([8, 16, 32]).reshape(3, 1, 1)
    np.savez(tmp_path / "batches.npz", count=len(batches), anchors=anchors, **arrays)
    for count in (1, 2):
        python(STEPS, count, "batches.npz", f"{count}.npy", cwd=tmp_path)
    one, two = (np.load(tmp_path / f"{count}.npy") for count in (1, 2))
    losses = [0, 1, 2, 3, 6, 7, 8, 9]
    np.testing.assert_allclose(two[:, losses], one[:, losses], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(two[:, 5], one[:, 5], rtol=1e-2)  # the norm before clipping
    assert (one[:, 5] > 14).any(), "nothing was clipped"
    assert np.ptp(one[:, 0]) > 0.05, "the losses would agree anyhow"


def test_the_stage_trains_and_saves_over_two_devices(drawn: Any, tmp_path: Path) -> None:
    drawn.draw(tmp_path, images=9, copies=1, size=160)
    (tmp_path / "params.yaml").write_text(PARAMS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        for stage in (parse, augment, precompute):
            stage.run(load_config())
        one = train.run(load_config()).report
    curves = (tmp_path / "plots/train/curves.csv").read_bytes()
    two = json.loads(python(STAGE, 2, cwd=tmp_path))
    assert (tmp_path / "plots/train/curves.csv").read_bytes() != curves, "two devices round otherwise"
    for name in ("train_loss", "val_loss"):
        assert two[name] == pytest.approx(one[name], rel=1e-3)


def test_a_batch_has_an_image_for_each_device() -> None:
    _check_batch(1, 1)
    _check_batch(2, 2)
    with pytest.raises(DataError, match="less than the 4 devices") as caught:
        _check_batch(3, 4)
    assert "CUDA_VISIBLE_DEVICES" in str(caught.value)


def test_without_several_devices_there_is_nothing_to_spread() -> None:
    assert strategy_over([]).num_replicas_in_sync == 1
