from __future__ import annotations

import os
import subprocess
import sys

import pytest

from yolopipe.backend import derived_seed, muted_stderr
from yolopipe.training.device import prepare_tensorflow


def test_seeds_are_their_own_for_each_epoch_and_fit_32_bits() -> None:
    seeds = {derived_seed(seed, epoch) for seed in (0, 1, 2**63 - 1) for epoch in range(50)}
    assert len(seeds) == 150
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_the_device_is_named_and_randomness_repeats() -> None:
    import keras

    draws = []
    for seed in (2**62, 2**62, 5):
        assert prepare_tensorflow(seed).startswith(("CPU (", "NVIDIA", "Tesla", "GPU"))
        draws.append(float(keras.random.normal(())))
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.slow
def test_tensorflow_starts_without_output() -> None:
    code = (
        "from yolopipe.training.device import prepare_tensorflow as p; p(1); import tensorflow as tf; tf.ones(2) + 1"
    )
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert (run.stdout, run.stderr) == ("", "")


@muted_stderr()
def _end_with(error: type[BaseException], said: bytes) -> None:
    os.write(2, said)
    raise error


def test_muted_output_is_shown_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with muted_stderr():
        os.write(2, b"chatter\n")
    assert capfd.readouterr().err == ""
    with pytest.raises(ImportError):
        _end_with(ImportError, b"no such library\n")
    assert capfd.readouterr().err == "no such library\n"
    with pytest.raises(KeyboardInterrupt):
        _end_with(KeyboardInterrupt, b"chatter\n")
    assert capfd.readouterr().err == ""
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"
