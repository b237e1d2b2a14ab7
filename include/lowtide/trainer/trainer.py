"""One training from configuration to result, on the child's side: data, model, optimizer and loop, then all its epochs."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lowtide.config.schema import AUTO, TrainingConfig, parse_memory_target
from lowtide.errors import ConfigurationError, TrainingError, TrainingStopped
from lowtide.records import Phase
from lowtide.trainer.batch_size import chosen_micro_batch
from lowtide.trainer.checkpoint import Checkpointer, Snapshot, weights_are_finite
from lowtide.trainer.datasets import load_data
from lowtide.trainer.device import device_name, select_device, start_measuring, synchronize, versions
from lowtide.trainer.loaders import Batch, BatchSource, Group, make_source
from lowtide.trainer.loop import OptimizationLoop, accuracy, summed_cross_entropy
from lowtide.trainer.oom import StepSnapshot, batch_norm_warning, explain_out_of_memory, is_out_of_memory
from lowtide.trainer.optim import Schedule, make_optimizer, warm_up
from lowtide.trainer.precision import make_precision
from lowtide.trainer.progress import Progress
from lowtide.trainer.protocol import Emit, EventKind, TrainingResult
from lowtide.trainer.random_state import seed_everything
from lowtide.trainer.state import LoopState
from lowtide.trainer.user_code import describe, load_callable
from lowtide.units import BYTES_PER_MIB

_TRIAL_STEPS = 4
"""Of each size: the first is without the optimizer's state, and the heap settles a little later."""
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
    """Chooses device and precision, imports the user's callables and starts to measure memory; ``assemble`` calls the callables.

    :param warn: called with one line for each option that is not possible here and for what accumulation changes.
    :raises ConfigurationError: a device, precision or import path that cannot be used.
    :raises TrainingError: the device's memory is used up already.
    """

    def __init__(self, training: TrainingConfig, *, micro_batch_size: int, warn: Warn) -> None:
        self._training, self._micro_batch_size, self._warn = training, micro_batch_size, warn
        self.device = select_device(training.device)
        self._make_model = load_callable(training.model, key="training.model")
        self._make_data = load_data(training.data)
        self._precision = make_precision(training.precision, self.device)
        with explain_out_of_memory(
            "before anything was made", "end what else uses the device's memory, or choose another device"
        ):
            warm_up(training, self.device)
            self.memory = start_measuring(self.device)

    def assemble(self) -> tuple[BatchSource, OptimizationLoop]:
        """Make data, then model, then loop, with the generators seeded between data and model.

        :raises UserError: data or model cannot be used, or do not fit one another.
        :raises TrainingError: memory does not suffice for them.
        """
        training = self._training
        data = self._make_data()
        with explain_out_of_memory(
            "while the data were brought to the device", "set training.data_placement: host, or take fewer samples"
        ):
            source = make_source(data, training, self.device)
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


