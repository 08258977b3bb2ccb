"""``reports/evaluate.html``: its data, and the page in a real browser against ``scoring.matching``."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from yolopipe.detection.nms import ImageDetections
from yolopipe.errors import UsageError
from yolopipe.scoring.baseline import committed_metrics
from yolopipe.scoring.matching import CLASSIFICATION, IGNORED, TRUE_POSITIVE, VERDICTS, Matches, match
from yolopipe.scoring.report_page import Baseline, write_report
from yolopipe.scoring.report_page import report_data as data
from yolopipe.scoring.results import Annotated, Found, assess
from yolopipe.scoring.scores import Detections, Truth
from yolopipe.shards.reader import read_rows

CLASSES = ("cat", "<img src=x onerror=alert(1)>", 'dög "quoted" & 🐶')
SIZE = 96
HOSTILE = "img/</script><script>alert(2)</script>&.jpg"


def scene(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    low = rng.integers(0, SIZE - 30, (count, 2))
    return np.concatenate([low, low + rng.integers(8, 30, (count, 2))], 1).astype(float), rng.integers(0, 3, count)


def real_ones(boxes: np.ndarray, classes: np.ndarray) -> Annotated:
    return Annotated(boxes, classes, np.zeros(len(classes), bool))


def with_ignored(rng: np.random.Generator, boxes: np.ndarray, classes: np.ndarray) -> Annotated:
    """Between them up to three boxes to be ignored, of a class or of any."""
    more = int(rng.integers(1, 4))
    low = rng.uniform(0, SIZE - 40, (more, 2))
    regions = np.concatenate([low, low + rng.uniform(20, 40, (more, 2))], axis=1)
    order = rng.permutation(len(boxes) + more)
    return Annotated(
        np.concatenate([boxes, regions])[order],
        np.concatenate([classes, rng.integers(-1, 3, more)])[order],
        np.repeat([False, True], [len(boxes), more])[order],
    )


def guesses(rng: np.random.Generator, boxes: np.ndarray, classes: np.ndarray) -> ImageDetections:
    """Boxes found well, badly, with another class, twice; and some where nothing is."""
    extra, kinds = scene(rng, int(rng.integers(0, 4)))
    moved = np.concatenate([boxes + rng.normal(0, 3, boxes.shape), boxes + rng.normal(0, 9, boxes.shape), extra])
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
    named = np.concatenate([classes, rng.permutation(classes), kinds])
    scores = np.sort(rng.uniform(0.01, 1, len(moved)))[::-1]
    order = rng.permutation(len(moved))
    return ImageDetections(
        np.clip(moved[order], 0, SIZE).astype(np.float32), scores.astype(np.float32), named[order].astype(np.int64)
    )


@pytest.fixture(scope="module")
def scored(shards, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Forty images, one without a box, one without a detection, one with a hostile name; ignored boxes in half."""
    folder, rng = tmp_path_factory.mktemp("report"), np.random.default_rng(5)
    rows, found = [], Found()
    for number in range(40):
        boxes, classes = scene(rng, 0 if number == 3 else int(rng.integers(1, 6)))
        path = HOSTILE if number == 7 else f"img/{number:02}.jpg"
        pixels = rng.integers(0, 255, (SIZE, SIZE, 3)).astype(np.uint8)
        rows.append(shards.build_row(path, boxes.tolist(), classes.tolist(), size=SIZE, pixels=pixels))
        found.images.append(path)
        found.annotated.append(with_ignored(rng, boxes, classes) if number % 2 else real_ones(boxes, classes))
        none = ImageDetections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
        found.detected.append(none if number == 11 else guesses(rng, boxes, classes))
    manifest = shards.build_shards(
        folder / "shards", {"train": rows[:1], "val": rows}, size=SIZE, class_names=CLASSES
    )
    evaluation = assess(found, num_classes=3, shown_score=0.3)
    result = SimpleNamespace(folder=folder, found=found, evaluation=evaluation, manifest=manifest)
    result.file = write(
        result, folder / "evaluate.html", Baseline({"mAP": 0.0, "mAP50": 1.0, "mAP75": None}, "a tag")
    )
    return result


def write(scored: SimpleNamespace, file: Path, baseline: Baseline) -> Path:
    return write_report(
        file,
        evaluation=scored.evaluation,
        found=scored.found,
        read=partial(read_rows, scored.folder / "shards", scored.manifest, "val"),
        manifest=scored.manifest,
        baseline=baseline,
        shown_score=0.3,
    ).file


def verdicts_at(found: Found, score: float) -> list[Matches]:
    """Image after image."""
    result = []
    for (boxes, classes, ignore), detected in zip(found.annotated, found.detected, strict=True):
        kept = ImageDetections(*(part[detected.scores >= score] for part in detected))
        truth = Truth(np.zeros(len(classes), int), boxes, classes, ignore=ignore)
        predictions = Detections(
            np.zeros(len(kept.classes), int), kept.boxes_xyxy.astype(float), kept.scores.astype(float), kept.classes
        )
        result.append(match(truth, predictions))
    return result


