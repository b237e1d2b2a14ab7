"""Conversions between the units that providers and meters use, and ours.

Ours: gCO2eq/kWh, kWh, gCO2eq, seconds, bytes. The unit is part of every name.
"""

GRAMS_PER_KG = 1_000.0
GCO2EQ_PER_KWH_PER_LB_PER_MWH = 0.45359237
"""1 lb/MWh in g/kWh: the international pound is 453.59237 g, by definition."""
JOULES_PER_KWH = 3_600_000.0
BYTES_PER_GIB = 1024**3
BYTES_PER_MIB = 1024**2


def gco2eq_per_kwh_from_lb_per_mwh(lb_per_mwh: float) -> float:
    """Convert a marginal or average rate in lb/MWh to g/kWh."""
    return lb_per_mwh * GCO2EQ_PER_KWH_PER_LB_PER_MWH


def emissions_gco2eq(energy_kwh: float, carbon_intensity_gco2eq_per_kwh: float, pue: float = 1.0) -> float:
    """Operational emissions O = E x I (ISO/IEC 21031:2024), with the site's PUE applied once, in grams."""
    return energy_kwh * pue * carbon_intensity_gco2eq_per_kwh


def relative_change_percent(value: float, reference: float) -> float | None:
    """100 x (value / reference - 1); None where the reference is zero and no percentage exists."""
    return None if reference == 0 else 100.0 * (value / reference - 1.0)
