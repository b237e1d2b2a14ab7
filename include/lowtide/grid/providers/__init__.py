"""One file a provider; ``registry`` lists them."""
