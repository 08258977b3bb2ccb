"""Scores of detections: COCO and VOC measures, confusion, calibration, `score`, `report` and the report page."""
