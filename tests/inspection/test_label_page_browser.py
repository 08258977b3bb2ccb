"""The page in a real browser: clicks, keys, numbers under the pointer, silence on the console and on the network."""

from __future__ import annotations

import base64
import io
import math
import re
import runpy
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image

from yolopipe.shards.manifest import load_manifest
from yolopipe.shards.reader import read_rows
from yolopipe.shards.targets import BoxTargets, TargetPlace, box_targets

pytestmark = pytest.mark.slow

samples = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("page_samples.py"))))


@pytest.fixture(scope="module")
def shards() -> ModuleType:
    """Shard builder with anchors of unequal sides."""
    return samples.builder()


def state_of(page) -> dict[str, str]:
    """The state that the address holds; the page is asked, as the tab's own ``url`` follows later."""
    address = urlsplit(page.tab.evaluate("location.href"))
    return {name: values[0] for name, values in parse_qs(address.fragment).items()}


def tiles_of(page) -> list[str]:
    """The images in the gallery, by path."""
    return page.tab.evaluate("[...document.querySelectorAll('#tiles a')].map(tile => tile.title)")


@pytest.fixture(scope="module")
def data(shards: ModuleType, tmp_path_factory: pytest.TempPathFactory):
    """Shards, manifest and page with every kind of problem."""
    folder = tmp_path_factory.mktemp("page") / "é <shards>"
    manifest = samples.build(shards, folder)
    file = folder.parent / "labels & more.html"
    samples.write(file, folder)
    return folder, manifest, file


@pytest.fixture
def visit(open_page, data):
    """Open the page, or another one."""

    def go(fragment: str = "", file: Path | None = None, **options):
        return open_page(file or data[2], fragment, **options)

    return go


def test_verdict_tiles_and_what_is_left_out(visit) -> None:
    page = visit()
    assert page("h1").inner_text().endswith("2 errors and 2 warnings in 72 images.")
    assert page.texts(".tile-number strong")[:3] == ["72", "168", "3"]
    assert page.texts(".tile-number strong")[3:] == ["2", "2", "1"]
    assert page.texts(".left-out li") == ["near pictures: <no> sources"]
    assert page.texts(".rule h3") == ["zero-size", "leak-near", "collision", "tiny", "forced"]
    assert page.tab.evaluate("typeof listed + typeof state + typeof unpack") == "undefined" * 3


def test_hostile_names_are_text(visit) -> None:
    page = visit()
    assert samples.HOSTILE in tiles_of(page)
    assert page("#filter-class option").all_text_contents()[1:] == list(samples.CLASSES)
    page.tab.locator('#tiles a[title*="alert(2)"]').click()
    assert page("#viewer-title").text_content() == samples.HOSTILE
    assert state_of(page)["img"] == samples.HOSTILE
    page.tab.reload()
    assert page("#viewer-title").text_content() == samples.HOSTILE
    assert page("#box-list td").nth(1).text_content() == samples.CLASSES[0]
    assert page.tab.evaluate("document.scripts.length") == 3


def test_a_rule_filters_the_gallery_and_back_undoes_it(visit) -> None:
    page = visit()
    page('.show-rule[data-rule="leak-near"]').click()
    assert sorted(tiles_of(page)) == sorted(path for _, path in samples.PAIR)
    assert page("#gallery-count").inner_text() == "2 of 72 images"
    assert page('.show-rule[data-rule="leak-near"]').get_attribute("aria-pressed") == "true"
    assert state_of(page) == {"rule": "leak-near"}
    page.step(-1)
    assert page("#gallery-count").inner_text() == "72 images"
    page.step(1)
    assert page("#gallery-count").inner_text() == "2 of 72 images"


def test_places_of_a_rule_are_listed_and_copied(visit) -> None:
    page = visit()
    page('details.hits[data-rule="zero-size"] summary').click()
    assert page('details.hits[data-rule="zero-size"] .absent').inner_text() == "train: gone/<b>.png"
    assert page('details.hits[data-rule="zero-size"] code').inner_text() == "data/<x>&.txt:3"
    page('details.hits[data-rule="zero-size"] .copy').click()
    page.tab.wait_for_function("document.getElementById('toast').textContent === 'Copied data/<x>&.txt:3'")
    page('details.hits[data-rule="tiny"] summary').click()
    assert page('details.hits[data-rule="tiny"] summary').inner_text() == "Places: the first 55"
    page('details.hits[data-rule="tiny"] li').first.wait_for()
    assert page('details.hits[data-rule="tiny"] li').count() == 50
    page(".more-hits").click()
    assert page('details.hits[data-rule="tiny"] li').count() == 55
    assert page(".more-hits").count() == 0
    page('details.hits[data-rule="tiny"] li a').nth(3).click()
    assert page("#viewer-title").text_content() == "img/plain 03.png"


