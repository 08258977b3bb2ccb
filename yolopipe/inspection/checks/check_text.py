"""The checks as text for a terminal, of 80 columns where possible and at most 100, and as plain JSON types."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import PurePosixPath
from typing import Any

from yolopipe.inspection.checks.check_report import SEVERITIES, Check, CheckReport, Hit

__all__ = ["report_json", "report_text", "rule_text"]

WIDTH = 80
MOST_COLUMNS = 100
INDENT = " " * 9
HITS_SHOWN = 3


def report_text(report: CheckReport) -> str:
    """One row per rule, worst first: count, base, advice and the first places.

    >>> print(report_text(CheckReport((), ("a",), {}, None, None)))
    checks: nothing found, 0 rules passed
    """
    passed = [check for check in report.checks if not check.count]
    lines = [f"checks: {_verdict(report)}, {len(passed)} rule{'s' * (len(passed) != 1)} passed"]
    lines += [line for sentence in report.left_out for line in _wrapped(f"NOT CHECKED  {sentence}", "", " " * 13)]
    for severity in SEVERITIES:
        for check in report.found(severity):
            lines += ["", *_found(check)]
    lines += ["", *map(_passed, passed)] if passed else []
    return "\n".join(lines)


def _verdict(report: CheckReport) -> str:
    counts = {severity: len(report.found(severity)) for severity in SEVERITIES}
    parts = [f"{count} {name}{'s' * (count != 1)}" for name, count in counts.items() if count]
    return ", ".join(parts) or "nothing found"


def _found(check: Check) -> Iterator[str]:
    yield _row(check.severity, check)
    yield from _wrapped(check.summary, INDENT)
    yield from _wrapped(f"do: {check.advice}", INDENT, f"{INDENT}    ")
    shown = check.hits[:HITS_SHOWN] if check.severity != "note" else ()
    for hit in shown:
        yield from _hit(hit)
    if check.hits and len(shown) < check.count:
        verb = "more: " if shown else "see "
        yield f"{INDENT}{verb}yolopipe inspect-labels --only {check.rule}"


def _row(word: str, check: Check) -> str:
    return f"{word:<8} {check.rule:<18} {check.count:,} of {check.base:,} {check.unit}"


def _passed(check: Check) -> str:
    line = f"{'passed':<8} {check.rule:<18} {check.summary}"
    return line if len(line) <= MOST_COLUMNS else line[: MOST_COLUMNS - 3] + "..."


def _hit(hit: Hit, indent: str = INDENT) -> Iterator[str]:
    place = f"{hit.place}: " if hit.line and hit.place else f"{hit.split}: " if hit.split else ""
    name = PurePosixPath(hit.image).name
    yield from _wrapped(f"{place}{name}: {hit.message}" if name else f"{place}{hit.message}", indent, f"{indent}  ")


def _wrapped(text: str, indent: str, later: str | None = None) -> Iterator[str]:
    """Lines of 80 columns; a path is not broken before column 100."""
    later = indent if later is None else later
    for line in textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=later, break_long_words=False, break_on_hyphens=False
    ):
        if len(line) <= MOST_COLUMNS:
            yield line
        else:
            yield from textwrap.wrap(line, MOST_COLUMNS, subsequent_indent=later, drop_whitespace=False)


def rule_text(report: CheckReport, rule: str) -> str:
    """One rule and all its places in the report."""
    check = next(check for check in report.checks if check.rule == rule)
    if not check.count:
        return _passed(check)
    lines = [_row(check.severity, check), *_wrapped(check.summary, INDENT), *_wrapped(f"do: {check.advice}", INDENT)]
    lines += [line for hit in check.hits for line in _hit(hit, "")]
    if check.hits and len(check.hits) < check.count:
        lines.append(f"... the first {len(check.hits):,} of {check.count:,}")
    return "\n".join(lines)


def report_json(report: CheckReport) -> dict[str, Any]:
    """The whole report as plain JSON types, and the number of rules of each severity that apply."""
    tree = asdict(report)
    tree["found"] = {severity: len(report.found(severity)) for severity in SEVERITIES}
    for facts in tree["splits"].values():
        facts["images_with"] = {str(boxes): images for boxes, images in facts["images_with"].items()}
    return tree
