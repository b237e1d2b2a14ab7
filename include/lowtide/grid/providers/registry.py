"""The providers by their name in the configuration.

A new provider is one file in this folder, one entry here and its name in ``ProviderName`` of ``lowtide.config.schema``;
``tests/scheduler/test_registries.py`` holds the two lists and the connection form together.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from lowtide.config.schema import GridConfig, ProviderName
from lowtide.grid.providers.base import HttpProvider
from lowtide.grid.providers.carbon_aware_sdk import CarbonAwareSdkProvider
from lowtide.grid.providers.electricity_maps import ElectricityMapsProvider
from lowtide.grid.providers.energy_charts import EnergyChartsProvider
from lowtide.grid.providers.neso import NesoProvider
from lowtide.grid.providers.offline import LocalProvider, open_replay, open_typical_hours
from lowtide.grid.providers.watttime import WattTimeProvider


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    """One provider: its class, or for one without a network what opens it, and the licence of its data."""

    provider: type[HttpProvider] | Callable[[GridConfig], LocalProvider]
    licence: str


PROVIDERS: Final[dict[ProviderName, ProviderEntry]] = {
    "neso": ProviderEntry(NesoProvider, "NESO Carbon Intensity API, CC BY 4.0."),
    "energy_charts": ProviderEntry(EnergyChartsProvider, "energy-charts.info, Fraunhofer ISE; see its terms."),
    "electricity_maps": ProviderEntry(ElectricityMapsProvider, "Electricity Maps; by your contract."),
    "watttime": ProviderEntry(WattTimeProvider, "WattTime; by your contract."),
    "carbon_aware_sdk": ProviderEntry(
        CarbonAwareSdkProvider, "The provider that the Carbon Aware SDK is configured with; by its terms."
    ),
    "profile": ProviderEntry(
        open_typical_hours, "Typical days: derived from Electricity Maps data, Open Database License (ODbL) 1.0."
    ),
    "replay": ProviderEntry(open_replay, "A replayed trace; by the licence of its file."),
}
"""In the order in which ``auto`` prefers them; ``auto`` never chooses one without a public address.

The order also decides which licence a source of two names has: a replay of the profile has the profile's.
"""

HTTP_PROVIDERS: Final[dict[ProviderName, type[HttpProvider]]] = {
    name: entry.provider for name, entry in PROVIDERS.items() if isinstance(entry.provider, type)
}
"""The live providers; the connection form tests these."""

LOCAL_PROVIDERS: Final[dict[ProviderName, Callable[[GridConfig], LocalProvider]]] = {
    name: entry.provider for name, entry in PROVIDERS.items() if not isinstance(entry.provider, type)
}
"""The providers without a network, by what opens them from a configuration."""


def licences_of(sources: Iterable[str]) -> tuple[str, ...]:
    """Return one line per licence of the sources that a ledger names; an unknown source is named without a licence."""
    return tuple(dict.fromkeys(_licence(source) for source in sources))


def _licence(source: str) -> str:
    known = (entry.licence for name, entry in PROVIDERS.items() if name in source)
    return next(known, f"{source}: not known here.")