def test_filters_and_sorting(visit, data) -> None:
    folder, manifest, _ = data
    rows = [(split, row) for split in ("train", "val") for row in read_rows(folder, manifest, split, copy=0)]
    page = visit()
    page("#filter-split").select_option("val")
    assert sorted(tiles_of(page)) == sorted(row.path for split, row in rows if split == "val")
    page("#filter-class").select_option(index=1)
    assert sorted(tiles_of(page)) == sorted(row.path for split, row in rows if split == "val" and 0 in row.classes)
    page("button[type=reset]").click()
    assert page("#gallery-count").inner_text() == "72 images"
    page("#filter-q").fill("PLAIN 1")
    assert sorted(tiles_of(page)) == [f"img/plain 1{digit}.png" for digit in range(10)]
    assert state_of(page) == {"q": "PLAIN 1"}
    page("#filter-q").fill("nothing like this")
    assert (tiles_of(page), page("#tiles .empty").count()) == ([], 1)
    page("#filter-q").fill("")
    page("#filter-sort").select_option("name")
    assert tiles_of(page) == sorted(row.path for _, row in rows)[:60]
    page("#filter-sort").select_option("boxes")
    counts = {row.path: len(row.classes) for _, row in rows}
    assert [counts[path] for path in tiles_of(page)] == sorted(counts.values(), reverse=True)[:60]
    page("#filter-sort").select_option("smallest")
    sides = {row.path: (row.boxes_xyxy[:, 2:] - row.boxes_xyxy[:, :2]).min(initial=math.inf) for _, row in rows}
    assert [sides[path] for path in tiles_of(page)] == sorted(sides.values())[:60]
    page("#filter-sort").select_option("problems")
    assert {tiles_of(page)[0], tiles_of(page)[1]} == {path for _, path in samples.PAIR}
    assert tiles_of(page)[2] == samples.COLLISION
    page("#filter-rule").select_option("any")
    assert page("#gallery-count").inner_text() == "59 of 72 images"


def test_sixty_at_a_time(visit) -> None:
    page = visit()
    assert len(tiles_of(page)) == 60
    assert page("#more").inner_text() == "Show 12 more of 12"
    page("#more").click()
    assert len(set(tiles_of(page))) == 72
    assert page("#more").is_hidden()


def test_keys_and_the_address(visit) -> None:
    page = visit()
    page.press("j")
    first = tiles_of(page)[0]
    assert state_of(page)["img"] == first
    assert page("#viewer-place").inner_text() == "1 of 72"
    page.press("j j k")
    assert state_of(page)["img"] == tiles_of(page)[1]
    page.press("g 3")
    assert (state_of(page)["grid"], state_of(page)["scale"]) == ("1", "32")
    assert page('#scales button[aria-pressed="true"]').inner_text().startswith("32")
    page.press("g b n")
    assert page('#toggle-boxes[aria-pressed="false"]').count() == 1
    assert page('#toggle-names[aria-pressed="false"]').count() == 1
    page.press("?")
    assert page("#help-dialog").is_visible()
    page.press("Escape")
    assert page("#help-dialog").is_hidden()
    assert page("#viewer").is_visible()
    page.press("Escape")
    assert page("#viewer").is_hidden()
    assert "img" not in state_of(page)
    page.press("/")
    page.tab.keyboard.type("pair")
    assert page("#filter-q").input_value() == "pair"
    assert len(tiles_of(page)) == 2


def test_back_closes_the_image_and_focus_returns(visit) -> None:
    page = visit()
    page("#tiles a").nth(4).click()
    assert page.tab.evaluate("document.activeElement.id") == "viewer-title"
    assert page("#page").get_attribute("inert") is not None
    page.step(-1)
    assert page("#viewer").is_hidden()
    assert page.tab.evaluate("document.activeElement.dataset.index") == page("#tiles a").nth(4).get_attribute(
        "data-index"
    )
    page.step(1)
    assert page("#viewer").is_visible()


def test_links_typed_by_hand(visit) -> None:
    page = visit("#img=collision&scale=16")
    assert page("#viewer-title").text_content() == samples.COLLISION
    assert page('#toggle-grid[aria-pressed="true"]').count() == 1
    page = visit("#img=no%20such&scale=7&copy=x&rubbish=%3Cscript%3E")
    assert page("#toast").inner_text().startswith("no such ")
    assert page("#viewer").is_hidden()


