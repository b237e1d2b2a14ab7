"""Parts of a record that say how good its figures are: first booking, settlement, uncertainty, score."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from include.records.intensity import IntensityKind

NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1.000001)]
FunctionalUnit = Literal["run", "epoch", "1000_samples"]


class Frozen(BaseModel):
    """Unknown keys are refused, and nothing is changed once it is written."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Counterfactual(Frozen):
    """This run's own energy curve, replayed as if it had begun at the moment of submission."""

    start: AwareDatetime
    carbon_intensity_gco2eq_per_kwh: NonNegative
    emissions_gco2eq: NonNegative
    intensity_kinds: dict[IntensityKind, NonNegative]
    readings_path: Annotated[str | None, Field(description="the readings that it was booked at, one a line")] = None
    readings_sha256: str | None = None


class FirstBooked(Frozen):
    """What the record said before anything was settled."""

    emissions_gco2eq: NonNegative
    emissions_train_gco2eq: NonNegative
    mean_carbon_intensity_gco2eq_per_kwh: NonNegative
    intensity_kinds: dict[IntensityKind, NonNegative]
    foreign_signal_share: NonNegative
    counterfactual: Counterfactual | None
    ledger_path: Annotated[str, Field(description="the ledger as it was then, byte for byte")]
    ledger_sha256: str


class Settlement(Frozen):
    """The run was booked again at the grid's actual figures; the record's own figures are the settled ones."""

    settled_at: Annotated[AwareDatetime, Field(description="the last time; real time")]
    settled_energy_share: Annotated[Share, Field(description="share of the energy that was booked again, ever")]
    sources: Annotated[tuple[str, ...], Field(description="whose actual figures")]
    readings_path: Annotated[str, Field(description="the actual readings that the last settlement used, one a line")]
    readings_sha256: str
    first_booked: FirstBooked


class EmissionsInterval(Frozen):
    """Between which bounds the figures lie if every method errs as far as its published errors go."""

    energy_low_kwh: NonNegative
    energy_high_kwh: NonNegative
    emissions_low_gco2eq: NonNegative
    emissions_high_gco2eq: NonNegative
    basis: Annotated[tuple[str, ...], Field(description="each method's share, its error and where that is published")]


class SciScore(Frozen):
    """Software Carbon Intensity, ISO/IEC 21031:2024: (O + M) per R. Location-based; O includes the site's PUE."""

    gco2eq_per_unit: NonNegative
    functional_unit: Annotated[FunctionalUnit, Field(description="R")]
    units: Annotated[float, Field(gt=0, description="how many of R this run is")]
    operational_gco2eq: Annotated[NonNegative, Field(description="O")]
    embodied_gco2eq: Annotated[
        NonNegative | None, Field(description="M, this run's part; null = not given, so the score is of O alone")
    ]
