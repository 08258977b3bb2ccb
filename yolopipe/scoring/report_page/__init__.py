"""The page ``reports/evaluate.html``: the scores, and every image with its missed boxes and false positives."""

from __future__ import annotations

from yolopipe.scoring.report_page.report_document import Baseline, Report, write_report

__all__ = ["Baseline", "Report", "write_report"]
