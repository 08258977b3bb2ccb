"""The network, decoding, the loss and model files; written in Keras 3 and ``keras.ops`` only."""