def errors_of(table: Matches) -> int:
    return len(table.missed) + int(table.wrong().sum())


def test_the_same_input_gives_the_same_bytes(scored, tmp_path: Path) -> None:
    baseline = Baseline(None, "a reason")
    first, second = (write(scored, tmp_path / name, baseline).read_bytes() for name in ("a.html", "b.html"))
    assert first == second
    assert b"no comparison: a reason" in first
    with pytest.raises(UsageError, match="--out"):
        write(scored, tmp_path / "a.txt", baseline)


def test_the_page_says_what_it_leaves_out(scored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "MOST_BOXES", 120)
    monkeypatch.setattr(data, "PICTURE_BYTES", 20_000)
    page = write(scored, tmp_path / "few.html", Baseline(None, "x")).read_text()
    held = json.loads(re.search(r'id="data">(.*?)</script>', page).group(1))["images"]
    pictures = json.loads(re.search(r'id="pictures">(.*?)</script>', page).group(1))
    assert 0 < len(pictures) < len(held) < 40
    assert f"{40 - len(held)} of 40 images" in page
    assert f"{len(pictures)} worst images" in page
    errors = {path: errors_of(v) for path, v in zip(scored.found.images, verdicts_at(scored.found, 0.3), strict=True)}
    shown = [errors[image["path"]] for image in held]
    assert shown == sorted(errors.values(), reverse=True)[: len(held)]


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [7, 256])
def test_only_pictures_that_are_kept_are_encoded(
    shards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Of 300 listed images some 20 pictures fit: the one that exceeds the limit is the last that is encoded."""
    rng = np.random.default_rng(1)
    rows, found = [], Found()
    for number in range(300):
        boxes, classes = scene(rng, int(rng.integers(1, 6)))
        pixels = rng.integers(0, 255, (SIZE, SIZE, 3)).astype(np.uint8)
        rows.append(shards.build_row(f"{number}.jpg", boxes.tolist(), classes.tolist(), size=SIZE, pixels=pixels))
        found.images.append(f"{number}.jpg")
        found.annotated.append(real_ones(boxes, classes))
        found.detected.append(guesses(rng, boxes, classes))
    manifest = shards.build_shards(tmp_path / "s", {"train": rows[:1], "val": rows}, size=SIZE, class_names=CLASSES)
    encoded = []
    encode = data.cv2.imencode

    def counted(*arguments: object) -> object:
        encoded.append(encode(*arguments))
        return encoded[-1]

    monkeypatch.setattr(data.cv2, "imencode", counted)
    monkeypatch.setattr(data, "PICTURE_BYTES", 200_000)
    monkeypatch.setattr(data, "PICTURES_AT_ONCE", at_once)
    gallery = data.gather(found, partial(read_rows, tmp_path / "s", manifest, "val"), manifest, shown_score=0.3)
    sizes = [len(one[1]) for one in encoded]
    assert len(gallery.images) == 300
    assert 10 < len(gallery.pictures) == len(sizes) - 1
    assert sum(sizes[:-1]) <= 200_000 < sum(sizes)
    assert [image["picture"] for image in gallery.images[: len(sizes)]] == [*range(len(sizes) - 1), -1]


def test_committed_metrics_are_those_of_the_last_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "a repository" / "a project"
    (project / "metrics").mkdir(parents=True)
    monkeypatch.chdir(project)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    file = Path("metrics/eval.json")
    assert committed_metrics(file).metrics is None

    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", *identity, *arguments], cwd=project.parent, check=True, capture_output=True)

    git("init")
    git("commit", "--allow-empty", "-m", "empty")
    found = committed_metrics(file)
    assert found.metrics is None
    assert "metrics/eval.json" in found.name
    file.write_text('{"mAP": 0.5}')
    git("add", ".")
    git("commit", "-m", "scores")
    git("tag", "first")
    file.write_text('{"mAP": 0.75}')
    found = committed_metrics(file)
    assert found.metrics == {"mAP": 0.5}
    assert re.fullmatch(r"the last commit \([0-9a-f]+\)", found.name)
    assert committed_metrics(file, "first").name.startswith("first (")
    file.write_text("no JSON")
    git("commit", "-am", "broken")
    assert committed_metrics(file).metrics is None
    with pytest.raises(UsageError, match="nowhere"):
        committed_metrics(file, "nowhere")
    monkeypatch.setenv("PATH", "")
    assert committed_metrics(file).metrics is None


# ---- in the browser


def cells(page) -> Counter:
    found = page.tab.evaluate(
        "[...document.querySelectorAll('#confusion button')]"
        ".map(cell => [cell.dataset.row, cell.dataset.column, cell.textContent])"
    )
    return Counter({(int(row), int(column)): int(text) for row, column, text in found})


@pytest.mark.slow
def test_tiles_show_scores_and_their_change(open_page, scored) -> None:
    page = open_page(scored.file)
    assert "compared with a tag" in page(".facts").inner_text()
    changes = page.texts(".tiles .change")
    assert changes[0].startswith("▲")
    assert changes[1].startswith("▼")
    assert changes[2:] == ["", "", ""]
    assert page("h1").inner_text() == f"mAP {scored.evaluation.measures.coco.ap():.3f} on 40 images"


@pytest.mark.slow
def test_the_confusion_is_that_of_evaluate_and_follows_the_slider(open_page, scored) -> None:
    page = open_page(scored.file)
    matrix = scored.evaluation.confusion
    assert cells(page) == Counter({place: n for place, n in np.ndenumerate(matrix) if n})
    for score in (0.3, 0.6, 0.9):
        page("#score").fill(str(score))
        verdicts = verdicts_at(scored.found, score)
        kinds = Counter(kind for verdict in verdicts for kind in verdict.verdict.tolist())
        assert page("#score-value").inner_text() == f"{score:.2f}"
        names = ("true-positive", "classification", "duplicate", "localization", "both", "background", "ignored")
        assert [int(page(f"#count-{name}").inner_text()) for name in names] == [
            kinds[n] for n in range(len(VERDICTS))
        ]
        assert min(kinds[CLASSIFICATION], kinds[IGNORED]) > 0
        assert int(page("#count-missed").inner_text()) == sum(len(verdict.missed) for verdict in verdicts)
        counted = kinds.total() - kinds[IGNORED]
        assert cells(page).total() == counted + sum(len(verdict.missed) for verdict in verdicts)
        boxes = sum(int((~one.ignore).sum()) for one in scored.found.annotated)
        for name, whole in (("precision", counted), ("recall", boxes), ("f1", (counted + boxes) / 2)):
            assert page(f"#count-{name}").inner_text() == f"{kinds[TRUE_POSITIVE] / whole:.3f}"


@pytest.mark.slow
def test_worst_images_come_first(open_page, scored) -> None:
    page = open_page(scored.file)
    errors = {
        path.split("/")[-1]: errors_of(v)
        for path, v in zip(scored.found.images, verdicts_at(scored.found, 0.3), strict=True)
    }
    names = page.texts(".shot b")
    assert len(names) == 24
    assert [errors[name] for name in names] == sorted(errors.values(), reverse=True)[:24]
    page("#more").click()
    assert len(page.texts(".shot b")) == 40
    page("#sort").select_option("path")
    assert page.texts(".shot b")[0] == "00.jpg"


@pytest.mark.slow
def test_a_cell_of_the_confusion_matrix_filters_the_images(open_page, scored) -> None:
    page = open_page(scored.file)
    (row, column), _ = max(
        ((place, n) for place, n in cells(page).items() if place[0] != place[1]), key=lambda x: x[1]
    )
    wanted = 0
    for (_, classes, _), detected, verdict in zip(
        scored.found.annotated, scored.found.detected, verdicts_at(scored.found, 0.3), strict=True
    ):
        places = {
            (classes[b] if b >= 0 else 3, c)
            for b, c, kind in zip(verdict.truth, detected.classes, verdict.verdict, strict=False)
            if kind != IGNORED
        }
        wanted += (row, column) in places | {(classes[b], 3) for b in verdict.missed}
    page(f'#confusion button[data-row="{row}"][data-column="{column}"]').click()
    assert page("#gallery-count").inner_text() == f"{wanted} of 40 images"
    page("#cell").click()
    assert page("#gallery-count").inner_text() == "40 images"


@pytest.mark.slow
def test_truth_and_detections_can_be_hidden(open_page, scored) -> None:
    page = open_page(scored.file)

    def count(kind: str) -> int:
        return int(page.tab.evaluate(f"document.querySelectorAll('.shot rect.{kind}').length"))

    assert min(count("truth"), count("found")) > 0
    page("#toggle-truth").click()
    assert count("truth") == 0 < count("found")
    page("#toggle-found").click()
    assert count("found") == 0
    page("#toggle-truth").click()
    assert count("truth") > 0


@pytest.mark.slow
def test_ignored_boxes_are_drawn_and_found_by_the_filters(open_page, scored) -> None:
    page = open_page(scored.file)
    regions = sum(int(one.ignore.sum()) for one in scored.found.annotated)
    boxes = sum(len(one.classes) for one in scored.found.annotated) - regions
    facts = page(".facts").inner_text()
    assert f"{boxes} annotated boxes, {regions} ignored" in facts
    assert page.texts(".legend li")[-1] == "ignored"
    page("#more").click()
    drawn = "document.querySelectorAll('.shot rect.region').length"
    assert page.tab.evaluate(drawn) == regions
    fill = "getComputedStyle(document.querySelector('.shot rect.region')).fill"
    assert "#hatch" in page.tab.evaluate(fill)
    assert page.tab.evaluate("document.querySelector('#hatch').tagName") == "pattern"
    page("#toggle-truth").click()
    assert page.tab.evaluate(drawn) == 0
    verdicts = verdicts_at(scored.found, 0.3)
    ignored = [path for path, v in zip(scored.found.images, verdicts, strict=True) if IGNORED in v.verdict]
    page("#only").select_option("ignored")
    assert page("#gallery-count").inner_text() == f"{len(ignored)} of 40 images"
    page("#only").select_option("all")
    page("#of-class").select_option("1")
    of_class = sum(
        1 in annotated.classes or 1 in detected.classes[detected.scores >= 0.3]
        for annotated, detected in zip(scored.found.annotated, scored.found.detected, strict=True)
    )
    assert page("#gallery-count").inner_text() == f"{of_class} of 40 images"


@pytest.mark.slow
def test_an_image_enlarged_by_keyboard_and_hostile_names_shown_as_text(open_page, scored) -> None:
    page = open_page(scored.file)
    page("#sort").select_option("path")
    page(".shot").first.focus()
    page.press("Enter")
    assert page("#image-title").inner_text() == sorted(scored.found.images)[0]
    page.press("ArrowRight ArrowRight")
    assert page("#image-place").inner_text() == "3 of 40"
    page.press("Escape")
    page.tab.wait_for_function(
        "document.activeElement.dataset.place === '2'"
    )  # the close event comes in a later task
    assert page("#of-class option").all_text_contents()[1:] == list(CLASSES)
    place = sorted(scored.found.images).index(HOSTILE)
    page("#more").click()
    page(f'.shot[data-place="{place}"]').click()
    assert page("#image-title").text_content() == HOSTILE


@pytest.mark.slow
def test_classes_sort_and_show_their_curve(open_page, scored) -> None:
    page = open_page(scored.file)
    page("#classes th >> nth=2").click()
    values = [float(text) for text in page.texts("#classes td:nth-child(3)")]
    assert values == sorted(values, reverse=True)
    page("#classes th >> nth=2").click()
    assert [float(text) for text in page.texts("#classes td:nth-child(3)")] == sorted(values)
    page('#classes button[data-class="2"]').click()
    assert page.tab.evaluate("[...document.querySelectorAll('.of-class.on')].map(c => c.dataset.class)") == ["2"]
    assert page("#curve-class").input_value() == "2"


@pytest.mark.slow
@pytest.mark.parametrize(("annotated", "detected"), [(False, False), (False, True), (True, False)])
def test_a_page_of_images_without_boxes(open_page, shards, tmp_path: Path, annotated: bool, detected: bool) -> None:
    """Nothing annotated, nothing detected, or neither: no measure is a number that nothing was measured for."""
    rng = np.random.default_rng(2)
    boxes, classes = scene(rng, 3)
    none = ImageDetections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    some = ImageDetections(boxes.astype(np.float32), np.full(3, 0.9, np.float32), classes)
    truth = real_ones(boxes, classes) if annotated else real_ones(boxes[:0], classes[:0])
    found = Found(["a.jpg"], [truth], [some if detected else none])
    rows = [shards.build_row("a.jpg", truth[0].tolist(), truth[1].tolist(), size=SIZE)]
    manifest = shards.build_shards(tmp_path / "shards", {"train": rows, "val": rows}, size=SIZE, class_names=CLASSES)
    evaluation = assess(found, num_classes=3, shown_score=0.3)
    page = open_page(
        write(
            SimpleNamespace(folder=tmp_path, found=found, evaluation=evaluation, manifest=manifest),
            tmp_path / "page.html",
            Baseline(None, "a reason"),
        )
    )
    assert cells(page).total() == 3 * (annotated + detected)
    assert page("#count-missed").inner_text() == str(3 * annotated)
    assert not page("#count-ignored").is_visible()
    assert page('#only option[value="ignored"], .legend .region, #hatch').count() == 0
    assert page("#count-background").inner_text() == str(3 * detected)
    assert page("#count-precision").inner_text() == ("0.000" if detected else "–")
    assert page("#count-recall").inner_text() == ("0.000" if annotated else "–")
    assert len(page.texts(".shot b")) == 1


@pytest.mark.slow
def test_dark_and_narrow(open_page, scored) -> None:
    page = open_page(scored.file, color_scheme="dark")
    assert page.tab.evaluate("document.documentElement.dataset.theme") == "dark"
    page.tab.set_viewport_size({"width": 390, "height": 800})
    assert page.tab.evaluate("document.documentElement.scrollWidth") <= 390
