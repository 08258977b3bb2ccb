"""The network, what its outputs mean, and what it is punished for; written in Keras 3 and ``keras.ops`` only."""
