"""Credentials go to the provider they are for, and to no other."""

import pytest
from lowtide.config.providers import PROVIDERS
from lowtide.config.schema import GridConfig
from lowtide.grid.factory import open_signal
from lowtide.grid.http import Credentials

from tests.support.grid import T0
from tests.support.loopback import Loopback, json_answer
from tests.support.providers import QUICK, SECRET, SERVERS


@pytest.mark.parametrize(
    ("provider", "asked", "own_address", "meant"),
    [
        ("neso", "neso", False, False),  # a token in the environment may be another provider's
        ("energy_charts", "energy_charts", False, False),
        ("neso", "neso", True, True),  # a gateway of the user's own before a provider without a key
        ("auto", "neso", True, False),  # auto never sends a token to a provider without a key
        ("electricity_maps", "electricity_maps", False, True),
        ("watttime", "watttime", False, True),
    ],
)
def test_a_provider_without_a_key_is_sent_none_at_its_public_address(
    provider: str, asked: str, own_address: bool, meant: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = GridConfig.model_validate({"zone": SERVERS[asked].zone, "provider": provider})
    login = "me" if asked == "watttime" else None
    with Loopback() as server:
        monkeypatch.setattr(PROVIDERS[asked].load(), "base_url", server.url)
        SERVERS[asked].route(server, json_answer({}))
        access = Credentials(base_url=server.url if own_address else None, login=login, token=SECRET)
        open_signal(grid, access=access, limits=QUICK).outlook(T0)
        assert server.seen
        assert any({"authorization", "auth-token"} & set(request.headers) for request in server.seen) is meant
