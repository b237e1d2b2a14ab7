"""The one list of providers: a new one is a file in ``lowtide/grid/providers`` and an entry here; standard library only."""

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    """Where a provider's code is (``module:name``), and the licence of its data.

    A live provider is a class; one without a network is a function that opens it from a ``GridConfig``.
    """

    path: str
    licence: str
    is_live: bool = True

    def load(self) -> Any:
        """Import the class or function."""
        module, _, name = self.path.partition(":")
        return getattr(importlib.import_module(f"lowtide.grid.providers.{module}"), name)


PROVIDERS: Final[dict[str, ProviderEntry]] = {
    "neso": ProviderEntry("neso:NesoProvider", "NESO Carbon Intensity API, CC BY 4.0."),
    "energy_charts": ProviderEntry(
        "energy_charts:EnergyChartsProvider", "energy-charts.info, Fraunhofer ISE; see its terms."
    ),
    "electricity_maps": ProviderEntry(
        "electricity_maps:ElectricityMapsProvider", "Electricity Maps; by your contract."
    ),
    "watttime": ProviderEntry("watttime:WattTimeProvider", "WattTime; by your contract."),
    "carbon_aware_sdk": ProviderEntry(
        "carbon_aware_sdk:CarbonAwareSdkProvider",
        "The provider that the Carbon Aware SDK is configured with; by its terms.",
    ),
    "profile": ProviderEntry(
        "offline:open_typical_hours",
        "Typical days: derived from Electricity Maps data, Open Database License (ODbL) 1.0.",
        is_live=False,
    ),
    "replay": ProviderEntry("offline:open_replay", "A replayed trace; by the licence of its file.", is_live=False),
}
"""In the order in which ``auto`` prefers them; ``auto`` never chooses one without a public address.

The order also decides which licence a source of two names has: a replay of the profile has the profile's.
"""

LIVE_PROVIDERS: Final = tuple(name for name, entry in PROVIDERS.items() if entry.is_live)


def licences_of(sources: Iterable[str]) -> tuple[str, ...]:
    """Return one line per licence of the sources that a ledger names; an unknown source is named without a licence."""
    found = (
        next((entry.licence for name, entry in PROVIDERS.items() if name in source), f"{source}: not known here.")
        for source in sources
    )
    return tuple(dict.fromkeys(found))
