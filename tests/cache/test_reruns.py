"""A re-run with the cache writes what a run without it writes, byte for byte, whatever changed in between."""

import json
import os
import shutil
from pathlib import Path

import cv2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from yolopipe.cache import keys
from yolopipe.cache.settings import cache_directory
from yolopipe.cache.show_cache import run as cache_command
from yolopipe.cli import app, guarded
from yolopipe.errors import UsageError
from yolopipe.stages import augment, parse, precompute

ANCHORS = ["8x8", "12x12", "10x20", "20x20", "30x20", "20x40", "50x50", "60x90", "120x100"]
SHARDS = Path("data/shards")


@pytest.fixture
def project(drawn, tmp_path, monkeypatch):
    """Twelve drawn images for train and three for val, augmented; the current folder."""
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("YOLOPIPE_CACHE_GB", raising=False)
    drawn.draw(tmp_path, images=12)
    monkeypatch.chdir(tmp_path)
    for stage in (parse, augment):
        stage.run(drawn.make_config())
    return tmp_path


def pixels_of(config, **options):
    """Reused and encoded pictures of a run."""
    return tuple(precompute.run(config, **options).report["pixels"].values())


def assert_same_as_cold(drawn, config):
    """The shards that are here are those of a run without a cache."""
    rerun = drawn.contents(SHARDS)
    assert pixels_of(config, cache_gb=0) == (0, sum(len(load(split)) for split in ("train", "val")))
    assert drawn.contents(SHARDS) == rerun


def load(split):
    from yolopipe.tables import read_table

    return read_table(f"data/augmented/{split}.parquet", made_by="augment")[0]


