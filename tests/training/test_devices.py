"""Training on two devices at once, which are two virtual CPUs here, against training on one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from yolopipe.config.params_file import load_config
from yolopipe.errors import DataError
from yolopipe.stages import augment, parse, precompute
from yolopipe.stages.train import check_batch
from yolopipe.training.device import strategy_over

TWO_CPUS = """
from yolopipe.backend import import_tensorflow
from yolopipe.training.device import strategy_over
tf = import_tensorflow()
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
DEVICES = {1: [], 2: ["CPU:0", "CPU:1"]}
"""

STEPS = """
import sys
import numpy as np
from tests.helpers.tiny import network
from yolopipe.training.step import compiled_eval_step, compiled_train_step
from yolopipe.training.trainer import share_statistics

arrays = np.load("batches.npz")
batches = [
    {name.split("/")[1]: tf.constant(arrays[name]) for name in arrays if name.startswith(f"{number}/")}
    for number in range(int(arrays["count"]))
]
options = {"anchors": arrays["anchors"], "ignore_threshold": 0.5, "label_smoothing": 0.01}
for count, devices in DEVICES.items():
    with strategy_over(devices).scope():
        model = network()
        if devices:
            share_statistics(model)
        optimizer = keras.optimizers.SGD(1e-3)
        train = compiled_train_step(model, optimizer, input_size=64, clip_norm=CLIP, **options)
        evaluate = compiled_eval_step(model, input_size=64, **options)
        first = [np.asarray(weight) for weight in model.weights]
        values, updates = [], None
        for batch in batches:
            values.append(np.concatenate([train(batch).numpy(), evaluate(batch).numpy()]))
            if updates is None:
                updates = [np.asarray(weight) - old for weight, old in zip(model.weights, first)]
    np.savez(f"{count}.npz", values, *updates)
"""

STAGE = """
import json
from tests.helpers.small_network import install
install()
from yolopipe.config.params_file import load_config
from yolopipe.stages import train

made, make = [], trainer.make_trainer
trainer.make_trainer = lambda *args, **more: made.append(tf.distribute.get_strategy()) or make(*args, **more)
reports = []
for devices in DEVICES.values():
    train.training_devices = lambda: devices
    reports.append(train.run(load_config()).report)
print(json.dumps({"replicas": [strategy.num_replicas_in_sync for strategy in made], "reports": reports}))
"""

CLIP = 85.0

PARAMS = """\
seed: 5
data: {train: train.txt, val: val.txt, classes: classes.names, images: images}
augment: {copies: 1}
precompute: {input_size: 64, shard_rows: 16}
model: {width: 0.125, depth: 0.1}
train: {epochs: 1, batch_size: 4, warmup_epochs: 0, lr_init: 1.0e-5}
"""


def python(code: str, cwd: Path) -> str:
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, root])}
    run = subprocess.run([sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.slow
def test_two_devices_compute_what_one_does(
    tmp_path: Path, squares: Any, anchors_px: np.ndarray, float64: Any
) -> None:
    """Losses, norms of gradients and the first update, of a network and a loss in float64.

    Float32 would not do: over two devices Keras computes variances by another formula, and the norm of the very first
    gradient differs by 2e-4 from that of one device.
    """
    # Even, uneven, fewer rows than devices, and even again.
    batches = [squares(size, size, seed=size)[0] for size in (4, 5, 1, 2)]
    arrays = {f"{number}/{name}": value for number, batch in enumerate(batches) for name, value in batch.items()}
    anchors = anchors_px / np.array([8, 16, 32]).reshape(3, 1, 1)
    np.savez(tmp_path / "batches.npz", count=len(batches), anchors=anchors, **arrays)
    python(f"{float64.SETUP}\nCLIP = {CLIP}\n{TWO_CPUS}{STEPS}", tmp_path)
    one, two = (list(np.load(tmp_path / f"{count}.npz").values()) for count in (1, 2))
    norms = one[0][:, 5]
    assert norms.min() < CLIP < norms.max(), "clipped in some steps only"
    np.testing.assert_allclose(two[0], one[0], rtol=float64.RTOL)
    for ours, theirs in zip(two[1:], one[1:], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=float64.RTOL * max(np.abs(theirs).max(), 1e-3))
    assert np.ptp(one[0][:, 0]) > 0.05, "the losses would agree anyhow"


@pytest.mark.slow
def test_the_stage_trains_and_saves_over_two_devices(drawn: Any, tmp_path: Path, float64: Any) -> None:
    drawn.draw(tmp_path, images=9, copies=1, size=64)
    (tmp_path / "params.yaml").write_text(PARAMS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        for stage in (parse, augment, precompute):
            stage.run(load_config())
    found = json.loads(python(float64.SETUP + TWO_CPUS + STAGE, tmp_path))
    one, two = found["reports"]
    assert found["replicas"] == [1, 2]
    for name in ("train_loss", "val_loss"):
        assert two[name] == pytest.approx(one[name], rel=1e-6)  # of seven digits


def test_a_batch_has_an_image_for_each_device() -> None:
    check_batch(1, 1)
    check_batch(2, 2)
    with pytest.raises(DataError) as caught:
        check_batch(3, 4)
    assert {"3", "4"} <= set(re.findall(r"\d+", caught.value.message))
    assert "CUDA_VISIBLE_DEVICES" in str(caught.value.hint)


def test_without_several_devices_there_is_nothing_to_spread() -> None:
    assert strategy_over([]).num_replicas_in_sync == 1
