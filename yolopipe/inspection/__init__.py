"""``inspect-labels``: the labels in the shards as text, JSON, pictures and a page, and the checks of a data set."""
