"""Raw network outputs to boxes in source pixels: decoding, non-maximum suppression, the detector."""
