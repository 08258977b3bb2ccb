from __future__ import annotations

import os
from itertools import count

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolopipe.formats.path_register import PathRegister

NAMES = st.lists(st.sampled_from([f"{folder}{name}.jpg" for folder in ("", "./", "x/../") for name in "abcdefghäß"]))


@given(NAMES, st.integers(1, 5), st.lists(st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=3)))
def test_equal_to_a_dictionary_for_any_cut(names: list[str], piece: int, others: list[str]) -> None:
    first: dict[str, int] = {}
    register, lines = PathRegister(), count(3, 2)
    for start in range(0, len(names), piece):  # itertools.batched is of Python 3.12
        part = names[start : start + piece]
        numbers = [next(lines) for _ in part]
        found = register.enter(part, numbers)
        expected = [first.setdefault(os.path.abspath(n), line) for n, line in zip(part, numbers, strict=True)]
        assert found.tolist() == expected
    asked = [*names, *others]
    assert register.lines(asked).tolist() == [first.get(os.path.abspath(name), 0) for name in asked]


def test_empty() -> None:
    register = PathRegister()
    assert register.enter([], []).dtype == register.lines([]).dtype == np.int32
    assert register.lines(["a.jpg"]).tolist() == [0]
    assert register.enter(["no utf8 \udcf6.jpg", "\ud800"], [1, 2]).tolist() == [1, 2]


def test_a_relative_path_is_that_of_the_working_folder(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    register = PathRegister()
    monkeypatch.chdir(tmp_path)
    register.enter(["a.jpg"], [1])
    assert register.lines([str(tmp_path / "a.jpg"), "/a.jpg"]).tolist() == [1, 0]


def test_twenty_bytes_an_image() -> None:
    """The size of the runs does not depend on the length of the paths; and there are few of them."""
    register, total = PathRegister(), 20_000
    for start in range(0, total, 512):
        names = [f"{'long/' * 30}{number}.jpg" for number in range(start, min(start + 512, total))]
        register.enter(names, np.arange(start, start + len(names)) + 1)
    held = sum(run.digests.nbytes + run.lines.nbytes for run in register._runs)
    assert held == 20 * total
    assert len(register._runs) <= np.log2(total)
    assert register.lines([f"{'long/' * 30}{total - 1}.jpg"]).tolist() == [total]
