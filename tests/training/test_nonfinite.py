from __future__ import annotations

import json
import math
import shlex
from pathlib import Path

import pytest

from yolopipe.training.nonfinite import NonFiniteError, Place, explained


@pytest.mark.parametrize("image", ["images/a.jpg", "my images/it's one.jpg", "$(rm x);.jpg"])
def test_the_command_in_the_hint_can_be_pasted(image: str, tmp_path: Path) -> None:
    found = NonFiniteError(Place(2, 3), 7, "conf_loss", {"conf_loss": math.nan}, [4])
    report = tmp_path / "report.json"
    error = explained(found, [{"image": image, "copy": 1}], report, lr_init=0.1, clip_norm=0)
    command = (error.hint or "").partition("yolopipe ")[2]
    assert shlex.split(command) == ["inspect-labels", "--split", "train", "--image", image, "--copy", "1"]
    assert error.exit_code == 5
    assert json.loads(report.read_text())["images"] == [{"image": image, "copy": 1}]
