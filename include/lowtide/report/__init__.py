"""What changed against the baseline, why, and how far to trust it."""
