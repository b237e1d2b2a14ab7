"""Intensity over time as a step function, and where on it a block or segments of work emit the least."""
