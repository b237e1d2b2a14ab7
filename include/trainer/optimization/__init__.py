"""The loop and what it is made of: precision, optimizers, schedules, and what it does when memory runs out."""
