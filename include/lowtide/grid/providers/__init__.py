"""Under which licence the grid's data came, as far as its provider says: what a page that is passed on has to name."""

from collections.abc import Callable, Iterable
from typing import Final

from lowtide.config.schema import GridConfig, ProviderName
from lowtide.grid.providers.base import HttpProvider, LocalProvider
from lowtide.grid.providers.carbon_aware_sdk import CarbonAwareSdkProvider
from lowtide.grid.providers.electricity_maps import ElectricityMapsProvider
from lowtide.grid.providers.energy_charts import EnergyChartsProvider
from lowtide.grid.providers.neso import NesoProvider
from lowtide.grid.providers.offline import open_replay, open_typical_hours
from lowtide.grid.providers.watttime import WattTimeProvider

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


# The live providers by their name in the configuration.


HTTP_PROVIDERS: dict[ProviderName, type[HttpProvider]] = {
    "neso": NesoProvider,
    "energy_charts": EnergyChartsProvider,
    "electricity_maps": ElectricityMapsProvider,
    "watttime": WattTimeProvider,
    "carbon_aware_sdk": CarbonAwareSdkProvider,
}
"""In the order in which ``auto`` prefers them; those without a public address are never chosen by it."""


# The providers by their name in the configuration. A new one is a file, a line in ``registry`` and a name in ProviderName.


LOCAL_PROVIDERS: dict[ProviderName, Callable[[GridConfig], LocalProvider]] = {
    "replay": open_replay,
    "profile": open_typical_hours,
}
