"""How samples reach the loop: their order, where they live, and how far ahead they are fetched."""
