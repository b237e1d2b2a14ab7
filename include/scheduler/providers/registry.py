"""The live providers by their name in the configuration."""

from include.config.grid import ProviderName
from include.scheduler.providers.base import HttpProvider
from include.scheduler.providers.carbon_aware_sdk import CarbonAwareSdkProvider
from include.scheduler.providers.electricity_maps import ElectricityMapsProvider
from include.scheduler.providers.energy_charts import EnergyChartsProvider
from include.scheduler.providers.neso import NesoProvider
from include.scheduler.providers.watttime import WattTimeProvider

HTTP_PROVIDERS: dict[ProviderName, type[HttpProvider]] = {
    "neso": NesoProvider,
    "energy_charts": EnergyChartsProvider,
    "electricity_maps": ElectricityMapsProvider,
    "watttime": WattTimeProvider,
    "carbon_aware_sdk": CarbonAwareSdkProvider,
}
"""In the order in which ``auto`` prefers them; those without a public address are never chosen by it."""
