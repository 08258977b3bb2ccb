"""Locks between processes: held by one, seen by others, gone with their holder."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from yolopipe.locks import is_locked, locked_file

HOLD = """
import sys, time
from pathlib import Path
from yolopipe.locks import locked_file
with locked_file(Path(sys.argv[1]), wait=True):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_killed_holder_leaves_no_lock_and_the_content_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "läuft"
    path.write_text("a number\n")
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert is_locked(path)
        with locked_file(path, wait=False) as handle:
            assert handle is None
        holder.send_signal(signal.SIGKILL)
    assert not is_locked(path)
    with locked_file(path, wait=False) as handle:
        assert handle is not None
        assert is_locked(path), "also for another handle of this process"
    assert not is_locked(path)
    assert path.read_text() == "a number\n"


def test_a_missing_file_is_made_by_locking_and_reported_by_asking(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        is_locked(tmp_path / "new")
    with locked_file(tmp_path / "new", wait=True) as handle:
        assert handle is not None
    assert (tmp_path / "new").read_bytes() == b""
