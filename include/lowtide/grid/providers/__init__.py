"""One file a provider; ``lowtide.config.providers`` lists them."""
