"""The history of a grid's signal: every value with its origin and with the moment when it was learnt."""
