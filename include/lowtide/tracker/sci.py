"""The Software Carbon Intensity score, ISO/IEC 21031:2024: SCI = (O + M) per R, with M = TE x TS x RS."""

from lowtide.records import FunctionalUnit, SciScore


def embodied_part_gco2eq(
    hardware_gco2eq: float, *, duration_s: float, lifespan_s: float, resource_share: float
) -> float:
    """Return a run's part of its hardware's embodied emissions in grams: M = TE x TS x RS.

    :param hardware_gco2eq: TE, of the whole hardware over its life.
    :param duration_s: how long the hardware was reserved; TS is its share of the lifespan.
    :param resource_share: RS, the share of the hardware that was reserved, 0 to 1.
    """
    return hardware_gco2eq * (duration_s / lifespan_s) * resource_share


def functional_units(unit: FunctionalUnit, *, epochs: int, samples: int) -> float:
    """Return how many of the functional unit R a run is."""
    return {"run": 1.0, "epoch": float(epochs), "1000_samples": samples / 1000}[unit]


def sci_score(
    operational_gco2eq: float, embodied_gco2eq: float | None, *, unit: FunctionalUnit, units: float
) -> SciScore | None:
    """Return the score, location-based; None for a run of no units, which has no rate."""
    if units <= 0:
        return None
    return SciScore(
        gco2eq_per_unit=(operational_gco2eq + (embodied_gco2eq or 0.0)) / units,
        functional_unit=unit,
        units=units,
        operational_gco2eq=operational_gco2eq,
        embodied_gco2eq=embodied_gco2eq,
    )
