"""Readings, ledger rows and records keep their word across JSON; impossible ones cannot be built."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lowtide.errors import InvalidAnswer
from lowtide.records import (
    EmissionFactorType,
    Forecast,
    IntensityKind,
    LedgerRow,
    Phase,
    Reading,
    ReplayAnchor,
    SignalType,
    TrainingRecord,
    newest_decisions,
    read_decisions,
)
from lowtide.timeutil import format_time, parse_time
from pydantic import ValidationError

from tests.support.records import make_record
from tests.support.schemas import RECORD_SCHEMA, schema_text

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
times = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 Hypothesis adds the zone
figures = st.floats(0, 1e9, allow_nan=False)


def reading(**changes: Any) -> Reading:
    fields: dict[str, Any] = {
        "zone": "GB",
        "start": START,
        "end": START + HOUR,
        "carbon_intensity_gco2eq_per_kwh": 120.0,
        "source": "neso",
        "kind": IntensityKind.MEASURED,
        "signal_type": SignalType.AVERAGE,
        "emission_factor_type": EmissionFactorType.DIRECT,
    }
    return Reading(**fields | changes)


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, -math.inf])
def test_a_reading_is_finite_and_not_negative(value: float) -> None:
    with pytest.raises(InvalidAnswer, match="finite and >= 0"):
        reading(carbon_intensity_gco2eq_per_kwh=value)


@pytest.mark.parametrize(
    "changes",
    [{"end": START}, {"end": START - HOUR}, {"start": START.replace(tzinfo=None)}],
    ids=["empty", "backwards", "naive"],
)
def test_a_readings_interval_runs_forwards_in_aware_times(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidAnswer, match="gave an interval"):
        reading(**changes)


def test_a_reading_covers_its_start_but_not_its_end() -> None:
    assert reading().covers(START)
    assert not reading().covers(START + HOUR)


def test_average_and_marginal_lifecycle_and_direct_are_never_compared() -> None:
    assert reading().meaning == reading(source="other", kind=IntensityKind.FORECAST).meaning
    assert reading().meaning != reading(signal_type=SignalType.MARGINAL).meaning
    assert reading().meaning != reading(emission_factor_type=EmissionFactorType.LIFECYCLE).meaning


@given(times, figures, st.sampled_from(IntensityKind), st.sampled_from(SignalType), st.text(min_size=1))
def test_a_reading_survives_json(
    start: datetime, value: float, kind: IntensityKind, signal: SignalType, source: str
) -> None:
    before = reading(
        start=start,
        end=start + HOUR,
        carbon_intensity_gco2eq_per_kwh=value,
        kind=kind,
        signal_type=signal,
        source=source,
    )
    assert Reading.from_json(json.loads(json.dumps(before.as_json()))) == before


def test_a_forecast_is_sorted_without_overlap_and_of_one_meaning() -> None:
    second = reading(start=START + HOUR, end=START + 2 * HOUR)
    assert Forecast(issued_at=START, readings=(reading(), second)).horizon == START + 2 * HOUR
    with pytest.raises(InvalidAnswer, match="without a single value"):
        Forecast(issued_at=START, readings=())
    with pytest.raises(InvalidAnswer, match="unsorted or overlaps"):
        Forecast(issued_at=START, readings=(second, reading()))
    for changes in ({"zone": "DE"}, {"emission_factor_type": EmissionFactorType.LIFECYCLE}):
        odd = reading(start=START + HOUR, end=START + 2 * HOUR, **changes)
        with pytest.raises(InvalidAnswer, match="mixes zones or factor types"):
            Forecast(issued_at=START, readings=(reading(), odd))


@given(times, st.sampled_from(Phase), figures, figures, figures)
def test_a_ledger_row_survives_its_line_and_newer_keys(
    start: datetime, phase: Phase, cpu: float, gpu: float, monotonic: float
) -> None:
    row = LedgerRow(
        start=start,
        end=start + timedelta(seconds=5),
        phase=phase,
        attempt=1,
        monotonic_s=monotonic,
        cpu_energy_kwh=cpu,
        gpu_energy_kwh=gpu,
        ram_energy_kwh=0.5,
    )
    line = row.as_json_line()
    assert line.count("\n") == 1
    assert LedgerRow.from_json(json.loads(line) | {"a_later_key": 1}) == row
    assert row.energy_kwh == cpu + gpu + 0.5


def test_a_ledger_row_neither_reads_nor_writes_a_figure_that_is_no_json() -> None:
    data = {
        "start": "2026-03-01T12:00:00Z",
        "end": "2026-03-01T12:00:05Z",
        "phase": "train",
        "attempt": 1,
        "monotonic_s": 1.0,
        "cpu_energy_kwh": 0.0,
        "gpu_energy_kwh": 0.0,
        "ram_energy_kwh": 0.0,
    }
    with pytest.raises(ValueError, match="cpu_energy_kwh: Input should be a finite number"):
        LedgerRow.from_json(data | {"cpu_energy_kwh": math.nan})
    with pytest.raises(ValueError, match="not JSON compliant"):
        replace(LedgerRow.from_json(data), cpu_energy_kwh=math.nan).as_json_line()


@given(times, times, st.floats(0.01, 10_000), st.integers(0, 10**7))
def test_real_and_virtual_time_are_inverse(real: datetime, virtual: datetime, speed: float, seconds: int) -> None:
    anchor = ReplayAnchor(real_start=real, virtual_start=virtual, speed=speed)
    assert anchor.virtual(real) == virtual
    time = virtual + timedelta(seconds=seconds)
    slack = timedelta(microseconds=2 + math.ceil(speed))
    assert abs(anchor.virtual(anchor.real(time)) - time) <= slack
    assert anchor.real(time) - real == (time - virtual) / anchor.speed


def test_a_replay_needs_a_speed() -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        ReplayAnchor(real_start=START, virtual_start=START, speed=0)


@given(times, st.integers(-23, 23))
def test_times_survive_text_in_any_offset(time: datetime, hours: int) -> None:
    elsewhere = time.astimezone(timezone(timedelta(hours=hours)))
    assert format_time(elsewhere) == format_time(time)
    assert parse_time(format_time(elsewhere)) == time
    assert format_time(time).endswith("Z")


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="has no UTC offset"):
        format_time(datetime(2026, 3, 1))  # noqa: DTZ001 naive is the point
    with pytest.raises(ValueError, match="has no UTC offset"):
        parse_time("2026-03-01T00:00:00")


def test_a_record_survives_json_and_is_frozen() -> None:
    record = make_record(submission_gco2eq_per_kwh=180.0)
    assert TrainingRecord.model_validate_json(record.model_dump_json()) == record
    with pytest.raises(ValidationError, match="frozen"):
        record.samples = 1


@pytest.mark.parametrize(
    "changes",
    [
        {"samples": -1},
        {"test_accuracy": 1.1},
        {"pue": 0.9},
        {"precision": "fp8"},
        {"peak_memory_kind": "guess"},
        {"submitted_at": datetime(2026, 3, 1)},  # noqa: DTZ001 naive is the point
        {"emissions_gco2eq": math.inf},
        {"intensity_kinds": {"guessed": 1.0}},
        {"unheard_of": 1},
        {"schema_version": "1.1"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_an_impossible_record_cannot_be_built(changes: dict[str, Any]) -> None:
    data = make_record().model_dump() | changes
    with pytest.raises(ValidationError, match=next(iter(changes))):
        TrainingRecord.model_validate(data)


def test_the_support_record_agrees_with_itself() -> None:
    record = make_record(pue=1.4, submission_gco2eq_per_kwh=180.0, micro_batch_size=64, accumulation_steps=8)
    energy = record.energy_kwh
    assert energy.total == energy.cpu + energy.gpu + energy.ram
    assert record.mean_carbon_intensity_gco2eq_per_kwh * energy.total * record.pue == pytest.approx(
        record.emissions_gco2eq
    )
    assert record.emissions_gco2eq == pytest.approx(energy.total * 1.4 * 200)
    assert record.effective_batch_size == 512


def test_the_schema_file_is_up_to_date_and_records_keep_it() -> None:
    text = RECORD_SCHEMA.read_text(encoding="utf-8")
    assert text == schema_text(TrainingRecord)
    schema = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(schema)
    for record in (make_record(), make_record(submission_gco2eq_per_kwh=1.0, peak_memory_reserved_bytes=None)):
        jsonschema.Draft202012Validator(schema).validate(json.loads(record.model_dump_json()))


@pytest.mark.parametrize("key", ["schema_version", "comparison_key", "energy_kwh", "peak_memory_kind", "ledger_sha256"])
def test_a_record_without_a_contract_key_breaks_the_schema(key: str) -> None:
    data = json.loads(make_record().model_dump_json())
    del data[key]
    with pytest.raises(jsonschema.ValidationError, match=key):
        jsonschema.validate(data, json.loads(RECORD_SCHEMA.read_text(encoding="utf-8")))


def test_a_decision_whose_time_is_no_text_is_a_line_that_cannot_be_read(tmp_path: Path) -> None:
    line = {"action": "run", "decided_at": None}
    (tmp_path / "decisions.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    assert list(newest_decisions(tmp_path / "decisions.jsonl")) == []
    decisions, (problem,) = read_decisions(tmp_path / "decisions.jsonl")
    assert decisions == []
    assert "is not a decision" in problem
