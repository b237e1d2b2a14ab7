"""The history of a grid's signal: every value with its origin and with the time when it was learnt."""
