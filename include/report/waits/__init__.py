"""What a wait avoided, what it cost in time, and what perfect knowledge would have made of it."""
