"""Names in the configuration and names in the registries are the same sets; providers state all their facts."""

from datetime import timedelta
from typing import get_args

import pytest
from lowtide.airflow.connection_form import TESTED_PROVIDERS
from lowtide.config.schema import PolicyName, ProviderName
from lowtide.grid.providers.registry import HTTP_PROVIDERS, LOCAL_PROVIDERS, PROVIDERS
from lowtide.scheduler.policies import POLICIES


def test_every_configurable_provider_exists_exactly_once() -> None:
    assert set(PROVIDERS) == set(get_args(ProviderName)) - {"auto"}
    assert [*HTTP_PROVIDERS, *LOCAL_PROVIDERS] == list(PROVIDERS)


def test_the_connection_form_tests_the_live_providers_in_their_order() -> None:
    assert tuple(HTTP_PROVIDERS) == TESTED_PROVIDERS


def test_every_provider_names_the_licence_of_its_data_in_a_sentence_of_its_own() -> None:
    licences = [entry.licence for entry in PROVIDERS.values()]
    assert all(licence.endswith(".") for licence in licences)
    assert len(set(licences)) == len(licences)


def test_every_configurable_policy_exists() -> None:
    assert set(POLICIES) == set(get_args(PolicyName))


@pytest.mark.parametrize("name", HTTP_PROVIDERS)
def test_a_live_provider_goes_by_its_name_over_tls_with_an_age_limit(name: ProviderName) -> None:
    provider = HTTP_PROVIDERS[name]()
    assert provider.name == name
    assert provider.base_url is None or provider.base_url.startswith("https://")
    assert provider.max_age > timedelta(0)
    assert provider.max_range >= provider.resolution > timedelta(0)
