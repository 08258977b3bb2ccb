"""Each recipe has the effect it names, and no other."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from yolopipe.config.params import Train
from yolopipe.model.yolov3 import YOLOv3
from yolopipe.training.advice import advice
from yolopipe.training.ema import moving_average
from yolopipe.training.epoch_plan import EpochLog, sizes_of_epoch
from yolopipe.training.optimizer import inverse_sqrt_weights, make_optimizer, precision
from yolopipe.training.speed import Speed
from yolopipe.training.step import LOSS_NAMES, _reported, compiled_train_step, eval_step, train_step

STRIDES = np.array([8, 16, 32]).reshape(3, 1, 1)
QUIET = Speed(100.0, 0.0)


@pytest.fixture
def options(anchors_px: np.ndarray) -> dict[str, Any]:
    return {"anchors": anchors_px / STRIDES, "ignore_threshold": 0.5, "label_smoothing": 0.01}


def network(seed: int = 3) -> keras.Model:
    keras.utils.set_random_seed(seed)
    return YOLOv3(2, width=0.125, depth=0.1)


def weights_of(model: keras.Model) -> dict[str, np.ndarray]:
    return {weight.path: weight.numpy() for weight in model.weights}


@pytest.mark.slow
def test_the_average_is_that_of_all_weights(
    in_float64: None, float64: Any, options: Any, squares: Any, tiny: Any
) -> None:
    """Against the recurrence written out in NumPy, with batch normalisation's statistics."""
    model, averaged = tiny.network(), tiny.network(seed=4)
    optimizer = keras.optimizers.Adam(3e-3)
    optimizer.build(model.trainable_variables)
    after = moving_average(model, averaged, 0.3, optimizer.iterations)
    step = compiled_train_step(model, optimizer, input_size=64, after=after, **options)
    expected = {name: weight.astype(np.float64) for name, weight in weights_of(model).items()}
    for number, batch in enumerate(squares(8, 2)):
        step(batch)
        keep = min(0.3, (1 + number) / (10 + number))
        expected = {name: keep * expected[name] + (1 - keep) * new for name, new in weights_of(model).items()}
    found = weights_of(averaged)
    assert any(name.endswith("moving_variance") for name in found)
    for name, weight in expected.items():
        np.testing.assert_allclose(found[name], weight, rtol=float64.RTOL, atol=1e-12, err_msg=name)
    assert not np.array_equal(found["head_8/kernel"], model.get_layer("head_8").kernel.numpy())


@pytest.mark.slow
def test_weight_decay_shrinks_kernels_and_nothing_else(
    in_float64: None, options: Any, squares: Any, tiny: Any
) -> None:
    """The same step with and without: kernels differ by rate times decay times themselves, the rest not at all."""
    (batch,) = squares(2, 2)
    after: list[dict[str, np.ndarray]] = []
    for decay in (0.0, 0.5):
        model = network()  # the real one: its names are what decay goes by
        params = Train(epochs=1, lr_init=1e-2, lr_end=1e-2, warmup_epochs=0, weight_decay=decay)
        start = weights_of(model)
        train_step(model, make_optimizer(params, model, steps=10), batch, **options)
        after.append(weights_of(model))
    plain, decayed = after
    for name, weight in start.items():
        if name.endswith("/kernel"):
            np.testing.assert_allclose(decayed[name] - plain[name], -0.5 * 1e-2 * weight, atol=1e-9, err_msg=name)
        else:
            np.testing.assert_allclose(decayed[name], plain[name], rtol=0, atol=1e-9, err_msg=name)


@pytest.mark.slow
def test_a_long_gradient_is_shortened_to_the_bound_and_a_short_one_left(
    in_float64: None, options: Any, squares: Any, tiny: Any
) -> None:
    (batch,) = squares(2, 2)

    def step(clip_norm: float) -> tuple[float, float]:
        """The norm that is reported, and how far the weights moved, in units of the rate."""
        model = tiny.network()
        before = [variable.numpy() for variable in model.trainable_variables]
        losses = train_step(model, keras.optimizers.SGD(1e-4), batch, clip_norm=clip_norm, **options)
        moved = [variable.numpy() - old for variable, old in zip(model.trainable_variables, before, strict=True)]
        return float(losses["gradient_norm"]), np.sqrt(sum((part**2).sum() for part in moved)) / 1e-4

    norm, length = step(0.0)
    assert length == pytest.approx(norm, rel=1e-8)
    for share in (0.01, 0.5, 2.0):
        assert step(share * norm) == pytest.approx((norm, min(1.0, share) * norm), rel=1e-8)


@pytest.mark.slow
def test_class_weights_scale_the_class_term_alone(in_float64: None, options: Any, squares: Any, tiny: Any) -> None:
    model = tiny.network()
    for batch in squares(6, 1):
        kind = int(batch["classes"][0, 0])
        plain = eval_step(model, batch, **options)
        weighted = eval_step(model, batch, class_weights=[3.0, 0.25], **options)
        assert float(weighted["prob_loss"]) == pytest.approx(float(plain["prob_loss"]) * (3.0, 0.25)[kind], rel=1e-9)
        for name in ("giou_loss", "conf_loss"):
            assert float(weighted[name]) == pytest.approx(float(plain[name]), rel=1e-9)


def test_inverse_square_roots_keep_the_scale_of_the_loss() -> None:
    boxes = np.array([372, 4153, 361])
    weights = np.array(inverse_sqrt_weights(boxes))
    assert (weights * boxes).sum() == pytest.approx(boxes.sum())
    np.testing.assert_allclose(weights[0] / weights[1], np.sqrt(4153 / 372))


