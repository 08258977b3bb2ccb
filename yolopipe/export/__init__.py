"""`yolopipe export`: a trained network as SavedModel, ONNX, TFLite or Darknet files, checked before use."""
