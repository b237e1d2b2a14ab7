"""NESO's answers: what becomes a reading, what is refused, and nothing else whatever the bytes."""

import json
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lowtide.config.zones import find_zone
from lowtide.errors import InvalidAnswer
from lowtide.grid.providers.neso import NesoProvider
from lowtide.records import EmissionFactorType, IntensityKind, Reading

from tests.support.grid import HOUR, T0
from tests.support.neso import HALF_HOUR, slot

GB = find_zone("GB")
DOCUMENTED = b"""{"data":[{"from":"2018-01-20T12:00Z","to":"2018-01-20T12:30Z",
"intensity":{"forecast":266,"actual":263,"index":"moderate"}}]}"""


def parse(value: Any) -> tuple[Reading, ...]:
    return NesoProvider().parse(json.dumps(value).encode(), GB)


def test_the_documented_answer_gives_an_estimated_reading_with_direct_factors() -> None:
    (only,) = NesoProvider().parse(DOCUMENTED, GB)
    assert only.as_json() == {
        "zone": "GB",
        "start": "2018-01-20T12:00:00Z",
        "end": "2018-01-20T12:30:00Z",
        "carbon_intensity_gco2eq_per_kwh": 263.0,
        "source": "neso",
        "kind": "estimated",
        "signal_type": "average",
        "emission_factor_type": "direct",
    }
    assert only.emission_factor_type is EmissionFactorType.DIRECT


def test_without_an_actual_the_forecast_is_used_and_called_one() -> None:
    (only,) = parse({"data": [slot(T0, forecast=150)]})
    assert (only.carbon_intensity_gco2eq_per_kwh, only.kind) == (150.0, IntensityKind.FORECAST)


def test_list_object_and_nested_object_forms_mean_the_same() -> None:
    one = slot(T0)
    assert parse({"data": [one]}) == parse({"data": one}) == parse({"data": {"data": [one]}})


def test_a_half_hour_without_any_value_is_a_gap_not_a_zero() -> None:
    readings = parse({"data": [slot(T0), slot(T0 + HALF_HOUR, forecast=None), slot(T0 + HOUR)]})
    assert [r.start for r in readings] == [T0, T0 + HOUR]


def test_unsorted_half_hours_are_sorted_and_equal_repeats_kept_once() -> None:
    first, second = slot(T0), slot(T0 + HALF_HOUR)
    assert parse({"data": [second, first, second]}) == parse({"data": [first, second]})


def changed(**fields: Any) -> dict[str, Any]:
    return {"data": [slot(T0) | fields]}


REFUSED: dict[str, Any] = {
    "empty list": {"data": []},
    "empty object": {},
    "a list at the top": [],
    "null": None,
    "no list": {"data": "maintenance"},
    "error body": {"error": {"code": "400 Bad Request", "message": "string"}},
    "nulls only": {"data": [slot(T0, forecast=None)]},
    "negative": {"data": [slot(T0, forecast=-1)]},
    "absurd": {"data": [slot(T0, forecast=1001)]},
    "huge integer": {"data": [slot(T0, forecast=10**400)]},
    "not a number": {"data": [slot(T0, forecast=float("nan"))]},
    "infinite": {"data": [slot(T0, actual=float("inf"))]},
    "text": changed(intensity={"forecast": "266"}),
    "truth": changed(intensity={"forecast": True}),
    "no intensity": changed(intensity=None),
    "only zeros": {"data": [slot(T0, forecast=0), slot(T0 + HALF_HOUR, forecast=0)]},
    "an hour": changed(to=f"{T0 + HOUR:%Y-%m-%dT%H:%MZ}"),
    "backwards": changed(to=f"{T0 - HALF_HOUR:%Y-%m-%dT%H:%MZ}"),
    "no offset": changed(**{"from": "2026-03-02T22:00"}),
    "no time": changed(**{"from": "yesterday"}),
    "contradiction": {"data": [slot(T0, forecast=100), slot(T0, forecast=101)]},
    "overlap": {"data": [slot(T0), slot(T0 + timedelta(minutes=15))]},
    "a region": {"data": {"regionid": 13, "data": [slot(T0)]}},
    "regions": {"data": [{"regionid": 3, "data": [slot(T0)]}]},
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED.keys())
def test_an_unusable_answer_is_refused_in_one_sentence(body: Any) -> None:
    with pytest.raises(InvalidAnswer) as caught:
        parse(body)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("body", [b"", b"<!doctype html>", b"\xff\xfe", b"[" * 100_000, b'{"data":', b"1" * 10_000])
def test_bytes_that_are_no_json_are_refused(body: bytes) -> None:
    with pytest.raises(InvalidAnswer):
        NesoProvider().parse(body, GB)


def only_readings_or_refusal(body: bytes) -> None:
    try:
        readings = NesoProvider().parse(body, GB)
    except InvalidAnswer:
        return
    assert readings
    assert all(a.end <= b.start for a, b in pairwise(readings))
    assert all(0 <= r.carbon_intensity_gco2eq_per_kwh <= 1000 for r in readings)


@given(st.binary(max_size=200))
def test_any_bytes_give_readings_or_a_refusal(body: bytes) -> None:
    only_readings_or_refusal(body)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
TIME_TEXTS = st.sampled_from(
    ["2026-03-02T22:00Z", "2026-03-02T22:30Z", "0001-01-01T00:00+23:59", "9999-12-31T23:59-23:59"]
)
JUNK = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(st.text(max_size=4), SCALARS, max_size=2)
SLOTS = st.fixed_dictionaries(
    {},
    optional={
        "from": TIME_TEXTS | JUNK,
        "to": TIME_TEXTS | JUNK,
        "intensity": st.fixed_dictionaries({}, optional={"forecast": SCALARS, "actual": SCALARS}) | JUNK,
        "regionid": SCALARS,
        "data": JUNK,
    },
)
ANSWERS = st.fixed_dictionaries({}, optional={"data": st.lists(SLOTS | JUNK, max_size=4) | SLOTS | JUNK, "error": JUNK})


@given(ANSWERS)
def test_any_json_near_the_shape_gives_readings_or_a_refusal(answer: Any) -> None:
    only_readings_or_refusal(json.dumps(answer).encode())


def test_requests_carry_times_in_utc_without_seconds() -> None:
    london = T0.astimezone(GB.timezone) + timedelta(days=120)
    request = NesoProvider().range_request(GB, T0 + timedelta(seconds=59), london)
    assert request.path == "/intensity/2026-03-02T22:00Z/2026-06-30T21:00Z"  # 22:00 BST
    assert NesoProvider().current_request(GB, T0).path == "/intensity"
