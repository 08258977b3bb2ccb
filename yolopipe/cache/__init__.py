"""A side cache of encoded pixels: a re-run of ``precompute`` costs what changed.  It never changes a result."""