class Training:
    """Imports first, then a base of memory, then data and model, then the loop.

    :param checkpointer: called at each optimizer step; saves, resumes from what was saved, and stops on request.
    :raises UserError: the configuration names something that cannot be used.
    :raises TrainingStopped: requested while micro-batch sizes were measured.
    """

    def __init__(self, training: TrainingConfig, *, emit: Emit, checkpointer: Checkpointer | None = None) -> None:
        self._training = training
        self._emit = emit
        self._checkpointer = checkpointer or Checkpointer(None, training, emit=emit)
        # first: a measurement should have the device to itself
        micro_batch_size = self._checkpointer.saved_micro_batch() or chosen_micro_batch(
            training,
            note=lambda message: emit(EventKind.NOTE, {"message": message}),
            measured=lambda: self._emit_phase(Phase.STARTUP),  # a long measurement is not a hang
            check=self._checkpointer.leave_if_stopped,
        )
        self._setup = TrainingSetup(training, micro_batch_size=micro_batch_size, warn=self._warn)
        steps = training.effective_batch_size // micro_batch_size
        emit(EventKind.READY, {"micro_batch_size": micro_batch_size, "accumulation_steps": steps})

    def run(self) -> TrainingResult:
        """Train, evaluate and return the figures.

        :raises TrainingStopped: on request, between two optimizer steps.
        :raises TrainingError: the loss, or in the last step a weight, became NaN or infinite.
        """
        data, loop = self._setup.assemble()
        snapshot = Snapshot(
            training=self._training,
            loop=loop.state,
            progress=Progress(self._emit, self._training, train_count=data.train_count),
            memory=self._setup.memory,
            train_count=data.train_count,
        )
        self._checkpointer.restore(snapshot)
        self._emit_phase(Phase.TRAIN)
        self._train(data, loop, snapshot)
        synchronize(self._setup.device)
        duration_s = snapshot.progress.train_duration_s
        if not weights_are_finite(loop.state.model):  # the loss is that before the step, so it does not show it
            raise TrainingError(
                f"a weight of the model is NaN or infinite after the last optimizer step ({loop.state.global_step}); lower"
                f" training.learning_rate (now {self._training.learning_rate:g}) or set training.clip_gradient_norm"
            )
        self._checkpointer.finish(snapshot)
        self._emit_phase(Phase.EVALUATE)
        state = loop.state
        test_accuracy = accuracy(
            state.model,
            data,
            precision=state.precision,
            batch_size=state.micro_batch_size,
            warn=self._warn,
            heartbeat=lambda: self._emit_phase(Phase.EVALUATE),
        )
        result = self._result(
            snapshot, train_duration_s=duration_s, test_accuracy=test_accuracy, test_samples=data.test_count
        )
        self._check_target(result)
        return result

    def _warn(self, message: str) -> None:
        self._emit(EventKind.WARNING, {"message": message})

    def _train(self, data: BatchSource, loop: OptimizationLoop, snapshot: Snapshot) -> None:
        state, progress = loop.state, snapshot.progress
        while state.epoch < self._training.epochs:
            if state.epoch_samples == 0:  # else an earlier process started it
                progress.start_epoch()
            for summed_loss, samples in loop.epoch(data):
                progress.add(summed_loss, samples)
                self._checkpointer.after_step(snapshot)
            progress.settle()

    def _check_target(self, result: TrainingResult) -> None:
        training = self._training
        # the base of a share is known only to the measurement
        limit = parse_memory_target(training.memory_target).size_bytes if training.micro_batch_size == AUTO else None
        if limit is not None and result.peak_memory_bytes > limit:
            self._warn(
                f"the peak of {result.peak_memory_bytes / BYTES_PER_MIB:.0f} MiB is above training.memory_target"
                f" {training.memory_target}, though a trial of micro-batches of {result.micro_batch_size} kept within it;"
                " lower the target if it must hold"
            )

    def _result(
        self, snapshot: Snapshot, *, train_duration_s: float, test_accuracy: float, test_samples: int
    ) -> TrainingResult:
        training, progress, memory = self._training, snapshot.progress, self._setup.memory
        micro_batch_size = snapshot.loop.micro_batch_size
        return TrainingResult(
            device=self._setup.device.type,
            device_name=device_name(self._setup.device),
            precision=snapshot.loop.precision.name,
            micro_batch_size=micro_batch_size,
            accumulation_steps=training.effective_batch_size // micro_batch_size,
            effective_batch_size=training.effective_batch_size,
            seed=training.seed,
            epochs=training.epochs,
            optimizer_steps=progress.optimizer_steps,
            samples=progress.samples,
            train_loss=progress.train_loss,
            test_accuracy=test_accuracy,
            test_samples=test_samples,
            train_duration_s=train_duration_s,
            peak_memory_bytes=snapshot.peak_memory_bytes(),
            peak_memory_kind=memory.kind,
            peak_memory_reserved_bytes=memory.reserved_bytes(),
            peak_memory_method=memory.method,
            base_rss_bytes=memory.base_rss_bytes,
            versions=versions(self._setup.device),
        )

    def _emit_phase(self, phase: Phase) -> None:
        self._emit(EventKind.PHASE, {"phase": phase.value})


def run_trial(
    training: TrainingConfig, sizes: Sequence[int], *, emit: Emit, stop_requested: Callable[[], bool]
) -> None:
    """Measure the memory of micro-batches, in the child: one ``measured`` event each, until it does not suffice for one.

    :param sizes: ascending, so that the high-water mark of memory is always that of the last one.
    :raises UserError: data or model cannot be used.
    :raises TrainingStopped: a stop was requested.
    """
    setup = TrainingSetup(training, micro_batch_size=sizes[0], warn=lambda _: None)  # the training itself will warn
    source, loop = setup.assemble()
    group = next(iter(source.groups(size=loop.effective_batch_size, epoch=0)))
    loop.state.model.train()
    for size in sizes:
        loop.state.micro_batch_size = size
        fits = _fits(loop, group, stop_requested)
        synchronize(setup.device)
        peak_bytes = setup.memory.peak_bytes() if fits else None
        emit(EventKind.MEASURED, {"micro_batch_size": size, "peak_memory_bytes": peak_bytes})
        if not fits:
            return


def _fits(loop: OptimizationLoop, group: Group, stop_requested: Callable[[], bool]) -> bool:
    for _ in range(_TRIAL_STEPS):
        if stop_requested():
            raise TrainingStopped("stopped on request")
        try:
            loop.optimizer_step(group, may_shrink=False)
        except Exception as error:
            if is_out_of_memory(error):
                return False
            raise
    return True