@pytest.mark.slow
@pytest.mark.skipif(
    "ONEDNN_MAX_CPU_ISA" in os.environ,
    reason="oneDNN refuses the type, while TensorFlow still sees the real processor",
)
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_computes_short_and_keeps_long(options: Any, squares: Any, tiny: Any, policy: str) -> None:
    params = Train(epochs=10, lr_init=3e-3, warmup_epochs=0, precision=policy)
    with precision(policy):
        whole, model = network(), tiny.network()
        optimizer = make_optimizer(params, model, steps=4)
    assert keras.config.dtype_policy().name == "float32"
    kinds = {
        layer.name.split("_")[0]: layer.compute_dtype
        for layer in whole.layers
        if isinstance(layer, keras.layers.Conv2D)
    }
    short = policy.removeprefix("mixed_")
    assert kinds == {"backbone": short, "neck": short, "head": "float32"}
    assert all(np.isfinite(output).all() for output in whole(squares(2, 2)[0]["image"] / 255, training=True))
    (first, *_) = (layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    assert first.compute_dtype == short
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert all(output.dtype == "float32" for output in model.outputs)
    step = compiled_train_step(model, optimizer, input_size=64, **options)
    results = np.array([step(batch) for _ in range(5) for batch in squares(8, 2)])
    assert np.isfinite(results).all(), "also the gradient's norm: left-out updates are part of float16"
    assert results[-4:, 0].mean() < 0.8 * results[:4, 0].mean()
    assert results[:, 4].max() == pytest.approx(3e-3, rel=1e-2)


@pytest.mark.parametrize(
    ("norm", "scale", "seen"),
    [(2.0, None, 2.0), (np.nan, None, np.nan), (np.inf, 1024.0, 0.0), (3.0, 1024.0, 3.0), (np.nan, 1.0, np.nan)],
)
def test_a_left_out_update_is_no_alarm_until_the_scale_is_used_up(norm: float, scale: Any, seen: float) -> None:
    found = _reported(tf.constant(norm), None if scale is None else tf.constant(scale))
    np.testing.assert_equal(float(found), seen)


@pytest.mark.slow
def test_several_sizes_need_one_trace_and_give_what_each_alone_gives(
    in_float64: None, float64: Any, options: Any, squares: Any, tiny: Any
) -> None:
    model = tiny.network()
    weights = model.get_weights()
    batch = squares(2, 2)[0]
    larger = {**batch, "image": tf.repeat(tf.repeat(batch["image"], 2, 1), 2, 2)}
    several = compiled_train_step(model, keras.optimizers.SGD(0.0), input_size=None, **options)
    for size, some in ((64, batch), (128, larger)):
        model.set_weights(weights)
        alone = compiled_train_step(model, keras.optimizers.SGD(0.0), input_size=size, **options)(some)
        model.set_weights(weights)
        np.testing.assert_allclose(several(some)[:4], alone[:4], rtol=float64.RTOL)
    assert several.experimental_get_tracing_count() == 1


def test_sizes_are_drawn_for_each_batch_and_again_the_same() -> None:
    draw: Callable[..., list[int]] = lambda **more: sizes_of_epoch((320, 416, 608), **{"seed": 1, "epoch": 0} | more)  # noqa: E731
    sizes = draw(steps=3000)
    assert sizes == draw(steps=3000)
    assert sizes != draw(steps=3000, epoch=1)
    assert sizes != draw(steps=3000, seed=2)
    counts = [sizes.count(size) for size in (320, 416, 608)]
    assert sum(counts) == 3000
    assert min(counts) > 900


def log(epoch: int, train: float, val: float) -> EpochLog:
    both = [dict.fromkeys(LOSS_NAMES, value) for value in (train, val)]
    return EpochLog(epoch, 10, 1e-3, *both)


@pytest.mark.parametrize(
    ("train", "val", "seen"),
    [
        ([9, 5, 3, 2, 1], [9, 6, 5, 6, 8], ["overfits"]),
        ([9, 5, 3, 2, 1], [9, 6, 5, 4, 3], ["still learning"]),
        ([9, 5, 3, 2.9, 2.9], [9, 6, 4, 3.9, 3.88], []),
        ([9, 9, 8.8, 8.9, 8.8], [9, 9, 9, 9, 9], ["learns little"]),
        ([9], [9], []),
    ],
)
def test_advice_follows_from_the_numbers(train: list[float], val: list[float], seen: list[str]) -> None:
    history = [log(number, *both) for number, both in enumerate(zip(train, val, strict=True), start=1)]
    assert list(advice(history, QUIET)) == seen
    assert list(advice(history, Speed(100.0, 0.3))) == [*seen, "slow input"]


@pytest.mark.slow
def test_xla_computes_the_same(in_float64: None, float64: Any, options: Any, squares: Any, tiny: Any) -> None:
    batch, results = squares(2, 2)[0], []
    for jit in (False, True):
        model = tiny.network()
        step = compiled_train_step(model, keras.optimizers.SGD(1e-3), input_size=64, jit_compile=jit, **options)
        results.append(np.array([step(batch) for _ in range(2)]))
    np.testing.assert_allclose(results[0], results[1], rtol=float64.RTOL)


def test_the_params_say_why(repo: Path) -> None:
    """Every recipe is off by default: what the demo gives is what it gave."""
    plain = Train()
    assert (plain.ema, plain.weight_decay, plain.clip_norm, plain.early_stop_epochs) == (0, 0, 0, 0)
    assert (plain.sizes, plain.class_weights, plain.best_by, plain.precision) == ("one", "none", "loss", "float32")
