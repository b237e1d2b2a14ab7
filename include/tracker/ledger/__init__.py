"""The file that every figure follows from: written, read back, copied away, and what it says is missing."""
