"""One training from its beginning to its end: child, recorder, pauses, and what a person is told."""
