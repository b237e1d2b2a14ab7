"""Names in the configuration and names in the registries are the same sets; providers state all their facts."""

from datetime import timedelta
from typing import get_args

import pytest
from lowtide.config.schema import PolicyName, ProviderName
from lowtide.grid.providers import HTTP_PROVIDERS, LOCAL_PROVIDERS
from lowtide.scheduler.policies import POLICIES


def test_every_configurable_provider_exists_exactly_once() -> None:
    assert set(HTTP_PROVIDERS) | set(LOCAL_PROVIDERS) == set(get_args(ProviderName)) - {"auto"}
    assert not set(HTTP_PROVIDERS) & set(LOCAL_PROVIDERS)


def test_every_configurable_policy_exists() -> None:
    assert set(POLICIES) == set(get_args(PolicyName))


@pytest.mark.parametrize("name", HTTP_PROVIDERS)
def test_a_live_provider_goes_by_its_name_over_tls_with_an_age_limit(name: ProviderName) -> None:
    provider = HTTP_PROVIDERS[name]()
    assert provider.name == name
    assert provider.base_url is None or provider.base_url.startswith("https://")
    assert provider.attribution
    assert provider.max_age > timedelta(0)
    assert provider.max_range >= provider.resolution > timedelta(0)
