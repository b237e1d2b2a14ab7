"""What is kept, what it takes to be gone on from, and what happens when it is not what was written."""

import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.config import TrainingConfig
from include.errors import ArtifactError, CheckpointDamaged, ConfigurationError, TrainingError
from include.trainer.checkpoint.folder import CheckpointFolder
from include.trainer.checkpoint.identity import CheckpointPlan, fingerprint, first_difference
from include.trainer.checkpoint.keeper import CheckpointKeeper
from include.trainer.checkpoint.manifest import Manifest
from include.trainer.checkpoint.payload import read_state, write_state
from include.trainer.checkpoint.snapshot import Snapshot
from include.trainer.control import Requests
from include.trainer.protocol import EventKind
from include.trainer.result import TrainingResult
from include.trainer.training import Training

MakeConfig = Callable[..., TrainingConfig]
Heard = list[tuple[EventKind, dict[str, Any]]]


def train(
    training: TrainingConfig, folder: Path, *, run_id: str = "r", training_id: str = "t", stop: bool = False
) -> tuple[TrainingResult | None, Heard]:
    heard: Heard = []

    def emit(kind: EventKind, data: dict[str, object]) -> None:
        heard.append((kind, data))
        if stop and kind is EventKind.CHECKPOINT:
            requests.stop.set()

    requests = Requests()
    plan = CheckpointPlan(folder=folder, run_id=run_id, training_id=training_id)
    keeper = CheckpointKeeper(plan, training, emit=emit, requests=requests)
    try:
        return Training(training, emit=emit, keeper=keeper).run(), heard
    except TrainingError:
        return None, heard


def told(heard: Heard, kind: EventKind) -> list[dict[str, Any]]:
    return [data for found, data in heard if found is kind]


@pytest.fixture
def kept(training_config: MakeConfig, tmp_path: Path) -> tuple[TrainingConfig, Path]:
    """A training of 16 steps that was stopped after steps 4 and 5 had been saved."""
    training = training_config(checkpoint_steps=4)
    train(training, tmp_path / "kept", stop=True)
    return training, tmp_path / "kept"


