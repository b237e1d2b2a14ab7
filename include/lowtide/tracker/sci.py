"""The Software Carbon Intensity score, ISO/IEC 21031:2024: SCI = (O + M) per R, with M = TE x TS x RS."""

from lowtide.config.schema import AccountConfig
from lowtide.records import SciScore


def sci_score(
    operational_gco2eq: float, account: AccountConfig, *, duration_s: float, epochs: int, samples: int
) -> SciScore | None:
    """Return the score, location-based; None for a run of no units R, which has no rate.

    M is left out unless the configuration gives TE, the embodied emissions of the whole hardware over its life. TS is the share
    of that life for which it was reserved, ``duration_s``; RS is the share of the hardware that was reserved, 0 to 1.
    """
    units = {"run": 1.0, "epoch": float(epochs), "1000_samples": samples / 1000}[account.functional_unit]
    if units <= 0:
        return None
    embodied = None
    if account.hardware_embodied_gco2eq is not None:
        life_share = duration_s / account.hardware_lifespan.total_seconds()
        embodied = account.hardware_embodied_gco2eq * life_share * account.hardware_share
    return SciScore(
        gco2eq_per_unit=(operational_gco2eq + (embodied or 0.0)) / units,
        functional_unit=account.functional_unit,
        units=units,
        operational_gco2eq=operational_gco2eq,
        embodied_gco2eq=embodied,
    )
