"""A run's record: put together at its end, or read back from the ledger of one that was killed."""
