"""Sums over any set of runs: months and models divide the total, and a bound is there only where every run has one."""

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lowtide.report.savings import figures_of, groups_of
from lowtide.report.savings_model import Figures, Part, Savings, SavingsRun

from tests.support.records import make_record
from tests.support.savings import nightly, savings_of, write_training
from tests.support.schemas import SAVINGS_SCHEMA, schema_text

ADDED = (
    *("runs", "energy_kwh", "energy_with_pue_kwh", "emissions_gco2eq", "unsettled_gco2eq", "runs_with_waiting"),
    *("runs_with_efficiency", "waits", "waits_unknown", "wait_h", "paused_h", "deadlines", "deadlines_missed"),
    *("unfinished_runs", "superseded_runs", "runs_with_missing_energy"),
)
AMOUNT = st.floats(min_value=0, max_value=1e6)
MAYBE = st.none() | AMOUNT


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> SavingsRun:
    root = tmp_path_factory.mktemp("template")
    write_training(root, "nightly/a", nightly())
    return savings_of(root).runs[0]


@st.composite
def changes(draw: st.DrawFn) -> dict[str, object]:
    return {
        "month": draw(st.sampled_from(["2026-01", "2026-02"])),
        "model": draw(st.sampled_from(["a:net", "b:net", ""])),
        "basis": draw(st.sampled_from(["measured", "estimated_energy", "simulated"])),
        "emission_factor_type": draw(st.sampled_from(["lifecycle", "direct"])),
        "energy_kwh": draw(AMOUNT),
        "emissions_gco2eq": draw(AMOUNT),
        "emissions_low_gco2eq": draw(MAYBE),
        "avoided_by_waiting_gco2eq": draw(st.none() | st.floats(min_value=-1e6, max_value=1e6)),
        "avoided_by_efficiency_gco2eq": draw(MAYBE),
        "waited": draw(st.sampled_from([True, False, None])),
        "wait_s": draw(AMOUNT),
        "deadline_met": draw(st.sampled_from([True, False, None])),
    }


@given(drawn=st.lists(changes(), max_size=12))
def test_months_models_and_cells_each_divide_the_total_and_groups_divide_the_runs(
    template: SavingsRun, drawn: list[dict[str, object]]
) -> None:
    runs = [template.model_copy(update=update) for update in drawn]
    groups = groups_of(runs)
    assert sum(group.total.runs for group in groups) == len(runs)
    assert len({(g.basis, g.signal_type, g.emission_factor_type) for g in groups}) == len(groups)
    for group in groups:
        for parts in (group.by_month, group.by_model, group.cells):
            assert len({(part.month, part.model) for part in parts}) == len(parts)
            for name in ADDED:
                assert math.isclose(sum_of(parts, name), getattr(group.total, name), rel_tol=1e-9, abs_tol=1e-9), name
            for name in ("avoided_by_waiting_gco2eq", "avoided_by_efficiency_gco2eq"):
                known = [value for part in parts if (value := getattr(part.figures, name)) is not None]
                whole = getattr(group.total, name)
                assert (whole is None) == (not known)
                assert whole is None or math.isclose(math.fsum(known), whole, rel_tol=1e-9, abs_tol=1e-6)


def sum_of(parts: Sequence[Part], name: str) -> float:
    return math.fsum(getattr(part.figures, name) for part in parts)


@given(bounds=st.lists(MAYBE, min_size=1, max_size=5))
def test_bounds_add_up_where_every_run_has_one_and_are_unknown_otherwise(
    template: SavingsRun, bounds: list[float | None]
) -> None:
    runs = [template.model_copy(update={"emissions_low_gco2eq": bound}) for bound in bounds]
    found = figures_of(runs).emissions_low_gco2eq
    known = [bound for bound in bounds if bound is not None]
    assert found == (math.fsum(known) if len(known) == len(bounds) else None)


def test_no_run_at_all_is_nothing_counted_not_zero_avoided(template: SavingsRun) -> None:
    assert groups_of([]) == ()
    assert (
        figures_of([template.model_copy(update={"avoided_by_waiting_gco2eq": None})]).avoided_by_waiting_gco2eq is None
    )


