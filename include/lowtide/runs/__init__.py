"""Composes scheduler, tracker and trainer, which do not know of one another, for the operators and the command line."""
