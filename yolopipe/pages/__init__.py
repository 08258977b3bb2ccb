"""What the pages of this project share: charts, looks, and how one becomes a file that needs no network."""
