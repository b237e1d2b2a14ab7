"""Waiting for the grid: on the command line, on an event loop beside others, and what a wait was worth."""
