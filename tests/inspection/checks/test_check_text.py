"""The report on a screen, as JSON, and as an exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from yolopipe.cli import app, guarded
from yolopipe.errors import DataError
from yolopipe.inspection.checks.check_report import Check, CheckReport, Hit
from yolopipe.inspection.checks.check_text import report_json, report_text, rule_text
from yolopipe.inspection.checks.rules import RULES, make_check
from yolopipe.inspection.inspect_labels import run
from yolopipe.inspection.label_request import DatasetRequest, RuleRequest


def call(*arguments: str) -> int:
    return guarded(lambda: app(list(arguments), standalone_mode=False))


def report_of(*checks: Check, left_out: tuple[str, ...] = ()) -> CheckReport:
    return CheckReport(checks, ("a", "b"), {}, None, None, left_out)


LONG = Hit("train", "deep/" * 40 + "ä.jpg", "box 1 " + "is odd " * 30, (1,), "some/" * 30 + "train.txt", 12)


def test_lines_fit_their_columns() -> None:
    checks = [make_check(rule, 2000, 123_456_789, "words " * 40, [LONG] * 5) for rule in RULES]
    report = report_of(*checks, left_out=("leak: " + "x" * 300,))
    text = report_text(report)
    assert max(map(len, text.splitlines())) <= 100
    assert max(len(line) for line in text.splitlines() if "some/" not in line and "xxx" not in line) <= 80
    for check in checks:
        assert max(map(len, rule_text(report, check.rule).splitlines())) <= 100
        assert f"--only {check.rule}" in text


def test_every_rule_is_a_row_and_unchecked_rules_come_first() -> None:
    found = make_check(
        "double-box", 8, 4886, "lie on an earlier box", [Hit("val", "x/a.jpg", "boxes 1 and 2", (1, 2), "val.txt", 7)]
    )
    report = report_of(make_check("leak", 0, 87, "none"), found, left_out=("tiny: no boxes",))
    lines = report_text(report).splitlines()
    assert [word for word in lines[0].split() if word.isdigit()] == ["1", "1"]
    assert lines[1] == "NOT CHECKED  tiny: no boxes"
    assert "warning  double-box         8 of 4,886 boxes" in lines
    assert "         val.txt:7: a.jpg: boxes 1 and 2" in lines
    assert "passed   leak               none" in lines
    assert sum(line.startswith("         do: ") for line in lines) == 1


def test_the_screen_of_one_rule_ends_with_the_number_of_places() -> None:
    hits = [Hit("train", f"{n}.jpg", "odd", (0,), "train.txt", n + 1) for n in range(1200)]
    text = rule_text(report_of(make_check("tiny", 5000, 9000, "small", hits)), "tiny")
    assert text.count("train.txt:") == 1000
    assert text.endswith("... the first 1,000 of 5,000")


def test_json_is_plain(project: Any) -> None:
    project.add("train", 1, "14,18,34,39,1")
    tree = report_json(project.check())
    again = json.loads(json.dumps(tree, allow_nan=False))
    assert [check["rule"] for check in again["checks"]] == list(RULES)
    assert again["found"] == {"error": 0, "warning": 2, "note": 1}
    assert again["splits"]["train"]["images_with"] == {"3": 11, "4": 1}
    double = next(check for check in again["checks"] if check["rule"] == "double-box")
    assert double["hits"][0]["boxes"] == [0, 3]


@pytest.mark.slow
def test_exit_codes(project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    project.build()
    for fail_on in ("error", "warning", "never"):
        assert call("inspect-labels", "--fail-on", fail_on) == 0
    project.add("train", 1, "14,18,34,39,1")
    project.build()
    assert [call("inspect-labels", "--fail-on", f) for f in ("never", "error", "warning")] == [0, 0, 1]
    project.add("train", 1, "5,5,5,9,0")
    project.build()
    assert [call("inspect-labels", *f) for f in ((), ("--fail-on", "never"))] == [1, 0]
    assert call("inspect-labels", "--only", "double-box") == 0
    assert call("inspect-labels", "--only", "double-box", "--fail-on", "warning") == 1
    assert call("inspect-labels", "--only", "zero-size") == 1
    assert call("inspect-labels", "--image", "train ä1") == 0, "one image is looked at, not judged"
    assert call("inspect-labels", "--fail-on", "sometimes") == 2
    capsys.readouterr()
    assert call("inspect-labels", "--json") == 1
    listed = capsys.readouterr()
    tree = json.loads(listed.out)
    assert tree["check_report"]["found"]["error"] == 1
    assert tree["images"] == 12


@pytest.mark.slow
def test_only_one_rule(project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    project.add("train", 1, "14,18,34,39,1")
    project.build()
    capsys.readouterr()
    assert call("inspect-labels", "--only", "double-box", "--json") == 0
    tree = json.loads(capsys.readouterr().out)
    assert [check["rule"] for check in tree["check_report"]["checks"]] == ["double-box"]
    assert call("inspect-labels", "--only", "leak") == 0
    assert capsys.readouterr().out.startswith("passed   leak")


def test_a_rule_that_could_not_be_applied_has_not_passed(project: Any) -> None:
    project.build()
    for image in Path("bilder").iterdir():
        image.unlink()
    assert any(line.startswith("NOT CHECKED") for line in run("data/shards", DatasetRequest()).text.splitlines())
    with pytest.raises(DataError, match="leak-near"):
        run("data/shards", RuleRequest("leak-near"))


def test_the_screen_holds_totals_and_checks(project: Any) -> None:
    project.build()
    text = run("data/shards", DatasetRequest()).text
    lines = text.splitlines()
    assert lines[0].startswith("train")
    assert sum(line.startswith("passed") for line in lines) == 24
    assert max(map(len, text.splitlines())) <= 100


def test_docs_list_every_rule_with_its_severity(repo: Path) -> None:
    """Every rule is a row of docs/checks.md with its severity, and no other is."""
    rows = [line.split("|") for line in (repo / "docs/checks.md").read_text().splitlines() if line.startswith("| `")]
    listed = {
        cells[1].strip(" `"): cells[2].strip() for cells in rows if cells[2].strip() in ("error", "warning", "note")
    }
    assert listed == {rule: fixed.severity for rule, fixed in RULES.items()}
