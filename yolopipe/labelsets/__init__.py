"""``yolopipe labels``: sets of annotation text split, selected, merged and compared; sources are never edited."""
