"""A user's mistake is one sentence that names the value and the remedy."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from lowtide.config.schema import TrainingConfig
from lowtide.errors import ConfigurationError, DataSetError, LowtideError, TrainingError
from lowtide.trainer.protocol import EventKind
from lowtide.trainer.trainer import Training

MakeConfig = Callable[..., TrainingConfig]

USER_MODEL_MISTAKES = {
    "user_code:smal_cnn": "module 'user_code' has no 'smal_cnn'; check the name behind the colon",
    "user_code:three_clases": "module 'user_code' has no 'three_clases'; did you mean 'three_classes'",
    "no_such_package.models:net": "there is no module 'no_such_package'; put it into the project folder",
    "user_code.nothing:net": "there is no module 'user_code.nothing'|needs 'user_code.nothing'",
    "user_code:NOT_CALLABLE": "'NOT_CALLABLE' is int, not a callable",
    "user_code:no_model": "returned str, not a torch.nn.Module",
    "user_code:frozen": "has no trainable parameter",
    "user_code:raises": "raised KeyError: 'weights.pt'; fix it",
    "user_code:stubborn": r"kwargs do not fit user_code:stubborn\(.*missing a required argument",
    "user_code:wrong_width": r"cannot take a batch of shape \(2, 1, 28, 28\).*RuntimeError: mat1 and mat2.*make the two fit",
    "user_code:images_out": r"gave \(2, 4, 26, 26\) for a batch of 2; it must give a tensor of shape \(2, classes\)",
    "user_code:three_classes": "gives 3 classes.*class numbers up to 9; give the model 10 classes",
}
USER_DATA_MISTAKES = {
    "user_code:empty_data": (DataSetError, "training set: it is empty"),
    "user_code:uneven_data": (DataSetError, r"300 inputs, but targets of shape \(299,\)"),
    "user_code:float_targets": (DataSetError, "must be class numbers from 0, but are torch.float32"),
    "user_code:tuple_data": (ConfigurationError, r"returned tuple; let it return lowtide\.trainer\.TrainingData"),
    "user_code:nan_data": (TrainingError, "the loss became nan at optimizer step [123] .*lower training.learning_rate"),
}


@pytest.fixture(autouse=True)
def _users_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    yield
    sys.modules.pop("user_code", None)


def sentence_of(training: TrainingConfig, expected: type[LowtideError]) -> str:
    def ignore(kind: EventKind, data: dict[str, object]) -> None: ...

    with pytest.raises(expected) as caught:
        Training(training, emit=ignore).run()
    assert type(caught.value) is expected
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert "Traceback" not in sentence
    return sentence


def matches(pattern: str, sentence: str) -> bool:
    return re.search(pattern, sentence) is not None


@pytest.mark.parametrize(("path", "pattern"), USER_MODEL_MISTAKES.items())
def test_a_wrong_model(training_config: MakeConfig, path: str, pattern: str) -> None:
    sentence = sentence_of(training_config(model=path), ConfigurationError)
    assert path in sentence
    assert matches(pattern, sentence), sentence


@pytest.mark.parametrize(("path", "expected"), USER_DATA_MISTAKES.items())
def test_wrong_data(training_config: MakeConfig, path: str, expected: tuple[type[LowtideError], str]) -> None:
    kind, pattern = expected
    sentence = sentence_of(training_config(data=path, learning_rate=1e-9), kind)
    assert matches(pattern, sentence), sentence


def test_an_effective_batch_larger_than_the_data(training_config: MakeConfig) -> None:
    sentence = sentence_of(training_config(micro_batch_size=256, accumulation_steps=8), ConfigurationError)
    assert "256 x accumulation_steps 8 = 2048 is more than the 2000 training samples" in sentence


def test_a_loss_that_overflows_names_its_step(training_config: MakeConfig) -> None:
    training = training_config(optimizer="sgd", learning_rate=1e30)
    assert matches(r"the loss became (nan|inf) at optimizer step [23] \(epoch 1", sentence_of(training, TrainingError))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_demanded_without_a_cuda_device(training_config: MakeConfig) -> None:
    sentence = sentence_of(training_config(device="cuda"), ConfigurationError)
    assert matches("training.device is 'cuda'.*finds no CUDA device.*use 'auto' or 'cpu'", sentence)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_fp16_where_auto_finds_no_cuda(training_config: MakeConfig) -> None:
    sentence = sentence_of(training_config(device="auto", precision="fp16"), ConfigurationError)
    assert matches("'fp16', which needs CUDA, but the device is 'cpu'; use 'bf16' or 'fp32'", sentence)
