"""Filling from a real HTTP server: what is asked, what is kept, and what an outage leaves."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from lowtide.config.zones import find_zone
from lowtide.errors import ProviderUnavailable
from lowtide.grid.backfill import Filling, fill, provider_key
from lowtide.grid.client import ProviderClient
from lowtide.grid.history import HistoryStore
from lowtide.grid.http import Credentials, Limits, Transport
from lowtide.grid.providers.base import HttpProvider
from lowtide.grid.providers.electricity_maps import ElectricityMapsProvider
from lowtide.grid.providers.neso import NesoProvider
from lowtide.records import IntensityKind
from lowtide.timeutil import parse_time

from tests.support.history import HOUR, store
from tests.support.loopback import Loopback, json_answer, status
from tests.support.neso import slots
from tests.support.neso_server import grid_value, serve_neso

NOW = datetime(2026, 3, 20, 12, 7, tzinfo=UTC)
SLOT = datetime(2026, 3, 20, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
GB = find_zone("GB")
QUICK = Limits(connect_timeout_s=1.0, read_timeout_s=1.0, total_timeout_s=2.0, retries=0)


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        serve_neso(running, lambda: NOW)
        yield running


def filled(
    kept: HistoryStore, url: str, *, days: int = 14, at: datetime = NOW, provider: HttpProvider | None = None
) -> Filling:
    client = ProviderClient(
        provider=provider or NesoProvider(), transport=Transport(url, Credentials(token="t"), limits=QUICK), zone=GB
    )
    return fill(kept, client, days=days, clock=lambda: at)


def spans(server: Loopback) -> list[str]:
    return [s.path.removeprefix("/intensity/") for s in server.seen if "fw48h" not in s.path and s.path != "/intensity"]


def test_the_forecast_the_last_days_and_the_gaps_are_kept_with_the_time_of_learning(
    server: Loopback, tmp_path: Path
) -> None:
    kept = store(tmp_path)
    done = filled(kept, server.url)
    assert spans(server) == ["2026-03-06T13:00Z/2026-03-20T12:07Z"]
    assert done.failures == []
    past = kept.known(SLOT - 13 * DAY, SLOT)
    assert [(r.carbon_intensity_gco2eq_per_kwh, r.kind) for r in past] == [
        (grid_value(r.start), IntensityKind.ESTIMATED) for r in past
    ]
    assert kept.coverage(SLOT - 13 * DAY, SLOT).gaps == ()
    ahead = kept.known(SLOT, SLOT + 48 * HOUR)
    assert {r.kind for r in ahead} == {IntensityKind.FORECAST}
    assert kept.coverage(SLOT, SLOT + 48 * HOUR).forecast_only == 48 * HOUR
    assert kept.known(SLOT - HOUR, SLOT + HOUR, NOW - timedelta(seconds=1)) == ()


def test_filling_again_asks_for_the_last_two_days_only_and_stores_nothing_new(server: Loopback, tmp_path: Path) -> None:
    filled(store(tmp_path), server.url)
    server.seen.clear()
    files = store(tmp_path).files()
    done = filled(store(tmp_path), server.url)
    assert spans(server) == ["2026-03-18T12:00Z/2026-03-20T12:07Z"]
    assert (done.news, store(tmp_path).files()) == (0, files)


def test_a_long_past_is_asked_for_in_pieces_newest_first(server: Loopback, tmp_path: Path) -> None:
    filled(store(tmp_path), server.url, days=30)
    asked = [tuple(map(parse_time, span.split("/"))) for span in spans(server)]
    assert (asked[0][1], asked[-1][0]) == (NOW, SLOT - 30 * DAY + HOUR)
    assert all(newer[0] == older[1] for newer, older in pairwise(asked))
    assert all(end - start <= 14 * DAY for start, end in asked)
    assert store(tmp_path).coverage(SLOT - 30 * DAY + HOUR, SLOT).gaps == ()


def test_a_hole_that_the_provider_fills_later_is_asked_for_again_until_it_is_closed(tmp_path: Path) -> None:
    hole = SLOT - 5 * DAY
    missing = [True]
    with Loopback() as server:
        serve_neso(server, lambda: NOW, holes=lambda start: missing[0] and hole <= start < hole + 3 * HOUR)
        filled(store(tmp_path), server.url)
        assert store(tmp_path).coverage(SLOT - 13 * DAY, SLOT).gaps == ((hole, hole + 3 * HOUR),)
        missing[0] = False
        server.seen.clear()
        filled(store(tmp_path), server.url)
        assert spans(server) == ["2026-03-15T12:00Z/2026-03-20T12:07Z"]  # with the last days, in one request
    assert store(tmp_path).coverage(SLOT - 13 * DAY, SLOT).gaps == ()


def test_a_revised_value_is_news_and_the_first_one_stays_known(tmp_path: Path) -> None:
    with Loopback() as server:
        serve_neso(server, lambda: NOW)
        filled(store(tmp_path), server.url)
    with Loopback() as server:
        serve_neso(server, lambda: NOW)
        server.route("/intensity/2026-03-18T12:00Z/2026-03-20T12:08Z", json_answer(slots(SLOT - HOUR, 77)))
        assert filled(store(tmp_path), server.url, at=NOW + timedelta(minutes=1)).news == 1
    span = SLOT - HOUR, SLOT - HOUR / 2
    readings = [*store(tmp_path).known(*span, NOW), *store(tmp_path).known(*span)]
    assert [r.carbon_intensity_gco2eq_per_kwh for r in readings] == [grid_value(SLOT - HOUR), 77]


def test_an_outage_of_the_past_keeps_the_forecast_and_leaves_a_visible_gap(server: Loopback, tmp_path: Path) -> None:
    server.route("/intensity/2026-03-06T13:00Z/2026-03-20T12:07Z", status(500))
    done = filled(store(tmp_path), server.url)
    assert done.news > 90
    assert "2026-03-06T13:00:00Z to 2026-03-20T12:07:00Z" in done.failures[0]
    assert len(store(tmp_path).coverage(SLOT - 5 * DAY, SLOT).gaps) == 1


def test_no_answer_at_all_is_an_error_and_the_rest_is_not_asked_for(tmp_path: Path) -> None:
    with Loopback() as server:
        server.route("/*", status(503))
        with pytest.raises(ProviderUnavailable, match="503"):
            filled(store(tmp_path), server.url, days=365)
        assert len(server.seen) < 6
    assert store(tmp_path).files() == {}


def test_a_provider_that_gives_the_last_day_only_is_asked_for_it_once(tmp_path: Path) -> None:
    provider = ElectricityMapsProvider()
    kept = HistoryStore(tmp_path, provider_key(provider, GB, "em"))
    points = [_point(SLOT - 23 * HOUR + i * HOUR, 200 + i) for i in range(24)]
    with Loopback() as server:
        server.route("/v3/carbon-intensity/latest", json_answer(points[-1]))
        server.route("/v3/carbon-intensity/history", json_answer({"zone": "GB", "history": points}))
        server.route("/v3/carbon-intensity/forecast", status(403, body=b'{"error":"Endpoint not available"}'))
        done = filled(kept, server.url, days=30, provider=provider)
        paths = [seen.path for seen in server.seen]
    assert paths.count("/v3/carbon-intensity/history") == 1
    assert kept.coverage(SLOT - 23 * HOUR, SLOT).gaps == ()
    assert not kept.known(SLOT, SLOT + HOUR)  # the hour that is not over is no actual yet
    assert done.news == 23
    assert any("forecast" in failure for failure in done.failures)


def _point(start: datetime, value: float) -> dict[str, object]:
    time = f"{start:%Y-%m-%dT%H:%M:%S.000Z}"
    return {
        "zone": "GB",
        "carbonIntensity": value,
        "datetime": time,
        "updatedAt": time,
        "emissionFactorType": "lifecycle",
        "isEstimated": False,
        "estimationMethod": None,
    }


def test_a_region_has_a_separate_history() -> None:
    whole, london = provider_key(NesoProvider(), GB, None), provider_key(NesoProvider(region="13"), GB, None)
    assert whole.folder(Path()) != london.folder(Path())
