"""Runs are comparable where model, data, zone and effective batch are equal."""

from lowtide.config.loader import load_config
from lowtide.runs.context import comparison_key

from tests.support.config_files import write_config


def key(tmp_path, **changes):
    return comparison_key(load_config(write_config(tmp_path, **changes)).values)


def test_micro_batch_and_accumulation_may_differ_with_the_same_product(tmp_path):
    one = key(tmp_path, training__micro_batch_size=100, training__accumulation_steps=1)
    assert one == key(tmp_path, training__micro_batch_size=25, training__accumulation_steps=4)
    assert one != key(tmp_path, training__micro_batch_size=50, training__accumulation_steps=1)


def test_model_data_their_arguments_and_zone_are_part_of_it(tmp_path):
    model = {"path": "lowtide.trainer.models:small_cnn", "kwargs": {"width": 8}}
    data = {"path": "lowtide.trainer.datasets:mnist", "kwargs": {"train_limit": 7}}
    keys = {
        key(tmp_path),
        key(tmp_path, training__model=model),
        key(tmp_path, training__data=data),
        key(tmp_path, grid__zone="GB"),
    }
    assert len(keys) == 4


def test_a_replayed_grid_never_matches_a_live_one(tmp_path):
    replayed = key(tmp_path, grid__zone="GB")
    live = key(tmp_path, grid__zone="GB", grid__provider="neso", grid__replay=None)
    assert replayed != live


def test_policy_precision_and_seed_do_not_matter(tmp_path):
    assert key(tmp_path) == key(tmp_path, scheduler__policy="immediate", training__precision="bf16", training__seed=5)
