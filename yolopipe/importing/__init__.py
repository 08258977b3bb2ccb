"""Other people's formats to annotation text and class names.

Each format has a module that reads it into a :class:`~yolopipe.importing.reading.Reading`; everything after that
(image headers, checks, class order, writing, summary) is one piece of code for all of them.  What is accepted, and
what becomes of what is wrong, is written down in ``docs/formats.md``.
"""

from __future__ import annotations

from collections.abc import Callable

from yolopipe.importing.import_coco import import_coco
from yolopipe.importing.import_voc import import_voc
from yolopipe.importing.import_yolo import import_yolo
from yolopipe.result import CommandResult

__all__ = ["IMPORTERS", "import_coco", "import_voc", "import_yolo"]

IMPORTERS: dict[str, Callable[..., CommandResult]] = {"voc": import_voc, "coco": import_coco, "yolo": import_yolo}
"""Format name to ``importer(source, out, classes=None)``."""
