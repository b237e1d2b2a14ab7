"""The rules of docs/providers.md, one by one, for each provider's shape: refused or mended, never a false figure."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lowtide.config.zones import Zone, find_zone
from lowtide.errors import InvalidAnswer
from lowtide.grid.providers.base import HttpProvider
from lowtide.grid.providers.carbon_aware_sdk import CarbonAwareSdkProvider
from lowtide.grid.providers.electricity_maps import ElectricityMapsProvider
from lowtide.grid.providers.energy_charts import EnergyChartsProvider
from lowtide.grid.providers.neso import NesoProvider
from lowtide.grid.providers.watttime import WattTimeProvider, token_of
from lowtide.records import Reading, SignalType

from tests.support import carbon_aware_sdk, electricity_maps, energy_charts, neso, watttime
from tests.support.fuzzing import near
from tests.support.grid import T0


@dataclass(frozen=True)
class Shape:
    """A provider, how its series of values looks, and where in the answer one row of it is."""

    provider: HttpProvider
    zone: Zone
    step: timedelta
    series: Callable[[datetime, list[Any]], Any]
    rows: Callable[[Any], list[list[Any]]]
    """The lists whose items at one index belong to one time."""
    forecast: Callable[[datetime, list[Any]], Any]


SHAPES = {
    "neso": Shape(
        NesoProvider(),
        find_zone("GB"),
        neso.HALF_HOUR,
        lambda start, values: {
            "data": [neso.slot(start + i * neso.HALF_HOUR, forecast=v) for i, v in enumerate(values)]
        },
        lambda answer: [answer["data"]],
        lambda start, values: {
            "data": [neso.slot(start + i * neso.HALF_HOUR, forecast=v) for i, v in enumerate(values)]
        },
    ),
    "energy_charts": Shape(
        EnergyChartsProvider(),
        find_zone("DE"),
        energy_charts.QUARTER,
        energy_charts.columns,
        lambda answer: [answer["unix_seconds"], answer["co2eq"], answer["co2eq_forecast"]],
        lambda start, values: energy_charts.columns(start, [None] * len(values), values),
    ),
    "electricity_maps": Shape(
        ElectricityMapsProvider(),
        find_zone("US-CAL-CISO"),
        electricity_maps.HOUR,
        lambda start, values: electricity_maps.history(start, *values),
        lambda answer: [answer["history"]],
        lambda start, values: electricity_maps.forecast(start, *values, issued=start),
    ),
    "watttime": Shape(
        WattTimeProvider(),
        find_zone("US-CAL-CISO"),
        watttime.FIVE_MINUTES,
        lambda start, values: watttime.historical(start, *values),
        lambda answer: [answer["data"]],
        lambda start, values: watttime.forecast(start, *values),
    ),
    "carbon_aware_sdk": Shape(
        CarbonAwareSdkProvider(region="uksouth", signal_type=SignalType.AVERAGE),
        find_zone("GB"),
        carbon_aware_sdk.FIVE_MINUTES,
        lambda start, values: [
            carbon_aware_sdk.emission(start + i * carbon_aware_sdk.FIVE_MINUTES, v) for i, v in enumerate(values)
        ],
        lambda answer: [answer],
        lambda start, values: carbon_aware_sdk.forecast(start, *values),
    ),
}
EVERY = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())


def parse(shape: Shape, answer: Any) -> tuple[Reading, ...]:
    return shape.provider.parse(json.dumps(answer).encode(), shape.zone)


def refusal(shape: Shape, answer: Any) -> str:
    with pytest.raises(InvalidAnswer) as caught:
        parse(shape, answer)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert len(sentence) < 300
    return sentence


@EVERY
def test_a_good_series_is_in_order_without_holes(shape: Shape) -> None:
    readings = parse(shape, shape.series(T0, [300, 200, 100]))
    assert all(a.end == b.start for a, b in pairwise(readings))
    assert {r.end - r.start for r in readings} == {shape.step}
    assert {(r.zone, r.signal_type, r.emission_factor_type) for r in readings} == {
        (shape.zone.key, shape.provider.signal_type, shape.provider.emission_factor_type)
    }


@EVERY
def test_null_is_a_gap(shape: Shape) -> None:
    readings = parse(shape, shape.series(T0, [300, None, 100]))
    assert len(readings) == 2
    assert readings[0].end < readings[1].start


@EVERY
def test_nulls_only_are_refused(shape: Shape) -> None:
    assert "without a single value" in refusal(shape, shape.series(T0, [None, None]))


@EVERY
@pytest.mark.parametrize("value", [-3, float("nan"), float("inf"), 1e9, "200", True, [200], 10**300])
def test_one_impossible_value_refuses_the_whole_answer(shape: Shape, value: Any) -> None:
    refusal(shape, shape.series(T0, [300, value, 100]))


@EVERY
def test_zeros_only_are_refused_and_one_zero_is_not(shape: Shape) -> None:
    assert "only zeros" in refusal(shape, shape.series(T0, [0, 0, 0]))
    assert len(parse(shape, shape.series(T0, [0, 100, 0]))) == 3


@EVERY
def test_an_unsorted_answer_is_sorted(shape: Shape) -> None:
    good = shape.series(T0, [300, 200, 100])
    shuffled = shape.series(T0, [300, 200, 100])
    for column in shape.rows(shuffled):
        column.reverse()
    assert parse(shape, shuffled) == parse(shape, good)


@EVERY
def test_an_equal_repeat_is_kept_once_and_a_contradiction_refused(shape: Shape) -> None:
    good = shape.series(T0, [300, 200, 100])
    repeated, contradicting = shape.series(T0, [300, 200, 100]), shape.series(T0, [300, 200, 100])
    other = shape.series(T0, [301])
    for column in shape.rows(repeated):
        column.append(column[0])
    for column, foreign in zip(shape.rows(contradicting), shape.rows(other), strict=True):
        column.append(foreign[0])
    assert parse(shape, repeated) == parse(shape, good)
    assert "two different values" in refusal(shape, contradicting)


@EVERY
def test_a_missing_interval_stays_missing(shape: Shape) -> None:
    answer = shape.series(T0, [300, 200, 100, 50])
    for column in shape.rows(answer):
        del column[1]
    assert [r.start for r in parse(shape, answer)] == [
        T0 + i * shape.step + FRACTION.get(shape.provider.name, ZERO) for i in (0, 2, 3)
    ]


ZERO = timedelta(0)
FRACTION = {"carbon_aware_sdk": timedelta(microseconds=509274)}


@EVERY
@pytest.mark.parametrize("answer", [None, [], {}, 1, "x", {"data": []}, {"error": "x"}, {"message": "no such zone"}])
def test_what_is_no_such_answer_is_refused(shape: Shape, answer: Any) -> None:
    refusal(shape, answer)


WRONG_ZONES: dict[str, Any] = {
    "neso": {"data": [neso.region(3, "RG10", neso.slot(T0))]},
    "electricity_maps": electricity_maps.point(T0, zone="FR"),
    "electricity_maps, inside": electricity_maps.history(T0, 1) | {"history": [electricity_maps.point(T0, zone="FR")]},
    "watttime": watttime.historical(T0, 870, region="PSCO"),
    "carbon_aware_sdk": [carbon_aware_sdk.emission(T0, 70, "ukwest")],
}


@pytest.mark.parametrize("case", WRONG_ZONES)
def test_an_answer_for_another_zone_is_refused(case: str) -> None:
    assert "answered for" in refusal(SHAPES[case.partition(",")[0]], WRONG_ZONES[case])


@EVERY
@pytest.mark.parametrize("time", ["yesterday", "2026-03-02T22:00", 10**18, None, "9999-12-31T23:59:59Z", True])
def test_a_time_that_is_not_one_is_refused(shape: Shape, time: Any) -> None:
    answer = shape.series(T0, [300])
    if shape.provider.name == "energy_charts":
        answer["unix_seconds"] = [time]
    else:
        key = {"neso": "from", "electricity_maps": "datetime", "watttime": "point_time", "carbon_aware_sdk": "time"}
        shape.rows(answer)[0][0][key[shape.provider.name]] = time
    refusal(shape, answer)


@EVERY
@pytest.mark.parametrize("body", [b"", b"<!doctype html>", b"\xff\xfe", b"[" * 100_000, b'{"data":', b"1" * 10_000])
def test_bytes_that_are_no_json_are_refused(shape: Shape, body: bytes) -> None:
    with pytest.raises(InvalidAnswer):
        shape.provider.parse(body, shape.zone)
    with pytest.raises(InvalidAnswer):
        shape.provider.parse_forecast(body, shape.zone, T0)


@EVERY
def test_a_forecast_is_what_lies_ahead_however_short(shape: Shape) -> None:
    body = json.dumps(shape.forecast(T0, [300, 200, 100])).encode()
    now = T0 + shape.step
    forecast = shape.provider.parse_forecast(body, shape.zone, now)
    assert [r.start for r in forecast.readings] == [now, now + shape.step]


@EVERY
def test_a_forecast_that_has_ended_or_is_empty_is_refused(shape: Shape) -> None:
    for answer in (shape.forecast(T0, [300, 200]), shape.forecast(T0, [])):
        with pytest.raises(InvalidAnswer):
            shape.provider.parse_forecast(json.dumps(answer).encode(), shape.zone, T0 + 9 * shape.step)


@pytest.mark.parametrize("name", ["electricity_maps", "watttime", "carbon_aware_sdk"])
@pytest.mark.parametrize(("hours", "word"), [(30, "stale"), (-3, "dated in the future")])
def test_a_forecast_issued_too_long_ago_or_in_the_future_is_refused(name: str, hours: int, word: str) -> None:
    shape, now = SHAPES[name], T0 + timedelta(hours=hours)
    ahead = shape.forecast(T0, [300] * 600)
    with pytest.raises(InvalidAnswer, match=word):
        shape.provider.parse_forecast(json.dumps(ahead).encode(), shape.zone, now)


def only_readings_or_refusal(shape: Shape, body: bytes) -> None:
    try:
        readings = shape.provider.parse(body, shape.zone)
    except InvalidAnswer:
        pass
    else:
        assert readings
        assert all(a.end <= b.start for a, b in pairwise(readings))
        assert all(0 <= r.carbon_intensity_gco2eq_per_kwh <= 2000 for r in readings)
        assert any(r.carbon_intensity_gco2eq_per_kwh > 0 for r in readings)
        assert {r.zone for r in readings} == {shape.zone.key}
    try:
        forecast = shape.provider.parse_forecast(body, shape.zone, T0)
    except InvalidAnswer:
        return
    assert forecast.readings
    assert forecast.horizon > T0


@EVERY
@settings(max_examples=60)
@given(body=st.binary(max_size=200))
def test_any_bytes_give_readings_or_a_refusal(shape: Shape, body: bytes) -> None:
    only_readings_or_refusal(shape, body)


@EVERY
@settings(max_examples=120)
@given(data=st.data())
def test_any_json_near_the_shape_gives_readings_or_a_refusal(shape: Shape, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from([shape.series, shape.forecast]))
    only_readings_or_refusal(shape, json.dumps(data.draw(near(kind(T0, [300, 200, 100])))).encode())


@settings(max_examples=100)
@given(
    body=st.binary(max_size=60)
    | near({"zones": {"US-CAL-CISO": {"access": ["carbon-intensity/latest"]}}}).map(lambda v: json.dumps(v).encode())
)
def test_any_list_of_zones_grants_something_or_is_refused(body: bytes) -> None:
    provider, zone = ElectricityMapsProvider(), find_zone("US-CAL-CISO")
    try:
        provider.grant(body, zone)
    except InvalidAnswer:
        return
    assert provider.current_request(zone, T0).path == "/v3/carbon-intensity/latest"


@settings(max_examples=100)
@given(body=st.binary(max_size=60) | near({"token": "abc"}).map(lambda v: json.dumps(v).encode()))
def test_any_answer_to_a_login_gives_a_token_fit_for_a_header_or_is_refused(body: bytes) -> None:
    try:
        token = token_of(body)
    except InvalidAnswer:
        return
    assert token.isascii()
    assert token.isprintable()
    assert " " not in token
