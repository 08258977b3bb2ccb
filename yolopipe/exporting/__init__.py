"""Annotation text back to the formats of other tools; images are linked or named, never copied."""

from __future__ import annotations

from yolopipe.exporting.coco import convert_coco
from yolopipe.exporting.yolo import convert_yolo

__all__ = ["convert_coco", "convert_yolo"]
