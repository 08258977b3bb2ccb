"""How the network learns: learning rate, one step, the loop over epochs, and what is written down on the way."""
