"""Data that stream give the very training that the same data on the device give, wherever it is resumed."""

import multiprocessing
import random
import time
from itertools import chain
from typing import Any, cast

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lowtide.config.schema import TrainingConfig
from lowtide.errors import ConfigurationError, DataSetError
from lowtide.trainer.data import StreamedData, TrainingData
from lowtide.trainer.loaders import BatchSource, ResidentSource, StreamedSource, in_pieces, make_source
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset, default_collate

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
    assert (alone.train_count, alone.test_count) == (70, 20)
    if weighted:
        assert whole[0][3] == pytest.approx(float(whole[0][2].sum()))


class Counted(Dataset[Any]):
    """Counts what was asked of it, in whatever process."""

    def __init__(self, count: int) -> None:
        self.count, self.taken = count, multiprocessing.Value("i", 0)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with self.taken.get_lock():
            self.taken.value += 1
        return torch.zeros(3), 0


def own_collate(samples: list[Any]) -> Any:
    return default_collate(samples)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more than this machine has cores
@pytest.mark.parametrize("collate", [default_collate, own_collate], ids=["default", "own"])
@pytest.mark.parametrize("workers", [1, 3, 8, 40])
def test_no_more_than_two_groups_are_fetched_ahead(workers: int, collate: Any) -> None:
    """They lie in shared memory, of which a container may have 64 MB; a user's collate function gets whole groups."""
    data = StreamedData(train=Counted(1000), test=Drawing(20), collate=collate)
    source = StreamedSource(data, device=CPU, seed=4, workers=workers, place="training.data 'x'")
    groups = source.groups(size=24, epoch=0)
    taken = cast("Counted", data.train).taken
    for number in (1, 2, 3):
        assert next(groups).count == 24
        before = -1
        while taken.value != before or taken.value <= number * 24:  # until the workers fetch no more
            before = taken.value
            time.sleep(0.2)
        assert taken.value <= (number + 2) * 24
    cast("Any", groups).close()


def test_a_users_collate_function_gets_whole_groups() -> None:
    """It may pad to the longest: pieces of a group would not fit together."""
    lengths: list[int] = []

    def collate(samples: list[Any]) -> Any:
        lengths.append(len(samples))
        return default_collate(samples)

    data = StreamedData(train=Drawing(70), test=Drawing(20), collate=collate)
    batches(StreamedSource(data, device=CPU, seed=4, workers=0, place="training.data 'x'"))
    assert lengths == [16, 16, 16, 16, 6]


@given(st.integers(1, 40), st.integers(1, 200), st.sampled_from([1, 8]))
def test_pieces_are_the_groups_in_order(size: int, count: int, most: int) -> None:
    groups = list(in_pieces(range(count), size=size, pieces=most))
    assert [list(chain.from_iterable(pieces)) for pieces in groups] == [
        list(range(first, min(count, first + size))) for first in range(0, count, size)
    ]
    assert all(1 <= len(pieces) <= most and all(pieces) for pieces in groups)


def test_weights_of_a_group_whose_pieces_are_unlike_are_those_of_the_whole() -> None:
    """One ignored target gives its piece weights; the pieces without count 1 each."""
    inputs, targets = torch.arange(32.0).reshape(32, 1), torch.zeros(32, dtype=torch.int64)
    targets[5] = -100
    rows = TensorDataset(inputs, targets)
    source = StreamedSource(StreamedData(train=rows, test=rows), device=CPU, seed=0, workers=0, place="x")
    (group,) = source.groups(size=32, epoch=0)
    parts = list(group.batches(32))
    assert (len(parts), float(group.weight)) == (1, 31.0)
    weights = parts[0].weights
    assert weights is not None
    assert weights[parts[0].inputs[:, 0] == 5].item() == 0
    assert float(weights.sum()) == 31


def test_a_pass_resumed_at_its_end_gives_nothing() -> None:
    assert batches(streamed(2), start=70) == []


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


def test_a_class_that_the_model_lacks_is_named_when_it_comes() -> None:
    source = streamed(0, highest=9)
    source.class_count = 4
    with pytest.raises(
        DataSetError, match=r"a target is (\d), but the model gives 4 classes; give it \d+ or correct the data"
    ):
        batches(source)


@pytest.mark.parametrize(
    ("train", "kind", "message"),
    [
        (Drawing(0), DataSetError, "training set: it is empty"),
        (Drawing(8), ConfigurationError, "4 x accumulation_steps 4 = 16 is more than the 8 training samples"),
        (iter([1]), DataSetError, "has no length or no index; give a map-style data set"),
    ],
)
def test_data_sets_that_cannot_be_streamed(training_config: MakeConfig, train: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        make_source(StreamedData(train=train, test=Drawing(5)), config(training_config), CPU)


def test_a_batch_that_is_too_large_is_named_in_the_words_that_the_user_gave(training_config: MakeConfig) -> None:
    parts: dict[str, Any] = {"accumulation_steps": None, "effective_batch_size": 512}
    for micro in ("auto", 100):
        with pytest.raises(
            ConfigurationError, match=r"^training\.effective_batch_size 512 is more than the 8 training"
        ):
            make_source(
                StreamedData(train=Drawing(8), test=Drawing(5)), training_config(micro_batch_size=micro, **parts), CPU
            )
