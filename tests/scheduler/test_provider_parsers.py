"""Each provider's documented shapes: what becomes a reading, with which unit, kind, length and meaning."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lowtide.config.zones import find_zone
from lowtide.errors import ConfigurationError, InvalidAnswer
from lowtide.grid.providers.base import HttpProvider
from lowtide.grid.providers.carbon_aware_sdk import CarbonAwareSdkProvider
from lowtide.grid.providers.electricity_maps import ElectricityMapsProvider
from lowtide.grid.providers.energy_charts import EnergyChartsProvider
from lowtide.grid.providers.neso import NesoProvider
from lowtide.grid.providers.watttime import WattTimeProvider, token_of
from lowtide.records import EmissionFactorType, IntensityKind, Reading, SignalType

from tests.support import carbon_aware_sdk, electricity_maps, energy_charts, neso, watttime
from tests.support.grid import HOUR, T0

GB, DE, CA = find_zone("GB"), find_zone("DE"), find_zone("US-CAL-CISO")
SDK = CarbonAwareSdkProvider(region="uksouth", signal_type=SignalType.MARGINAL)


def parse(provider: HttpProvider, zone: Any, value: Any) -> tuple[Reading, ...]:
    return provider.parse(json.dumps(value).encode(), zone)


def values(readings: tuple[Reading, ...]) -> list[float]:
    return [reading.carbon_intensity_gco2eq_per_kwh for reading in readings]


# --- Energy-Charts -------------------------------------------------------------------------------------------------

RECORDED = b"""{"unix_seconds":[1783893600,1783894500,1783895400,1783896300,1783897200],
"co2eq":[491.5,497.4,502.6,null,null],"co2eq_forecast":[null,null,null,505.0,508.0],"deprecated":false}"""


def test_energy_charts_measured_quarter_hours_come_first_and_the_forecast_follows() -> None:
    readings = EnergyChartsProvider().parse(RECORDED, DE)
    assert values(readings) == [491.5, 497.4, 502.6, 505.0, 508.0]
    assert [r.kind for r in readings] == [IntensityKind.ESTIMATED] * 3 + [IntensityKind.FORECAST] * 2
    assert readings[0].start == datetime.fromtimestamp(1783893600, UTC)
    assert {r.end - r.start for r in readings} == {timedelta(minutes=15)}
    assert (readings[0].signal_type, readings[0].emission_factor_type) == ("average", "lifecycle")


def test_energy_charts_trailing_nulls_are_gaps_and_no_zeros() -> None:
    readings = parse(EnergyChartsProvider(), DE, energy_charts.day_with_trailing_nulls(T0))
    assert len(readings) == 36
    assert readings[-1].end == T0 + 9 * HOUR
    assert min(values(readings)) > 0


def test_energy_charts_forecast_comes_with_the_same_answer() -> None:
    provider, now = EnergyChartsProvider(), T0 + 6 * HOUR
    body = json.dumps(energy_charts.day_with_trailing_nulls(T0)).encode()
    assert provider.forecast_request(DE, now) == provider.current_request(DE, now)
    forecast = provider.parse_forecast(body, DE, now)
    assert (forecast.readings[0].start, forecast.horizon, forecast.issued_at) == (now, T0 + 9 * HOUR, now)


def test_energy_charts_hours_are_recognised_although_one_is_missing() -> None:
    answer = energy_charts.columns(T0, [100, 110, 120, 130], step=HOUR)
    for column in ("unix_seconds", "co2eq", "co2eq_forecast"):
        del answer[column][1]
    readings = parse(EnergyChartsProvider(), DE, answer)
    assert [(r.start, r.end - r.start) for r in readings] == [(T0 + i * HOUR, HOUR) for i in (0, 2, 3)]


@pytest.mark.parametrize(("date", "quarters"), [((2026, 3, 29), 92), ((2026, 10, 25), 100), ((2026, 6, 1), 96)])
def test_energy_charts_a_day_has_as_many_quarters_as_the_clock_says(date: tuple[int, int, int], quarters: int) -> None:
    start = datetime(*date, tzinfo=DE.timezone).astimezone(UTC)
    end = (datetime(*date, tzinfo=DE.timezone) + timedelta(days=1)).astimezone(UTC)
    readings = parse(EnergyChartsProvider(), DE, energy_charts.columns(start, [300.0] * quarters))
    assert (len(readings), readings[-1].end) == (quarters, end)


def test_energy_charts_asks_with_the_country_and_times_in_utc() -> None:
    request = EnergyChartsProvider().range_request(DE, T0.astimezone(DE.timezone), T0 + HOUR)
    assert (request.path, dict(request.params)) == (
        "/co2eq",
        {"country": "de", "start": "2026-03-02T22:00Z", "end": "2026-03-02T23:00Z"},
    )
    assert EnergyChartsProvider().current_request(find_zone("SI"), T0).params == {"country": "sl"}


# --- Electricity Maps ----------------------------------------------------------------------------------------------

LATEST = b"""{"zone":"US-CAR-DUK","carbonIntensity":216,"datetime":"2024-03-06T19:00:00.000Z",
"updatedAt":"2024-03-06T18:48:27.926Z","createdAt":"2024-03-03T19:47:16.265Z","emissionFactorType":"lifecycle",
"isEstimated":true,"estimationMethod":"TIME_SLICER_AVERAGE"}"""


def test_electricity_maps_recorded_latest_hour_is_estimated_when_it_says_so() -> None:
    (only,) = ElectricityMapsProvider().parse(LATEST, find_zone("US-CAR-DUK"))
    assert only.as_json() == {
        "zone": "US-CAR-DUK",
        "start": "2024-03-06T19:00:00Z",
        "end": "2024-03-06T20:00:00Z",
        "carbon_intensity_gco2eq_per_kwh": 216.0,
        "source": "electricity_maps",
        "kind": "estimated",
        "signal_type": "average",
        "emission_factor_type": "lifecycle",
    }


@pytest.mark.parametrize(("flag", "kind"), [(False, "measured"), (True, "estimated"), (None, "estimated")])
def test_electricity_maps_only_an_explicit_no_makes_a_value_measured(flag: Any, kind: str) -> None:
    (only,) = parse(ElectricityMapsProvider(), CA, electricity_maps.point(T0, isEstimated=flag))
    assert only.kind == kind


@pytest.mark.parametrize("shape", [electricity_maps.history, electricity_maps.past_range])
def test_electricity_maps_null_hours_are_gaps(shape: Any) -> None:
    readings = parse(ElectricityMapsProvider(), CA, shape(T0, 599, None, 607))
    assert [(r.start, r.carbon_intensity_gco2eq_per_kwh) for r in readings] == [(T0, 599.0), (T0 + 2 * HOUR, 607.0)]


def test_electricity_maps_forecast_says_when_it_was_issued() -> None:
    body = json.dumps(electricity_maps.forecast(T0, 326, 311, issued=T0 - HOUR / 2)).encode()
    forecast = ElectricityMapsProvider().parse_forecast(body, CA, T0)
    assert (values(forecast.readings), forecast.issued_at) == ([326.0, 311.0], T0 - HOUR / 2)
    assert {r.kind for r in forecast.readings} == {IntensityKind.FORECAST}


def test_electricity_maps_granularity_is_the_length_of_the_interval() -> None:
    answer = electricity_maps.point(T0, temporalGranularity="5_minutes")
    (only,) = parse(ElectricityMapsProvider(), CA, answer)
    assert only.end - only.start == timedelta(minutes=5)
    with pytest.raises(InvalidAnswer, match="daily"):
        parse(ElectricityMapsProvider(), CA, electricity_maps.point(T0, temporalGranularity="daily"))


def test_electricity_maps_never_falls_back_to_the_callers_place() -> None:
    provider = ElectricityMapsProvider()
    requests = [provider.current_request(CA, T0), provider.range_request(CA, T0, T0), provider.forecast_request(CA, T0)]
    for request in requests:
        assert request is not None
        assert request.params["disableCallerLookup"] == "true"
        assert request.params["zone"] == "US-CAL-CISO"


def test_electricity_maps_direct_factors_are_asked_for_and_insisted_on() -> None:
    direct = ElectricityMapsProvider(factor_type=EmissionFactorType.DIRECT)
    assert direct.current_request(CA, T0).params["emissionFactorType"] == "direct"
    (only,) = parse(direct, CA, electricity_maps.point(T0, emissionFactorType="direct"))
    assert only.emission_factor_type is EmissionFactorType.DIRECT
    with pytest.raises(InvalidAnswer, match="factors"):
        parse(direct, CA, electricity_maps.point(T0))


@pytest.mark.parametrize("wrapped", [False, True])
def test_electricity_maps_keeps_to_what_the_token_may_use(wrapped: bool) -> None:
    provider = ElectricityMapsProvider()
    zones: Any = {"US-CAL-CISO": {"zoneName": "CAISO", "access": ["carbon-intensity/past-range"]}}
    provider.grant(json.dumps({"zones": zones} if wrapped else zones).encode(), CA)
    assert provider.range_request(CA, T0, T0 + HOUR).path == "/v3/carbon-intensity/past-range"
    assert provider.range_request(CA, T0, T0 + HOUR).params["start"] == "2026-03-02T22:00:00Z"
    assert provider.forecast_request(CA, T0) is None


def test_electricity_maps_asks_for_the_last_day_while_nothing_is_known_of_the_token() -> None:
    assert ElectricityMapsProvider().range_request(CA, T0, T0 + HOUR).path == "/v3/carbon-intensity/history"


# --- WattTime ------------------------------------------------------------------------------------------------------


def test_watttime_pounds_per_megawatt_hour_become_grams_per_kilowatt_hour_marginal_and_direct() -> None:
    first, second = parse(WattTimeProvider(), CA, watttime.forecast(T0, 870.0, 1000.0))
    assert first.carbon_intensity_gco2eq_per_kwh == pytest.approx(394.6253619)
    assert second.carbon_intensity_gco2eq_per_kwh == pytest.approx(453.59237)
    assert (first.signal_type, first.emission_factor_type) == (SignalType.MARGINAL, EmissionFactorType.DIRECT)
    assert (first.kind, first.end - first.start) == (IntensityKind.FORECAST, timedelta(minutes=5))


def test_watttime_historical_values_are_estimated() -> None:
    readings = parse(WattTimeProvider(), CA, watttime.historical(T0, 870, None, 0))
    assert [r.kind for r in readings] == [IntensityKind.ESTIMATED] * 2
    assert values(readings)[1] == 0.0  # curtailment: a single zero is real


def test_watttime_outage_of_zeros_is_refused() -> None:
    with pytest.raises(InvalidAnswer, match="only zeros"):
        parse(WattTimeProvider(), CA, watttime.outage_of_zeros(T0))


def test_watttime_percentiles_are_not_taken_for_grams() -> None:
    percentile = {"data": [{"point_time": T0.isoformat(), "value": 96.0}], "meta": watttime.meta(units="percentile")}
    with pytest.raises(InvalidAnswer, match="percentile"):
        parse(WattTimeProvider(), CA, percentile)


def test_watttime_asks_for_the_region_of_the_zone_or_the_configured_one() -> None:
    assert WattTimeProvider().current_request(CA, T0).params["region"] == "CAISO_NORTH"
    pjm = find_zone("US-MIDA-PJM")
    with pytest.raises(ConfigurationError, match=r"grid\.region"):
        WattTimeProvider().check(pjm)
    named = WattTimeProvider(region="PJM_NJ")
    named.check(pjm)
    assert named.current_request(pjm, T0).params["region"] == "PJM_NJ"
    assert named.source == "watttime:PJM_NJ"


def test_watttime_login_gives_a_token_and_never_shows_one() -> None:
    assert token_of(b'{"token": "abc.DEF-1_2"}') == "abc.DEF-1_2"
    for body in (b"{}", b"[]", b"<html>", b'{"token": ""}', b'{"token": 1}', b'{"token": "se cret\\r\\nX: 1"}'):
        with pytest.raises(InvalidAnswer) as caught:
            token_of(body)
        assert "cret" not in str(caught.value)


# --- Carbon Aware SDK ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelt", [lambda value: value, carbon_aware_sdk.capitalised])
def test_carbon_aware_sdk_emissions_in_both_spellings_with_seven_digits(spelt: Any) -> None:
    first, second = parse(
        SDK, GB, spelt([carbon_aware_sdk.emission(T0), carbon_aware_sdk.emission(T0 + HOUR / 12, 80)])
    )
    assert first.start == T0 + timedelta(microseconds=509274)
    assert (first.end - first.start, second.carbon_intensity_gco2eq_per_kwh) == (timedelta(minutes=5), 80.0)
    assert (first.signal_type, first.emission_factor_type, first.source) == (
        "marginal",
        "direct",
        "carbon_aware_sdk:uksouth",
    )


@pytest.mark.parametrize("spelt", [lambda value: value, carbon_aware_sdk.capitalised])
def test_carbon_aware_sdk_forecast_in_both_spellings(spelt: Any) -> None:
    body = json.dumps(spelt(carbon_aware_sdk.forecast(T0, 532.0, 448.4))).encode()
    forecast = SDK.parse_forecast(body, GB, T0)
    assert (values(forecast.readings), forecast.horizon) == ([532.0, 448.4], T0 + timedelta(minutes=10))


def test_carbon_aware_sdk_minus_one_is_a_gap_and_minus_two_an_error() -> None:
    rows = [carbon_aware_sdk.emission(T0, -1), carbon_aware_sdk.emission(T0 + HOUR, 70)]
    assert values(parse(SDK, GB, rows)) == [70.0]
    with pytest.raises(InvalidAnswer, match="-2"):
        parse(SDK, GB, [carbon_aware_sdk.emission(T0, -2)])


def test_carbon_aware_sdk_error_is_reported_in_its_own_words() -> None:
    with pytest.raises(InvalidAnswer, match="ForecastDataSource is not configured"):
        SDK.parse_forecast(json.dumps(carbon_aware_sdk.NOT_CONFIGURED).encode(), GB, T0)


def test_carbon_aware_sdk_needs_location_and_meaning() -> None:
    with pytest.raises(ConfigurationError, match=r"grid\.region"):
        CarbonAwareSdkProvider().check(GB)
    with pytest.raises(ConfigurationError, match=r"grid\.signal_type"):
        CarbonAwareSdkProvider(region="uksouth").check(GB)
    assert CarbonAwareSdkProvider(signal_type=SignalType.AVERAGE).emission_factor_type is EmissionFactorType.LIFECYCLE


# --- NESO: regions, postcodes and the forecast ---------------------------------------------------------------------


@pytest.mark.parametrize("form", [lambda region: {"data": [region]}, lambda region: {"data": region}])
@pytest.mark.parametrize("asked", ["13", "SW1", "sw1"])
def test_neso_a_region_comes_as_a_list_or_an_object_and_is_forecast_only(form: Any, asked: str) -> None:
    provider = NesoProvider(region=asked)
    (only,) = parse(provider, GB, form(neso.region(13, "SW1", neso.slot(T0, forecast=96))))
    assert (only.carbon_intensity_gco2eq_per_kwh, only.kind) == (96.0, IntensityKind.FORECAST)
    assert only.source == f"neso:{asked}"  # never to be mixed with the nation's


@pytest.mark.parametrize("asked", ["12", "SE1"])
def test_neso_another_region_or_the_nation_is_refused(asked: str) -> None:
    for answer in ({"data": [neso.region(13, "SW1", neso.slot(T0))]}, {"data": [neso.slot(T0)]}):
        with pytest.raises(InvalidAnswer):
            parse(NesoProvider(region=asked), GB, answer)


def test_neso_asks_for_nation_region_and_postcode() -> None:
    span = (T0, T0 + HOUR)
    assert NesoProvider().forecast_request(GB, T0).path == "/intensity/2026-03-02T22:00Z/fw48h"
    london = NesoProvider(region="13")
    assert london.current_request(GB, T0).path == "/regional/regionid/13"
    assert london.forecast_request(GB, T0).path == "/regional/intensity/2026-03-02T22:00Z/fw48h/regionid/13"
    code = NesoProvider(region="sw1")
    assert code.current_request(GB, T0).path == "/regional/postcode/SW1"
    assert code.range_request(GB, *span).path == "/regional/intensity/2026-03-02T22:00Z/2026-03-02T23:00Z/postcode/SW1"


@pytest.mark.parametrize("region", ["1", "17", "SW1", "ec1a", "M1"])
def test_neso_regions_and_outward_postcodes_are_accepted(region: str) -> None:
    NesoProvider(region=region).check(GB)


@pytest.mark.parametrize("region", ["0", "18", "SW1A 1AA", "London", "../x", "²", "9" * 5000])
def test_neso_other_regions_are_refused_with_the_remedy(region: str) -> None:
    with pytest.raises(ConfigurationError, match="number from 1 to 17"):
        NesoProvider(region=region).check(GB)


def test_neso_a_short_forecast_is_taken_and_an_empty_or_past_one_refused() -> None:
    short = {"data": [neso.slot(T0 + i * neso.HALF_HOUR) for i in range(3)]}
    forecast = NesoProvider().parse_forecast(json.dumps(short).encode(), GB, T0)
    assert forecast.horizon == T0 + 3 * neso.HALF_HOUR
    for answer in ({"data": []}, {}, {"data": [neso.slot(T0 - HOUR)]}):
        with pytest.raises(InvalidAnswer):
            NesoProvider().parse_forecast(json.dumps(answer).encode(), GB, T0)


@pytest.mark.parametrize(("date", "half_hours"), [((2026, 3, 29), 46), ((2026, 10, 25), 50)])
def test_neso_a_day_has_as_many_half_hours_as_the_clock_says(date: tuple[int, int, int], half_hours: int) -> None:
    start = datetime(*date, tzinfo=GB.timezone).astimezone(UTC)
    end = (datetime(*date, tzinfo=GB.timezone) + timedelta(days=1)).astimezone(UTC)
    readings = parse(NesoProvider(), GB, neso.slots(start, *[100.0] * half_hours))
    assert (len(readings), readings[-1].end) == (half_hours, end)
