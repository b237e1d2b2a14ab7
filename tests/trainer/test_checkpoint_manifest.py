"""The files of a checkpoint: what was altered is noticed, what is foreign is not run, and a difference is named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lowtide.config.schema import TrainingConfig
from lowtide.errors import ArtifactError, CheckpointDamaged
from lowtide.trainer.checkpoint import read_state, write_state
from lowtide.trainer.checkpoint_manager import Manifest, fingerprint, first_difference

MakeConfig = Callable[..., TrainingConfig]


def test_a_state_file_is_never_unpickled_freely(tmp_path: Path) -> None:
    """A state of our own making that carries code is refused though its checksum is right."""

    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "executed",))

    temporary = tmp_path / "state.tmp"
    sha256, size_bytes = write_state({"loop": Payload()}, temporary)
    manifest = example(sha256=sha256, size_bytes=size_bytes)
    temporary.rename(tmp_path / manifest.file)
    with pytest.raises(CheckpointDamaged, match="UnpicklingError"):
        read_state(manifest, tmp_path)
    assert not (tmp_path / "executed").exists()


def example(**changes: Any) -> Manifest:
    values: dict[str, Any] = {
        "run_id": "r",
        "training_id": "t",
        "number": 1,
        "optimizer_step": 4,
        "epoch": 0,
        "micro_batch_size": 32,
        "written_at": "2026-01-01T00:00:00Z",
        "file": "checkpoint-000001-0.pt",
        "size_bytes": 1,
        "sha256": "0" * 64,
        "training": {"seed": 0},
        "versions": {},
    }
    return Manifest.model_validate_json(json.dumps(values | changes)).sealed()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_manifest_changed_in_any_character_is_noticed(data: st.DataObject) -> None:
    text = example().model_dump_json()
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda character: character != text[place]))
    changed = text[:place] + other + text[place + 1 :]
    try:
        found = Manifest.parse(changed, "it")
    except (CheckpointDamaged, ArtifactError):  # the latter where the format became a later one
        return
    assert found == example()  # white space, or an escape that means the same


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format_version": 0}', "\x00"])
def test_what_is_no_manifest_is_damaged(text: str) -> None:
    with pytest.raises(CheckpointDamaged, match="it cannot be used"):
        Manifest.parse(text, "it")


def test_a_later_format_is_named() -> None:
    with pytest.raises(ArtifactError, match=r"it has format_version 2, but this Lowtide reads up to 1; resume with"):
        Manifest.parse(example().model_dump_json().replace('"format_version":1', '"format_version":2'), "it")


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=3) | st.lists(inner, max_size=3),
    max_leaves=6,
)


@given(one=JSON, two=JSON)
def test_two_values_differ_exactly_when_a_difference_is_named(one: Any, two: Any) -> None:
    """A key that is missing counts as not set."""
    difference = first_difference(one, two, "it")
    assert difference is None or difference.startswith("it")
    assert first_difference(one, one, "it") is None
    if difference is None:
        assert _without_none(one) == _without_none(two)
    else:
        assert one != two


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    return value


def test_the_fingerprint_is_json_and_leaves_out_what_does_not_matter(training_config: MakeConfig) -> None:
    found = fingerprint(training_config(environment=["HOME"], loader_workers=2))
    assert json.loads(json.dumps(found)) == found
    assert {
        "device",
        "loader_workers",
        "environment",
        "checkpoint_steps",
        "checkpoint_interval",
        "stall_timeout",
    }.isdisjoint(found)
    assert {"seed", "learning_rate", "micro_batch_size", "precision", "model", "data"} <= found.keys()
