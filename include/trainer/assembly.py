"""Data, model, optimizer and loop of one training, put together from the configuration."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from include.config.training import TrainingConfig
from include.trainer.data_sets.torchvision_data import load_data
from include.trainer.device import select_device
from include.trainer.feeding.batches import BatchSource
from include.trainer.feeding.placement import make_source
from include.trainer.fit import check_fit, check_model
from include.trainer.imports import load_callable
from include.trainer.optimization.loop import OptimizationLoop
from include.trainer.optimization.normalisation import batch_norm_warning
from include.trainer.optimization.optimizers import make_optimizer
from include.trainer.optimization.options import Warn, channels_last, compiled
from include.trainer.optimization.precision import Precision, make_precision
from include.trainer.optimization.schedules import Schedule
from include.trainer.optimization.shortage import shortage_told
from include.trainer.random_state import seed_everything
from include.trainer.state import LoopState


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a training is made of: its configuration, and what was decided and imported for it."""

    training: TrainingConfig
    make_model: Callable[[], Any]
    make_data: Callable[[], Any]
    device: torch.device
    precision: Precision
    micro_batch_size: int
    warn: Warn


def make_parts(training: TrainingConfig, *, micro_batch_size: int, warn: Warn) -> Parts:
    """Choose device and precision and import the user's callables; nothing of the user's is called yet.

    :raises ConfigurationError: a device, precision or import path that cannot be used.
    """
    device = select_device(training.device)
    return Parts(
        training=training,
        make_model=load_callable(training.model, key="training.model"),
        make_data=load_data(training.data),
        device=device,
        precision=make_precision(training.precision, device),
        micro_batch_size=micro_batch_size,
        warn=warn,
    )


def assemble(parts: Parts) -> tuple[BatchSource, OptimizationLoop]:
    """Make data, then model, then loop, with the generators seeded between data and model.

    :raises UserError: data or model cannot be used, or do not fit one another.
    :raises TrainingError: memory does not suffice for them.
    """
    training, warn = parts.training, parts.warn
    source = _source(parts)
    seed_everything(training.seed)
    model = _model(parts, source)
    state = _state(parts, model, source)
    warning = batch_norm_warning(
        model, micro_batch_size=state.micro_batch_size, effective_batch_size=training.effective_batch_size
    )
    if warning:
        warn(warning)
    return source, OptimizationLoop(
        state=state,
        effective_batch_size=training.effective_batch_size,
        clip_gradient_norm=training.clip_gradient_norm,
        forward=_forward(parts, state, source),
        warn=warn,
    )


def _source(parts: Parts) -> BatchSource:
    data = parts.make_data()
    with shortage_told(
        "while the data were brought to the device", "set training.data_placement: host, or take fewer samples"
    ):
        return make_source(data, parts.training, parts.device)


def _model(parts: Parts, source: BatchSource) -> nn.Module:
    training = parts.training
    model = check_model(parts.make_model(), training)
    with shortage_told(
        "while the model was brought to the device",
        "choose a smaller one, a device with more memory, or end what else uses it",
    ):
        model = model.to(parts.device)
        check_fit(model, source, training)
        if training.channels_last:
            source.to_model = channels_last(model, next(source.test_batches(1)).inputs, parts.warn)
    return model


def _state(parts: Parts, model: nn.Module, source: BatchSource) -> LoopState:
    training = parts.training
    optimizer = make_optimizer(training, list(model.parameters()), parts.warn)
    steps = training.epochs * math.ceil(source.train_count / training.effective_batch_size)
    schedule = Schedule(optimizer, name=training.lr_schedule, steps=steps, warmup_steps=training.warmup_steps)
    schedule.set_step(0)
    return LoopState(
        model=model,
        optimizer=optimizer,
        schedule=schedule,
        precision=parts.precision,
        micro_batch_size=parts.micro_batch_size,
        device=parts.device,
    )


def _forward(parts: Parts, state: LoopState, source: BatchSource) -> Callable[[Tensor], Tensor]:
    if not parts.training.compile:
        return state.model
    first = next(iter(source.groups(size=parts.training.effective_batch_size, epoch=0)))
    return compiled(state, next(first.batches(state.micro_batch_size)), parts.warn)
