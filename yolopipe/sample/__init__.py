"""The embedded data: scenes of handwritten digits."""
