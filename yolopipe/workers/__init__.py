"""Parallel work: in processes of this machine, on a dask cluster, or in threads."""
