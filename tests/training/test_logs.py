from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from yolopipe.files import canonical_json
from yolopipe.training.epoch_plan import EpochLog, best_epoch
from yolopipe.training.logs import TensorBoardLog, loss_text, train_metrics, write_curves
from yolopipe.training.step import LOSS_NAMES


def losses(total: float) -> dict[str, float]:
    return dict(zip(LOSS_NAMES, (total, total / 2, total / 4, total / 4), strict=True))


@pytest.fixture
def history() -> list[EpochLog]:
    return [
        EpochLog(n, 4, 1e-3 / n, losses(10.0 / n), losses(value)) for n, value in enumerate((5, 3, 4, 3), start=1)
    ]


def test_curves_hold_every_epoch(history: list[EpochLog], tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train/old.csv").write_text("of an earlier run")
    write_curves(tmp_path / "train", history)
    assert [file.name for file in (tmp_path / "train").iterdir()] == ["curves.csv"]
    with (tmp_path / "train/curves.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = [f"{split}_{name}" for split in ("train", "val") for name in LOSS_NAMES]
    assert list(rows[0]) == ["epoch", "lr", *wanted]
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert [float(row["val_total_loss"]) for row in rows] == [5, 3, 4, 3]
    assert float(rows[2]["train_giou_loss"]) == pytest.approx(10 / 3 / 2, rel=1e-6)


def test_the_same_history_gives_the_same_bytes(history: list[EpochLog], tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_curves(tmp_path / name, history)
    assert (tmp_path / "a/curves.csv").read_bytes() == (tmp_path / "b/curves.csv").read_bytes()


def test_best_is_the_earliest_lowest_validation_loss(history: list[EpochLog]) -> None:
    assert best_epoch(history).epoch == 2
    metrics = train_metrics(history)
    assert (metrics["epochs"], metrics["best_epoch"]) == (4, 2)
    assert metrics["train_loss"] == 2.5
    assert metrics["best_val_loss"] == metrics["val_loss"] == 3.0
    assert json.loads(canonical_json(metrics)) == metrics


def test_best_by_map_is_the_earliest_highest(history: list[EpochLog], tmp_path: Path) -> None:
    scores = (0.2, 0.1, 0.4, 0.4)
    scored = [replace(log, val={**log.val, "mAP": score}) for log, score in zip(history, scores, strict=True)]
    assert best_epoch(scored, "mAP").epoch == 3
    assert train_metrics(scored, "mAP")["best_mAP"] == 0.4
    assert train_metrics(scored, "mAP")["best_val_loss"] == 4.0
    write_curves(tmp_path / "train", scored)
    assert (tmp_path / "train/curves.csv").read_text().splitlines()[0].endswith(",val_mAP")


def test_epochs_without_validation_are_blank_and_never_the_best(history: list[EpochLog], tmp_path: Path) -> None:
    sparse = [replace(history[0], val={}), replace(history[1], val={}), *history[2:]]
    assert best_epoch(sparse[:2]) is None
    assert best_epoch(sparse).epoch == 4
    write_curves(tmp_path / "train", sparse)
    header, first, *_ = (tmp_path / "train/curves.csv").read_text().splitlines()
    assert first.endswith(",,,,")
    assert header.count(",") == first.count(",")


def test_metrics_say_when_the_first_epochs_had_a_shorter_schedule(history: list[EpochLog]) -> None:
    assert "continued_from_epoch" not in train_metrics(history)
    continued = [*(replace(log, epochs=2) for log in history[:2]), *history[2:]]
    assert train_metrics(continued)["continued_from_epoch"] == 2


def test_the_losses_on_one_line() -> None:
    assert re.findall(r"\d+", loss_text(losses(8))) == ["8", "4", "2", "2"]


def test_tensorboard_reads_all_tags(history: list[EpochLog], tmp_path: Path) -> None:
    with TensorBoardLog(tmp_path) as board:
        for number in (1, 2):
            board.step(number, {**losses(3 - number), "lr": number * 1e-4, "gradient_norm": 2.0})
        board.epoch(2, history[0])
    events = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0})
    events.Reload()
    tags = events.Tags()["tensors"]
    assert set(tags) == {
        "lr",
        "gradient_norm",
        *(f"loss/{name}" for name in LOSS_NAMES),
        *(f"val/{name}" for name in LOSS_NAMES),
    }
    totals = [(e.step, float(tf.make_ndarray(e.tensor_proto))) for e in events.Tensors("loss/total_loss")]
    assert totals == [(1, 2.0), (2, 1.0)]
