"""A project as a whole: making one, checking how it is wired, choosing its anchors."""
