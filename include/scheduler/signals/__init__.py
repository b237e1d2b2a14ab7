"""What a grid says now and over any span, from the provider, or from what stands in for it."""
