"""A run's SCI score from its configuration's account section."""

from include.config import LowtideConfig
from include.records import SciScore
from include.tracker import embodied_part_gco2eq, functional_units, sci_score
from include.trainer.result import TrainingResult


def score_of(
    config: LowtideConfig, result: TrainingResult, *, emissions_gco2eq: float, duration_s: float
) -> SciScore | None:
    """Return (O + M) per R; M only where the configuration gives the hardware's embodied emissions."""
    account = config.account
    embodied = None
    if account.hardware_embodied_gco2eq is not None:
        embodied = embodied_part_gco2eq(
            account.hardware_embodied_gco2eq,
            duration_s=duration_s,
            lifespan_s=account.hardware_lifespan.total_seconds(),
            resource_share=account.hardware_share,
        )
    units = functional_units(account.functional_unit, epochs=result.epochs, samples=result.samples)
    return sci_score(emissions_gco2eq, embodied, unit=account.functional_unit, units=units)
