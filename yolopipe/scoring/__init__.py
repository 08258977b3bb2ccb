"""How good the detector is: suppression of doubles, COCO scores, pictures of hits and misses."""
