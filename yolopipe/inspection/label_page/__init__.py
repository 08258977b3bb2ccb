"""The page of ``inspect-labels --html``: what the checks found and the labels of each image, in one file."""

from __future__ import annotations

from yolopipe.inspection.label_page.chart_counts import ChartCounts
from yolopipe.inspection.label_page.label_document import PageFile, write_page
from yolopipe.inspection.label_page.selection import Limits

__all__ = ["ChartCounts", "Limits", "PageFile", "write_page"]