def test_the_grams_of_a_wait_have_bounds_by_the_meters_errors_and_emissions_by_all(tmp_path: Path) -> None:
    bounds = {
        "energy_low_kwh": 0.0067 * 0.6,
        "energy_high_kwh": 0.0067 * 1.4,
        "emissions_low_gco2eq": 0.4,
        "emissions_high_gco2eq": 1.1,
        "basis": ["x"],
    }
    for day in (1, 2):
        write_training(tmp_path, f"nightly/{day}", nightly(day, uncertainty=bounds))
    sums = savings_of(tmp_path).groups[0].total
    avoided = 2 * 0.0067 * 70
    assert sums.avoided_by_waiting_gco2eq == pytest.approx(avoided)
    assert sums.avoided_by_waiting_low_gco2eq == pytest.approx(0.6 * avoided)
    assert sums.avoided_by_waiting_high_gco2eq == pytest.approx(1.4 * avoided)
    assert (sums.emissions_low_gco2eq, sums.emissions_high_gco2eq) == (pytest.approx(0.8), pytest.approx(2.2))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["1", "2", "3"]),
        ({"since": 2}, ["2", "3"]),
        ({"until": 2}, ["1"]),
        ({"since": 2, "until": 3}, ["2"]),
        ({"since": 4}, []),
    ],
)
def test_a_span_holds_what_ended_from_its_beginning_to_before_its_end(
    tmp_path: Path, query: dict[str, int], found: list[str]
) -> None:
    for day in (1, 2, 3):
        ended = datetime(2026, 3, day, tzinfo=UTC)
        write_training(tmp_path, f"nightly/{day}", nightly(day, run_id=str(day), ended_at=ended))
    span = {name: datetime(2026, 3, day, tzinfo=UTC) for name, day in query.items()}
    assert [run.run_id for run in savings_of(tmp_path, **span).runs] == found


def test_pue_is_shown_beside_the_energy_that_was_measured(tmp_path: Path) -> None:
    write_training(tmp_path, "nightly/a", nightly(pue=1.5))
    sums = savings_of(tmp_path).groups[0].total
    assert (sums.energy_kwh, sums.energy_with_pue_kwh) == (pytest.approx(0.0067), pytest.approx(0.01005))


def rich(root: Path) -> Savings:
    write_training(root, "nightly/a", nightly(), baseline=make_record())
    write_training(root, "nightly/b", nightly(2, intensity_kinds={"replayed": 1.0}))
    write_training(root, "nightly/c", None)
    return savings_of(root)


def test_the_file_keeps_its_schema_and_the_schema_is_that_of_the_model(tmp_path: Path) -> None:
    schema = SAVINGS_SCHEMA.read_text(encoding="utf-8")
    assert schema == schema_text(Savings), "run: python -m tests.support.schemas"
    validator = jsonschema.Draft202012Validator(__import__("json").loads(schema))
    validator.validate(rich(tmp_path).model_dump(mode="json"))


def test_every_sum_follows_from_the_runs_that_stand_beside_it(tmp_path: Path) -> None:
    """What an auditor does: read the file, add up, compare."""
    found = Savings.model_validate_json(rich(tmp_path).model_dump_json())
    own: Callable[[SavingsRun], Figures] = lambda run: figures_of([run])  # noqa: E731
    for group in found.groups:
        mine = [run for run in found.runs if run.basis == group.basis]
        assert group.total.emissions_gco2eq == pytest.approx(sum(own(run).emissions_gco2eq for run in mine))
        assert group.total.runs == len(mine)


@pytest.mark.parametrize(
    ("ended_at", "month"),
    [
        ("2025-12-31T23:59:59.999999+00:00", "2025-12"),
        ("2026-01-01T00:00:00+00:00", "2026-01"),
        ("2026-01-01T00:30:00+01:00", "2025-12"),  # Berlin's new year is not UTC's
        ("2026-10-25T02:30:00+02:00", "2026-10"),  # the hour that comes twice in Berlin, before
        ("2026-11-01T00:30:00+01:00", "2026-10"),
    ],
)
def test_a_month_and_a_span_are_those_of_utc_at_the_years_end_and_when_clocks_change(
    tmp_path: Path, ended_at: str, month: str
) -> None:
    end = datetime.fromisoformat(ended_at)
    start = end - timedelta(hours=1)
    write_training(
        tmp_path, "nightly/a", nightly(submitted_at=start - timedelta(hours=3), started_at=start, ended_at=end)
    )
    (run,) = savings_of(tmp_path).runs
    assert run.month == month
    since = datetime(int(month[:4]), int(month[5:]), 1, tzinfo=UTC)
    assert savings_of(tmp_path, since=since).runs == (run,)
    assert savings_of(tmp_path, until=since).runs == ()