def point_at(page, row: int, column: int, stride: int) -> None:
    frame = page(".stage canvas").first.bounding_box()
    zoom = frame["width"] / samples.SIZE
    page.tab.mouse.move(frame["x"] + (column + 0.5) * stride * zoom, frame["y"] + (row + 0.5) * stride * zoom)


NUMBER = r"([−-]?\d[\d.e−-]*)"
TARGET = re.compile(
    rf"\[(\d+), (\d+), (\d+), (\d)\] → tx {NUMBER}\s+ty {NUMBER}\s+tw {NUMBER}\s+th {NUMBER}\s+obj ([1–]) "
    rf"class (.*) · anchor .* · (.*)\s+decoded\s+{NUMBER} {NUMBER} {NUMBER} {NUMBER}\s+"
    rf"box (\d+)\s+{NUMBER} {NUMBER} {NUMBER} {NUMBER}\s+off by < 0\.001 px"
)
"""What is said of one target."""


def numbers(texts: Sequence[str]) -> list[float]:
    return [float(text.replace("−", "-")) for text in texts]


def expected_codes(box: BoxTargets, place: TargetPlace) -> list[float]:
    """From first principles: where the centre lies in the cell, and sizes as logarithms of the anchor's."""
    x1, y1, x2, y2 = box.box_xyxy
    (row, column), (anchor_w, anchor_h) = place.cell_yx, place.anchor_wh
    centre = ((x1 + x2) / 2 / place.stride - column, (y1 + y2) / 2 / place.stride - row)
    return [*centre, math.log((x2 - x1) / anchor_w), math.log((y2 - y1) / anchor_h)]


@pytest.mark.parametrize("name", [samples.COLLISION, samples.FORCED, "img/plain 03.png"])
def test_grid_numbers_equal_those_of_python(visit, data, name: str) -> None:
    """Every target of every scale, read by pointing at its cell: codes from first principles, boxes as stored."""
    folder, manifest, _ = data
    row = next(row for row in read_rows(folder, manifest, "train", copy=0) if row.path == name)
    page = visit(f"#img={name}&grid=1")
    seen = 0
    for key, stride in zip("123", manifest.strides, strict=True):
        page.press(key)
        cells: dict[tuple[int, int], list] = {}
        for box in box_targets(row, manifest):
            for place in box.places:
                if place.stride == stride:
                    cells.setdefault(place.cell_yx, []).append((box, place))
        for (y, x), targets in cells.items():
            point_at(page, y, x, stride)
            assert page(".readout-cell").inner_text() == f"stride {stride}, row {y}, column {x}"
            said = [TARGET.fullmatch(text) for text in page.texts(".target")]
            assert None not in said, page.texts(".target")
            assert len(said) == len(targets)
            for box, place in targets:
                (found,) = [one for one in said if (int(one[4]), int(one[16])) == (place.anchor, box.number)]
                assert numbers(found.groups()[:3]) == [stride, y, x]
                assert numbers(found.groups()[4:8]) == pytest.approx(expected_codes(box, place), abs=0.00051)
                assert (found[9] == "1") == (place.taken_by is None)
                assert " ".join(found[10].split()) == " ".join(samples.CLASSES[box.class_id].split())
                state = ["assigned" if place.taken_by is None else f"taken by box {place.taken_by}"]
                assert found[11].split(", ") == state + ["forced"] * place.forced
                assert numbers(found.groups()[11:15]) == pytest.approx(box.box_xyxy, abs=0.051), "decoded"
                assert numbers(found.groups()[16:20]) == pytest.approx(box.box_xyxy, abs=0.051), "stored"
                seen += 1
    assert seen == sum(len(box.places) for box in box_targets(row, manifest)) > 0
    point_at(page, 0, 0, 32)


def test_a_collision_is_red_and_background_is_not(visit, data) -> None:
    folder, manifest, _ = data
    row = next(row for row in read_rows(folder, manifest, "train", copy=0) if row.path == samples.COLLISION)
    lost = next(place for box in box_targets(row, manifest) for place in box.overwritten)
    page = visit(f"#img={samples.COLLISION}&scale={lost.stride}&names=0")
    page.painted()
    source = page("#stages canvas").evaluate("canvas => canvas.toDataURL()")
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))))
    cell = len(picture) * lost.stride / samples.SIZE
    (y, x) = lost.cell_yx
    red, green, blue, _ = picture[round(y * cell), round((x + 0.5) * cell)].tolist()
    assert (red > 180, red > 1.5 * max(green, blue)) == (True, True)
    corner = picture[round(0.3 * cell), round(len(picture) - 0.3 * cell)]
    assert corner[:3].max() < 60, "dimmed, and nothing else"


