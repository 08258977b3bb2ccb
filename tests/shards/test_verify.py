"""``yolopipe verify``, and the same check at the head of training: damage is named before anything is read."""

import json
import shutil
import sys

import pytest

from yolopipe.cli import app, guarded
from yolopipe.errors import ShardError
from yolopipe.shards.manifest import load_manifest
from yolopipe.shards.verify import verify_shards
from yolopipe.stages import augment, parse, precompute, train


def call(*arguments):
    return guarded(lambda: app(list(arguments), standalone_mode=False))


@pytest.fixture(scope="module")
def made(drawn, tmp_path_factory):
    """A folder with the shards of fifty images in each format."""
    folder = tmp_path_factory.mktemp("verify")
    drawn.draw(folder, images=40)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for stage in (parse, augment):
            stage.run(drawn.make_config())
        for form in ("parquet", "tfrecord"):
            precompute.run(drawn.make_config(precompute={"input_size": 64, "shard_rows": 16, "format": form}))
            (folder / "data/shards").rename(folder / form)
    return folder


@pytest.fixture(params=["parquet", "tfrecord"])
def project(made, request, tmp_path, monkeypatch):
    """A fresh copy of the shards as ``data/shards`` of the current folder."""
    shutil.copytree(made / request.param, tmp_path / "data/shards")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shard_paths():
    manifest = load_manifest("data/shards", check_files=False)
    return [f"data/shards/{shard.name}" for split in manifest.splits.values() for shard in split.shards]


def flip(path, position):
    with open(path, "r+b") as file:
        file.seek(position, 2 if position < 0 else 0)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))


@pytest.mark.slow
def test_whole_shards(project, capsys):
    assert call("verify") == 0
    output = capsys.readouterr()
    assert "verify: 7 shards, 90 rows" in output.out
    assert "7/7 shards" in output.err
    assert call("verify", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["shards"], report["rows"]) == (7, 90)


def test_all_that_is_wrong_is_named_at_once(project, capsys):
    first, second, third, *whole = shard_paths()
    flip(first, 3000)
    with open(second, "r+b") as file:
        file.truncate(1000)
    (project / third).unlink()
    assert call("verify") == 4
    output = capsys.readouterr()
    assert output.out == ""
    assert "3 of 7 shards" in output.err
    place = "record 0" if first.endswith("tfrecord") else "row group 0"
    assert f"{first}: {place} is damaged" in output.err
    assert f"{second} has 1,000 bytes" in output.err
    assert third in output.err
    assert not any(name in output.err for name in whole)
    assert "dvc repro -f precompute" in output.err


def test_a_flipped_bit_anywhere_in_a_shard(project):
    """Also where no reader looks: footers, padding, lengths."""
    path = shard_paths()[0]
    manifest = load_manifest("data/shards")
    size = (project / path).stat().st_size
    for position in [0, 4, 9, *range(20, size, size // 25), size - 9, size - 1]:
        flip(path, position)
        with pytest.raises(ShardError, match=path.rpartition("/")[2]):
            verify_shards("data/shards", manifest)
        flip(path, position)
    assert verify_shards("data/shards", manifest) > 0


def test_a_later_record_is_counted(project):
    """The place of the damage, not only the file."""
    path = shard_paths()[0]
    flip(path, -(project / path).stat().st_size // 4)
    with pytest.raises(ShardError) as caught:
        verify_shards("data/shards", load_manifest("data/shards"))
    if path.endswith("tfrecord"):
        number = int(str(caught.value).split("record ")[1].split()[0])
        assert 9 <= number <= 14


def test_shards_of_another_run_under_these_names(made, project):
    """Whole files under the wrong names."""
    paths = shard_paths()
    first, second = (project / path for path in paths[:2])
    first_bytes = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(first_bytes)
    with pytest.raises(ShardError, match="2 of 7 shards"):
        verify_shards("data/shards", load_manifest("data/shards", check_files=False))


def test_no_shards(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call("verify") == 4
    assert "data/shards/manifest.json" in capsys.readouterr().err


@pytest.mark.parametrize("copy", [0, 1])
def test_training_checks_what_it_will_read_before_it_starts(drawn, project, copy):
    """One flipped bit stops it before TensorFlow is set up; a copy that no epoch reads costs nothing."""
    flip(next(path for path in shard_paths() if f"train-c{copy:02}" in path), 3000)
    config = drawn.make_config(train={"epochs": copy + 1})
    before = set(sys.modules)
    with pytest.raises(ShardError, match=rf"train-c{copy:02}-\d+"):
        train.run(config)
    assert not [name for name in set(sys.modules) - before if name.startswith("tensorflow")]
    read = [
        shard.copy for shard in train._to_read(drawn.make_config(train={"epochs": 1}), load_manifest("data/shards"))
    ]
    assert sorted(read) == [0] * 4
