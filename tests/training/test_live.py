"""Logs that are not outputs: DVCLive's files, and sheets of predictions in TensorBoard."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from yolopipe.training.epoch_plan import EpochLog
from yolopipe.training.live import LiveLog
from yolopipe.training.logs import TensorBoardLog
from yolopipe.training.step import LOSS_NAMES


def history(epochs: int) -> list[EpochLog]:
    losses = [dict.fromkeys(LOSS_NAMES, 1.0 / number) for number in range(1, epochs + 1)]
    return [EpochLog(number, 9, 0.1 / number, loss, loss) for number, loss in enumerate(losses, start=1)]


@pytest.fixture
def in_dvc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in which DVC seems to be running the stage."""
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=tmp_path, check=True)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", *identity, "commit", "-qm", "start"], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_STAGE", "train")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path


def test_without_dvc_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DVC_STAGE", raising=False)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    LiveLog("live").epochs(history(2))
    assert [path.name for path in tmp_path.iterdir()] == [".git"]


@pytest.mark.slow
def test_each_epoch_is_logged_once_and_no_other_file_changes(in_dvc: Path) -> None:
    """A resumed run logs the earlier epochs first."""
    logs = history(4)
    live = LiveLog(in_dvc / ".yolopipe/live")
    live.epochs(logs[:2])
    live.epochs(logs[:2])
    live.epochs(logs[:3])
    live.epochs(logs)
    rows = (in_dvc / ".yolopipe/live/plots/metrics/val/total_loss.tsv").read_text().splitlines()
    assert [row.split("\t")[0] for row in rows] == ["step", "1", "2", "3", "4"]
    assert float(rows[4].split("\t")[1]) == 0.25
    changed = subprocess.run(["git", "status", "--short"], cwd=in_dvc, capture_output=True, text=True, check=True)
    assert changed.stdout.split() == ["??", ".yolopipe/"]


@pytest.mark.slow
def test_a_log_that_cannot_be_written_warns_once_and_stops_nothing(
    in_dvc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (in_dvc / "live").write_text("a file where the folder should be")
    live = LiveLog(in_dvc / "live")
    live.epochs(history(1))
    live.epochs(history(2))
    assert capsys.readouterr().err.count("DVCLive") == 1


def test_a_sheet_is_an_image_in_tensorboard(tmp_path: Path) -> None:
    sheet = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    with TensorBoardLog(tmp_path) as board:
        board.picture(12, sheet)
    events = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0})
    events.Reload()
    (event,) = events.Tensors("predictions")
    width, height, png = tf.make_ndarray(event.tensor_proto)
    assert (event.step, int(width), int(height)) == (12, 8, 6)
    np.testing.assert_array_equal(tf.io.decode_png(png), sheet)
