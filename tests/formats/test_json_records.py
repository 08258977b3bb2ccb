"""Records with their places, against ``json.loads`` and a count of line breaks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolopipe.errors import DataError
from yolopipe.formats.json_records import Record, read_record_lists, read_records

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def read(text: str | bytes, folder: Path, *keys: str) -> tuple[list[Record], list[tuple[int, int, str]]]:
    file = folder / "a.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    found: list[Record] = []
    problems = read_record_lists(file, dict.fromkeys(keys, found.append))
    return found, [(p.line, p.column, p.rule) for p in problems]


@pytest.mark.slow
@given(
    others=st.dictionaries(st.text().filter(lambda key: key != "images"), JSON, max_size=3),
    records=st.lists(JSON, max_size=6),
    indent=st.sampled_from([None, 0, 2]),
    ascii_only=st.booleans(),
)
def test_every_record_is_found_where_it_stands(
    tmp_path_factory: pytest.TempPathFactory, others: Any, records: Any, indent: int | None, ascii_only: bool
) -> None:
    tree = {**others, "images": records, "after": [1, {"images": [2]}]}
    text = json.dumps(tree, indent=indent, ensure_ascii=ascii_only)
    found, problems = read(text, tmp_path_factory.mktemp("j"), "images")
    assert [record.value for record in found] == records
    assert problems == []
    lines = text.split("\n")
    for record in found:
        rest = "\n".join([lines[record.line - 1][record.column - 1 :], *lines[record.line :]])
        assert json.JSONDecoder().raw_decode(rest)[0] == record.value


def test_byte_order_mark_windows_lines_and_one_line(tmp_path: Path) -> None:
    text = '\ufeff{\r\n"images": [\r\n {"id": 1},\r\n\r\n {"id": 2}]}'
    assert [(r.line, r.column) for r in read(text, tmp_path, "images")[0]] == [(3, 2), (5, 2)]
    assert [(r.line, r.column) for r in read('{"images":[1,22, 3]}', tmp_path, "images")[0]] == [
        (1, 12),
        (1, 14),
        (1, 18),
    ]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", (1, 1)),
        ("[1]", (1, 1)),
        ('{"images": [1,\n 2', (2, 3)),
        ('{"images": [1,\n]}', (2, 1)),
        ('{"images": [1 2]}', (1, 15)),
        ('{"images": {"a": 1}}', (1, 12)),
        ('{"images": [1]} x', (1, 17)),
        ('{"images": [1],}', (1, 16)),
        ("{1: [1]}", (1, 3)),
        ('{"images": [{"id": }]}', (1, 20)),
        ('{"images": ["a\nb"]}', (1, 15)),
    ],
)
def test_broken_files_are_named_by_place(tmp_path: Path, text: str, place: tuple[int, int]) -> None:
    assert read(text, tmp_path, "images")[1] == [(*place, "bad-json")]


def test_traps_for_the_decoder(tmp_path: Path) -> None:
    assert [p[2] for p in read('{"images": [' + "[" * 100_000 + "]}", tmp_path, "images")[1]] == ["bad-json"]
    assert [p[2] for p in read('{"images": [' + "9" * 10_000 + "]}", tmp_path, "images")[1]] == ["bad-json"]


def test_missing_and_repeated_keys(tmp_path: Path) -> None:
    text = '{"images": [1],\n "images": [2]}'
    assert read(text, tmp_path, "images", "annotations")[1] == [(0, 0, "missing-key"), (2, 2, "duplicate-key")]


def test_a_list_at_the_top_or_in_an_object(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    for text, place in (("[ 7]", (1, 3)), ('{"b": [1],\n "a": [7]}', (2, 8))):
        file.write_text(text)
        found: list[Record] = []
        assert read_records(file, "a", found.append) == []
        assert [(record.value, record.line, record.column) for record in found] == [(7, *place)]
    for text, rule in (("[7", "bad-json"), ("5", "bad-json"), ('{"b": []}', "missing-key"), ("[7] 8", "bad-json")):
        file.write_text(text)
        assert [problem.rule for problem in read_records(file, "a", print)] == [rule]


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.json"):
        read_record_lists(tmp_path / "none.json", {})
    with pytest.raises(DataError, match=r"a\.json:2: "):
        read(b'{"images":\n ["\xff"]}', tmp_path)
