"""``yolopipe import``: other formats to annotation text and class names; images are referenced, not copied."""
