"""Readers and writers of input files: annotation text, class names, Pascal VOC, COCO, YOLO labels, YAML."""
