"""Damaged texts and class names in ``yolopipe labels``: a documented exit code, and no input changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from yolopipe.cli import app, guarded

PIECES = [
    *(b"a.jpg", b"b c.jpg", b"1,2,30,40,0", b"1,2,30,40,-1,1", b"1,2,30,40,9", b"5,5,1,1,0", b"1,2", b"nan,1,2,3,0"),
    *(
        b" ",
        b"\t",
        b"\n",
        b"\r\n",
        b"#",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\x00",
        b"-",
        b"=",
        b"1e999,2,3,4,1",
        "é".encode(),
    ),
]
TEXTS = st.one_of(st.lists(st.sampled_from(PIECES), max_size=14).map(b"".join), st.binary(max_size=40))
NAMES = st.sampled_from([b"cat\ndog\n", b"cat\n", b"", b"cat\ncat\n", b"cat\n\ndog\n", b"\xff\n", b"dog\ncat"])
ON_BAD = ("--on-bad", "skip")
COMMANDS = {
    "split": ("split", "a.txt", "b.txt", "--no-near-duplicates", *ON_BAD, "--out", "out"),
    "folds": ("split", "a.txt", "--folds", "2", "--no-near-duplicates", *ON_BAD, "--out", "out"),
    "select": ("select", "a.txt", "--keep", "cat", "--others", "ignore", *ON_BAD, "--out", "out"),
    "merge": ("merge", "a.txt", "b.txt", *ON_BAD, "--out", "out"),
    "diff": ("diff", "a.txt", "b.txt", *ON_BAD),
    "corrections": ("corrections", "a.txt", "b.txt", "--out", "out.txt"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged")


@given(name=st.sampled_from(sorted(COMMANDS)), first=TEXTS, second=TEXTS, names=NAMES)
@example(name="merge", first=b"", second=b"", names=b"cat\n")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_command_ends_with_a_documented_code(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, first: bytes, second: bytes, names: bytes
) -> None:
    monkeypatch.chdir(folder)
    shutil.rmtree("out", ignore_errors=True)
    Path("out.txt").unlink(missing_ok=True)
    inputs = {"a.txt": first, "b.txt": second, "classes.names": names}
    for file, content in inputs.items():
        Path(file).write_bytes(content)
    code = guarded(lambda: app(["labels", *COMMANDS[name]], standalone_mode=False)) or 0
    assert code in (0, 2, 4)
    assert {file: Path(file).read_bytes() for file in inputs} == inputs
    assert not list(folder.rglob(".partial-*"))
