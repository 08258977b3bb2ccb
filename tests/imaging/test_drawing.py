from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from yolopipe.imaging import drawing
from yolopipe.imaging.drawing import Key, Sketch

BLACK = np.zeros((20, 30, 3), np.uint8)


def test_enlarged_pixels_stay_squares() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(Sketch(pixels, scale=3).pixels(), pixels.repeat(3, axis=0).repeat(3, axis=1))


def test_a_box_is_drawn_on_its_edges_and_nowhere_else() -> None:
    sketch = Sketch(BLACK, scale=2)
    sketch.box([5, 4, 20, 15], drawing.SKY, width=1)
    drawn = (sketch.pixels() == drawing.SKY).all(axis=2)
    expected = np.zeros((40, 60), bool)
    expected[8:31, 10] = expected[8:31, 40] = expected[8, 10:41] = expected[30, 10:41] = True
    np.testing.assert_array_equal(drawn, expected)


def test_a_dashed_box_lies_on_the_solid_one_with_gaps() -> None:
    solid, dashed = Sketch(BLACK, scale=4), Sketch(BLACK, scale=4)
    solid.box([2, 2, 28, 18], drawing.SKY, width=1)
    dashed.box([2, 2, 28, 18], drawing.SKY, width=1, dashed=True)
    on, part = ((sketch.pixels() == drawing.SKY).all(axis=2) for sketch in (solid, dashed))
    assert not (part & ~on).any()
    assert 0.4 * on.sum() < part.sum() < 0.7 * on.sum()


def test_a_hatch_covers_its_rectangle_and_nowhere_else() -> None:
    sketch = Sketch(np.full((20, 30, 3), 255, np.uint8), scale=2)
    sketch.hatch([5, 4, 20, 15], drawing.GREY)
    drawn = sketch.pixels()
    rows, columns = np.indices(drawn.shape[:2])
    inside = (columns >= 10) & (columns <= 40) & (rows >= 8) & (rows <= 30)
    place = (rows + columns) % drawing.HATCH_PX
    line, rim = inside & (place < 2), inside & np.isin(place, [2, drawing.HATCH_PX - 1])
    np.testing.assert_array_equal((drawn == drawing.GREY).all(axis=2), line)
    np.testing.assert_array_equal((drawn < drawing.GREY).all(axis=2), rim), "dark: seen on white"
    assert (drawn[~(line | rim)] == 255).all()
    sketch.hatch([6, 4, 19, 11], drawing.GREY)
    assert (drawn[line] == sketch.pixels()[line]).all(), "lines lie on lines"


def test_a_legend_shows_a_hatch_beside_its_text() -> None:
    plain, hatched = (drawing.legend([Key("x", drawing.GREY, hatched=h)], width=99) for h in (False, True))
    sample = (hatched[:, : drawing.GAP_PX + 28] == drawing.GREY).all(axis=2)
    rows, columns = np.nonzero(sample)
    assert set((rows + columns) % drawing.HATCH_PX) == {0, 1}
    np.testing.assert_array_equal(plain[:, drawing.GAP_PX + 30 :], hatched[:, drawing.GAP_PX + 30 :])


@pytest.mark.parametrize(
    "box", [[-50, -50, 900, 900], [28, 18, 30, 20], [0, 0, 0, 0], [-9, -9, -5, -5], [50, 50, 60, 60]]
)
def test_labels_of_any_box_lie_inside(box: list[float]) -> None:
    sketch = Sketch(BLACK, scale=8)
    sketch.box(box, drawing.ORANGE)
    sketch.label(box, "cat 0.97", drawing.ORANGE)
    ground = (sketch.pixels() == drawing.ORANGE).all(axis=2)
    left, top, right, bottom = sketch._taken[0]
    assert left >= 0
    assert top >= 0
    assert right <= 240
    assert bottom <= 160
    assert ground.sum() > 0 or sketch.pixels().any()


def test_labels_of_one_box_do_not_cover_each_other() -> None:
    sketch = Sketch(np.zeros((100, 100, 3), np.uint8), scale=4)
    for _ in range(6):
        sketch.label([40, 40, 60, 60], "cat 0.97", drawing.GREEN)
    places = np.array(sketch._taken)
    for index in range(len(places)):
        assert drawing._shared(places[index : index + 1], places[index + 1 :]) == 0


def test_text_reads_on_every_colour() -> None:
    colours = [drawing.ORANGE, drawing.SKY, drawing.GREEN, drawing.YELLOW, drawing.BLUE, drawing.VERMILLION]
    for colour in [*colours, drawing.PURPLE, drawing.WHITE, drawing.GREY]:
        assert _contrast(colour, drawing._ink_on(colour)) >= 3.0


def _contrast(first: drawing.Colour, second: drawing.Colour) -> float:
    """WCAG 2 contrast ratio."""

    def luminance(colour: drawing.Colour) -> float:
        linear = [(c / 255 / 12.92) if c / 255 <= 0.03928 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_a_legend_wraps_where_it_must() -> None:
    keys = [Key(f"class number {n}", drawing.SKY) for n in range(12)]
    narrow, wide = drawing.legend(keys, width=300), drawing.legend(keys, width=3000)
    assert (narrow.shape[1], wide.shape[1]) == (300, 3000)
    assert narrow.shape[0] > wide.shape[0]


@pytest.mark.parametrize("note", ["", "3 of 4 found"])
def test_titles_fit(note: str) -> None:
    titled = drawing.with_title(np.zeros((50, 200, 3), np.uint8), "x/" * 200 + "name.png", note)
    assert titled.shape == (70, 200, 3)


def test_png_is_whole_and_the_same_twice(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    for name in ("a.png", "b.png"):
        drawing.save_png(tmp_path / name, pixels)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), pixels)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
