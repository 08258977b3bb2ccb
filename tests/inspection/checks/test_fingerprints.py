"""Fingerprints of files: what stays near, what does not, what cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from yolopipe.inspection.checks.fingerprints import Fingerprints, fingerprint_images
from yolopipe.inspection.checks.near_duplicates import find_near_duplicates


def scene(seed: int, size: tuple[int, int] = (480, 360)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    pixels = cv2.resize(rng.integers(30, 226, (9, 12, 3), dtype=np.uint8), size, interpolation=cv2.INTER_CUBIC)
    for _ in range(12):
        x, y = (int(v) for v in rng.integers(0, 300, 2))
        cv2.circle(pixels, (x, y), int(rng.integers(8, 40)), rng.integers(0, 256, 3).tolist(), -1)
    return pixels


def save(path: Path, pixels: np.ndarray, *options: int) -> str:
    path.write_bytes(cv2.imencode(path.suffix, pixels, options)[1].tobytes())
    return path.name


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "smaller": lambda p: cv2.resize(p, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA),
    "much larger": lambda p: cv2.resize(p, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC),
    "out of focus": lambda p: cv2.GaussianBlur(p, (0, 0), 3),
    "brighter": lambda p: cv2.convertScaleAbs(p, alpha=1.08, beta=8),
    "noisy": lambda p: np.clip(p + np.random.default_rng(0).normal(0, 10, p.shape), 0, 255).astype(np.uint8),
    "grey": lambda p: cv2.cvtColor(p, cv2.COLOR_BGR2GRAY),
}


def partners_of(found: Fingerprints) -> list[int]:
    count = len(found.usable)
    return find_near_duplicates(found.prints, np.zeros(count, np.uint8), found.usable).same.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_the_same_picture_saved_again_is_found(tmp_path: Path, change: str, suffix: str) -> None:
    names = [save(tmp_path / f"{n}.jpg", scene(n)) for n in range(6)]
    names += [save(tmp_path / f"again{n}{suffix}", CHANGES[change](scene(n))) for n in range(6)]
    assert partners_of(fingerprint_images(names, tmp_path)) == [-1] * 6 + list(range(6))


def test_low_quality_is_found_and_equal_bytes_are_not(tmp_path: Path) -> None:
    names = [save(tmp_path / "a.jpg", scene(1)), save(tmp_path / "b.jpg", scene(1), cv2.IMWRITE_JPEG_QUALITY, 30)]
    names.append(save(tmp_path / "c.jpg", scene(1)))
    found = fingerprint_images(names, tmp_path)
    assert found.prints.digest[0] == found.prints.digest[2] != found.prints.digest[1]
    assert partners_of(found) == [-1, 0, 1]


def test_dark_scenes_with_a_few_spots_are_not_near(tmp_path: Path) -> None:
    """Their hashes are nearly all zeros; the false alarms of the plain hash, counted here too."""
    names = []
    for number in range(49):
        dark = np.zeros((192, 192), np.uint8)
        y, x = divmod(number, 7)
        cv2.rectangle(dark, (24 * x + 5, 24 * y + 3), (24 * x + 19, 24 * y + 22), 255, -1)
        names.append(save(tmp_path / f"{number}.png", dark))
    found = fingerprint_images(names, tmp_path)
    across = found.prints.across
    alarms = np.bitwise_count(across[:, None] ^ across[None]) <= 6
    assert alarms.sum() - 49 > 200
    assert max(partners_of(found)) == -1


def test_uniform_images_are_not_compared(tmp_path: Path) -> None:
    names = [save(tmp_path / f"{n}.png", np.full((50, 60, 3), 40 * n, np.uint8)) for n in range(4)]
    found = fingerprint_images(names, tmp_path)
    assert not found.usable.any()
    assert found.unreadable == []


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    upright = Image.fromarray(scene(2)[..., ::-1])
    upright.save(tmp_path / "up.jpg", quality=95)
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.jpg", quality=95, exif=exif)
    assert partners_of(fingerprint_images(["up.jpg", "turned.jpg"], tmp_path)) == [-1, 0]


def test_unreadable_images_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "Prüf ling"
    folder.mkdir()
    good = save(folder / "größe 1.jpg", scene(1))
    whole = (folder / good).read_bytes()
    (folder / "kurz.jpg").write_bytes(whole[:-300])
    (folder / "leer.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("no picture")
    (folder / "ordner.jpg").mkdir()
    (folder / "kaputt.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    names = ["nirgends.jpg", good, "kurz.jpg", "leer.jpg", "text.jpg", "ordner.jpg", "kaputt.png"]
    found = fingerprint_images(names, folder)
    assert [(number, rule) for number, rule, _ in found.unreadable] == [
        (0, "missing-image"),
        (2, "truncated-image"),
        (3, "not-an-image"),
        (4, "not-an-image"),
        (5, "not-an-image"),
        (6, "broken-header"),
    ]
    assert found.usable.tolist() == [n == 1 for n in range(7)]
    assert all(str(folder) not in message for *_, message in found.unreadable)


@pytest.mark.slow
def test_workers_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolopipe.inspection.checks.fingerprints.FEW_IMAGES", 0)
    monkeypatch.setattr("yolopipe.inspection.checks.fingerprints.CHUNK_IMAGES", 5)
    names = [save(tmp_path / f"{n}.png", scene(n, (80, 60))) for n in range(12)]
    names.insert(7, "nirgends.png")
    one, two = (fingerprint_images(names, tmp_path, workers=workers) for workers in (1, 2))
    for a, b in zip(one.prints, two.prints, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(one.usable, two.usable)
    assert one.unreadable == two.unreadable
    assert [number for number, *_ in one.unreadable] == [7]


def test_no_images() -> None:
    found = fingerprint_images([], Path())
    assert partners_of(found) == []