def test_an_empty_cell_a_pinned_cell_and_a_click_on_a_box(visit) -> None:
    page = visit("#img=collision")
    frame = page(".stage canvas").first.bounding_box()
    zoom = frame["width"] / samples.SIZE
    page.tab.mouse.click(frame["x"] + 8 * zoom, frame["y"] + 65 * zoom)
    assert state_of(page)["grid"] == "1"
    held = page(".readout-cell").inner_text()
    assert "box 2 " in page("#readout").inner_text()
    page.tab.mouse.move(frame["x"] + 90 * zoom, frame["y"] + 5 * zoom)
    assert page(".readout-cell").inner_text() == held, "a click holds the cell"
    page.press("n n")
    assert page(".readout-cell").inner_text() == held, "also while other things change"
    page.press("3 1")
    point_at(page, 0, 11, 8)
    assert page("#readout").inner_text().endswith("background.")


def test_pair_and_copies(visit) -> None:
    page = visit("#img=pair-train")
    assert page("#stages figure").count() == 2
    assert "pair-val" in page("#stages figcaption").nth(1).inner_text()
    assert "with pair-val.png" in page("#viewer-hits").inner_text()
    page.press("p")
    assert page("#stages figure").count() == 1
    assert page.texts("#variants button") == ["source", "copy 1"]
    page("#variants button").nth(1).click()
    assert state_of(page)["copy"] == "1"
    assert "augmented copy 1" in page("#viewer-facts").inner_text()
    assert page("#box-list tbody tr").count() == 1
    page.press("j j")
    assert "copy" not in state_of(page)
    assert page("#toggle-partner").is_hidden()


def test_dark_and_light(visit) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light, dark = visit(), visit(color_scheme="dark")
    assert light.tab.evaluate(ground) == "rgb(246, 246, 243)"
    assert dark.tab.evaluate(ground) == "rgb(19, 22, 25)"
    dark("#theme").click()
    assert dark.tab.evaluate(ground) == "rgb(246, 246, 243)"
    light("#theme").click()
    assert light("#theme").get_attribute("aria-pressed") == "true"
    assert light.tab.evaluate(ground) == "rgb(19, 22, 25)"


def test_the_map_of_centres_by_class(visit, data) -> None:
    folder, manifest, _ = data
    rows = [row for split in manifest.splits for row in read_rows(folder, manifest, split, copy=0)]
    total = sum(int((row.classes == 2).sum()) for row in rows)
    page = visit()
    before = page("#note-centres").inner_text()
    page("#heat-class").select_option("2")
    lit = page("#heat-cells").evaluate("g => [...g.children].filter(c => c.getAttribute('fill-opacity') > 0).length")
    assert total == lit == 1
    assert re.findall(r"\d+", page("#note-centres").inner_text()) == ["1", "1"]
    page("#heat-class").select_option("")
    assert page("#note-centres").inner_text() == before


def test_charts_have_titles_and_tables_and_controls_have_names(visit) -> None:
    page = visit()
    assert page("svg.chart").count() == page("svg.chart > title").count() == page("figure.card table").count() == 6
    unnamed = page.tab.evaluate(
        "[...document.querySelectorAll('button, select, input')].filter(e => !(e.textContent.trim() || "
        "e.getAttribute('aria-label') || e.closest('label') || e.id === 'more')).map(e => e.outerHTML)"
    )
    assert unnamed == []
    page("#anchors summary").last.click()
    assert page("#anchors pre").inner_text().startswith("assignment:\n  anchors:\n    - 9x14\n")


def test_it_prints(visit) -> None:
    page = visit()
    page.tab.emulate_media(media="print")
    assert page(".rail").is_hidden()
    assert page("h1").is_visible()


def other_page(shards: ModuleType, folder: Path, rows: list, **options) -> Path:
    samples.build(shards, folder / "shards", {"train": rows} if rows else None)
    samples.write(folder / "page.html", folder / "shards", **options)
    return folder / "page.html"


def test_nothing_wrong(visit, shards, tmp_path: Path) -> None:
    page = visit(file=other_page(shards, tmp_path, [], problems=False))
    assert page("h1").get_attribute("class") == "passed"
    assert "6" in page("#problems .empty").inner_text()
    assert page.texts("#filter-rule option") == ["all", "any problem"]
    page.press("j")
    assert page("#viewer").is_visible()


