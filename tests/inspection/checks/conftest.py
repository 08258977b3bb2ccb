"""A project whose data has nothing wrong with it, and ways to spoil it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest

from yolopipe.config.params import Config
from yolopipe.inspection.checks.check_report import CheckReport
from yolopipe.inspection.inspect_labels import CheckOptions, check_labels
from yolopipe.stages import augment, parse, precompute

SIDE = 96
SIZES = ((12, 12), (16, 12), (12, 18), (20, 20), (26, 20), (20, 28), (32, 32), (36, 28), (28, 40))
"""Of the boxes, and of the anchors: each fits some box exactly."""

DATA = {"train": "train.txt", "val": "val.txt", "classes": "classes.names", "images": "bilder"}


def picture(seed: int) -> np.ndarray:
    """Smooth random colours: no two seeds look alike."""
    small = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    return cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)


def save(path: Path, pixels: np.ndarray, *options: int) -> None:
    path.write_bytes(cv2.imencode(path.suffix, pixels, options)[1].tobytes())


@dataclass
class Project:
    """Twelve images of train, four of val; three boxes each, centres in different cells of every scale.

    Args:
        folder: where it lies.
        lines: annotation lines by split.
        names: class names.
        sections: of the params, beside ``data``.
    """

    folder: Path
    lines: dict[str, list[str]] = field(default_factory=dict)
    names: list[str] = field(default_factory=lambda: ["Zelle", "Plättchen"])
    sections: dict[str, dict[str, object]] = field(default_factory=dict)

    def draw(self) -> None:
        """Images and lines."""
        (self.folder / "bilder").mkdir(parents=True)
        for split, count in (("train", 12), ("val", 4)):
            self.lines[split] = []
            for number in range(count):
                seed = number + 100 * (split == "val")
                name = f"bilder/{split} ä{number}.{'png' if number % 4 == 3 else 'jpg'}"
                save(self.folder / name, picture(seed))
                self.lines[split].append(name + "".join(self.boxes(number)))

    def boxes(self, number: int) -> list[str]:
        """Three boxes around three centres, the sizes taken in turn, classes by turns."""
        found = []
        for place, (x, y) in enumerate(((24, 28), (72, 26), (44, 72))):
            width, height = SIZES[(3 * number + place) % 9]
            corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            found.append(" " + ",".join(f"{v:g}" for v in corners) + f",{(number + place) % 2}")
        return found

    def path(self, split: str, number: int) -> Path:
        """The file of an image."""
        return self.folder / self.name(split, number)

    def name(self, split: str, number: int) -> str:
        """The path of an image in the annotation text."""
        line = self.lines[split][number]
        return line[: line.index(" ", line.index("ä"))] if " " in line[line.index("ä") :] else line

    def add(self, split: str, number: int, box: str) -> None:
        """One more box."""
        self.lines[split][number] += f" {box}"

    def build(self) -> None:
        """Write the text and run the data half of the pipeline."""
        for split, lines in self.lines.items():
            (self.folder / f"{split}.txt").write_text("\n".join(["# by hand", *lines, ""]), encoding="utf-8")
        (self.folder / "classes.names").write_text("\n".join([*self.names, ""]), encoding="utf-8")
        data = DATA | self.sections.get("data", {})
        (self.folder / "params.yaml").write_text(json.dumps({"data": data}), encoding="utf-8")
        anchors = [f"{width}x{height}" for width, height in SIZES]
        config = Config.model_validate(
            {
                "data": data,
                "parse": {"on_bad": "drop-box", **self.sections.get("parse", {})},
                "augment": {"copies": 1, "flip": 0, "crop": 0, "translate": 0, **self.sections.get("augment", {})},
                "precompute": {"input_size": SIDE, **self.sections.get("precompute", {})},
                "assignment": {"anchors": anchors, **self.sections.get("assignment", {})},
            }
        )
        parse.run(config)
        augment.run(config)
        precompute.run(config, cache_gb=0)

    def check(self, **options: object) -> CheckReport:
        """Build, and apply all rules."""
        self.build()
        return check_labels("data/shards", CheckOptions(**options))  # type: ignore[arg-type]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The clean project, in a folder with a blank and letters that are not ASCII; the working folder."""
    made = Project(tmp_path / "Prüf ling")
    made.draw()
    monkeypatch.chdir(made.folder)
    return made


@pytest.fixture
def counts() -> Callable[..., dict[str, int]]:
    """How often each rule of some severities applies, passed ones left out."""

    def count(report: CheckReport, *severities: str) -> dict[str, int]:
        wanted = severities or ("error", "warning")
        return {check.rule: check.count for check in report.checks if check.count and check.severity in wanted}

    return count
