"""Under which licence the grid's data came, as far as its provider says: what a page that is passed on has to name."""

from collections.abc import Iterable
from typing import Final

LICENCES: Final = {
    "profile": "Typical days: derived from Electricity Maps data, Open Database License (ODbL) 1.0.",
    "neso": "NESO Carbon Intensity API, CC BY 4.0.",
    "energy_charts": "energy-charts.info, Fraunhofer ISE; see its terms.",
    "electricity_maps": "Electricity Maps; by your contract.",
    "watttime": "WattTime; by your contract.",
    "carbon_aware_sdk": "The provider that the Carbon Aware SDK is configured with; by its terms.",
    "replay": "A replayed trace; by the licence of its file.",
}
"""By a word of the source, as the ledger names it."""


def licences_of(sources: Iterable[str]) -> tuple[str, ...]:
    """Return a line for each licence; a source that is not known is named, and nothing is said of it."""
    return tuple(dict.fromkeys(_licence(source) for source in sources))


def _licence(source: str) -> str:
    return next((text for word, text in LICENCES.items() if word in source), f"{source}: not known here.")
