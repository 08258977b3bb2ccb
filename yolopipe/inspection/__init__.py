"""What the network is taught, shown from the stored shards: as text, as JSON, as a picture."""
