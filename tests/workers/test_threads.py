from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from yolopipe.workers.threads import in_threads


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("ahead", [0, 1, 7, 99])
@pytest.mark.parametrize("count", [0, 1, 20])
def test_in_order_and_not_further_ahead_than_said(threads: int, ahead: int, count: int) -> None:
    taken = done = 0

    def inputs() -> Iterator[int]:
        nonlocal taken
        for number in range(count):
            taken += 1
            assert taken - done <= ahead + 1
            yield number

    for expected, result in enumerate(in_threads(lambda n: n * n, inputs(), threads=threads, ahead=ahead)):
        assert result == expected**2
        done += 1
    assert done == count


def test_calls_overlap() -> None:
    meeting = threading.Barrier(2, timeout=30)
    assert len(list(in_threads(lambda _: meeting.wait(), range(4), threads=2, ahead=2))) == 4


def test_an_error_comes_at_its_turn_and_ends_it() -> None:
    def reciprocal(number: int) -> float:
        return 1 / number

    results = in_threads(reciprocal, [1, 2, 0, 4], ahead=3)
    assert [next(results), next(results)] == [1.0, 0.5]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == []
