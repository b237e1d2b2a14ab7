"""The child as the parent sees it, and what the two say to one another; never imports torch."""
