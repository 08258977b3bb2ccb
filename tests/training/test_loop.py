from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from yolopipe.errors import YolopipeError
from yolopipe.training.logs import EpochLog, TensorBoardLog
from yolopipe.training.loop import READ_BEHIND, Course, LossReader, fit


def result(total: float) -> np.ndarray:
    return np.array([total, total / 2, total / 4, total / 4], np.float32)


def test_means_weigh_images_not_batches() -> None:
    reader = LossReader("here")
    for total, images in ((4.0, 3), (8.0, 1)):
        reader.add(result(total), images)
    assert reader.finish() == {"total_loss": 5.0, "giou_loss": 2.5, "conf_loss": 1.25, "prob_loss": 1.25}
    assert LossReader("here").finish()["total_loss"] == 0.0


def test_reads_late_but_everything_in_order() -> None:
    read: list[int] = []
    reader = LossReader("here", 11, lambda step, losses, rest: read.append(step))
    for _ in range(20):
        reader.add(result(1), 1)
    assert read == list(range(11, 31 - READ_BEHIND))
    reader.finish()
    assert read == list(range(11, 31))


class NotAFloatYet:
    """Reading the youngest results would stall a GPU: they must not be touched."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise AssertionError("read too early")


def test_never_waits_for_the_newest_results() -> None:
    reader = LossReader("here")
    for _ in range(READ_BEHIND):
        reader.add(NotAFloatYet(), 1)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ([np.nan, 1, np.nan, 1], "conf_loss is nan"),
        ([np.inf, np.inf, 1, np.nan], "giou_loss is inf"),
        ([np.nan, 1, 1, np.nan], "prob_loss is nan"),
        ([np.inf, 1, 1, 1], "total_loss is inf"),
    ],
)
def test_the_first_bad_loss_is_named(values: list[float], name: str) -> None:
    reader = LossReader("epoch 3/9 (training)", 21)
    for _ in range(5):
        reader.add(result(1), 2)
    reader.add(np.array(values), 2)
    reader.add(np.full(4, np.nan), 2)
    with pytest.raises(YolopipeError, match=rf"epoch 3/9 \(training\), step 26: {name}") as caught:
        reader.finish()
    assert caught.value.exit_code == 5


def _fit(
    tmp_path: Path, losses: dict[int, float], epochs: int = 3
) -> tuple[list[EpochLog], list[EpochLog], list[Any]]:
    """Fake steps: batches are numbers, the loss of step n is ``losses`` or 1 / n."""
    seen: list[Any] = []
    batches = [{"image": [0] * 4}, {"image": [0] * 4}, {"image": [0] * 2}]
    steps = iter(range(1, 100))

    def train_step(batch: Any) -> np.ndarray:
        number = next(steps)
        return np.array([*result(losses.get(number, 1 / number)), 0.5 / number])

    def train_batches(epoch: int) -> list[Any]:
        seen.append(epoch)
        return batches

    saved: list[EpochLog] = []
    course = Course(epochs, 10, train_batches, lambda: batches[:2])
    with TensorBoardLog(tmp_path) as board:
        history, speed = fit(course, train_step, lambda batch: result(7), board=board, on_epoch=saved.append)
    assert speed.images_per_second > 0
    assert 0 <= speed.waiting <= 1
    return history, saved, seen


def test_every_epoch_is_trained_validated_saved_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    history, saved, seen = _fit(tmp_path, {})
    assert seen == [0, 1, 2]
    assert saved == history
    assert [log.epoch for log in history] == [1, 2, 3]
    assert history[0].train["total_loss"] == pytest.approx((4 * 1 + 4 / 2 + 2 / 3) / 10)
    assert history[2].train["total_loss"] == pytest.approx((4 / 7 + 4 / 8 + 2 / 9) / 10)
    assert [log.lr for log in history] == pytest.approx([0.5 / 3, 0.5 / 6, 0.5 / 9])
    assert all(log.val["total_loss"] == 7 for log in history)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert all("10/10 images" in line and "val 7" in line and "giou" in line for line in lines)


def test_stops_at_the_bad_step_and_keeps_what_was_saved(tmp_path: Path) -> None:
    with pytest.raises(YolopipeError, match=r"epoch 2/3 \(training\), step 5: giou_loss is nan"):
        _fit(tmp_path, {5: np.nan})


class Clock:
    """Time that passes only where the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_the_share_of_time_spent_waiting_for_input_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    monkeypatch.setattr("yolopipe.training.loop.time", clock)

    def slow_batches(epoch: int) -> Iterator[Any]:
        for _ in range(4):
            clock.now += 3 if epoch == 0 else 0
            yield {"image": [0] * 5}

    def step(batch: Any) -> np.ndarray:
        clock.now += 1
        return np.array([*result(1), 0.1])

    course = Course(2, 20, slow_batches, lambda: [{"image": [0]}])
    with TensorBoardLog(tmp_path) as board:
        _, speed = fit(course, step, lambda batch: result(1), board=board, on_epoch=lambda log: None)
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("waiting for input 75 %")
    assert second.endswith("waiting for input 0 %")
    assert speed.waiting == pytest.approx(12 / 20)
    assert speed.images_per_second == pytest.approx(7 * 5 / (3 * 4 + 4))  # without the first step
