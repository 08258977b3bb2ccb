"""Work in processes here, on a dask cluster, or in threads."""
