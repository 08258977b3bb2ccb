"""A trained network as a file that other programs run: SavedModel, ONNX, TFLite; checked before it gets its name."""
