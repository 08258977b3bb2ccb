"""Pixels: headers, decoding, affine maps, augmentation, drawing."""
