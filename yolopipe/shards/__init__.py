"""Shards, the input of training: Parquet or TFRecord files with the same rows, and a manifest with checksums."""
