"""The store: what was known when, whatever the order of learning, and nothing silently."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from lowtide.errors import ArtifactError, InvalidAnswer
from lowtide.grid.history import HistoryStore, stores_of_zone
from lowtide.records import EmissionFactorType, IntensityKind, Reading, SignalType
from lowtide.runs.settlement import ActualFigures

from tests.support.history import DAY, HOUR, KEY, LATER, actual, files, forecast, grams, hours, store

HALF_HOUR = timedelta(minutes=30)


def test_known_then_is_the_forecast_then_the_first_actual_and_now_it_is_the_revised_one(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.add([forecast(90)], DAY - 10 * HOUR)
    kept.add([forecast(100)], DAY - HOUR)
    kept.add([actual(120)], DAY + 2 * HOUR)
    kept.add([actual(125)], DAY + 30 * HOUR)
    span = (DAY, DAY + HOUR)
    asked = [DAY - 11 * HOUR, DAY - 10 * HOUR, DAY, DAY + 2 * HOUR, DAY + 29 * HOUR, DAY + 30 * HOUR]
    assert [grams(kept.known(*span, time)) for time in asked] == [[], [90], [100], [120], [120], [125]]
    assert grams(kept.known(*span)) == [125]
    kinds = [reading.kind for time in (DAY, DAY + 2 * HOUR) for reading in kept.known(*span, time)]
    assert kinds == [IntensityKind.FORECAST, IntensityKind.ESTIMATED]


@pytest.mark.parametrize("source", ["neso", 'a, "b"', "two\nlines", "one\u2028line"])
def test_a_value_keeps_interval_kind_source_and_time_to_the_microsecond(tmp_path: Path, source: str) -> None:
    learnt = datetime(2026, 3, 2, 1, 2, 3, 456789, tzinfo=UTC)
    told = actual(0.1 + 0.2, source=source, kind=IntensityKind.MEASURED)
    store(tmp_path).add([told], learnt)
    assert store(tmp_path).known(DAY, DAY + HOUR, learnt - timedelta(microseconds=1)) == ()
    assert store(tmp_path).known(DAY, DAY + HOUR, learnt) == (told,)


VALUES = st.builds(
    lambda hour, value, is_forecast: (forecast if is_forecast else actual)(float(value), DAY + hour * HOUR),
    st.integers(0, 800),  # over a month's end
    st.integers(0, 4),
    st.booleans(),
)
LESSONS = st.lists(st.tuples(st.integers(0, 50), st.lists(VALUES, max_size=6)), max_size=8)


def quarters(value: Any, *figures: float) -> list[Reading]:
    """Return values of 15 minutes each from DAY on."""
    return [value(figure, DAY + i * HALF_HOUR / 2, length=HALF_HOUR / 2) for i, figure in enumerate(figures)]


def answers(kept: HistoryStore) -> list[object]:
    span = (DAY, DAY + 900 * HOUR)
    times = [DAY + hours * HOUR for hours in (0, 7, 20, 50)]
    return [kept.known(*span), *(kept.known(*span, time) for time in times)]


@settings(max_examples=40, deadline=None)
@given(LESSONS, st.randoms(use_true_random=False))
def test_the_order_in_which_lessons_are_stored_does_not_matter(tmp_path_factory, lessons, random) -> None:
    """Repeats are left out: to store each answer's repeats would make the files fifty times as long.

    So the order can matter only where a provider goes back to a value and the answer in between, with the other value, is
    stored last. It then counts as the newer one, until the provider is asked again: see the next test.
    """
    values = [reading for _, readings in lessons for reading in readings]
    assume(len(set(values)) == len(values))
    found = []
    for _ in range(2):
        root = tmp_path_factory.mktemp("order")
        random.shuffle(lessons)
        for hour, readings in lessons:
            store(root).add(readings, DAY + hour * HOUR)
        found.append(answers(store(root)))
    assert found[0] == found[1]


@settings(max_examples=40, deadline=None)
@given(LESSONS, st.randoms(use_true_random=False))
def test_the_next_answer_counts_in_whatever_order_earlier_ones_were_stored(tmp_path_factory, lessons, random) -> None:
    newest = {(reading.start, reading.kind): reading for _, readings in lessons for reading in readings}
    span, kept = (DAY, DAY + 900 * HOUR), store(tmp_path_factory.mktemp("again"))
    random.shuffle(lessons)
    for hour, readings in lessons:
        kept.add(readings, DAY + hour * HOUR)
    kept.add(newest.values(), DAY + 51 * HOUR)
    actual_starts = {start for start, kind in newest if kind is not IntensityKind.FORECAST}
    counts = [
        r for (start, kind), r in newest.items() if kind is not IntensityKind.FORECAST or start not in actual_starts
    ]
    assert list(kept.known(*span)) == sorted(counts, key=lambda reading: reading.start)


@settings(max_examples=40, deadline=None)
@given(LESSONS)
def test_adding_the_same_again_changes_nothing_and_writes_nothing(tmp_path_factory, lessons) -> None:
    root = tmp_path_factory.mktemp("twice")
    lessons = sorted(lessons, key=lambda lesson: lesson[0])
    for hour, readings in lessons:
        store(root).add(readings, DAY + hour * HOUR)
    before, version = answers(store(root)), store(root).files()
    for hour, readings in lessons:
        assert store(root).add(readings, DAY + hour * HOUR) == 0
    assert (answers(store(root)), store(root).files()) == (before, version)


@settings(max_examples=60, deadline=None)
@given(LESSONS, st.integers(0, 50))
def test_known_then_never_sees_later_knowledge(tmp_path_factory, lessons, hour) -> None:
    root = tmp_path_factory.mktemp("then")
    time, span = DAY + hour * HOUR, (DAY, DAY + 900 * HOUR)
    for learnt, readings in sorted(lessons, key=lambda lesson: lesson[0]):
        if learnt <= hour:
            store(root).add(readings, DAY + learnt * HOUR)
    then = store(root).known(*span)
    for learnt, readings in sorted(lessons, key=lambda lesson: lesson[0]):
        if learnt > hour:
            store(root).add(readings, DAY + learnt * HOUR)
    assert store(root).known(*span, time) == then


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
    found = kept.known(DAY, DAY + 12 * HOUR)
    assert all(earlier.end <= later.start for earlier, later in pairwise(found))
    for quarter in range(27):
        instant = DAY + quarter * HALF_HOUR / 2
        told = [r for r in readings if r.covers(instant)]
        here = [r for r in found if r.covers(instant)]
        assert len(here) == bool(told)
        if any(r.kind is IntensityKind.MEASURED for r in told):
            assert here[0].kind is IntensityKind.MEASURED


@pytest.mark.parametrize("value", [actual, forecast])
def test_of_values_that_overlap_the_finer_counts_though_the_coarser_is_newer(tmp_path: Path, value: Any) -> None:
    kept = store(tmp_path)
    kept.add(quarters(value, 100, 110, 120, 130), LATER)
    kept.add([value(200), value(210, DAY + HOUR)], LATER + HOUR)
    assert grams(kept.known(DAY, DAY + 2 * HOUR)) == [100, 110, 120, 130, 210]
    assert grams(kept.known(DAY, DAY + 2 * HOUR, LATER)) == [100, 110, 120, 130]


def test_a_coarser_value_fills_only_what_the_finer_ones_leave(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.add(quarters(actual, 100, 110), LATER)
    kept.add([actual(200)], LATER + HOUR)
    found = kept.known(DAY, DAY + HOUR)
    assert [(r.carbon_intensity_gco2eq_per_kwh, r.end - r.start) for r in found] == [
        (100, HALF_HOUR / 2),
        (110, HALF_HOUR / 2),
        (200, HALF_HOUR),
    ]


@pytest.mark.parametrize("first", [IntensityKind.MEASURED, IntensityKind.ESTIMATED])
def test_the_newer_actual_value_counts_measured_or_estimated(tmp_path: Path, first: IntensityKind) -> None:
    (second,) = {IntensityKind.MEASURED, IntensityKind.ESTIMATED} - {first}
    kept = store(tmp_path)
    kept.add([actual(100, kind=first)], LATER)
    kept.add([actual(140, kind=second)], LATER + HOUR)
    assert grams(kept.known(DAY, DAY + HOUR)) == [140]
    assert grams(kept.known(DAY, DAY + HOUR, LATER)) == [100]


def test_a_settlement_takes_the_finer_value(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.add(quarters(actual, 80), LATER)
    kept.add([actual(200)], LATER + HOUR)
    actuals = ActualFigures(now=LATER + HOUR, history=kept)
    assert grams(actuals(DAY, DAY + HALF_HOUR / 2)) == [80]
    assert grams(actuals(DAY, DAY + HOUR)) == [80, 200]


def test_of_values_learnt_at_once_the_measured_one_counts(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.add([actual(140), actual(100, kind=IntensityKind.MEASURED)], LATER)
    assert grams(kept.known(DAY, DAY + HOUR)) == [100]


def test_gaps_are_visible_and_a_forecast_does_not_close_one(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.add([*hours(DAY, 10, 20), *hours(DAY + 5 * HOUR, 30), forecast(40, DAY + 3 * HOUR)], LATER)
    coverage = kept.coverage(DAY - HOUR, DAY + 8 * HOUR)
    assert coverage.gaps == (
        (DAY - HOUR, DAY),
        (DAY + 2 * HOUR, DAY + 5 * HOUR),
        (DAY + 6 * HOUR, DAY + 8 * HOUR),
    )
    assert (coverage.forecast_only, coverage.intervals) == (HOUR, 4)
    assert coverage.actual_percent == pytest.approx(100 * 3 / 9)
    assert coverage.actual_percent == pytest.approx(100 / 3)
    assert kept.span() == (DAY, DAY + 6 * HOUR)


def test_an_empty_store_knows_nothing_and_says_so(tmp_path: Path) -> None:
    kept = store(tmp_path)
    assert (kept.known(DAY, DAY + HOUR), kept.span()) == ((), None)
    assert kept.coverage(DAY, DAY + HOUR).gaps == ((DAY, DAY + HOUR),)
    assert not kept.folder.exists()


def test_an_interval_over_a_month_s_end_is_found_from_both_sides(tmp_path: Path) -> None:
    midnight = datetime(2026, 1, 1, tzinfo=UTC)
    kept = store(tmp_path)
    kept.add([actual(50, midnight - HALF_HOUR), actual(60, midnight + HALF_HOUR)], LATER)
    assert grams(kept.known(midnight, midnight + HALF_HOUR)) == [50]
    assert grams(kept.known(midnight - HALF_HOUR, midnight)) == [50]
    assert kept.coverage(midnight - HALF_HOUR, midnight + 1.5 * HOUR).gaps == ()


@pytest.mark.parametrize("year", [2024, 2025])
def test_a_whole_year_with_its_leap_day_has_no_gap_and_no_value_twice(tmp_path: Path, year: int) -> None:
    start, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    count = (end - start) // HOUR
    kept = store(tmp_path)
    assert kept.add(hours(start, *(float(i % 300) for i in range(count))), LATER) == count
    coverage = store(tmp_path).coverage(start, end)
    assert (coverage.intervals, coverage.gaps, coverage.actual_percent) == (count, (), 100.0)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"zone": "DE"}, "zone DE"),
        ({"emission_factor_type": EmissionFactorType.LIFECYCLE}, "lifecycle"),
        ({"kind": IntensityKind.MODELLED}, "modelled"),
        ({"kind": IntensityKind.REPLAYED}, "replayed"),
        ({"kind": IntensityKind.CACHED}, "cached"),
        ({"length": timedelta(days=2)}, "a day is the longest"),
    ],
)
def test_what_is_no_knowledge_of_this_grid_is_refused_and_the_recorder_passes_it_over(
    tmp_path: Path, wrong: dict[str, object], told: str
) -> None:
    kept = store(tmp_path)
    with pytest.raises(InvalidAnswer, match=told):
        kept.add([actual(1.0, **wrong)], LATER)
    assert kept.files() == {}
    if "length" not in wrong:
        assert kept.record([actual(1.0, **wrong), actual(2.0)], LATER) == 1
        assert grams(kept.known(DAY, DAY + HOUR)) == [2.0]


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
    assert grams(store(tmp_path).known(DAY, DAY + HOUR)) == [0.0]
    found = {found.key: grams(found.known(DAY, DAY + HOUR)) for found in stores_of_zone(tmp_path, "GB")}
    assert sorted(value for (value,) in found.values()) == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert {key.connection for key in found} == {None, "public", ".."}
    assert all(tmp_path / "history" in found.folder.parents for found in stores_of_zone(tmp_path, "GB"))


def test_a_damaged_file_is_reported_and_the_rest_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = store(tmp_path)
    for month in range(3):
        kept.add([actual(float(month), DAY + month * 31 * 24 * HOUR)], LATER)
    broken = files(kept)[1]
    content = bytearray(broken.read_bytes())
    content[len(content) // 2] ^= 1
    broken.write_bytes(content)
    again = store(tmp_path)
    span = DAY, DAY + 70 * 24 * HOUR
    assert grams(again.known(*span)) == [0.0, 2.0]
    assert set(again.unreadable_files) == {broken.name}
    assert again.coverage(*span).unreadable_files == (broken.name,)
    assert broken.name in caplog.text


def test_adding_to_a_damaged_file_sets_it_aside_and_reports_it_until_it_is_deleted(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.add([actual(1.0)], LATER)
    (broken,) = files(kept)
    broken.write_bytes(b"garbage")
    assert store(tmp_path).add([actual(2.0, DAY + HOUR)], LATER) == 1
    aside = broken.with_name(broken.name + ".damaged")
    assert aside.read_bytes() == b"garbage"
    assert grams(store(tmp_path).known(DAY, DAY + 2 * HOUR)) == [2.0]
    assert "import them again" in store(tmp_path).unreadable_files[aside.name]
    aside.unlink()
    assert store(tmp_path).unreadable_files == {}


@pytest.mark.parametrize("other", [{"source": "elsewhere"}, {"zone": "DE"}, {"signal_type": SignalType.MARGINAL}])
def test_a_file_of_another_store_is_reported_too(tmp_path: Path, other: dict[str, Any]) -> None:
    theirs = store(tmp_path, **other)
    theirs.add([actual(7.0, **{name: value for name, value in other.items() if name != "source"})], LATER)
    (file,) = files(theirs)
    mine = store(tmp_path)
    mine.folder.mkdir(parents=True)
    (mine.folder / file.name).write_bytes(file.read_bytes())
    assert mine.known(DAY, DAY + HOUR) == ()
    assert "another zone, source or meaning" in mine.unreadable_files[file.name]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: gzip.compress(text.encode())))
def test_any_bytes_in_a_file_s_place_are_skipped_not_raised(tmp_path_factory, content: bytes) -> None:
    kept = store(tmp_path_factory.mktemp("bytes"))
    kept.add([actual(1.0)], LATER)
    (file,) = files(kept)
    file.write_bytes(content)
    again = store(kept.folder.parents[4])
    assert again.known(DAY, DAY + HOUR) == ()
    assert file.name in again.unreadable_files


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ("400.0", "nan"),
        ("400.0", "-1"),
        ("400.0", "clean"),
        ("400.0", "400.0,x"),
        ("estimated", "cached"),
        ("2026-03-02T00:00:00Z", "2026-03-02T00:00:00"),
        ("2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z"),
        ("learnt_at", "known_at"),
    ],
)
def test_a_row_that_is_no_observation_is_reported_not_believed(tmp_path: Path, value: str, wrong: str) -> None:
    kept = store(tmp_path)
    kept.add([actual(400.0)], LATER)
    (file,) = files(kept)
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()).replace(value.encode(), wrong.encode())))
    again = store(tmp_path)
    assert again.known(DAY, DAY + HOUR) == ()
    assert "\n" not in again.unreadable_files[file.name]


def test_a_file_is_a_table_that_anyone_can_read(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.add([actual(12.5)], LATER)
    (file,) = files(kept)
    key, header, row = gzip.decompress(file.read_bytes()).decode().splitlines()
    assert json.loads(key.removeprefix("# "))["zone"] == "GB"
    assert header == "start,end,carbon_intensity_gco2eq_per_kwh,kind,source,learnt_at"
    assert row == "2026-03-02T00:00:00Z,2026-03-02T01:00:00Z,12.5,estimated,neso,2027-01-01T00:00:00Z"


def test_a_root_that_is_no_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "history").write_text("a file where the folder should be")
    with pytest.raises(ArtifactError, match=r"cannot write .* must be a folder") as caught:
        store(tmp_path).add([actual(1.0)], LATER)
    assert "\n" not in str(caught.value)
