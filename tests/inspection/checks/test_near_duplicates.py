"""Near duplicates against a comparison of all with all, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolopipe.inspection.checks import near_duplicates as module
from yolopipe.inspection.checks.near_duplicates import Prints, find_near_duplicates
from yolopipe.inspection.checks.rules import MOST_BITS_ACROSS, MOST_BITS_DOWN, THUMBNAIL_CORRELATION


def flipped(rng: np.random.Generator, value: int, bits: int) -> int:
    for bit in rng.choice(64, bits, replace=False).tolist():
        value ^= 1 << bit
    return value


def families(rng: np.random.Generator, count: int, seeds: int) -> Prints:
    """Pictures near a few seeds: hashes some bits apart, thumbnails more or less alike."""
    words = [[int(rng.integers(0, 2**63)) for _ in range(seeds)] for _ in range(2)]
    thumbs = rng.integers(0, 256, (seeds, 256))
    of = rng.integers(0, seeds, count)
    noise = rng.choice([0, 4, 20, 40], count)
    return Prints(
        digest=rng.integers(0, max(2, count - 3), count).astype(np.uint64),
        across=np.array([flipped(rng, words[0][n], int(rng.integers(0, 6))) for n in of], np.uint64),
        down=np.array([flipped(rng, words[1][n], int(rng.integers(0, 7))) for n in of], np.uint64),
        thumb=np.clip(thumbs[of] + rng.normal(0, 1, (count, 256)) * noise[:, None], 0, 255).astype(np.uint8),
    )


def all_pairs(prints: Prints, group: np.ndarray, wanted: np.ndarray) -> tuple[set[int], set[int]]:
    """Who has an earlier near duplicate in its group, and who in an earlier group."""
    same, other = set(), set()
    for b in range(len(group)):
        for a in range(b):
            if not (wanted[a] and wanted[b]) or prints.digest[a] == prints.digest[b]:
                continue
            bits = [bin(int(words[a]) ^ int(words[b])).count("1") for words in (prints.across, prints.down)]
            if bits[0] > MOST_BITS_ACROSS or bits[1] > MOST_BITS_DOWN:
                continue
            if (
                np.corrcoef(prints.thumb[a].astype(float), prints.thumb[b].astype(float))[0, 1]
                > THUMBNAIL_CORRELATION
            ):
                (same if group[a] == group[b] else other).add(b)
    return same, other


@pytest.mark.slow
@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 60),
    few=st.sampled_from([0, 4096]),
    block=st.sampled_from([(1, 1), (7, 5), (128, 1024)]),
)
def test_equal_to_all_with_all(seed: int, count: int, few: int, block: int) -> None:
    rng = np.random.default_rng(seed)
    prints = families(rng, count, max(1, count // 5))
    group = np.sort(rng.integers(0, 2, count)).astype(np.uint8)
    wanted = rng.random(count) < 0.9
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FEW", few)
        patch.setattr(module, "ROWS", block[0])
        patch.setattr(module, "COLUMNS", block[1])
        found = find_near_duplicates(prints, group, wanted)
    same, other = all_pairs(prints, group, wanted)
    assert set(np.flatnonzero(found.same >= 0).tolist()) == same
    assert set(np.flatnonzero(found.other >= 0).tolist()) == other
    assert found.skipped == 0
    for partner, equal in ((found.same, True), (found.other, False)):
        for b in np.flatnonzero(partner >= 0).tolist():
            assert partner[b] < b
            assert (group[partner[b]] == group[b]) == equal


def distinct(count: int, seed: int = 0) -> Prints:
    rng = np.random.default_rng(seed)
    words = rng.integers(0, 2**64, (3, count), dtype=np.uint64)
    return Prints(words[0], words[1], words[2], rng.integers(0, 256, (count, 256), dtype=np.uint8))


def test_near_duplicates_among_many_others() -> None:
    """Above the number up to which all are compared with all; six bits apart, in six different bytes."""
    prints = distinct(6000)
    prints.across[5500] = prints.across[17] ^ np.uint64(0x0000010101010101)
    prints.down[5500] = prints.down[17]
    prints.thumb[5500] = prints.thumb[17]
    group = (np.arange(6000) >= 5000).astype(np.uint8)
    found = find_near_duplicates(prints, group, np.ones(6000, bool))
    assert np.flatnonzero(found.other >= 0).tolist() == [5500]
    assert found.other[5500] == 17
    assert not (found.same >= 0).any()


def test_many_images_of_one_scene(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every frame near every other: 18 million pairs, of which few need a look."""
    prints = distinct(6000)
    prints.across[:], prints.down[:], prints.thumb[:] = prints.across[0], prints.down[0], prints.thumb[0]
    monkeypatch.setattr(module, "MOST_LOOKS", 40_000)
    found = find_near_duplicates(prints, (np.arange(6000) >= 5000).astype(np.uint8), np.ones(6000, bool))
    assert (found.same >= 0).sum() == 5998
    assert (found.other >= 0).sum() == 1000
    assert found.skipped == 0


def test_equal_hashes_of_different_pictures_are_not_near_and_pairs_left_out_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prints = distinct(300)
    prints.across[:], prints.down[:] = 0, 0
    everyone = np.ones(300, bool)
    found = find_near_duplicates(prints, np.zeros(300, np.uint8), everyone)
    assert (found.same >= 0).sum() == found.skipped == 0
    monkeypatch.setattr(module, "MOST_LOOKS", 100)
    assert find_near_duplicates(prints, np.zeros(300, np.uint8), everyone).skipped == 300 * 299 / 2 - 100
    monkeypatch.setattr(module, "MOST_COMPARISONS", 10)
    assert find_near_duplicates(prints, np.zeros(300, np.uint8), everyone).skipped > 0
