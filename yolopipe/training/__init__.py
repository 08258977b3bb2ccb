"""Training: optimizer, one step, the loop over epochs, checkpoints, logs."""
