"""Shards: what training reads.  Parquet or TFRecord files with the same rows, and the manifest that proves them."""
