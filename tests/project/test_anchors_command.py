"""``yolopipe anchors``: the fit of the anchors in use, and a proposal that can be pasted into ``params.yaml``."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from ruamel.yaml import YAML

from yolopipe.cli import app, guarded
from yolopipe.config.params import Config
from yolopipe.config.params_file import load_config
from yolopipe.labels.anchors import anchor_text
from yolopipe.labels.boxes import pairwise_iou
from yolopipe.project.propose_anchors import advise, run
from yolopipe.tables import PARSED_SCHEMA, write_table

PARAMS = "data:\n  train: t.txt\n  val: v.txt\n  classes: c.names\n  images: i\n"
DATA = {"train": "t.txt", "val": "v.txt", "classes": "c.names", "images": "i"}
COCO = np.array([10, 13, 16, 30, 33, 23, 30, 61, 62, 45, 59, 119, 116, 90, 156, 198, 373, 326.0]).reshape(3, 3, 2)


def call(*arguments):
    return guarded(lambda: app(["anchors", *arguments], standalone_mode=False))


def write_parsed(images, boxes_each, seed=0):
    """``data/parsed/train.parquet`` of images of different sizes; the box sizes as letterboxed to 416 px."""
    random = np.random.default_rng(seed)
    rows, sizes = [], []
    for index in range(images):
        width, height = (int(side) for side in random.integers(200, 1200, 2))
        corners = np.sort(random.uniform(0, 1, (boxes_each, 2, 2)), axis=1) * [width, height]
        boxes = corners.reshape(-1, 4).astype(np.float32)
        sizes += [
            ((x2 - x1) * 416 / max(width, height), (y2 - y1) * 416 / max(width, height)) for x1, y1, x2, y2 in boxes
        ]
        rows.append(
            {
                **{"image": f"{index}.jpg", "line": index + 1, "width": width, "height": height, "orientation": 1},
                **{"boxes_xyxy": boxes.tolist(), "classes": [0] * boxes_each},
                **{"ignore": [False] * boxes_each, "origin": [[index + 1, 9]] * boxes_each},
            }
        )
    Path("data/parsed").mkdir(parents=True, exist_ok=True)
    write_table("data/parsed/train.parquet", pa.Table.from_pylist(rows, schema=PARSED_SCHEMA), ["a"])
    return np.array(sizes, np.float64).reshape(-1, 2)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(PARAMS)


def test_the_fit_of_the_anchors_in_use(tmp_path):
    sizes = write_parsed(30, 4)
    advice = run(Config(data=DATA))
    boxes, anchors = (np.hstack([np.zeros_like(wh), wh]) for wh in (sizes, COCO.reshape(9, 2)))
    best = pairwise_iou(boxes, anchors).max(axis=1)
    assert (advice.boxes, advice.size) == (120, 416)
    assert advice.present.mean_best_iou == pytest.approx(best.mean(), rel=1e-5)
    assert dict(advice.present.recall)[0.5] == pytest.approx((best >= 0.5).mean())
    assert advice.proposal.mean_best_iou > advice.present.mean_best_iou
    assert advice.warnings == ()


def test_the_printed_proposal_can_be_pasted(capsys):
    write_parsed(30, 4)
    before = Path("params.yaml").read_bytes()
    assert call() == 0
    shown = capsys.readouterr().out
    assert Path("params.yaml").read_bytes() == before, "changes nothing itself"
    block = shown[shown.index("assignment:") :]
    Path("params.yaml").write_text(PARAMS + block)
    config = load_config("params.yaml")
    advice = run(config)
    assert [anchor_text(anchor) for anchor in advice.present.anchors_wh] == list(config.assignment.anchors)
    assert advice.present.mean_best_iou == pytest.approx(advice.proposal.mean_best_iou)
    assert advice.warnings == ()
    assert set(YAML(typ="safe").load(block)) == {"assignment"}


def test_json(capsys):
    write_parsed(30, 4)
    assert call("--json", "--size", "608") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["size"] == 608
    assert report["gain"] == pytest.approx(report["proposal"]["mean_best_iou"] - report["present"]["mean_best_iou"])
    assert YAML(typ="safe").load(report["yaml"])["assignment"]["anchors"] == report["proposal"]["anchors"]
    assert sum(report["present"]["share"]) == pytest.approx(1)


def test_sizes_scale_with_the_input():
    write_parsed(20, 4)
    small, large = (run(Config(data=DATA, precompute={"input_size": [320, size]})) for size in (416, 832))
    assert large.size == 832
    np.testing.assert_allclose(large.proposal.anchors_wh, 2 * np.array(small.proposal.anchors_wh), atol=1.5)


@pytest.mark.parametrize("k", [1, 3, 12])
def test_another_number_of_anchors_is_for_comparison(capsys, k):
    write_parsed(30, 4)
    assert call("--k", str(k)) == 0
    assert "assignment:" not in capsys.readouterr().out


def test_anchors_out_of_order():
    sizes = np.random.default_rng(0).uniform(10, 300, (50, 2))
    advice = advise(sizes, COCO[::-1], k=9, size=416)
    assert [("stride 8" in text, "stride 16" in text, "stride 32" in text) for text in advice.warnings] == [
        (True, True, False),
        (False, True, True),
    ]
    swapped = COCO.copy()
    swapped[0, 0], swapped[0, 2] = COCO[0, 2], COCO[0, 0]
    assert advise(sizes, swapped, k=9, size=416).warnings == (), "the order within a stride does not matter"


def test_small_anchors_have_one_decimal():
    sizes = np.array([[2.25, 3.5], [40.4, 60.6]])
    assert [anchor_text(anchor) for anchor in advise(sizes, COCO, k=2, size=416).proposal.anchors_wh] == [
        "2.2x3.5",
        "40x61",
    ]


@pytest.mark.parametrize(
    ("prepare", "arguments", "code", "words"),
    [
        (lambda: None, [], 4, "yolopipe parse"),
        (lambda: write_parsed(3, 0), [], 4, "data/parsed"),
        (lambda: write_parsed(2, 2), [], 4, "4 "),
        (lambda: write_parsed(9, 2), ["--k", "0"], 2, "--k"),
        (lambda: write_parsed(9, 2), ["--size", "400"], 2, "--size"),
        (lambda: Path("params.yaml").unlink(), [], 3, "params.yaml"),
    ],
)
def test_errors(capsys, prepare, arguments, code, words):
    prepare()
    assert call(*arguments) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert words in shown.err
