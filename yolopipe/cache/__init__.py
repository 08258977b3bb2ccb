"""A side cache of encoded pixels: a re-run of ``precompute`` redoes only what changed, with the same result."""
