"""What rows come to: totals, bounds, the SCI score, and the same rows at the grid's actual figures."""
