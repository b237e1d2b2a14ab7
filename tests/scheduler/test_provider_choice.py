"""Which provider is asked under ``auto``, and what a configuration may want of one."""

from collections.abc import Iterator

import pytest
from lowtide.config.schema import GridConfig
from lowtide.config.zones import find_zone
from lowtide.errors import ConfigurationError
from lowtide.grid.factory import choose_provider, open_signal
from lowtide.grid.http import Credentials

from tests.support.grid import T0
from tests.support.loopback import Loopback, json_answer
from tests.support.providers import QUICK, SECRET, SERVERS


def grid(zone: str, **wanted: object) -> GridConfig:
    return GridConfig.model_validate({"zone": zone} | wanted)


@pytest.mark.parametrize(
    ("zone", "credentials", "chosen"),
    [
        ("GB", "", "neso"),
        ("GB", "token", "neso"),
        ("DE", "", "energy_charts"),
        ("aws:eu-west-1", "", "energy_charts"),
        ("US-CAL-CISO", "", "profile"),
        ("US-CAL-CISO", "token", "electricity_maps"),
        ("US-CAL-CISO", "token login", "watttime"),
        ("JP-TK", "token", "electricity_maps"),
        ("JP-TK", "token login", "profile"),
        ("US-MIDA-PJM", "token login", "profile"),
    ],
)
def test_auto_takes_one_without_a_key_else_the_one_whose_key_is_given(zone: str, credentials: str, chosen: str) -> None:
    given = dict.fromkeys(credentials.split(), SECRET)
    assert choose_provider(grid(zone), find_zone(zone), Credentials(**given)) == chosen


def test_auto_passes_over_a_provider_that_cannot_give_what_is_wanted() -> None:
    direct = grid("GB", emission_factor_type="lifecycle")
    assert choose_provider(direct, find_zone("GB"), Credentials(token="t")) == "electricity_maps"
    marginal = grid("US-MIDA-PJM", signal_type="marginal", region="PJM_NJ")
    assert choose_provider(marginal, find_zone("US-MIDA-PJM"), Credentials(login="me", token="p")) == "watttime"


def test_auto_refuses_what_no_provider_of_the_zone_gives() -> None:
    with pytest.raises(ConfigurationError, match="lifecycle"):
        choose_provider(grid("GB", emission_factor_type="lifecycle"), find_zone("GB"), Credentials())


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"zone": "DE", "provider": "neso"}, "'neso' does not cover zone 'DE'"),
        ({"zone": "US-CAL-CISO", "provider": "energy_charts"}, "'energy_charts' does not cover zone 'US-CAL-CISO'"),
        ({"zone": "US-MIDA-PJM", "provider": "watttime"}, "set grid.region"),
        ({"zone": "GB", "provider": "neso", "region": 99}, "number from 1 to 17"),
        ({"zone": "DE", "provider": "energy_charts", "region": "x"}, "knows no parts of zone DE"),
        ({"zone": "GB", "provider": "neso", "emission_factor_type": "lifecycle"}, "neso gives 'direct' only"),
        ({"zone": "DE", "provider": "energy_charts", "signal_type": "marginal"}, "gives 'average' only"),
        ({"zone": "GB", "provider": "carbon_aware_sdk"}, "set grid.region"),
        ({"zone": "GB", "provider": "carbon_aware_sdk", "region": "uksouth"}, "grid.signal_type"),
        (
            {"zone": "GB", "provider": "carbon_aware_sdk", "region": "uksouth", "signal_type": "average"},
            "has no public address",
        ),
        ({"zone": "US-CAL-CISO", "provider": "watttime"}, "needs a login and a password"),
    ],
)
def test_what_cannot_be_asked_for_is_reported_before_anything_waits_on_it(wanted: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        open_signal(GridConfig.model_validate(wanted))


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


def test_auto_sends_no_token_to_a_provider_that_it_is_not_meant_for(server: Loopback) -> None:
    SERVERS["energy_charts"].route(server, json_answer({}))
    access = Credentials(base_url=server.url, token=SECRET)
    open_signal(grid("DE"), access=access, limits=QUICK).outlook(T0)
    open_signal(grid("DE", provider="energy_charts"), access=access, limits=QUICK).outlook(T0)
    by_auto, by_name = server.seen
    assert SECRET not in str(by_auto.headers)
    assert by_name.headers["authorization"] == f"Bearer {SECRET}"  # a proxy of one's own may want it
