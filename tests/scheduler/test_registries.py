"""Names in the configuration and names in the registries are the same sets; providers state all their facts."""

from datetime import timedelta
from typing import get_args

import pytest
from lowtide.airflow.provider_info import EXTRA_FIELDS
from lowtide.config.providers import LIVE_PROVIDERS, PROVIDERS
from lowtide.config.schema import GridConfig, PolicyName
from lowtide.scheduler.policies import POLICIES


def test_every_provider_can_be_configured_and_has_its_code() -> None:
    assert get_args(GridConfig.model_fields["provider"].annotation) == ("auto", *PROVIDERS)
    for name, entry in PROVIDERS.items():
        assert isinstance(entry.load(), type) == (name in LIVE_PROVIDERS)


def test_the_connection_form_offers_the_live_providers() -> None:
    assert EXTRA_FIELDS["provider"]["schema"]["enum"] == list(LIVE_PROVIDERS)


def test_every_provider_names_the_licence_of_its_data_in_a_sentence_of_its_own() -> None:
    licences = [entry.licence for entry in PROVIDERS.values()]
    assert all(licence.endswith(".") for licence in licences)
    assert len(set(licences)) == len(licences)


def test_every_configurable_policy_exists() -> None:
    assert set(POLICIES) == set(get_args(PolicyName))


@pytest.mark.parametrize("name", LIVE_PROVIDERS)
def test_a_live_provider_goes_by_its_name_over_tls_with_an_age_limit(name: str) -> None:
    provider = PROVIDERS[name].load()()
    assert provider.name == name
    assert provider.base_url is None or provider.base_url.startswith("https://")
    assert provider.max_age > timedelta(0)
    assert provider.max_range >= provider.resolution > timedelta(0)
