"""``yolopipe convert``: annotation text to the formats of other tools; images are linked or named, never copied."""
