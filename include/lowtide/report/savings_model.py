"""The model of ``savings.json``: every run, and sums of what may be summed."""

from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, Field

from lowtide.records import EmissionFactorType, Frozen, NonNegative, SignalType

SAVINGS_SCHEMA_VERSION: Final = "1.1"

Basis = Literal["measured", "estimated_energy", "simulated"]
"""Simulated: modelled or replayed intensity, or replayed energy, above 5 %. Estimated: energy by TDP or constants, above 5 %."""

_Grams = Annotated[float | None, Field(allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=0)]


class SavingsRun(Frozen):
    """One training, as it is accounted; energy and emissions are the record's, after its last settlement."""

    run_id: str
    dag: Annotated[str | None, Field(description="null: a run of the command line, in no DAG's folder")]
    folder: Annotated[str, Field(description="below the artifact root")]
    model: str
    zone: str
    basis: Basis
    signal_type: SignalType
    emission_factor_type: EmissionFactorType
    measuring_scope: str
    policy: str
    started_at: Annotated[AwareDatetime, Field(description="real time, also of a replayed run")]
    ended_at: Annotated[AwareDatetime, Field(description="real time, also of a replayed run")]
    month: Annotated[str, Field(description="of ended_at, in UTC", examples=["2026-03"])]
    finished: Annotated[bool, Field(description="false: killed; its energy counts")]
    superseded: Annotated[bool, Field(description="true: trained again since; its energy counts, its savings do not")]
    energy_complete: bool
    energy_kwh: Annotated[NonNegative, Field(description="before PUE")]
    energy_with_pue_kwh: NonNegative
    emissions_gco2eq: NonNegative
    emissions_low_gco2eq: NonNegative | None
    emissions_high_gco2eq: NonNegative | None
    unsettled_gco2eq: Annotated[
        NonNegative,
        Field(description="part of the emissions, by share of energy, valued at forecasts or cached readings"),
    ]
    waited: Annotated[bool | None, Field(description="for the grid; null = its decisions were not kept")]
    wait_s: Annotated[NonNegative, Field(description="submission to start, where it waited; policy time")]
    paused_s: Annotated[NonNegative, Field(description="between attempts of a run that may pause; policy time")]
    deadline: Annotated[AwareDatetime | None, Field(description="policy time; null = none, or not known")]
    deadline_met: Annotated[bool | None, Field(description="null = no deadline known, or not finished")]
    avoided_by_waiting_gco2eq: Annotated[_Grams, Field(description="negative = waiting added; null = not counted")]
    avoided_by_waiting_low_gco2eq: Annotated[_Grams, Field(description="if the meter errs as far as is known")]
    avoided_by_waiting_high_gco2eq: _Grams
    waiting_not_counted: Annotated[tuple[str, ...], Field(description="why it is null")]
    avoided_by_efficiency_gco2eq: Annotated[_Grams, Field(description="negative = it used more; null = not claimed")]
    efficiency_not_counted: Annotated[tuple[str, ...], Field(description="why it is null")]
    repeatability_percent: Annotated[
        float | None,
        Field(description="within which a change counts as none, by its report or for all; null = no report"),
    ] = None
    ledger_sha256: str


class LeftOut(Frozen):
    """A run that is in no sum, and why; with what it used where that is known."""

    dag: str | None
    folder: str
    reason: str
    last_change: Annotated[AwareDatetime, Field(description="the end of the run, or of its newest file")]
    energy_kwh: NonNegative | None = None
    emissions_gco2eq: NonNegative | None = None


class Figures(Frozen):
    """Sums over some runs of one basis, signal type and factor type; a bound is null unless every run has one."""

    runs: _Count
    unfinished_runs: _Count
    superseded_runs: _Count
    runs_with_missing_energy: Annotated[_Count, Field(description="their figures are the least that was used")]
    energy_kwh: NonNegative
    energy_with_pue_kwh: NonNegative
    emissions_gco2eq: NonNegative
    emissions_low_gco2eq: NonNegative | None
    emissions_high_gco2eq: NonNegative | None
    unsettled_gco2eq: NonNegative
    avoided_by_waiting_gco2eq: Annotated[_Grams, Field(description="null = counted in no run")]
    avoided_by_waiting_low_gco2eq: _Grams
    avoided_by_waiting_high_gco2eq: _Grams
    runs_with_waiting: Annotated[_Count, Field(description="whose waiting is counted")]
    avoided_by_efficiency_gco2eq: Annotated[_Grams, Field(description="null = claimed by no report")]
    runs_with_efficiency: Annotated[_Count, Field(description="whose report claims efficiency")]
    waits: Annotated[_Count, Field(description="runs that waited for the grid")]
    waits_unknown: Annotated[_Count, Field(description="runs whose decisions were not kept")]
    wait_h: NonNegative
    paused_h: NonNegative
    deadlines: Annotated[_Count, Field(description="finished runs whose deadline is known")]
    deadlines_missed: _Count


class Part(Frozen):
    """The figures of one month, one model, or one model in one month; null means all."""

    month: str | None
    model: str | None
    figures: Figures


class Group(Frozen):
    """Runs whose grams mean the same thing. Figures of two groups are never added up."""

    basis: Basis
    signal_type: SignalType
    emission_factor_type: EmissionFactorType
    measuring_scopes: Annotated[dict[str, int], Field(description="runs by whose energy counts in them")]
    total: Figures
    by_month: tuple[Part, ...]
    by_model: tuple[Part, ...]
    cells: Annotated[tuple[Part, ...], Field(description="by month and model")]


class Savings(Frozen):
    """A deployment's runs over a span of time. Avoided by waiting and by efficiency are counted apart and not added up."""

    schema_version: Literal["1.1"] = SAVINGS_SCHEMA_VERSION
    generated_at: AwareDatetime
    since: Annotated[AwareDatetime | None, Field(description="runs that ended at this time or later")]
    until: Annotated[AwareDatetime | None, Field(description="runs that ended before this time")]
    dag: Annotated[str | None, Field(description="null = all")]
    ledgers_verified: Annotated[bool, Field(description="whether each ledger was compared with its record's checksum")]
    repeatability_percent: Annotated[
        float | None,
        Field(description="a change of energy per sample within this is not counted; null = that of each run's report"),
    ]
    groups: tuple[Group, ...]
    left_out: tuple[LeftOut, ...]
    runs: tuple[SavingsRun, ...]
    notes: tuple[str, ...]
