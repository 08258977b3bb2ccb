"""The page's parts in Python: what is chosen, packed, drawn and written."""

from __future__ import annotations

import base64
import io
import json
import re
import runpy
import struct
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType, SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from yolopipe.cli import app, guarded
from yolopipe.errors import UsageError
from yolopipe.inspection.checks.check_report import Check, CheckReport, Hit, SplitFacts
from yolopipe.inspection.label_page import Limits, anchor_charts
from yolopipe.inspection.label_page import label_charts as charts
from yolopipe.inspection.label_page.label_data import left_out, page_data
from yolopipe.inspection.label_page.packing import FORCED, pack
from yolopipe.inspection.label_page.selection import Selection, flagged_images
from yolopipe.labels.anchors import AnchorFit
from yolopipe.shards.manifest import load_manifest
from yolopipe.shards.reader import read_rows
from yolopipe.shards.targets import assigned_batches, box_targets

samples = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("page_samples.py"))))


@pytest.fixture(scope="module")
def shards() -> ModuleType:
    """Shard builder with anchors of unequal sides."""
    return samples.builder()


@pytest.fixture(scope="module")
def folder(shards: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "shards"
    samples.build(shards, path)
    return path


class Parts(HTMLParser):
    """Scripts by type, and every start tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.scripts: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs).get("type", ""), ""))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script":
            kind, text = self.scripts[-1]
            self.scripts[-1] = (kind, text + data)

    def handle_endtag(self, tag: str) -> None:
        self.tags.append((f"/{tag}", {}))


def written(folder: Path, file: Path, **options) -> Parts:
    samples.write(file, folder, **options)
    return Parts(file.read_text(encoding="utf-8"))


# ---- the file


def test_the_file_is_self_contained_and_runs_only_its_own_script(folder: Path, tmp_path: Path) -> None:
    parts = written(folder, tmp_path / "a.html")
    assert [kind for kind, _ in parts.scripts] == ["application/json", "application/json", ""]
    for tag, attributes in parts.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "img"), tag
        assert not any(name.startswith("on") or name in ("src", "style") for name in attributes), (tag, attributes)
        assert attributes.get("href", "#").startswith("#")
    policy = next(a["content"] for tag, a in parts.tags if tag == "meta" and "content-security" in str(a).lower())
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy


def test_data_survives_every_name(folder: Path, tmp_path: Path) -> None:
    parts = written(folder, tmp_path / "a.html")
    text = parts.scripts[0][1]
    assert not set("<>&\u2028") & set(text)
    data = json.loads(text)
    assert data["classes"] == list(samples.CLASSES)
    assert samples.HOSTILE in [image[0] for image in data["images"]]
    pictures = json.loads(parts.scripts[1][1])
    used = [image[9] for image in data["images"] if image[9] >= 0]
    assert used == list(range(len(pictures)))
    assert all(Image.open(io.BytesIO(base64.b64decode(one))).size == (96, 96) for one in pictures)


def test_the_same_input_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    written(folder, tmp_path / "a.html")
    written(folder, tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert str(tmp_path) not in (tmp_path / "a.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["page.png", "page", "html"])
def test_other_suffixes_are_refused(folder: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="writes HTML"):
        written(folder, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_small_limits_are_kept_and_reported(folder: Path) -> None:
    manifest = load_manifest(folder)
    limits = Limits(images=40, pictures=20, large=5, variants=4, copies=3, small_px=32, large_px=64)
    keys = [key for key in flagged_images(samples.report_of(folder, manifest)) if "gone" not in key[1]]
    flagged = {key: rank for rank, key in enumerate(keys)}
    found = samples.images_of(folder, flagged, limits)
    assert len(found.listed) == 40
    sides = [image.picture_px for image in found.listed]
    assert (sides.count(64), sides.count(32), sides.count(0)) == (5, 15, 20)
    assert len(found.variants) == 4
    assert {image.copy for copies in found.variants.values() for image in copies} == {1}
    numbers = [re.findall(r"\d+", sentence) for sentence in left_out(found, manifest, limits)]
    assert numbers == [["40", "72"], ["20", "40"], ["5", "64", "15", "32"], ["4", "69"]]
    assert left_out(samples.images_of(folder, flagged, Limits()), manifest, Limits()) == ()


def test_charts_count_every_image(folder: Path) -> None:
    manifest = load_manifest(folder)
    counts = samples.counts_of(folder, manifest)
    assert counts.images == 72
    rows = [row for split in manifest.splits for row in read_rows(folder, manifest, split, copy=0)]
    centres = np.zeros_like(counts.centres)
    for row in rows:
        for (x1, y1, x2, y2), class_id in zip(row.boxes_xyxy.tolist(), row.classes.tolist(), strict=True):
            column, line = (int((low + high) / 2 // (samples.SIZE / 16)) for low, high in ((x1, x2), (y1, y2)))
            centres[class_id, line, column] += 1
    np.testing.assert_array_equal(counts.centres, centres)
    assert counts.sizes.sum() == sum(len(row.classes) for row in rows)


# ---- which images


@settings(max_examples=150)
@given(data=st.data())
def test_selection_keeps_its_limits_and_prefers_what_is_flagged(data: st.DataObject) -> None:
    total = data.draw(st.integers(0, 60))
    names = [("train", str(number)) for number in range(total)]
    flagged = {
        name: rank for rank, name in enumerate(data.draw(st.permutations(names))[: data.draw(st.integers(0, total))])
    }
    images = data.draw(st.integers(0, 70))
    pictures, large = (data.draw(st.integers(0, 70)) for _ in range(2))
    limits = Limits(images=images, pictures=pictures, large=large)
    selection = Selection(limits, flagged, total)
    depths = {name: selection.depth(name) for name in names}
    for tier, limit in enumerate(limits.tiers, 1):
        inside = [name for name in names if depths[name] >= tier]
        assert len(inside) == min(limit, total)
        assert sum(name in flagged for name in inside) == min(limit, len(flagged))
        assert all(flagged[name] < limit for name in inside if name in flagged)


def test_the_rest_is_sampled_evenly() -> None:
    selection = Selection(Limits(images=10), {}, 1000)
    chosen = [number for number in range(1000) if selection.depth(("train", str(number)))]
    assert np.diff(chosen).tolist() == [100] * 9


def test_errors_come_before_warnings_and_partners_count() -> None:
    def check(severity: str, *hits: Hit) -> Check:
        return Check(severity, severity, len(hits), 9, "images", "", "", hits)

    report = CheckReport(
        (
            check("note", Hit("train", "n", "")),
            check("warning", Hit("train", "w", ""), Hit("train", "e", "")),
            check("error", Hit("train", "e", "", partner=("val", "p"))),
        ),
        (),
        {},
        None,
        None,
    )
    assert list(flagged_images(report)) == [("train", "e"), ("val", "p"), ("train", "w")]


# ---- one image's numbers


def unpacked(text: str) -> tuple[list, list]:
    """The packed columns by ``struct``, in the documented order."""
    raw = base64.b64decode(text)
    boxes, places = struct.unpack_from("<2i", raw)
    layout = f"<2i{4 * boxes}f{4 * places}f{places}f{places}i{boxes}H{places}H{places}H{places}B"
    assert struct.calcsize(layout) == len(raw)
    values = iter(struct.unpack(layout, raw)[2:])

    def take(count: int, width: int = 1) -> list:
        flat = [next(values) for _ in range(count * width)]
        return flat if width == 1 else [tuple(flat[i : i + width]) for i in range(0, len(flat), width)]

    corners, codes, iou, cells = take(boxes, 4), take(places, 4), take(places), take(places)
    classes, owners, takers, kinds = take(boxes), take(places), take(places), take(places)
    return list(zip(corners, classes, strict=True)), list(zip(codes, iou, cells, owners, takers, kinds, strict=True))


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 12))
def test_packed_numbers_decode_to_the_stored_boxes(shards: ModuleType, seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    centres, sides = rng.uniform(20, 70, (count, 2)), rng.uniform(3, 38, (count, 2))
    row = shards.build_row(
        "a", np.concatenate([centres - sides / 2, centres + sides / 2], 1).tolist(), [1] * count, size=96
    )
    targets = box_targets(row, _manifest(shards))
    boxes, places = unpacked(pack(targets, strides=(8, 16, 32), input_size=96))
    assert [corners for corners, _ in boxes] == [box.box_xyxy for box in targets]
    assert [class_id for _, class_id in boxes] == [1] * count
    expected = [(box, place) for box in targets for place in box.places]
    for (codes, iou, cell, owner, taker, kind), (box, place) in zip(places, expected, strict=True):
        stride = (8, 16, 32)[kind & 3]
        grid, anchor = 96 // stride, cell % 3
        y, x = divmod(cell // 3, grid)
        assert (stride, (y, x), anchor, owner) == (place.stride, place.cell_yx, place.anchor, box.number)
        assert (taker or None) == (None if place.taken_by is None else place.taken_by + 1)
        assert bool(kind & FORCED) == place.forced
        assert iou == pytest.approx(place.iou, abs=1e-6)
        tx, ty, tw, th = codes
        assert 0 <= tx < 1
        assert 0 <= ty < 1
        w, h = shards.ANCHORS_PX[kind & 3, anchor] * np.exp([tw, th])
        decoded = (
            (x + tx) * stride - w / 2,
            (y + ty) * stride - h / 2,
            (x + tx) * stride + w / 2,
            (y + ty) * stride + h / 2,
        )
        assert decoded == pytest.approx(box.box_xyxy, abs=1e-3)


def test_targets_of_many_rows_are_those_of_each(folder: Path) -> None:
    manifest = load_manifest(folder)
    rows = list(read_rows(folder, manifest, "train", copy=0))
    several = [targets for batch in assigned_batches(rows, manifest, 7) for targets in batch.targets()]
    assert several == [box_targets(row, manifest) for row in rows]


def _manifest(shards: ModuleType):
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        row = shards.build_row("a", [], [], size=96)
        return shards.build_shards(Path(place) / "s", {"train": [row]}, size=96, class_names=("a", "b"))


def test_hits_name_images_by_number_or_by_name(folder: Path) -> None:
    manifest = load_manifest(folder)
    report = samples.report_of(folder, manifest)
    data = page_data(report, manifest, samples.images_of(folder, {}, Limits()), np.zeros((3, 1, 1), np.int64))
    hits = {check["rule"]: check["hits"] for check in data["checks"]}
    assert "huge-box" not in hits
    assert hits["zero-size"][0][0] == "train: gone/<b>.png"
    image, _, _, place, partner = hits["leak-near"][0]
    assert (data["images"][image][0], data["images"][partner][0]) == tuple(path for _, path in samples.PAIR)
    assert place == "data/train.txt:12"


# ---- charts


def facts(boxes_per_class: tuple[int, ...], images_with: dict[int, int]) -> SplitFacts:
    images, boxes = sum(images_with.values()), sum(boxes_per_class)
    return SplitFacts(images, boxes, images_with.get(0, 0), boxes_per_class, boxes_per_class, images_with, 1.0, 9.0)


def bars(chart: charts.Chart, kind: str) -> list[ElementTree.Element]:
    return [e for e in ElementTree.fromstring(chart.svg).iter() if e.tag == "rect" and e.get("class") == kind]


def test_class_bars_are_as_long_as_their_share() -> None:
    chart = charts.class_bars(("a", "b"), {"train": facts((30, 10), {4: 10}), "val": facts((1, 1), {2: 1})})
    (a, b), (c, d) = ([float(bar.get("width")) for bar in bars(chart, f"series{n}")] for n in range(2))
    assert a == pytest.approx(3 * b, rel=0.01)
    assert c == d == pytest.approx(a * 2 / 3, rel=0.01)
    assert chart.rows == (("0 a", 30, 30, 1, 1), ("1 b", 10, 10, 1, 1))


def test_only_the_most_frequent_classes_have_bars() -> None:
    counts = tuple(range(80))
    chart = charts.class_bars([f"c{n}" for n in counts], {"train": facts(counts, {1: 1})})
    titles = [bar[0].text for bar in bars(chart, "series0")]
    assert len(titles) == 24
    assert titles[0].startswith("c79, train: 79 of 3,160")
    assert re.findall(r"\d+", chart.note) == ["24", "56"]
    assert len(chart.rows) == 80


@pytest.mark.parametrize("most", [0, 3, 19, 20, 500])
def test_every_image_is_in_a_bar(most: int) -> None:
    images_with = {number: number % 5 + 1 for number in range(most + 1)}
    chart = charts.boxes_per_image({"train": facts((1,), images_with)})
    titles = [bar[0].text for bar in bars(chart, "series0")]
    assert len(titles) <= 21
    assert sum(int(text.split(": ")[1].split()[0].replace(",", "")) for text in titles) == sum(images_with.values())


def test_anchors_stand_where_boxes_of_their_size_stand() -> None:
    """A box and an anchor of 32 x 64 px: the dot lies within a bin of the cross."""
    counts = np.zeros((charts.SIZE_BINS, charts.SIZE_BINS), np.int64)
    steps = charts.SIZE_BINS / np.log(416)
    counts[int(np.log(32) * steps), int(np.log(64) * steps)] = 5
    chart = charts.size_scatter(counts, 416, [[(32.0, 64.0)]], (8,))
    root = ElementTree.fromstring(chart.svg)
    paths = {e.get("class"): e.get("d") for e in root.iter() if e.tag == "path"}
    (dot,) = [text for kind, text in paths.items() if kind.startswith("dot ")]
    dot_x, dot_y = map(float, dot[1:].split("h")[0].split())
    cross_x, cross_y = (float(n) for n in paths["anchor-mark anchor0"].split("M")[1].split("h")[0].split())
    assert (dot_x, dot_y) == (pytest.approx(cross_x + 6, abs=6), pytest.approx(cross_y, abs=6))
    assert sum(row[1] for row in chart.rows) == 5


def test_the_darkest_cell_is_the_fullest() -> None:
    counts = np.zeros((16, 16), np.int64)
    counts[3, 5], counts[0, 0] = 8, 2
    cells = [e for e in ElementTree.fromstring(charts.centre_heat(counts).svg).iter() if e.tag == "rect"]
    opacity = {(float(e.get("y")) // 17, float(e.get("x")) // 17): float(e.get("fill-opacity")) for e in cells}
    assert (opacity[3, 5], opacity[0, 0], sum(opacity.values())) == (1, 0.25, 1.25)


def test_recall_goes_up_for_more() -> None:
    high = AnchorFit(((1.0, 1.0),) * 9, 0.9, tuple((n / 100, 0.9) for n in range(30, 100, 5)), (1 / 9,) * 9)
    low = AnchorFit(((2.0, 2.0),) * 9, 0.2, tuple((n / 100, 0.1) for n in range(30, 100, 5)), (1 / 9,) * 9)
    lines = [
        [tuple(map(float, point.split(","))) for point in e.get("points").split()]
        for e in ElementTree.fromstring(anchor_charts.recall_curves(low, high).svg).iter()
        if e.tag == "polyline"
    ]
    assert len(lines[0]) == len(lines[1]) == 14
    assert all(low_y > high_y for (_, low_y), (_, high_y) in zip(*lines, strict=True)), "y grows downwards"


@pytest.mark.parametrize("nothing", [{}, {"train": facts((), {})}, {"train": facts((0,), {0: 3})}])
def test_charts_of_nothing_are_still_svg(nothing: dict) -> None:
    names = ("a",) if nothing and nothing["train"].images else ()
    for chart in (
        charts.class_bars(names, nothing),
        charts.boxes_per_image(nothing),
        charts.size_scatter(np.zeros((charts.SIZE_BINS,) * 2, np.int64), 416, [[(10.0, 13.0)]], (8,)),
        charts.centre_heat(np.zeros((16, 16), np.int64)),
    ):
        assert ElementTree.fromstring(chart.svg)[0].tag == "title"


def test_names_in_charts_are_escaped() -> None:
    chart = charts.class_bars(("<b>&\"'",), {"<i>": facts((1,), {1: 1})})
    text = "".join(ElementTree.fromstring(chart.svg).itertext())
    assert "<b>&\"'" in text
    assert "<b>" not in chart.svg


# ---- the command


@pytest.mark.slow
def test_the_command_writes_the_page(folder: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: bool(opened.append(url)) or True)
    monkeypatch.chdir(tmp_path)
    arguments = ["inspect-labels", "--shards", str(folder), "--workers", "1", "--fail-on", "never", "--json"]
    code = guarded(lambda: app([*arguments, "--html", "é/a b.html"], standalone_mode=False))
    report = json.loads(capsys.readouterr().out)
    assert (code, opened) == (0, [])
    assert report["page"]["images"] == 72
    assert report["page"]["bytes"] == Path("é/a b.html").stat().st_size
    assert guarded(lambda: app([*arguments[:-1], "--open"], standalone_mode=False)) == 0
    assert opened == [(tmp_path / ".yolopipe/labels.html").as_uri()]
    assert "page: .yolopipe/labels.html, " in capsys.readouterr().out


@pytest.mark.parametrize("extra", [["--image", "a"], ["--only", "tiny"]])
def test_a_part_has_no_page(folder: Path, tmp_path: Path, extra: list[str]) -> None:
    file = tmp_path / "a.html"
    arguments = ["inspect-labels", "--shards", str(folder), "--html", str(file), *extra]
    assert guarded(lambda: app(arguments, standalone_mode=False)) == 2
    assert not file.exists()
