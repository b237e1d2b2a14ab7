"""Data, model, optimizer and loop of one training, put together from the configuration."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lowtide.config.schema import TrainingConfig
from lowtide.errors import ConfigurationError
from lowtide.trainer.datasets import load_data
from lowtide.trainer.device import select_device
from lowtide.trainer.loaders import Batch, BatchSource, make_source
from lowtide.trainer.loop import OptimizationLoop, summed_cross_entropy
from lowtide.trainer.oom import StepSnapshot, batch_norm_warning, explain_out_of_memory, is_out_of_memory
from lowtide.trainer.optim import Schedule, make_optimizer
from lowtide.trainer.precision import make_precision
from lowtide.trainer.random_state import seed_everything
from lowtide.trainer.state import LoopState
from lowtide.trainer.user_code import describe, load_callable

Warn = Callable[[str], None]
_IMAGE_DIMENSIONS = 4


def check_model(found: Any, training: TrainingConfig) -> nn.Module:
    """Return what a model callable gave, if it is a model that can learn.

    :raises ConfigurationError: not a ``torch.nn.Module``, or one without trainable parameters.
    """
    path = training.model.path
    if not isinstance(found, nn.Module):
        raise ConfigurationError(
            f"training.model.path '{path}' returned {type(found).__name__}, not a torch.nn.Module; return the model"
        )
    if not any(parameter.requires_grad for parameter in found.parameters()):
        raise ConfigurationError(f"training.model.path '{path}' has no trainable parameter; there is nothing to train")
    return found


def check_fit(model: nn.Module, data: BatchSource, training: TrainingConfig) -> None:
    """Show the model two samples, in evaluation mode, so that no buffer and no random state changes.

    :raises ConfigurationError: the model cannot take them, or does not give one row of class scores for each target.
    """
    batch = next(data.test_batches(2))
    outputs = _try(model, batch.inputs, training)
    place = f"training.model '{training.model.path}'"
    if not isinstance(outputs, Tensor) or outputs.ndim < 2 or outputs.shape[:-1] != batch.targets.shape:
        shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        wanted = ", ".join(str(size) for size in batch.targets.shape)
        raise ConfigurationError(
            f"{place} gave {shape} for a batch of {len(batch.inputs)}; it must give a tensor of shape ({wanted}, classes)"
        )
    data.class_count, highest = outputs.shape[-1], data.highest_target
    if highest is not None and highest >= data.class_count:
        raise ConfigurationError(
            f"{place} gives {data.class_count} classes, but training.data '{training.data.path}' has class numbers up to"
            f" {highest}; give the model {highest + 1} classes"
        )


@torch.no_grad()  # not inference_mode: what a model caches at its first call must be usable in training
def _try(model: nn.Module, batch: Tensor, training: TrainingConfig) -> Any:
    was_training = model.training
    model.eval()
    try:
        with torch.random.fork_rng(devices=[batch.device] if batch.device.type == "cuda" else []):
            return model(batch)
    except Exception as error:  # a user's model may raise anything
        if is_out_of_memory(error):
            raise  # the two may well fit one another
        raise ConfigurationError(
            f"training.model '{training.model.path}' cannot take a batch of shape {tuple(batch.shape)} ({batch.dtype})"
            f" from training.data '{training.data.path}' ({describe(error)}); make the two fit"
        ) from error
    finally:
        model.train(was_training)


def channels_last(model: nn.Module, prepared: Tensor, warn: Warn) -> Callable[[Tensor], Tensor] | None:
    """Lay the model's weights out with channels last, and return what does so with a batch of inputs; None if they are no images.

    With their channels innermost in memory, convolutions on GPUs (and in bf16) read images fastest.
    """
    if prepared.ndim != _IMAGE_DIMENSIONS:
        warn(f"training.channels_last: inputs have {prepared.ndim} dimensions, images have 4; continuing without it")
        return None
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stubs miss it
    return lambda inputs: inputs.contiguous(memory_format=torch.channels_last)


def compiled(state: LoopState, batch: Batch, warn: Warn) -> Callable[[Tensor], Tensor]:
    """Return the model compiled by ``torch.compile``, or the model itself where that fails.

    Tried forward and backward on one micro-batch; buffers, gradients and random generators are set back afterwards.
    """
    start = StepSnapshot(state, host=True)
    forward: Callable[[Tensor], Tensor] = torch.compile(state.model)
    state.model.train()
    try:
        with state.precision.autocast():
            loss = summed_cross_entropy(forward(batch.inputs), batch.targets, batch.weights)
        loss.backward()
    except Exception as error:  # noqa: BLE001 the compiler's, or that of the C++ compiler that it needs
        if is_out_of_memory(error):
            return forward  # it compiled; the loop finds the size that fits
        warn(f"training.compile failed ({describe(error)}); continuing without it")
        return state.model
    finally:
        start.restore()
    return forward


class TrainingSetup:
    """Chooses device and precision and imports the user's callables; only ``assemble`` calls these.

    :param warn: called with one line for each option that is not possible here and for what accumulation changes.
    :raises ConfigurationError: a device, precision or import path that cannot be used.
    """

    def __init__(self, training: TrainingConfig, *, micro_batch_size: int, warn: Warn) -> None:
        self._training, self._micro_batch_size, self._warn = training, micro_batch_size, warn
        self.device = select_device(training.device)
        self._make_model = load_callable(training.model, key="training.model")
        self._make_data = load_data(training.data)
        self._precision = make_precision(training.precision, self.device)

    def assemble(self) -> tuple[BatchSource, OptimizationLoop]:
        """Make data, then model, then loop, with the generators seeded between data and model.

        :raises UserError: data or model cannot be used, or do not fit one another.
        :raises TrainingError: memory does not suffice for them.
        """
        training = self._training
        source = self._source()
        seed_everything(training.seed)
        model = self._model(source)
        state = self._state(model, source)
        warning = batch_norm_warning(
            model, micro_batch_size=state.micro_batch_size, effective_batch_size=training.effective_batch_size
        )
        if warning:
            self._warn(warning)
        return source, OptimizationLoop(
            state=state,
            effective_batch_size=training.effective_batch_size,
            clip_gradient_norm=training.clip_gradient_norm,
            forward=self._forward(state, source),
            warn=self._warn,
        )

    def _source(self) -> BatchSource:
        data = self._make_data()
        with explain_out_of_memory(
            "while the data were brought to the device", "set training.data_placement: host, or take fewer samples"
        ):
            return make_source(data, self._training, self.device)

    def _model(self, source: BatchSource) -> nn.Module:
        model = check_model(self._make_model(), self._training)
        with explain_out_of_memory(
            "while the model was brought to the device",
            "choose a smaller one, a device with more memory, or end what else uses it",
        ):
            model = model.to(self.device)
            check_fit(model, source, self._training)
            if self._training.channels_last:
                source.to_model = channels_last(model, next(source.test_batches(1)).inputs, self._warn)
        return model

    def _state(self, model: nn.Module, source: BatchSource) -> LoopState:
        training = self._training
        optimizer = make_optimizer(training, list(model.parameters()), self._warn)
        steps = training.epochs * math.ceil(source.train_count / training.effective_batch_size)
        schedule = Schedule(optimizer, name=training.lr_schedule, steps=steps, warmup_steps=training.warmup_steps)
        schedule.set_step(0)
        return LoopState(
            model=model,
            optimizer=optimizer,
            schedule=schedule,
            precision=self._precision,
            micro_batch_size=self._micro_batch_size,
            device=self.device,
        )

    def _forward(self, state: LoopState, source: BatchSource) -> Callable[[Tensor], Tensor]:
        if not self._training.compile:
            return state.model
        first = next(iter(source.groups(size=self._training.effective_batch_size, epoch=0)))
        return compiled(state, next(first.batches(state.micro_batch_size)), self._warn)
