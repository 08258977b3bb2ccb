"""Which cell and anchor learns which box: pure NumPy, arrays in, arrays out."""
