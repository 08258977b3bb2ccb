"""The page of ``inspect-labels --html``: what the checks found, and what is taught where, in one file."""

from __future__ import annotations

from yolopipe.inspection.label_page.label_document import PageFile, write_page
from yolopipe.inspection.label_page.selection import Limits

__all__ = ["Limits", "PageFile", "write_page"]