def spoil(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "one bit":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif how == "torn":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.unlink()


def test_it_saves_by_steps_and_at_the_end_and_keeps_the_last_two(training_config: MakeConfig, tmp_path: Path) -> None:
    training = training_config(checkpoint_steps=5)
    _, heard = train(training, tmp_path / "c")
    assert [data["optimizer_step"] for data in told(heard, EventKind.CHECKPOINT)] == [5, 10, 15, 16]
    folder = CheckpointFolder(tmp_path / "c")
    assert [folder.manifest(name).optimizer_step for name in folder.names()] == [16, 15]
    assert len(list((tmp_path / "c").iterdir())) == 4  # two manifests, two states, nothing half-written


def test_a_short_interval_saves_at_every_step_and_none_only_at_the_end(
    training_config: MakeConfig, tmp_path: Path
) -> None:
    _, often = train(training_config(checkpoint_interval="0.000001s"), tmp_path / "often")
    _, once = train(training_config(checkpoint_interval=None), tmp_path / "once")
    assert [data["optimizer_step"] for data in told(often, EventKind.CHECKPOINT)] == list(range(1, 17))
    assert [data["optimizer_step"] for data in told(once, EventKind.CHECKPOINT)] == [16]


def test_a_stop_saves_the_very_step_and_says_so(kept: tuple[TrainingConfig, Path]) -> None:
    training, folder = kept
    _, heard = train(training, folder, stop=True)  # goes on at 5, saves at 8, stops at 9
    assert told(heard, EventKind.RESUMED)[0]["optimizer_step"] == 5
    assert told(heard, EventKind.STOPPED)[0] | {"checkpoint": ""} == {
        "requested": "stop",
        "optimizer_step": 9,
        "checkpoint": "",
    }


@pytest.mark.parametrize("how", ["one bit", "torn", "gone"])
@pytest.mark.parametrize("suffix", [".pt", ".json"])
def test_a_damaged_newest_checkpoint_falls_back_with_one_line(
    kept: tuple[TrainingConfig, Path], how: str, suffix: str, tmp_path: Path
) -> None:
    training, folder = kept
    spoil(sorted(folder.glob(f"*{suffix}"))[-1], how)
    result, heard = train(training, folder)
    warnings = told(heard, EventKind.WARNING)
    assert told(heard, EventKind.RESUMED)[0]["optimizer_step"] == 4
    if (suffix, how) == (".json", "gone"):
        assert warnings == []  # then it was never there
    else:
        assert len(warnings) == 1
        assert "going on from checkpoint-000001.json (optimizer step 4) instead" in warnings[0]["message"]
    unbroken, _ = train(training, tmp_path / "unbroken")
    assert result is not None
    assert unbroken is not None
    assert (result.train_loss, result.test_accuracy) == (unbroken.train_loss, unbroken.test_accuracy)


def test_with_no_checkpoint_left_it_says_so_and_starts_over(kept: tuple[TrainingConfig, Path]) -> None:
    training, folder = kept
    for path in folder.glob("*.pt"):
        spoil(path, "torn")
    result, heard = train(training, folder)
    (warning,) = told(heard, EventKind.WARNING)
    assert warning["message"].endswith("no checkpoint is left, so the training starts over")
    assert result is not None
    assert told(heard, EventKind.CHECKPOINT)[0]["optimizer_step"] == 4


def test_another_configuration_is_refused_and_the_difference_named(
    kept: tuple[TrainingConfig, Path], training_config: MakeConfig
) -> None:
    _, folder = kept
    for changes, difference in (
        ({"learning_rate": 0.001}, r"training\.learning_rate was 0\.002 and is 0\.001 now"),
        (
            {"model": "include.trainer.models:small_cnn"},
            r"training\.model\.path was 'include\.trainer\.models:mlp' and is",
        ),
        ({"clip_gradient_norm": 1.0}, r"training\.clip_gradient_norm was not set and is 1\.0 now"),
    ):
        with pytest.raises(ConfigurationError, match=difference):
            train(training_config(**changes), folder)
    assert len(CheckpointFolder(folder).names()) == 2  # a refusal costs nothing


def test_how_often_it_saves_and_where_it_runs_may_change(
    kept: tuple[TrainingConfig, Path], training_config: MakeConfig
) -> None:
    _, heard = train(training_config(checkpoint_steps=7, device="auto", stall_timeout="1h"), kept[1])
    assert told(heard, EventKind.RESUMED)


def test_a_micro_batch_that_was_found_or_shrank_is_not_searched_for_again(
    training_config: MakeConfig, tmp_path: Path
) -> None:
    """The trial takes seconds and energy, and might find another size, which would round otherwise."""
    training = training_config(
        micro_batch_size="auto",
        accumulation_steps=None,
        effective_batch_size=128,
        memory_target="100%",
        checkpoint_steps=4,
    )
    _, first = train(training, tmp_path / "c", stop=True)
    result, again = train(training, tmp_path / "c")
    searched = [[data for data in told(heard, EventKind.NOTE) if "auto" in data["message"]] for heard in (first, again)]
    assert [len(lines) for lines in searched] == [1, 0]
    assert result is not None
    assert f"auto: {result.micro_batch_size} x" in searched[0][0]["message"]


@pytest.mark.parametrize("other", [{"run_id": "another"}, {"training_id": "another"}])
def test_another_runs_checkpoint_is_refused(kept: tuple[TrainingConfig, Path], other: dict[str, Any]) -> None:
    training, folder = kept
    with pytest.raises(ConfigurationError, match="belongs to another training"):
        train(training, folder, **other)


def test_data_of_another_length_are_refused(kept: tuple[TrainingConfig, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same import path, other data behind it."""
    from include.trainer import datasets

    training, folder = kept
    load = datasets.mnist
    monkeypatch.setattr(datasets, "mnist", lambda **kwargs: load(**kwargs | {"train_limit": 1900}))
    with pytest.raises(ConfigurationError, match="gives 1900 training samples, but this run began with 2000"):
        train(training, folder)


def test_a_model_that_was_changed_meanwhile_is_refused(
    kept: tuple[TrainingConfig, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from include.trainer import models

    training, folder = kept
    mlp = models.mlp
    monkeypatch.setattr(models, "mlp", lambda: mlp(hidden=64))
    with pytest.raises(ConfigurationError, match=r"'include\.trainer\.models:mlp' is another by now.*size mismatch"):
        train(training, folder)


def test_another_number_of_threads_is_told(kept: tuple[TrainingConfig, Path]) -> None:
    training, folder = kept
    torch.set_num_threads(2)
    try:
        _, heard = train(training, folder)
    finally:
        torch.set_num_threads(1)
    (warning,) = told(heard, EventKind.WARNING)
    assert warning["message"].startswith("torch_threads was '1' and is '2' now: the result may differ in its last bits")


def test_another_device_is_told_by_its_name(kept: tuple[TrainingConfig, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same kind of device, another model: its kernels may add in another order."""
    from include.trainer import device

    training, folder = kept
    mine = device.device_name(torch.device("cpu"))
    monkeypatch.setattr(device, "_processor_name", lambda: "Another 9000")
    _, heard = train(training, folder)
    (warning,) = told(heard, EventKind.WARNING)
    assert warning["message"].startswith(f"device_name was {mine!r} and is 'Another 9000' now: the result may differ")


def test_a_full_disk_is_a_warning_and_the_last_checkpoint_stays(kept: tuple[TrainingConfig, Path]) -> None:
    training, folder = kept
    before = sorted(path.name for path in folder.iterdir())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # the write fails half-way, as on a full disk
    try:
        result, heard = train(training, folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert result is not None
    warnings = [data["message"] for data in told(heard, EventKind.WARNING)]
    assert len(warnings) == 5  # after steps 8, 12 and 16, and once more at the end
    assert all("cannot be written" in warning and "the training goes on" in warning for warning in warnings[:4])
    assert warnings[4].startswith(
        "the trained weights (optimizer step 16) could not be saved: the newest checkpoint in"
    )
    assert "holds optimizer step 5, so do not use it as the result" in warnings[4]
    assert sorted(path.name for path in folder.iterdir()) == before
    assert read_state(CheckpointFolder(folder).manifest("checkpoint-000002.json"), folder)


def test_a_pause_that_cannot_be_saved_is_no_pause(kept: tuple[TrainingConfig, Path]) -> None:
    training, folder = kept
    heard: Heard = []
    requests = Requests()
    requests.pause.set()
    plan = CheckpointPlan(folder=folder, run_id="r", training_id="t")
    keeper = CheckpointKeeper(plan, training, emit=lambda *event: heard.append(event), requests=requests)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        result = Training(training, emit=lambda *event: heard.append(event), keeper=keeper).run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert result.optimizer_steps == 16
    warned = [
        data["message"] for data in told(heard, EventKind.WARNING) if "goes on instead of pausing" in data["message"]
    ]
    assert len(warned) == 1  # the request is over: the next step does not try again
    assert not requests.pause.is_set()


def test_the_moment_in_which_a_state_is_there_twice_is_no_peak(kept: tuple[TrainingConfig, Path]) -> None:
    """What came before going on, here 300 MiB that were given back, is forgotten when the state is in its place."""
    training, folder = kept
    plan = CheckpointPlan(folder=folder, run_id="r", training_id="t")
    peaks: list[float] = []

    class Keeper(CheckpointKeeper):
        def restore(self, snapshot: Snapshot) -> None:
            torch.ones(300 * 2**18).sum()
            peaks.append(snapshot.memory.peak_bytes_so_far() / 2**20)
            super().restore(snapshot)
            peaks.append(snapshot.memory.peak_bytes_so_far() / 2**20)

    keeper = Keeper(plan, training, emit=lambda *event: None, requests=Requests())
    result = Training(training, emit=lambda *event: None, keeper=keeper).run()
    assert peaks[0] > 280
    assert peaks[1] < 150
    assert result.peak_memory_bytes / 2**20 < 150


def test_a_loss_that_becomes_nan_keeps_the_last_good_checkpoint(training_config: MakeConfig, tmp_path: Path) -> None:
    training = training_config(optimizer="sgd", learning_rate=1e30, checkpoint_steps=1)
    result, heard = train(training, tmp_path / "c")
    assert result is None
    newest = CheckpointFolder(tmp_path / "c").newest()
    weights = read_state(newest, tmp_path / "c")["loop"]["model"].values() if newest else []
    assert all(bool(weight.isfinite().all()) for weight in weights)
    assert not told(heard, EventKind.FINISHED)


@pytest.mark.parametrize("keeps", [True, False])
def test_weights_that_are_nan_after_the_last_step_are_an_error(
    keeps: bool, training_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last step's loss is still finite; the step itself leaves a gradient of NaN in the weights."""
    from include.trainer import models

    class Spoilt(torch.nn.Sequential):
        calls = 0

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            outputs: torch.Tensor = super().forward(inputs)  # type: ignore[no-untyped-call]
            self.calls += self.training
            if self.calls == 63 and self.training:  # 15 steps of 4 micro-batches, the last of 3
                outputs.register_hook(lambda gradient: gradient * float("nan"))
            return outputs

    monkeypatch.setattr(models, "mlp", lambda: Spoilt(torch.nn.Flatten(), torch.nn.Linear(784, 10)))
    training = training_config(checkpoint_steps=15)
    plan = CheckpointPlan(folder=tmp_path / "c", run_id="r", training_id="t")
    heard: Heard = []
    keeper = CheckpointKeeper(plan, training, emit=lambda *event: heard.append(event), requests=Requests())
    with pytest.raises(
        TrainingError, match=r"a weight .* is NaN or infinite after the last optimizer step \(16\); lower"
    ):
        Training(training, emit=lambda *event: heard.append(event), keeper=keeper if keeps else None).run()
    assert [data["optimizer_step"] for data in told(heard, EventKind.CHECKPOINT)] == ([15] if keeps else [])


def test_a_state_file_is_never_unpickled_freely(tmp_path: Path) -> None:
    """A state of our own making that carries code is refused though its checksum is right."""

    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "executed",))

    temporary, sha256, size_bytes = write_state({"loop": Payload()}, tmp_path)
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
    with pytest.raises(ArtifactError, match=r"it has format_version 2, but this Lowtide knows up to 1; go on with"):
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
