"""Whatever two runs there are: the headline keeps its rules, and the report is whole."""

import json
import math

import jsonschema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lowtide.records import TrainingRecord
from lowtide.report.model import Report
from lowtide.report.text import render_markdown

from tests.support.comparisons import compared, known_bounds, waiting_run
from tests.support.records import make_record
from tests.support.schemas import REPORT_SCHEMA

VALIDATOR = jsonschema.Draft202012Validator(json.loads(REPORT_SCHEMA.read_text(encoding="utf-8")))
KINDS = ("measured", "estimated", "forecast", "cached", "modelled", "replayed")
METHODS = {
    "cpu": st.sampled_from(["rapl", "tdp_estimate", "none", "replayed"]),
    "gpu": st.sampled_from(["nvml", "none", "replayed"]),
    "ram": st.sampled_from(["constant", "none"]),
}
grams = st.one_of(st.just(0.0), st.floats(1, 900))
kwh = st.one_of(st.just(0.0), st.floats(1e-4, 1e-1))
SEARCH = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def shares(draw: st.DrawFn) -> dict[str, float]:
    kind, share = draw(st.sampled_from(KINDS)), draw(st.sampled_from([0.0, 0.04, 0.05, 0.06, 1.0]))
    return {"measured": 1.0} if kind == "measured" else {"measured": 1 - share, kind: share}


@st.composite
def records(draw: st.DrawFn, *, waits: bool) -> TrainingRecord:
    make = waiting_run if waits else make_record
    complete = draw(st.sampled_from([True, True, False]))
    record = make(
        cpu_kwh=draw(kwh),
        gpu_kwh=draw(kwh),
        ram_kwh=draw(st.floats(1e-5, 1e-3)),
        methods=draw(st.fixed_dictionaries(METHODS)),
        grid_gco2eq_per_kwh=draw(grams),
        submission_gco2eq_per_kwh=draw(st.one_of(st.none(), grams)),
        submission_kinds=draw(shares()),
        intensity_kinds=draw(shares()),
        samples=draw(st.integers(1, 10**6)),
        pue=draw(st.sampled_from([1.0, 1.0, 1.4])),
        device=draw(st.sampled_from(["cuda", "cuda", "cuda", "cpu"])),
        policy=draw(st.sampled_from(["immediate", "threshold"])),
        energy_complete=complete,
        uncovered_s=0.0 if complete else None,
        foreign_signal_share=draw(st.sampled_from([0.0, 0.0, 0.02])),
    )
    return known_bounds(record) if draw(st.booleans()) else record


pairs = st.tuples(records(waits=False), records(waits=True))


def share_of(record: TrainingRecord, *kinds: str) -> float:
    return sum(share for kind, share in record.intensity_kinds.items() if kind in kinds)


@SEARCH
@given(pairs)
def test_the_report_is_whole_keeps_its_schema_and_is_read_back_as_it_was(
    pair: tuple[TrainingRecord, TrainingRecord],
) -> None:
    report = compared(*pair)
    text = report.model_dump_json()
    VALIDATOR.validate(json.loads(text))
    assert Report.model_validate_json(text) == report
    assert render_markdown(report).startswith("# Training run compared with its baseline\n\n**")
    if report.attribution_gco2eq.total is not None:
        parts = report.attribution_gco2eq.model_dump()
        total = parts.pop("total")
        scale = max(map(abs, (*parts.values(), pair[0].emissions_gco2eq, pair[1].emissions_gco2eq, total)))
        assert abs(math.fsum(parts.values()) - total) <= 1e-9 * scale  # the record's own grams are kWh x g to 1e-6


@SEARCH
@given(pairs)
def test_no_rule_is_ever_broken(pair: tuple[TrainingRecord, TrainingRecord]) -> None:
    report = compared(*pair)
    status, direction = report.headline.status, report.headline.direction
    both = pair
    if any(share_of(r, "modelled", "replayed") > 0.05 for r in both):
        assert status == "simulated"
    if status == "claimed":
        assert all(share_of(r, "forecast", "cached") <= 0.05 for r in both)
        assert all(r.energy_complete and r.foreign_signal_share == 0 for r in both)
        assert pair[0].device == pair[1].device
        assert direction is not None
    else:
        assert direction is None
        assert report.headline.reasons
    if status == "simulated":
        assert report.headline.text.startswith("Simulated, nothing is claimed.")


@SEARCH
@given(pairs)
def test_a_direction_is_never_better_than_the_figures(pair: tuple[TrainingRecord, TrainingRecord]) -> None:
    report = compared(*pair)
    if report.headline.direction != "lower":
        return
    text = report.headline.text
    assert " lower than " in text
    if "Nothing else is claimed" in text:
        assert (report.waiting.avoided_percent or 0.0) > 3.0
        return
    assert report.controllable is not None
    assert report.controllable.change_percent < -3.0
    assert (report.changes.emissions_percent or 0.0) < -3.0
    estimated = {"tdp_estimate", "constant"}
    for record in pair:
        energy = record.energy_kwh
        counted = sum(getattr(energy, part) for part, how in energy.methods.items() if how in estimated)
        assert counted <= 0.05 * energy.total * (1 + 1e-12)
    if pair[1].policy == "immediate":
        assert report.controllable.parts == ("efficiency",)
