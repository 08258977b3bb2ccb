"""``inspect-labels --html``, the whole command: time and bytes read, of one or several checkouts in one run.

    python benchmarks/inspect_labels.py [--sets 364x416 50000x96] [--boxes 7.3] [--copies 1] [--repeat 3]
                                        [--checkout DIR ...] [--project DIR]

A set is so many drawn images at so many pixels of network input (see coco_scale.py); its shards are made once by the
code of the working directory.  ``--project`` measures an existing project instead.  ``--checkout`` names folders with
another version of yolopipe; each runs with the Python of its own ``.venv`` if there is one, and the working
directory is measured too.  Printed are wall and CPU seconds (the best of the repeats), bytes that the process read
from files (``rchar`` of ``/proc/PID/io``, whether from disk or from memory) and its peak memory.  One worker: all
work is in the measured process.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from coco_scale import command, draw_project


class Cost(NamedTuple):
    """Of one run."""

    wall_s: float
    cpu_s: float
    read_mb: float
    peak_mib: float


def measure(checkout: Path, project: Path) -> Cost:
    """Run ``inspect-labels --html`` of a checkout in a project."""
    own = checkout / ".venv/bin/python"
    python = str(own) if own.is_file() else sys.executable
    arguments = ["inspect-labels", "--html", "labels.html", "--fail-on", "never", "--workers", "1"]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    start = time.monotonic()
    child = subprocess.Popen(
        [python, "-m", "yolopipe", *arguments], cwd=project, env=environment, stdout=subprocess.DEVNULL
    )
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    wall = time.monotonic() - start
    read = int(Path(f"/proc/{child.pid}/io").read_text().split()[1])  # still there: not yet waited for
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"inspect-labels of {checkout} ended with {child.returncode}")
    return Cost(wall, used.ru_utime + used.ru_stime, read / 1e6, used.ru_maxrss / 1024)


def compare(checkouts: list[Path], project: Path, repeat: int) -> None:
    """Print a row for each checkout; the repeats take turns, so that a busy moment does not hit one alone."""
    costs: dict[Path, list[Cost]] = {checkout: [] for checkout in checkouts}
    for _ in range(repeat):
        for checkout in checkouts:
            costs[checkout].append(measure(checkout, project))
    print(f"{'checkout':<30} {'wall s':>8} {'CPU s':>8} {'read MB':>9} {'peak MiB':>9}")
    for checkout, runs in costs.items():
        best = Cost(*(min(values) for values in zip(*runs, strict=True)))
        numbers = f"{best.wall_s:8.1f} {best.cpu_s:8.1f} {best.read_mb:9.1f} {best.peak_mib:9.0f}"
        print(f"{str(checkout)[-30:]:<30} {numbers}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=["364x416"], metavar="IMAGESxPX")
    parser.add_argument("--boxes", type=float, default=7.3, help="per image")
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--checkout", type=Path, nargs="*", default=[])
    parser.add_argument("--project", type=Path)
    options = parser.parse_args()
    os.environ["YOLOPIPE_CACHE_GB"] = "0"
    checkouts = [*(folder.resolve() for folder in options.checkout), Path.cwd()]
    if options.project is not None:
        print(options.project)
        compare(checkouts, options.project, options.repeat)
        return
    os.environ["PYTHONPATH"] = os.getcwd()
    for name in options.sets:
        images, size = map(int, name.split("x"))
        with tempfile.TemporaryDirectory() as temporary:
            project = Path(temporary)
            draw_project(project, images, round(images * options.boxes), options.copies, size)
            for stage in ("parse", "augment", "precompute"):
                subprocess.run(command(stage, 2), cwd=project, check=True, capture_output=True)
            shards = sum(file.stat().st_size for file in (project / "data/shards").iterdir())
            print(f"{images:,} images at {size} px, shards {shards / 1e6:.1f} MB", flush=True)
            compare(checkouts, project, options.repeat)


if __name__ == "__main__":
    main()
