"""The store: what was known when, whatever the order of parts, and nothing silently."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lowtide.errors import ArtifactError, InvalidAnswer
from lowtide.grid.backfill import HistoryRecorder
from lowtide.grid.history import HistoryStore, open_history, stores_of_zone
from lowtide.records import EmissionFactorType, IntensityKind, Reading, SignalType

from tests.support.history import DAY, HOUR, KEY, LATER, actual, forecast, grams, hours, store

HALF_HOUR = timedelta(minutes=30)


def test_known_then_is_the_forecast_then_the_first_actual_and_known_now_is_the_revised_one(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.add([forecast(90)], DAY - 10 * HOUR)
    kept.add([forecast(100)], DAY - HOUR)
    kept.add([actual(120)], DAY + 2 * HOUR)
    kept.add([actual(125)], DAY + 30 * HOUR)
    span = (DAY, DAY + HOUR)
    asked = [DAY - 11 * HOUR, DAY - 10 * HOUR, DAY, DAY + 2 * HOUR, DAY + 29 * HOUR, DAY + 30 * HOUR]
    assert [grams(kept.known_at(*span, moment)) for moment in asked] == [[], [90], [100], [120], [120], [125]]
    assert grams(kept.known_now(*span)) == [125]
    kinds = [reading.kind for time in (DAY, DAY + 2 * HOUR) for reading in kept.known_at(*span, time)]
    assert kinds == [IntensityKind.FORECAST, IntensityKind.ESTIMATED]


def test_a_value_keeps_interval_kind_source_and_moment_to_the_microsecond(tmp_path: Path) -> None:
    learnt = datetime(2026, 3, 2, 1, 2, 3, 456789, tzinfo=UTC)
    told = actual(0.1 + 0.2, source="neso", kind=IntensityKind.MEASURED)
    store(tmp_path).add([told], learnt)
    assert store(tmp_path).known_at(DAY, DAY + HOUR, learnt - timedelta(microseconds=1)) == ()
    assert store(tmp_path).known_at(DAY, DAY + HOUR, learnt) == (told,)


VALUES = st.builds(
    lambda hour, value, is_forecast: (forecast if is_forecast else actual)(float(value), DAY + hour * HOUR),
    st.integers(0, 800),  # over a month's end
    st.integers(0, 4),
    st.booleans(),
)
LESSONS = st.lists(st.tuples(st.integers(0, 50), st.lists(VALUES, max_size=6)), max_size=8)


def answers(kept: HistoryStore) -> list[object]:
    span = (DAY, DAY + 900 * HOUR)
    moments = [DAY + hours * HOUR for hours in (0, 7, 20, 50)]
    return [kept.known_now(*span), *(kept.known_at(*span, moment) for moment in moments)]


@settings(max_examples=40, deadline=None)
@given(LESSONS, st.randoms(use_true_random=False))
def test_the_order_in_which_parts_arrive_does_not_matter(tmp_path_factory, lessons, random) -> None:
    roots = [tmp_path_factory.mktemp("order") for _ in range(2)]
    # stores of their own, brought together as two machines' would be: no lesson is checked against another
    parts = []
    for index, (hour, readings) in enumerate(lessons):
        apart = store(roots[0] / str(index))
        apart.add(readings, DAY + hour * HOUR)
        parts += sorted(apart.folder.glob("*.json.gz")) if apart.folder.exists() else []
    merged = []
    for name in ("a", "b"):
        random.shuffle(parts)
        together = store(roots[1] / name)
        together.folder.mkdir(parents=True)
        for part in parts:
            (together.folder / part.name).write_bytes(part.read_bytes())
        merged.append(answers(together))
        together.compact(minimum_parts=2, grace=timedelta(0))
        merged.append(answers(store(roots[1] / name)))
    assert merged[0] == merged[1] == merged[2] == merged[3]


@settings(max_examples=40, deadline=None)
@given(LESSONS)
def test_adding_the_same_again_changes_nothing_and_writes_nothing(tmp_path_factory, lessons) -> None:
    root = tmp_path_factory.mktemp("twice")
    lessons = sorted(lessons, key=lambda lesson: lesson[0])
    for hour, readings in lessons:
        store(root).add(readings, DAY + hour * HOUR)
    before, names = answers(store(root)), _names(root)
    for hour, readings in lessons:
        assert store(root).add(readings, DAY + hour * HOUR) == 0
    assert (answers(store(root)), _names(root)) == (before, names)


@settings(max_examples=60, deadline=None)
@given(LESSONS, st.integers(0, 50))
def test_known_then_never_sees_later_knowledge(tmp_path_factory, lessons, hour) -> None:
    root = tmp_path_factory.mktemp("then")
    moment, span = DAY + hour * HOUR, (DAY, DAY + 900 * HOUR)
    for learnt, readings in sorted(lessons, key=lambda lesson: lesson[0]):
        if learnt <= hour:
            store(root).add(readings, DAY + learnt * HOUR)
    then = store(root).known_now(*span)
    for learnt, readings in sorted(lessons, key=lambda lesson: lesson[0]):
        if learnt > hour:
            store(root).add(readings, DAY + learnt * HOUR)
    assert store(root).known_at(*span, moment) == then


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.builds(
            lambda begin, quarters, value, kind: Reading(
                **{**actual(1.0).as_json(), "kind": kind, "carbon_intensity_gco2eq_per_kwh": float(value)}
                | {"signal_type": KEY.signal_type, "emission_factor_type": KEY.emission_factor_type}
                | {"start": DAY + begin * HALF_HOUR / 2, "end": DAY + (begin + quarters) * HALF_HOUR / 2}
            ),
            st.integers(0, 20),
            st.integers(1, 6),
            st.integers(0, 9),
            st.sampled_from([IntensityKind.MEASURED, IntensityKind.FORECAST]),
        ),
        max_size=12,
    )
)
def test_intervals_of_any_length_give_one_value_an_instant_actual_before_forecast(tmp_path_factory, readings) -> None:
    kept = store(tmp_path_factory.mktemp("lengths"))
    kept.add(readings, LATER)
    found = kept.known_now(DAY, DAY + 12 * HOUR)
    assert all(earlier.end <= later.start for earlier, later in pairwise(found))
    for quarter in range(27):
        instant = DAY + quarter * HALF_HOUR / 2
        told = [r for r in readings if r.covers(instant)]
        here = [r for r in found if r.covers(instant)]
        assert len(here) == bool(told)
        if any(r.kind is IntensityKind.MEASURED for r in told):
            assert here[0].kind is IntensityKind.MEASURED


def test_gaps_are_visible_and_a_forecast_does_not_close_one(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.add([*hours(DAY, 10, 20), *hours(DAY + 5 * HOUR, 30), forecast(40, DAY + 3 * HOUR)], LATER)
    coverage = kept.coverage(DAY - HOUR, DAY + 8 * HOUR)
    assert coverage.gaps == (
        (DAY - HOUR, DAY),
        (DAY + 2 * HOUR, DAY + 5 * HOUR),
        (DAY + 6 * HOUR, DAY + 8 * HOUR),
    )
    assert (coverage.actual, coverage.forecast_only, coverage.intervals) == (3 * HOUR, HOUR, 4)
    assert coverage.actual_percent == pytest.approx(100 / 3)
    assert kept.span() == (DAY, DAY + 6 * HOUR)


def test_an_empty_store_knows_nothing_and_says_so(tmp_path: Path) -> None:
    kept = store(tmp_path)
    assert (kept.known_now(DAY, DAY + HOUR), kept.span(), kept.typical(DAY, DAY + HOUR)) == ((), None, ())
    assert kept.coverage(DAY, DAY + HOUR).gaps == ((DAY, DAY + HOUR),)
    assert not kept.folder.exists()


def test_an_interval_over_a_month_s_end_is_found_from_both_sides(tmp_path: Path) -> None:
    midnight = datetime(2026, 1, 1, tzinfo=UTC)
    kept = store(tmp_path)
    kept.add([actual(50, midnight - HALF_HOUR), actual(60, midnight + HALF_HOUR)], LATER)
    assert grams(kept.known_now(midnight, midnight + HALF_HOUR)) == [50]
    assert grams(kept.known_now(midnight - HALF_HOUR, midnight)) == [50]
    assert kept.coverage(midnight - HALF_HOUR, midnight + 1.5 * HOUR).gaps == ()


@pytest.mark.parametrize("year", [2024, 2025])
def test_a_whole_year_with_its_leap_day_has_no_gap_and_no_value_twice(tmp_path: Path, year: int) -> None:
    start, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    count = (end - start) // HOUR
    kept = store(tmp_path)
    assert kept.add(hours(start, *(float(i % 300) for i in range(count))), LATER) == count
    coverage = store(tmp_path).coverage(start, end)
    assert (coverage.intervals, coverage.gaps, coverage.actual) == (count, (), end - start)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"zone": "DE"}, "zone DE"),
        ({"emission_factor_type": EmissionFactorType.LIFECYCLE}, "lifecycle"),
        ({"kind": IntensityKind.MODELLED}, "modelled"),
        ({"kind": IntensityKind.REPLAYED}, "replayed"),
        ({"kind": IntensityKind.CACHED}, "cached"),
        ({"source": "history:14d", "kind": IntensityKind.FORECAST}, "stands in"),
        ({"length": timedelta(days=2)}, "a day is the longest"),
    ],
)
def test_what_is_no_knowledge_of_this_grid_is_refused_and_the_recorder_passes_it_over(
    tmp_path: Path, wrong: dict[str, object], told: str
) -> None:
    kept = store(tmp_path)
    with pytest.raises(InvalidAnswer, match=told):
        kept.add([actual(1.0, **wrong)], LATER)
    assert kept.parts() == 0
    if "length" not in wrong:
        assert HistoryRecorder(kept).record([actual(1.0, **wrong), actual(2.0)], LATER) == 1
        assert grams(kept.known_now(DAY, DAY + HOUR)) == [2.0]


def test_stores_of_other_sources_connections_and_meanings_lie_apart(tmp_path: Path) -> None:
    changes = [
        {},
        {"source": "x/../y"},
        {"connection": "public"},
        {"connection": ".."},
        {"signal_type": SignalType.MARGINAL},
    ]
    for number, change in enumerate(changes):
        kept = store(tmp_path, **change)
        kept.add([actual(float(number), **{k: kept.key.signal_type for k in change if k == "signal_type"})], LATER)
    assert grams(store(tmp_path).known_now(DAY, DAY + HOUR)) == [0.0]
    found = {found.key: grams(found.known_now(DAY, DAY + HOUR)) for found in stores_of_zone(tmp_path, "GB")}
    assert sorted(value for (value,) in found.values()) == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert {key.connection for key in found} == {None, "public", ".."}
    assert all(tmp_path / "history" in found.folder.parents for found in stores_of_zone(tmp_path, "GB"))


def test_a_damaged_part_is_named_and_the_rest_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = store(tmp_path)
    for hour in range(3):
        kept.add([actual(float(hour), DAY + hour * HOUR)], LATER)
    broken = sorted(kept.folder.iterdir())[1]
    content = bytearray(broken.read_bytes())
    content[len(content) // 2] ^= 1
    broken.write_bytes(content)
    again = store(tmp_path)
    assert len(again.known_now(DAY, DAY + 3 * HOUR)) == 2
    assert set(again.unreadable_parts) == {broken.name}
    assert again.coverage(DAY, DAY + 3 * HOUR).unreadable_parts == (broken.name,)
    assert broken.name in caplog.text
    done = again.compact(minimum_parts=2, grace=timedelta(0))
    assert (done.unreadable, done.merged, broken.exists()) == ((broken.name,), 2, True)


def test_a_foreign_part_with_a_right_digest_is_named_too(tmp_path: Path) -> None:
    other = store(tmp_path, source="elsewhere")
    other.add([actual(7.0)], LATER)
    (part,) = other.folder.iterdir()
    mine = store(tmp_path)
    mine.folder.mkdir(parents=True)
    (mine.folder / part.name).write_bytes(part.read_bytes())
    assert mine.known_now(DAY, DAY + HOUR) == ()
    assert "another zone, source or meaning" in mine.unreadable_parts[part.name]


def test_a_part_that_somebody_edited_is_not_believed(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.add([actual(400.0)], LATER)
    (part,) = kept.folder.iterdir()
    part.write_bytes(gzip.compress(gzip.decompress(part.read_bytes()).replace(b"[400.0]", b"[40.0]")))
    again = store(tmp_path)
    assert again.known_now(DAY, DAY + HOUR) == ()
    assert "not those that were written" in again.unreadable_parts[part.name]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_in_a_part_s_place_are_skipped_not_raised(tmp_path_factory, content: bytes) -> None:
    kept = store(tmp_path_factory.mktemp("bytes"))
    kept.add([actual(1.0)], LATER)
    (part,) = kept.folder.iterdir()
    part.write_bytes(content)
    again = store(kept.folder.parents[4])
    assert again.known_now(DAY, DAY + HOUR) == ()
    assert part.name in again.unreadable_parts


def test_a_part_is_text_that_anyone_can_read(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.add([actual(12.5)], LATER)
    (part,) = kept.folder.iterdir()
    document = json.loads(gzip.decompress(part.read_bytes()))
    assert document["carbon_intensity_gco2eq_per_kwh"] == [12.5]
    assert document["key"]["zone"] == "GB"


BERLIN = ZoneInfo("Europe/Berlin")


def _clock_history(root: Path, start: datetime, days: int, value_of_hour) -> HistoryStore:
    kept = open_history(root, KEY.__class__(**KEY.as_json() | {"zone": "DE", "source": "x"}))
    spans = [start + i * HALF_HOUR for i in range(48 * days)]
    kept.add(
        [actual(value_of_hour(at.astimezone(BERLIN)), at, length=HALF_HOUR, zone="DE", source="x") for at in spans],
        start,
    )
    return kept


@pytest.mark.parametrize(
    "changes_at",
    [datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)],
    ids=["spring", "autumn"],
)
def test_typical_hours_go_by_the_zone_s_clock_on_the_days_when_it_changes(tmp_path: Path, changes_at: datetime) -> None:
    kept = _clock_history(tmp_path, changes_at - timedelta(days=15), 15, lambda local: float(local.hour))
    typical = kept.typical(changes_at - 4 * HOUR, changes_at + 30 * HOUR)
    assert len(typical) == 34
    assert all(r.carbon_intensity_gco2eq_per_kwh == r.start.astimezone(BERLIN).hour for r in typical)
    assert {(r.kind, r.source) for r in typical} == {(IntensityKind.FORECAST, "history:14d")}


def test_typical_hours_are_the_mean_of_the_last_14_days_only(tmp_path: Path) -> None:
    start = datetime(2026, 6, 1, tzinfo=UTC)
    # 20 days: the first six are far from the rest and must not count
    kept = _clock_history(
        tmp_path, start - timedelta(days=20), 20, lambda local: 900.0 if local.day in range(12, 18) else local.day
    )
    (hour,) = kept.typical(start + 3 * HOUR, start + 4 * HOUR)
    days = [(start + 5 * HOUR - timedelta(days=n)).astimezone(BERLIN).day for n in range(1, 15)]
    assert hour.carbon_intensity_gco2eq_per_kwh == pytest.approx(sum(days) / 14)


def test_an_hour_seen_on_two_days_only_is_no_habit(tmp_path: Path) -> None:
    start = datetime(2026, 6, 10, tzinfo=UTC)
    two = _clock_history(tmp_path / "two", start - timedelta(days=2), 2, lambda local: 5.0)
    three = _clock_history(tmp_path / "three", start - timedelta(days=3), 3, lambda local: 5.0)
    assert two.typical(start, start + 24 * HOUR) == ()
    assert len(three.typical(start, start + 24 * HOUR)) == 24


def test_typical_hours_can_rest_on_what_was_known_then(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.add(hours(DAY, *[10.0] * 96), DAY + 96 * HOUR)
    kept.add(hours(DAY, *[30.0] * 96), DAY + 200 * HOUR)
    span = (DAY + 96 * HOUR, DAY + 97 * HOUR)
    assert grams(kept.typical(*span)) == [30.0]
    assert grams(kept.typical(*span, known_by=DAY + 100 * HOUR)) == [10.0]
    assert kept.typical(*span, known_by=DAY) == ()


def test_a_root_that_is_no_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "history").write_text("a file where the folder should be")
    with pytest.raises(ArtifactError, match=r"cannot list .* must be a folder") as caught:
        store(tmp_path).add([actual(1.0)], LATER)
    assert "\n" not in str(caught.value)


def _names(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*.json.gz"))
