"""The store by itself: what goes in comes out, or nothing does; never anything else."""

import hashlib
import os
import shutil
import time
from multiprocessing import get_context

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolopipe.cache.packs import ENTRY, RECORD_HEAD, PackWriter, in_use, load_packs
from yolopipe.cache.pruning import MANY_SMALL_PACKS, cache_size, prune
from yolopipe.cache.settings import CacheRun, cache_bytes, cache_directory, start_run
from yolopipe.cache.store import PixelStore
from yolopipe.errors import UsageError


def key_of(name):
    return hashlib.sha256(str(name).encode()).digest()


def payload_of(name, size=100):
    return (hashlib.sha256(f"payload {name}".encode()).digest() * (size // 32 + 1))[:size]


def make_run(folder, *, stamp=1000, max_bytes=10**6, reserve=0):
    return CacheRun(folder, os.urandom(4).hex(), stamp, max_bytes, reserve)


def fill(folder, names, *, stamp=1000, max_bytes=10**6, size=100):
    store = PixelStore(make_run(folder, stamp=stamp, max_bytes=max_bytes))
    for name in names:
        store.put(key_of(name), payload_of(name, size))
    store.close()
    return store


def found(folder, names, *, stamp=1000, size=100):
    """Which of the names the cache knows; what it gives for them is what was put."""
    store = PixelStore(make_run(folder, stamp=stamp))
    try:
        answers = {name: store.get(key_of(name)) for name in names}
    finally:
        store.close()
    assert all(answer == payload_of(name, size) for name, answer in answers.items() if answer is not None)
    return {name for name, answer in answers.items() if answer is not None}


@given(st.lists(st.tuples(st.binary(max_size=2), st.binary(max_size=300)), max_size=30))
@settings(max_examples=40)
def test_what_goes_in_comes_out(tmp_path_factory, pairs):
    folder = tmp_path_factory.mktemp("store")
    wanted = {}
    for name, payload in pairs:
        if payload:  # no picture is empty
            wanted.setdefault(key_of(name), payload)
    store = PixelStore(make_run(folder))
    for key, payload in wanted.items():
        assert store.get(key) is None
        store.put(key, payload)
    store.close()
    again = PixelStore(make_run(folder))
    assert {key: again.get(key) for key in wanted} == wanted
    assert again.get(key_of("never put")) is None
    again.close()


def test_an_empty_folder_and_none_at_all(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        assert found(folder, [1, 2]) == set()
        assert cache_size(folder) == (0, 0, 0)
        prune(folder, 0)


def test_a_flipped_bit_anywhere_is_noticed(tmp_path):
    """Each byte of pack and index in turn: the answer is right or none, and a damaged record is made again."""
    fill(tmp_path / "whole", range(3), size=40)
    for path in sorted((tmp_path / "whole").iterdir()):
        for position in range(0, path.stat().st_size, 3):
            folder = tmp_path / "hurt"
            shutil.copytree(tmp_path / "whole", folder)
            content = bytearray(path.read_bytes())
            content[position] ^= 0x10
            (folder / path.name).write_bytes(content)
            assert len(found(folder, range(3), size=40)) >= 2
            shutil.rmtree(folder)


def test_a_damaged_record_is_replaced(tmp_path):
    fill(tmp_path, range(3))
    (pack,) = tmp_path.glob("*.pack")
    content = bytearray(pack.read_bytes())
    content[RECORD_HEAD + 50] ^= 1
    pack.write_bytes(content)
    assert found(tmp_path, range(3)) == {1, 2}
    fill(tmp_path, [0])
    assert found(tmp_path, range(3)) == {0, 1, 2}
    assert cache_size(tmp_path).entries == 3, "the damaged one is marked dead"


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".pack", ".index"])
def test_cut_files_lose_only_their_end(tmp_path, suffix):
    """What a killed process or a power cut leaves, cut at every length."""
    fill(tmp_path / "whole", range(3), size=40)
    (path,) = (tmp_path / "whole").glob(f"*{suffix}")
    unit = RECORD_HEAD + 40 if suffix == ".pack" else ENTRY.itemsize
    for length in range(path.stat().st_size):
        shutil.copytree(tmp_path / "whole", tmp_path / "cut")
        os.truncate(tmp_path / "cut" / path.name, length)
        assert found(tmp_path / "cut", range(3), size=40) == set(range(length // unit))
        shutil.rmtree(tmp_path / "cut")


def _fill_in_a_process(folder, first):
    fill(folder, range(first, first + 60))


@pytest.mark.slow
def test_processes_share_a_folder(tmp_path):
    context = get_context("spawn")
    processes = [context.Process(target=_fill_in_a_process, args=(tmp_path, 30 * i)) for i in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert found(tmp_path, range(120)) == set(range(120))
    prune(tmp_path, 10**6)
    assert cache_size(tmp_path).entries == 120, "duplicates are removed"
    assert found(tmp_path, range(120)) == set(range(120))


def test_the_bound_holds_and_a_full_cache_stops_storing(tmp_path):
    store = fill(tmp_path, range(100), max_bytes=10_000)
    assert store.trouble
    assert 7_000 < cache_size(tmp_path).bytes <= 10_000
    kept = found(tmp_path, range(100))
    assert kept == set(range(len(kept))), "a run does not evict what it has put itself"


def test_the_oldest_use_goes_first(tmp_path):
    fill(tmp_path, range(10), stamp=1)
    fill(tmp_path, range(10, 20), stamp=2)
    assert found(tmp_path, [3, 4], stamp=3) == {3, 4}  # used again
    one = RECORD_HEAD + 100 + ENTRY.itemsize
    prune(tmp_path, 12 * one)
    assert found(tmp_path, range(20), stamp=1) == {3, 4, *range(10, 20)}
    prune(tmp_path, 2 * one)
    assert found(tmp_path, range(20), stamp=1) == {3, 4}
    prune(tmp_path, 0)
    assert cache_size(tmp_path) == (0, 0, 0)


def test_new_pictures_take_the_place_of_old_ones(tmp_path):
    """A run never evicts what it has used itself."""
    fill(tmp_path, range(40), stamp=1, max_bytes=10_000)
    store = PixelStore(make_run(tmp_path, stamp=2, max_bytes=10_000))
    kept = [name for name in range(5) if store.get(key_of(name))]
    assert kept
    for name in range(100, 120):
        store.put(key_of(name), payload_of(name))
    store.close()
    assert not store.trouble
    assert cache_size(tmp_path).bytes <= 10_000
    assert found(tmp_path, [*kept, *range(100, 120)]) == {*kept, *range(100, 120)}


def test_eviction_under_a_reader_is_a_miss(tmp_path):
    fill(tmp_path, range(5))
    reader = PixelStore(make_run(tmp_path))
    prune(tmp_path, 0)
    assert [reader.get(key_of(name)) for name in range(5)] == [None] * 5
    reader.close()


def test_a_pack_that_is_being_written_is_left_alone(tmp_path):
    writer = PackWriter(tmp_path)
    writer.append(key_of(1), payload_of(1), 1)
    (pack,) = load_packs(tmp_path)
    assert in_use(pack.path)
    prune(tmp_path, 0)
    assert found(tmp_path, [1]) == {1}
    writer.close()
    prune(tmp_path, 0)
    assert found(tmp_path, [1]) == set()


def test_many_small_packs_become_one(tmp_path):
    for name in range(MANY_SMALL_PACKS + 1):
        fill(tmp_path, [name], max_bytes=10**8)
    assert cache_size(tmp_path).packs == MANY_SMALL_PACKS + 1
    prune(tmp_path, 10**8)
    assert cache_size(tmp_path).packs == 1
    assert found(tmp_path, range(40)) == set(range(MANY_SMALL_PACKS + 1))


def test_what_kills_left_is_removed(tmp_path):
    fill(tmp_path, [1])
    (tmp_path / "ff.pack").write_bytes(b"no index")
    (tmp_path / "ee.index").write_bytes(b"no pack")
    prune(tmp_path, 10**6)
    assert {path.stem for path in tmp_path.glob("*.*")} == {path.path.stem for path in load_packs(tmp_path)}
    assert found(tmp_path, [1]) == {1}


def test_room_for_the_outputs_comes_first(tmp_path):
    store = PixelStore(make_run(tmp_path, reserve=10**18))
    store.put(key_of(1), payload_of(1))
    assert store.trouble
    assert found(tmp_path, [1]) == set()


def test_a_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    store = PixelStore(make_run(tmp_path / "file" / "cache"))
    store.put(key_of(1), payload_of(1))
    assert store.trouble == "Not a directory"
    assert store.get(key_of(1)) is None


@pytest.mark.slow
def test_many_packs_few_open_files(tmp_path):
    for name in range(100):
        fill(tmp_path, [name])
    before = len(os.listdir("/proc/self/fd"))
    store = PixelStore(make_run(tmp_path, stamp=1001))
    for _ in range(2):
        assert all(store.get(key_of(name)) for name in range(100))
    assert len(os.listdir("/proc/self/fd")) - before <= 128
    store.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_reading_is_cheap(tmp_path):
    """10,000 entries: some 20 µs each here; the limit only catches a search that is not one."""
    fill(tmp_path, range(10_000), max_bytes=10**9)
    store = PixelStore(make_run(tmp_path))
    begin = time.perf_counter()
    assert all(store.get(key_of(name)) for name in range(0, 10_000, 10))
    assert time.perf_counter() - begin < 1.0
    store.close()


def test_sizes_are_options_and_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("YOLOPIPE_CACHE_GB", raising=False)
    assert cache_bytes() == 20 * 10**9
    monkeypatch.setenv("YOLOPIPE_CACHE_GB", "0.25")
    assert cache_bytes() == 250_000_000
    assert cache_bytes(3) == 3 * 10**9
    assert start_run(cache_bytes(0)) is None
    for wrong in ("-1", "much", "nan", "inf"):
        monkeypatch.setenv("YOLOPIPE_CACHE_GB", wrong)
        with pytest.raises(UsageError, match=f"YOLOPIPE_CACHE_GB must be .*'{wrong}'"):
            cache_bytes()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert cache_directory() == tmp_path / ".yolopipe/pixels-2"
    monkeypatch.delenv("DVC_ROOT")
    monkeypatch.chdir(tmp_path)
    assert cache_directory() == tmp_path / ".yolopipe/pixels-2"
