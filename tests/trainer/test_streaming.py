"""Data that stream give the very training that the same data on the device give, wherever it is taken up."""

import random
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from include.config import TrainingConfig
from include.errors import ConfigurationError, DataSetError
from include.trainer.batches import BatchSource
from include.trainer.data import TrainingData
from include.trainer.placement import make_source
from include.trainer.resident import ResidentSource
from include.trainer.streamed import StreamedSource
from include.trainer.streamed_data import StreamedData
from tests.trainer.conftest import MakeConfig

CPU = torch.device("cpu")


class Drawing(Dataset[Any]):
    """A user's data set whose transform draws from every generator; with weights if wanted."""

    def __init__(self, count: int, *, weighted: bool = False, highest: int = 3) -> None:
        self.count, self.weighted, self.highest = count, weighted, highest

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        noise = random.random() + float(numpy.random.rand()) + float(torch.rand(()))
        row = torch.full((3,), float(index)) + noise
        return (row, index % (self.highest + 1), 1.0 + index) if self.weighted else (row, index % (self.highest + 1))


def batches(source: BatchSource, *, epoch: int = 0, start: int = 0) -> list[tuple[Any, ...]]:
    """Groups of 16 in micro-batches of 5."""
    found = []
    for group in source.groups(size=16, epoch=epoch, start=start):
        parts = list(group.batches(5))
        inputs = torch.cat([part.inputs for part in parts])
        weights = (
            None
            if parts[0].weights is None
            else torch.cat([part.weights for part in parts if part.weights is not None])
        )
        found.append((inputs, torch.cat([part.targets for part in parts]), weights, float(group.weight), group.count))
    return found


def alike(one: list[tuple[Any, ...]], other: list[tuple[Any, ...]]) -> bool:
    def equal(a: Any, b: Any) -> bool:
        return torch.equal(a, b) if isinstance(a, Tensor) else bool(a == b)

    return len(one) == len(other) and all(
        equal(a, b) for row, other_row in zip(one, other, strict=True) for a, b in zip(row, other_row, strict=True)
    )


def streamed(workers: int, **kwargs: Any) -> StreamedSource:
    data = StreamedData(train=Drawing(70, **kwargs), test=Drawing(20, **kwargs))
    return StreamedSource(data, device=CPU, seed=4, workers=workers, place="training.data 'x'")


@pytest.mark.parametrize("weighted", [False, True])
def test_workers_and_resuming_change_no_sample(weighted: bool) -> None:
    """Also where the data set draws random numbers: they depend on seed, epoch and group alone."""
    alone, helped = streamed(0, weighted=weighted), streamed(2, weighted=weighted)
    whole = batches(alone, epoch=1)
    assert [row[4] for row in whole] == [16, 16, 16, 16, 6]
    assert alike(whole, batches(helped, epoch=1))
    assert alike(whole[2:], batches(alone, epoch=1, start=32))
    assert not alike(whole, batches(alone, epoch=2))
    if weighted:
        assert whole[0][3] == pytest.approx(float(whole[0][2].sum()))


def test_fetching_leaves_the_models_random_numbers_alone() -> None:
    def states() -> tuple[Any, ...]:
        return torch.get_rng_state().tolist(), random.getstate(), numpy.random.get_state()[1].tolist()  # type: ignore[index]

    before = states()
    batches(streamed(0))
    list(streamed(0).test_batches(7))
    assert states() == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_fetching_leaves_the_devices_random_numbers_alone() -> None:
    """Seeding for a group seeds every device: dropout would draw the same numbers for each group."""
    data = StreamedData(train=Drawing(70), test=Drawing(20))
    source = StreamedSource(data, device=torch.device("cuda"), seed=4, workers=0, place="training.data 'x'")
    before = torch.cuda.get_rng_state()
    batches(source)
    list(source.test_batches(7))
    assert torch.equal(torch.cuda.get_rng_state(), before)


def tensors() -> TrainingData:
    generator = torch.Generator().manual_seed(1)
    inputs, targets = torch.randint(0, 256, (70, 1, 4, 4), generator=generator).byte(), torch.arange(70) % 4
    targets[3] = -100
    return TrainingData(
        train_inputs=inputs,
        train_targets=targets,
        test_inputs=inputs,
        test_targets=targets,
        prepare=lambda images: images.float() / 255,
        augment=lambda images: images.flip(-1),
    )


def test_tensors_on_the_host_are_the_same_batches_as_on_the_device(training_config: MakeConfig) -> None:
    sources = {
        placement: make_source(tensors(), config(training_config, data_placement=placement), CPU)
        for placement in ("auto", "device", "host")
    }
    assert isinstance(sources["auto"], ResidentSource)
    assert isinstance(sources["host"], StreamedSource)
    on_device = batches(sources["device"])
    assert alike(on_device, batches(sources["host"]))
    assert sum(row[3] for row in on_device) == 69  # one target is marked as ignored
    tests = [list(source.test_batches(9)) for source in (sources["device"], sources["host"])]
    assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(*tests, strict=True))
    assert not torch.equal(tests[0][0].inputs, tests[0][0].inputs.flip(-1))  # tests are not augmented


def config(make: MakeConfig, **changes: Any) -> TrainingConfig:
    return make(micro_batch_size=4, accumulation_steps=4, **changes)


def test_a_class_that_the_model_has_not_got_is_named_when_it_comes() -> None:
    source = streamed(0, highest=9)
    source.class_count = 4
    with pytest.raises(DataSetError, match="a target is 9, but the model gives 4 classes; give it 10 or mend the data"):
        batches(source)


@pytest.mark.parametrize(
    ("train", "kind", "said"),
    [
        (Drawing(0), DataSetError, "training set: it is empty"),
        (Drawing(8), ConfigurationError, "4 x accumulation_steps 4 = 16 is more than the 8 training samples"),
        (iter([1]), DataSetError, "has no length or no index; give a map-style data set"),
    ],
)
def test_data_sets_that_cannot_be_streamed(training_config: MakeConfig, train: Any, kind: Any, said: str) -> None:
    with pytest.raises(kind, match=said):
        make_source(StreamedData(train=train, test=Drawing(5)), config(training_config), CPU)


def test_a_batch_that_is_too_large_is_told_in_the_words_that_the_user_gave(training_config: MakeConfig) -> None:
    parts: dict[str, Any] = {"accumulation_steps": None, "effective_batch_size": 512}
    for micro in ("auto", 100):
        with pytest.raises(
            ConfigurationError, match=r"^training\.effective_batch_size 512 is more than the 8 training"
        ):
            make_source(
                StreamedData(train=Drawing(8), test=Drawing(5)), training_config(micro_batch_size=micro, **parts), CPU
            )
