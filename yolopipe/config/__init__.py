"""``params.yaml`` as a checked :class:`~yolopipe.config.params.Config`."""
