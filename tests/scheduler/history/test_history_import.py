"""Files that people have: our trace format and the Electricity Maps portal's CSV, with what can be wrong in them."""

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lowtide.config.zones import find_zone
from lowtide.errors import ArtifactError
from lowtide.grid.history_import import read_history_file
from lowtide.records import EmissionFactorType, IntensityKind

from tests.support.history import grams
from tests.support.history_files import NEW_COLUMNS, OLD_COLUMNS, portal, trace

DE = find_zone("DE")


@pytest.mark.parametrize("columns", [NEW_COLUMNS, OLD_COLUMNS], ids=["2024", "2021"])
def test_the_portal_s_file_gives_both_factor_types_with_their_kinds(tmp_path: Path, columns: str) -> None:
    path = portal(tmp_path, "2024-02-29 23:00:00,300.5,350,False", "2024-03-01 00:00:00,,360,True", columns=columns)
    found = read_history_file(path, DE)
    lifecycle, direct = found[EmissionFactorType.LIFECYCLE], found[EmissionFactorType.DIRECT]
    assert (grams(lifecycle), grams(direct)) == ([350.0, 360.0], [300.5])
    assert [r.kind for r in lifecycle] == [IntensityKind.MEASURED, IntensityKind.ESTIMATED]
    assert lifecycle[0].start == datetime(2024, 2, 29, 23, tzinfo=UTC)
    assert lifecycle[1].end == datetime(2024, 3, 1, 1, tzinfo=UTC)
    assert {r.source for r in lifecycle} == {"electricity_maps"}


def test_one_factor_type_can_be_chosen(tmp_path: Path) -> None:
    path = portal(tmp_path, "2024-01-01 00:00:00,1,2,False", "2024-01-01 01:00:00,3,4,False")
    found = read_history_file(path, DE, factor_type=EmissionFactorType.DIRECT, source="a mirror")
    assert {kind: grams(own) for kind, own in found.items()} == {EmissionFactorType.DIRECT: [1.0, 3.0]}
    assert {reading.source for reading in found[EmissionFactorType.DIRECT]} == {"a mirror"}


def test_a_missing_hour_is_a_gap_and_does_not_lengthen_another(tmp_path: Path) -> None:
    rows = [f"2024-01-01 0{hour}:00:00,1,2,False" for hour in (0, 1, 5)]
    found = read_history_file(portal(tmp_path, *rows), DE)
    assert {r.end - r.start for r in found[EmissionFactorType.DIRECT]} == {timedelta(hours=1)}


def test_a_trace_is_read_plain_or_gzip_and_is_estimated_lifecycle_unless_given(tmp_path: Path) -> None:
    text = "2025-12-31T23:30:00Z,10\n2026-01-01T00:00:00Z,20\n"
    for name in ("mine.csv", "DE_2025.csv.gz"):
        ((factor_type, readings),) = read_history_file(trace(tmp_path, text, name), DE).items()
        assert (factor_type, grams(readings)) == (EmissionFactorType.LIFECYCLE, [10.0, 20.0])
        assert {(r.kind, r.source) for r in readings} == {(IntensityKind.ESTIMATED, "trace")}
    told = read_history_file(trace(tmp_path, text), DE, factor_type=EmissionFactorType.DIRECT, source="neso")
    assert {r.source for r in told[EmissionFactorType.DIRECT]} == {"neso"}


WRONG = {
    "another zone": (
        lambda f: portal(f, "2024-01-01 00:00:00,1,2,False", zone="FR"),
        "line 2: is of zone 'FR', not 'DE'",
    ),
    "a trace of another zone": (
        lambda f: trace(f, "2025-01-01T00:00Z,1\n", "FR_2025.csv"),
        "is of zone 'FR' by its name",
    ),
    "no number": (lambda f: portal(f, "2024-01-01 00:00:00,x,2,", "2024-01-01 01:00:00,1,2,"), "line 2: 'x' is not"),
    "negative": (lambda f: portal(f, "2024-01-01 00:00:00,1,2,", "2024-01-01 01:00:00,1,-2,"), "line 3: '-2' is not"),
    "infinite": (lambda f: portal(f, "2024-01-01 00:00:00,1,inf,", "2024-01-01 01:00:00,1,2,"), "'inf' is not"),
    "no time": (lambda f: portal(f, "yesterday,1,2,False"), "line 2: 'yesterday' is not a time"),
    "twice": (lambda f: portal(f, "2024-01-01 00:00:00,1,2,", "2024-01-01 00:00:00,1,2,"), "occurs twice"),
    "daily means": (lambda f: portal(f, "2024-01-01 00:00:00,1,2,", "2024-01-02 00:00:00,1,2,"), "hourly file"),
    "daily trace": (lambda f: trace(f, "2025-01-01T00:00Z,1\n2025-01-02T00:00Z,2\n"), "hourly file"),
    "one row": (lambda f: portal(f, "2024-01-01 00:00:00,1,2,False"), "at least two rows"),
    "no values": (lambda f: portal(f, "2024-01-01 00:00:00,,,", "2024-01-01 01:00:00,,,"), "holds no"),
    "no such file": (lambda f: f / "gone.csv", "no such file"),
    "empty": (lambda f: _bytes(f, b""), "neither a trace"),
    "other columns": (lambda f: _bytes(f, b"a,b\n1,2\n"), "neither a trace"),
    "not text": (lambda f: _bytes(f, b"\xff\xfe\x00"), "UTF-8"),
    "half a gzip": (lambda f: _bytes(f, gzip.compress(b"timestamp" * 99)[:30]), "cannot be read"),
}


def _bytes(folder: Path, content: bytes) -> Path:
    path = folder / "file.csv"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("make", "told"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_in_a_file_is_one_sentence_with_the_place(tmp_path: Path, make, told: str) -> None:
    path = make(tmp_path)
    with pytest.raises(ArtifactError) as caught:
        read_history_file(path, DE)
    assert told in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


FIELD = st.sampled_from(
    ["", "1", "-1", "nan", "1e999", "DE", "2024-01-01 00:00:00", "2024-01-01 01:00:00", "True", '"', "\x00"]
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(FIELD, max_size=12), max_size=4),
    st.sampled_from([NEW_COLUMNS, "timestamp,carbon_intensity_gco2eq_per_kwh"]),
)
def test_any_table_gives_readings_or_one_sentence(tmp_path_factory, rows: list[list[str]], columns: str) -> None:
    path = tmp_path_factory.mktemp("any") / "file.csv"
    path.write_text("\n".join([columns, *(",".join(row) for row in rows)]), encoding="utf-8")
    try:
        found = read_history_file(path, DE)
    except ArtifactError:
        return
    assert all(found.values())
    assert found
