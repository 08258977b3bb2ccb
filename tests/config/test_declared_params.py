"""The recording of params that ``tests/stages/test_train.py`` runs the five stages with, and the sample's run."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from tests.helpers.recording_config import recording, run_as_declared, undeclared
from yolopipe.config.params import Config
from yolopipe.stages import sample


def test_the_sample_reads_what_it_declares(
    drawn: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = drawn.make_config(sample={"train_images": 1, "val_images": 1, "size": 32})
    assert run_as_declared(sample, config).report


def test_the_recording_sees_helpers_and_every_way_to_read(drawn: ModuleType) -> None:
    def helper(config: Config) -> int:
        return config.train.batch_size

    for key, read in {
        "train.batch_size": helper,
        "train.lr_init": lambda config: getattr(config.train, "lr_init"),  # noqa: B009
        "precompute.input_size": lambda config: config.precompute.smallest_size,
        "evaluate.nms_iou": lambda config: config.evaluate.model_dump(include={"nms_iou"}),
        "assignment.anchors": lambda config: config.assignment.model_copy().anchors_px,
        "seed": lambda config: config.seed,
    }.items():
        seen: set[str] = set()
        read(recording(drawn.make_config(), seen))
        assert seen == {key}
        assert undeclared(seen, "augment") == seen - {"seed"}
    seen = set()
    dict(recording(drawn.make_config(), seen).data)
    assert seen == {"data.train", "data.val", "data.classes", "data.images", "data.corrections"}


def test_a_stage_with_a_helper_that_reads_more_is_caught(drawn: ModuleType) -> None:
    def helper(config: Config) -> float:
        return config.parse.min_box_px + config.precompute.smallest_size

    def run(config: Config) -> float:
        return config.augment.flip + config.seed + helper(config)

    config = drawn.make_config()
    parse = SimpleNamespace(__name__="yolopipe.stages.parse", run=helper)
    augment = SimpleNamespace(__name__="yolopipe.stages.augment", run=run)
    assert run_as_declared(parse, config) == 65.0
    with pytest.raises(AssertionError) as caught:
        run_as_declared(augment, config)
    assert {"parse.min_box_px", "precompute.input_size"} <= set(str(caught.value).split("'"))
