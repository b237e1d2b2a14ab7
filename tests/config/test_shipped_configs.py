"""The files in include/configs, and the table of zones that they choose from."""

from typing import Any

import pytest

from include.config import configuration_files, find_zone, load_config, zone_table
from include.config.params import CONFIGS_FOLDER
from include.errors import ConfigurationError


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in values.items():
        leaves |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return leaves


@pytest.mark.parametrize("name", configuration_files())
def test_every_shipped_configuration_is_valid(name: str) -> None:
    assert load_config(CONFIGS_FOLDER / name).values.training.effective_batch_size >= 1


def test_baseline_and_optimized_differ_only_in_policy_batches_and_precision() -> None:
    base, optimized = (load_config(CONFIGS_FOLDER / f"{name}.yaml").values for name in ("baseline", "optimized"))
    one, other = flat(base.model_dump(mode="json")), flat(optimized.model_dump(mode="json"))
    assert {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)} == {
        "scheduler.policy",
        "training.micro_batch_size",
        "training.accumulation_steps",
        "training.precision",
    }
    assert base.training.effective_batch_size == optimized.training.effective_batch_size


def test_every_zone_has_a_time_zone_a_country_and_a_possible_mean() -> None:
    for key, zone in zone_table().items():
        assert zone.key == key
        assert zone.name
        assert zone.country
        assert 0 <= zone.country_mean_gco2eq_per_kwh < 2000


@pytest.mark.parametrize(("key", "offered"), [("GBR", "GB"), ("gb", "GB"), ("US-CAL", "US-CAL-CISO")])
def test_an_unknown_zone_is_refused_with_near_matches(key: str, offered: str) -> None:
    with pytest.raises(ConfigurationError, match=f"did you mean .*{offered}"):
        find_zone(key)


def test_a_zone_like_no_other_gets_the_whole_list() -> None:
    with pytest.raises(ConfigurationError, match="known zones: "):
        find_zone("!!")
