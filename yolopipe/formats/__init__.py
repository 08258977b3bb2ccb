"""Readers and writers of what people hand in: annotation text, class names, Pascal VOC."""
