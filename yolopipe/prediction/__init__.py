"""A trained network on new pictures: ``yolopipe.Detector`` and ``yolopipe predict``."""
