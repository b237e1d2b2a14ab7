"""``micro_batch_size: auto``: the search, and the trials that it rests on, each in a process of its own."""
