"""A forecast of the intensity from its own past, by numpy alone: no service, no stored model, nothing learnt elsewhere.

Import it where a forecast is made, not at the top of a module that a DAG loads: numpy takes a while.
"""
