from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from yolopipe.training.epoch_plan import EpochLog, EpochPlan
from yolopipe.training.logs import TensorBoardLog
from yolopipe.training.loop import READ_BEHIND, LossReader, fit
from yolopipe.training.nonfinite import NonFiniteError, Place

HERE = Place(3, 9)


def result(total: float, lr: float = 1.0, norm: float = 1.0) -> np.ndarray:
    return np.array([total, total / 2, total / 4, total / 4, lr, norm], np.float32)


def batch_of(*rows: int) -> dict[str, Any]:
    return {"image": [0] * len(rows), "row": np.array(rows)}


def test_means_weigh_images_not_batches() -> None:
    reader = LossReader(HERE)
    for total, images in ((4.0, 3), (8.0, 1)):
        reader.add(result(total), range(images))
    assert reader.finish() == {"total_loss": 5.0, "giou_loss": 2.5, "conf_loss": 1.25, "prob_loss": 1.25}
    assert LossReader(HERE).finish()["total_loss"] == 0.0


def test_reads_late_but_everything_in_order() -> None:
    read: list[int] = []
    reader = LossReader(HERE, 11, lambda step, values: read.append(step))
    for _ in range(20):
        reader.add(result(1), [0])
    assert read == list(range(11, 31 - READ_BEHIND))
    reader.finish()
    assert read == list(range(11, 31))