def edit_in_place(path, position=-30):
    """Other bytes, same size, same date: what no rule of names and dates can see."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


@pytest.mark.slow
@pytest.mark.parametrize(
    "sections",
    [
        {"assignment": {"anchors": ANCHORS}},
        {"assignment": {"iou_threshold": 0.6}},
        {"assignment": {"max_bbox_per_scale": 1}},
        {"precompute": {"input_size": 64, "shard_rows": 7}},
        {"precompute": {"input_size": 64, "shard_rows": 16, "format": "tfrecord"}},
    ],
)
def test_what_is_not_pixels_encodes_none(drawn, project, sections):
    assert pixels_of(drawn.make_config()) == (0, 27)
    config = drawn.make_config(**sections)
    assert pixels_of(config) == (27, 0)
    assert_same_as_cold(drawn, config)


def test_other_classes_encode_none(drawn, project):
    pixels_of(drawn.make_config())
    (project / "classes.names").write_text("a\nb\nc\nd\n")
    for stage in (parse, augment):
        stage.run(drawn.make_config())
    assert pixels_of(drawn.make_config()) == (27, 0)
    assert_same_as_cold(drawn, drawn.make_config())


@pytest.mark.slow
@pytest.mark.parametrize(
    "params",
    [{"jpeg_quality": 94}, {"encoding": "png"}, {"encoding": "raw"}, {"input_size": 96}],
)
def test_other_pixels_are_all_encoded(drawn, project, params):
    pixels_of(drawn.make_config())
    config = drawn.make_config(precompute={"input_size": 64, "shard_rows": 16, **params})
    assert pixels_of(config) == (0, 27)
    assert_same_as_cold(drawn, config)
    assert pixels_of(drawn.make_config()) == (27, 0), "and the first ones are still there"


@pytest.mark.slow
def test_an_image_edited_in_place_with_the_same_size_and_date(drawn, project):
    config = drawn.make_config()
    pixels_of(config)
    first = drawn.contents(SHARDS)
    edit_in_place(sorted((project / "images").glob("train*.jpg"))[0])
    assert pixels_of(config) == (25, 2), "two copies of one image"
    assert drawn.contents(SHARDS) != first
    assert_same_as_cold(drawn, config)


@pytest.mark.slow
@pytest.mark.parametrize("fact", ["cv2.__version__", "build", "processor", "numpy", "algorithm"])
def test_another_library_version_reuses_nothing(drawn, project, monkeypatch, fact):
    config = drawn.make_config()
    pixels_of(config)
    if fact == "cv2.__version__":
        monkeypatch.setattr(cv2, "__version__", "4.99.0")
    elif fact == "build":
        text = cv2.getBuildInformation().replace("libjpeg-turbo (ver ", "libjpeg-turbo (ver 9")
        assert text != cv2.getBuildInformation()
        monkeypatch.setattr(cv2, "getBuildInformation", lambda: text)
    elif fact == "processor":
        monkeypatch.setattr(cv2, "getCPUFeaturesLine", lambda: "another processor")
    elif fact == "numpy":
        monkeypatch.setattr(keys.np, "__version__", "9.9")
    else:
        monkeypatch.setitem(keys.ALGORITHMS, "precompute", 99)
    assert pixels_of(config) == (0, 27)


@pytest.mark.parametrize("name", ["orientation", "width", "height", "frame_width", "frame_height", "hue", "value"])
def test_every_number_of_the_geometry_counts(name):
    import numpy as np

    sample = dict.fromkeys(("orientation", "width", "height", "frame_width", "frame_height"), 3)
    sample |= {"visible_xyxy": [0.0, 0.0, 3.0, 3.0], "hue": 0.0, "saturation": 1.0, "value": 1.0}
    identity = keys.codec_identity(input_size=64, encoding="jpeg", jpeg_quality=95)
    matrix = np.eye(2, 3)
    found = {keys.picture_key(identity, sample, matrix, b"image")}
    found.add(keys.picture_key(identity, {**sample, name: 7}, matrix, b"image"))
    found.add(keys.picture_key(identity, sample, np.nextafter(matrix, 9), b"image"))
    found.add(keys.picture_key(identity, {**sample, "visible_xyxy": [0.0, 0.0, 3.0, 2.5]}, matrix, b"image"))
    found.add(keys.picture_key(identity, sample, matrix, b"imagf"))
    assert len(found) == 5


def test_a_new_image_costs_itself(drawn, project):
    config = drawn.make_config()
    pixels_of(config)
    line = drawn.draw_image(project, "new", seed=9)
    with (project / "train.txt").open("a") as file:
        file.write(line)
    for stage in (parse, augment):
        stage.run(config)
    assert pixels_of(config) == (27, 2)
    assert_same_as_cold(drawn, config)


def test_a_renamed_image_costs_nothing(drawn, project):
    """Its key is its content; with equal draws (none here) its pixels are the same."""
    config = drawn.make_config(augment={"copies": 1, "flip": 0.0, "crop": 0.0, "translate": 0.0})
    augment.run(config)
    pixels_of(config)
    text = (project / "train.txt").read_text()
    old = text.split()[0]
    (project / old).rename(project / "images" / f"renamed{old[-4:]}")
    (project / "train.txt").write_text(text.replace(old, f"images/renamed{old[-4:]}", 1))
    for stage in (parse, augment):
        stage.run(config)
    assert pixels_of(config) == (15, 0)
    assert_same_as_cold(drawn, config)


def test_damaged_entries_are_made_again(drawn, project):
    config = drawn.make_config()
    pixels_of(config)
    wanted = drawn.contents(SHARDS)
    for pack in cache_directory().glob("*.pack"):
        content = bytearray(pack.read_bytes())
        content[::1500] = bytes(byte ^ 1 for byte in content[::1500])
        pack.write_bytes(content)
    reused, encoded = pixels_of(config)
    assert reused + encoded == 27
    assert encoded >= 10
    assert drawn.contents(SHARDS) == wanted
    assert pixels_of(config) == (27, 0)


@pytest.mark.slow
def test_workers_share_the_cache(drawn, project):
    config = drawn.make_config(precompute={"input_size": 64, "shard_rows": 4})
    assert pixels_of(config, workers=2) == (0, 27)
    wanted = drawn.contents(SHARDS)
    assert pixels_of(config, workers=2) == (27, 0)
    assert drawn.contents(SHARDS) == wanted


def test_a_bad_image_is_found_in_a_warm_run_too(drawn, project, capsys):
    config = drawn.make_config()
    pixels_of(config)
    image = next((project / "images").glob("train*.jpg"))
    image.write_bytes(image.read_bytes()[:-20])
    assert guarded(lambda: precompute.run(config)) == 4
    assert f"images/{image.name}: truncated-image" in capsys.readouterr().err


def test_experiments_share_the_cache_of_their_project(drawn, project, tmp_path_factory, monkeypatch):
    """``dvc exp run --temp`` works in another folder and names the project in DVC_ROOT."""
    pixels_of(drawn.make_config())
    copy = tmp_path_factory.mktemp("experiment") / "copy"
    shutil.copytree(project, copy, ignore=shutil.ignore_patterns(".yolopipe", "shards"))
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(project))
    assert pixels_of(drawn.make_config()) == (27, 0)
    assert not (copy / ".yolopipe").exists()


CHANGES = st.one_of(
    st.tuples(st.just("iou_threshold"), st.sampled_from([0.2, 0.3, 0.5])),
    st.tuples(st.just("jpeg_quality"), st.sampled_from([80, 95])),
    st.tuples(st.just("encoding"), st.sampled_from(["jpeg", "png"])),
    st.tuples(st.just("format"), st.sampled_from(["parquet", "tfrecord"])),
    st.tuples(st.just("input_size"), st.sampled_from([32, 64])),
    st.tuples(st.just("shard_rows"), st.sampled_from([5, 16])),
    st.tuples(st.just("seed"), st.sampled_from([1, 2])),
    st.tuples(st.just("image"), st.integers(0, 100)),
    st.tuples(st.just("cache"), st.sampled_from([0.0, 20e-6, 40e-6, 20.0])),
    st.tuples(st.just("flip a byte of the cache"), st.integers(0, 10**6)),
)


def flip_a_byte(folder, position):
    files = sorted([*folder.glob("*.pack"), *folder.glob("*.index")])
    if files:
        path = files[position % len(files)]
        content = bytearray(path.read_bytes())
        if content:
            content[position % len(content)] ^= 1
            path.write_bytes(content)


@pytest.mark.slow
@given(changes=st.lists(CHANGES, min_size=1, max_size=6))
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_history_of_changes_ends_as_a_cold_run(drawn, project, changes):
    """The bytes are a function of params and images, never of what was run before or lies in the cache."""
    params = {"input_size": 64, "shard_rows": 16, "format": "parquet", "encoding": "jpeg", "jpeg_quality": 95}
    iou_threshold, seed, cache_gb = 0.3, 1, 20.0
    for name, value in changes:
        if name == "iou_threshold":
            iou_threshold = value
        elif name == "seed":
            seed = value
        elif name == "cache":
            cache_gb = value
        elif name == "image":
            images = sorted((project / "images").glob("*.jpg"))
            drawn_again = images[value % len(images)]
            drawn.draw_image(project, drawn_again.stem, seed=3)
            edit_in_place(drawn_again, -30 - value % 7)
        elif name == "flip a byte of the cache":
            flip_a_byte(cache_directory(), value)
        else:
            params[name] = value
        config = drawn.make_config(seed=seed, precompute=params, assignment={"iou_threshold": iou_threshold})
        augment.run(config)
        precompute.run(config, cache_gb=cache_gb)
    assert_same_as_cold(drawn, config)


@pytest.mark.slow
def test_the_summary_and_the_command(drawn, project, capsys):
    def call(*arguments):
        return guarded(lambda: app(list(arguments), standalone_mode=False))

    assert call("cache") == 0
    assert "none yet" in capsys.readouterr().out
    assert call("precompute", "--workers", "1") == 0
    assert "0 reused, 27 encoded" in capsys.readouterr().out
    assert call("precompute", "--workers", "1") == 0
    assert "27 reused, 0 encoded" in capsys.readouterr().out
    assert call("cache", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    size = sum(path.stat().st_size for path in cache_directory().glob("*.*") if path.suffix != ".json")
    assert (report["entries"], report["bytes"]) == (27, size)
    assert report["last_run"] == {"reused": 27, "encoded": 0}
    assert call("cache", "--prune", "--max-gb", "0.00001") == 0
    assert "removed" in capsys.readouterr().out
    assert cache_command().report["bytes"] <= 10_000
    assert call("cache", "--prune", "--max-gb", "0") == 0
    assert cache_command().report["entries"] == 0
    assert call("cache", "--max-gb", "1") == 2
    assert call("precompute", "--cache-size", "-3") == 2
    assert {"--cache-size", "'-3.0'"} <= set(capsys.readouterr().err.split())


def test_off_means_off(drawn, project, monkeypatch):
    monkeypatch.setenv("YOLOPIPE_CACHE_GB", "0")
    for _ in range(2):
        assert pixels_of(drawn.make_config()) == (0, 27)
    assert not (project / ".yolopipe").exists()
    assert "off" in str(cache_command().rows["may hold"])
    with pytest.raises(UsageError, match="--max-gb"):
        cache_command(max_gb=3.0)


def test_no_output_tells_of_the_cache(drawn, project):
    pixels_of(drawn.make_config())
    cold = drawn.contents(project / "data")
    pixels_of(drawn.make_config())
    assert drawn.contents(project / "data") == cold
    assert b"reused" not in (SHARDS / "manifest.json").read_bytes()
