"""Several runs on a side: means, spreads and intervals."""