class NotAFloatYet:
    """Results too new to be read without stalling a GPU."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise AssertionError("read too early")


def test_never_waits_for_the_newest_results() -> None:
    reader = LossReader(HERE)
    for _ in range(READ_BEHIND):
        reader.add(NotAFloatYet(), NotAFloatYet())


@pytest.mark.parametrize(
    ("values", "term"),
    [
        ([np.nan, 1, np.nan, 1], "conf_loss"),
        ([np.inf, np.inf, 1, np.nan], "giou_loss"),
        ([np.nan, 1, 1, np.nan, 1, np.nan], "prob_loss"),
        ([np.inf, 1, 1, 1], "total_loss"),
        ([3, 1, 1, 1, 1e-3, np.inf], "gradient_norm"),
    ],
)
def test_the_first_bad_value_is_named_with_its_batch(values: list[float], term: str) -> None:
    reader = LossReader(HERE, 21)
    for number in range(5):
        reader.add(result(1), [number, 90])
    reader.add(np.array(values), np.array([5, 17]))
    reader.add(np.full(6, np.nan), [6, 18])
    with pytest.raises(NonFiniteError, match=rf"\b3/9 .*\b26: {term}\b") as caught:
        reader.finish()
    error = caught.value
    assert (error.exit_code, error.place, error.step, error.term, error.rows) == (5, HERE, 26, term, [5, 17])


class Run:
    """Fake steps: the loss of step n is ``losses`` or 1 / n, the validation loss of epoch e is ``val[e - 1]``."""

    def __init__(self, tmp_path: Path, losses: dict[int, float] | None = None, epochs: int = 3, **rules: Any) -> None:
        self.seen: list[int] = []
        self.saved: list[EpochLog] = []
        self.losses, self.tmp_path = losses or {}, tmp_path
        self.batches = [batch_of(0, 1, 2, 3), batch_of(4, 5, 6, 7), batch_of(8, 9)]
        self.plan = EpochPlan(epochs, 10, 3, self.train_batches, lambda: self.batches[:2], **rules)

    def train_batches(self, epoch: int) -> list[Any]:
        self.seen.append(epoch)
        return self.batches

    def fit(self, history: Any = (), val: Any = (), score: Any = None) -> list[EpochLog]:
        steps = iter(range(3 * len(history) + 1, 100))

        def train_step(batch: Any) -> np.ndarray:
            number = next(steps)
            return result(self.losses.get(number, 1 / number), 0.5 / number)

        def eval_step(batch: Any) -> np.ndarray:
            return result(val[self.seen[-1]] if val else 7)[:4]

        with TensorBoardLog(self.tmp_path) as board:
            logs, speed = fit(
                self.plan,
                train_step,
                eval_step,
                board=board,
                on_epoch=lambda history: self.saved.append(history[-1]),
                history=history,
                score=score,
            )
        assert speed.images_per_second >= 0
        assert 0 <= speed.waiting <= 1
        return logs


def test_every_epoch_is_trained_validated_saved_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(tmp_path)
    history = run.fit()
    assert run.seen == [0, 1, 2]
    assert run.saved == history
    assert [log.epoch for log in history] == [1, 2, 3]
    assert history[0].train["total_loss"] == pytest.approx((4 * 1 + 4 / 2 + 2 / 3) / 10)
    assert history[2].train["total_loss"] == pytest.approx((4 / 7 + 4 / 8 + 2 / 9) / 10)
    assert [log.lr for log in history] == pytest.approx([0.5 / 3, 0.5 / 6, 0.5 / 9])
    assert all(log.val["total_loss"] == 7 for log in history)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert all("10/10 images" in line and "val 7" in line and "giou" in line for line in lines)


def test_stops_at_the_bad_step_and_keeps_what_was_saved(tmp_path: Path) -> None:
    run = Run(tmp_path, {5: np.nan})
    with pytest.raises(NonFiniteError) as caught:
        run.fit()
    error = caught.value
    assert (error.place, error.step, error.term) == (Place(2, 3), 5, "giou_loss")
    assert error.rows == [4, 5, 6, 7]
    assert [log.epoch for log in run.saved] == [1]


def test_goes_on_after_the_epochs_of_an_earlier_run(tmp_path: Path) -> None:
    whole = Run(tmp_path / "a").fit()
    run = Run(tmp_path / "b")
    assert run.fit(history=whole[:2]) == whole
    assert run.seen == [2]
    run = Run(tmp_path / "c")
    assert run.fit(history=whole) == whole
    assert run.seen == []


def test_validates_every_so_many_epochs_and_after_the_last(tmp_path: Path) -> None:
    history = Run(tmp_path, epochs=5, val_every=2).fit()
    assert [bool(log.val) for log in history] == [False, True, False, True, True]


def test_scores_are_part_of_validation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = iter([0.25, 0.5])
    history = Run(tmp_path, epochs=4, val_every=2).fit(score=lambda: next(scores))
    assert [log.val.get("mAP") for log in history] == [None, 0.25, None, 0.5]
    assert "mAP 0.500" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("val", "patience", "every", "last"),
    [
        ([5, 4, 3, 2, 1, 1, 1], 2, 1, 7),  # better until epoch 5, and two more are waited for
        ([5, 3, 4, 4, 4, 4, 4], 2, 1, 4),
        ([5, 3, 4, 4, 2, 4, 4], 3, 1, 7),
        ([5, 3, 4, 4, 4, 4, 4], 0, 1, 7),
        ([5, 3, 4, 4, 4, 4, 4], 1, 2, 4),  # nothing new is known after epoch 3
        ([3, 3, 3, 3, 3, 3, 3], 2, 1, 3),  # equal is not better
    ],
)
def test_stops_when_the_best_epoch_is_long_ago(
    tmp_path: Path, val: list[float], patience: int, every: int, last: int
) -> None:
    run = Run(tmp_path, epochs=7, early_stop_epochs=patience, val_every=every)
    history = run.fit(val=val)
    assert len(history) == last
    again = Run(tmp_path, epochs=7, early_stop_epochs=patience, val_every=every)
    assert again.fit(history=history[:-1], val=val) == history, "a resumed run stops at the same epoch"


def test_stops_early_by_map(tmp_path: Path) -> None:
    scores = iter([0.1, 0.3, 0.2, 0.1, 0.9])
    run = Run(tmp_path, epochs=5, early_stop_epochs=2, best_by="mAP")
    assert len(run.fit(val=[9, 8, 7, 6, 5], score=lambda: next(scores))) == 4


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_the_share_of_time_spent_waiting_for_input_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    monkeypatch.setattr("yolopipe.training.speed.time", clock)

    def slow_batches(epoch: int) -> Iterator[Any]:
        for _ in range(4):
            clock.now += 3 if epoch == 0 else 0
            yield batch_of(*range(5))

    def step(batch: Any) -> np.ndarray:
        clock.now += 1
        return result(1)

    plan = EpochPlan(2, 20, 4, slow_batches, lambda: [batch_of(0)])
    with TensorBoardLog(tmp_path) as board:
        _, speed = fit(plan, step, lambda batch: result(1)[:4], board=board, on_epoch=lambda log: None)
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("waiting for input 75 %")
    assert second.endswith("waiting for input 0 %")
    assert speed.waiting == pytest.approx(12 / 20)
    assert speed.images_per_second == pytest.approx(7 * 5 / (3 * 4 + 4))  # without the first step