def test_one_image_without_boxes(visit, shards, tmp_path: Path) -> None:
    row = shards.build_row("only.png", [], [], size=samples.SIZE)
    page = visit(file=other_page(shards, tmp_path, [row], problems=False))
    assert page("#anchors .empty").is_visible()
    assert tiles_of(page) == ["only.png"]
    page.press("j j k g 1 2 3")
    assert page("#viewer-facts").inner_text().endswith("background only")
    point_at(page, 1, 1, 32)
    assert page("#readout").inner_text().endswith("background.")


def stage_pixels(page) -> np.ndarray:
    """(H, W, 4) of the first canvas, once it is drawn."""
    page.painted()
    source = page("#stages canvas").first.evaluate("canvas => canvas.toDataURL()")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))))


def hatch_lines(picture: np.ndarray) -> np.ndarray:
    """(H, W) where the lines of a hatch or its outline are: the grey of boxes to be ignored, drawn opaque."""
    near = np.abs(picture[..., :3].astype(int) - (180, 185, 190)).max(axis=2) < 12
    return near & (picture[..., 3] > 240)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_boxes_to_be_ignored_are_hatched_until_they_are_switched_off(
    visit, shards, tmp_path: Path, scheme: str
) -> None:
    region, box = (40, 44, 88, 92), [8, 8, 30, 32]
    rows = [
        shards.build_row("with.png", [box], [0], size=samples.SIZE, ignored=[list(region)]),
        shards.build_row("none.png", [box], [0], size=samples.SIZE),
    ]
    file = other_page(shards, tmp_path, rows, problems=False)
    page = visit("#img=with&names=0", file=file, color_scheme=scheme)
    picture = stage_pixels(page)
    zoom = len(picture) / samples.SIZE
    x1, y1, x2, y2 = (round(side * zoom) for side in region)
    inner = (slice(y1 + 4, y2 - 4), slice(x1 + 4, x2 - 4))
    drawn = hatch_lines(picture)
    assert 0.05 < drawn[inner].mean() < 0.3
    sums = np.add(*np.nonzero(drawn[inner]))
    assert len(set(sums % 9)) <= 4, "diagonals, nine pixels apart"
    drawn[y1 - 3 : y2 + 3, x1 - 3 : x2 + 3] = False
    assert not drawn.any()
    assert picture[round(8 * zoom), round(20 * zoom), 3] > 0, "the other box is there"
    for grid in ("g", "g"):
        page.press("i")
        assert not hatch_lines(stage_pixels(page))[inner].any()
        assert state_of(page)["ignored"] == "0"
        assert page('#toggle-ignored[aria-pressed="false"]').count() == 1
        page("#toggle-ignored").click()
        assert hatch_lines(stage_pixels(page))[inner].any()
        page.press(grid)
    assert page("#box-list tbody tr").count() == page("#ignored-list tbody tr").count() == 1
    assert page(".dot-ignored").count() == 2, "in the legend and in the list"
    assert page("#viewer-facts").inner_text().endswith("1 box · 1 ignored")
    assert page("#ignored-list code").inner_text() == "1", "the line: no file is known"
    page.press("g 3")
    point_at(page, 2, 2, 32)
    assert re.findall(r"\d+", page("#readout").inner_text()) == ["32", "2", "2", "1"], "the box that covers the cell"
    page = visit("#img=none", file=file)
    assert page("#toggle-ignored").is_hidden()
    assert page("#ignored-list").is_hidden()
    assert page("#legend").is_hidden()
    assert page("#filter-sort option").count() == 5
    assert visit()("#filter-sort option").count() == 4, "on a page without any"


def test_five_hundred_boxes(visit, shards, tmp_path: Path) -> None:
    boxes = [[4.0 * (n % 23), 4.0 * (n // 23), 4.0 * (n % 23) + 6, 4.0 * (n // 23) + 7] for n in range(500)]
    row = shards.build_row("crowd.png", boxes, [n % 3 for n in range(500)], size=samples.SIZE)
    page = visit("#img=crowd&scale=8", file=other_page(shards, tmp_path, [row], problems=False))
    assert page("#box-list tbody tr").count() == 500
    targets = sum(
        place.stride == 8 for box in box_targets(row, load_manifest(tmp_path / "shards")) for place in box.places
    )
    page("#target-list summary").click()
    assert page("#target-list tbody tr").count() == targets
    page("#target-list tbody button").nth(targets - 1).click()
    assert page(".target").count() >= 1
