"""A training record as the factors of its emissions, after a check that the record agrees with itself."""

import math

from include.errors import ArtifactError
from include.records import TrainingRecord
from include.report.attribution import RunFactors

_RELATIVE_TOLERANCE = 1e-6


def factors_of(record: TrainingRecord) -> RunFactors:
    """Return samples, energy after PUE, and intensity as run and at submission, both derived from the grams.

    The record's own mean intensity is emissions / energy before PUE, so it is checked here but not used.

    :raises ArtifactError: emissions are not energy times mean intensity, or energy without samples.
    """
    energy_kwh = record.energy_kwh.total
    product = energy_kwh * record.mean_carbon_intensity_gco2eq_per_kwh
    if not math.isclose(product, record.emissions_gco2eq, rel_tol=_RELATIVE_TOLERANCE, abs_tol=1e-12):
        raise ArtifactError(
            f"the record of run {record.run_id!r} contradicts itself: {energy_kwh!r} kWh at"
            f" {record.mean_carbon_intensity_gco2eq_per_kwh!r} g/kWh are not {record.emissions_gco2eq!r} g;"
            " measure the run again"
        )
    try:
        return RunFactors(
            samples=record.samples,
            energy_kwh=energy_kwh * record.pue,
            mean_intensity_gco2eq_per_kwh=grid_intensity(record),
            submission_intensity_gco2eq_per_kwh=_submission_intensity(record),
        )
    except ValueError as error:
        raise ArtifactError(
            f"the record of run {record.run_id!r} cannot be compared: {error}; compare finished runs"
        ) from error


def grid_intensity(record: TrainingRecord) -> float:
    """Return the grid's mean intensity in g/kWh over the run, weighted by energy, without the site's PUE."""
    energy_kwh = record.energy_kwh.total * record.pue
    return record.emissions_gco2eq / energy_kwh if energy_kwh else record.mean_carbon_intensity_gco2eq_per_kwh


def _submission_intensity(record: TrainingRecord) -> float | None:
    if record.counterfactual is None:
        return None
    energy_kwh = record.energy_kwh.total * record.pue
    if not energy_kwh:
        return record.counterfactual.carbon_intensity_gco2eq_per_kwh
    return record.counterfactual.emissions_gco2eq / energy_kwh
