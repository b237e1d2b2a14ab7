"""One training from configuration to result, on the child's side."""

from lowtide.config.schema import AUTO, TrainingConfig, parse_memory_target
from lowtide.errors import TrainingError
from lowtide.records import Phase
from lowtide.trainer.batch_size import chosen_micro_batch
from lowtide.trainer.checkpoint_manager import Checkpointer, Snapshot, weights_are_finite
from lowtide.trainer.device import device_name, start_measuring, synchronize, versions
from lowtide.trainer.loaders import BatchSource
from lowtide.trainer.loop import OptimizationLoop, accuracy
from lowtide.trainer.oom import explain_out_of_memory
from lowtide.trainer.optim import warm_up
from lowtide.trainer.progress import Progress
from lowtide.trainer.protocol import Emit, EventKind, TrainingResult
from lowtide.trainer.setup import TrainingSetup
from lowtide.trainer.state import LoopState
from lowtide.units import BYTES_PER_MIB


class Training:
    """Imports first, then a base of memory, then data and model, then the loop.

    :param checkpointer: called at each optimizer step; saves, resumes from what was saved, and stops on request.
    :raises UserError: the configuration names something that cannot be used.
    :raises TrainingStopped: requested while micro-batch sizes were measured.
    """

    def __init__(self, training: TrainingConfig, *, emit: Emit, checkpointer: Checkpointer | None = None) -> None:
        self._training = training
        self._emit = emit
        self._checkpointer = checkpointer or Checkpointer()
        # first: a measurement should have the device to itself
        micro_batch_size = self._checkpointer.saved_micro_batch() or self._chosen_micro_batch()
        self._setup = TrainingSetup(training, micro_batch_size=micro_batch_size, warn=self._warn)
        self._device = self._setup.device
        with explain_out_of_memory(
            "before anything was made", "end what else uses the device's memory, or choose another device"
        ):
            warm_up(training, self._device)
            self._memory = start_measuring(self._device)
        steps = training.effective_batch_size // micro_batch_size
        emit(EventKind.READY, {"micro_batch_size": micro_batch_size, "accumulation_steps": steps})

    def _chosen_micro_batch(self) -> int:
        return chosen_micro_batch(
            self._training,
            note=self._note,
            measured=lambda: self._emit_phase(Phase.STARTUP),  # a long measurement is not a hang
            check=self._checkpointer.leave_if_stopped,
        )

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
            memory=self._memory,
            train_count=data.train_count,
        )
        self._checkpointer.restore(snapshot)
        self._emit_phase(Phase.TRAIN)
        self._train(data, loop, snapshot)
        synchronize(self._device)
        duration_s = snapshot.progress.train_duration_s
        self._check_weights(loop.state)
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

    def _note(self, message: str) -> None:
        self._emit(EventKind.NOTE, {"message": message})

    def _train(self, data: BatchSource, loop: OptimizationLoop, snapshot: Snapshot) -> None:
        state, progress = loop.state, snapshot.progress
        while state.epoch < self._training.epochs:
            if state.epoch_samples == 0:  # else an earlier process started it
                progress.start_epoch()
            for summed_loss, samples in loop.epoch(data):
                progress.add(summed_loss, samples)
                self._checkpointer.after_step(snapshot)
            progress.settle()

    def _check_weights(self, state: LoopState) -> None:
        if not weights_are_finite(state.model):  # the loss is that before the step, so it does not show it
            raise TrainingError(
                f"a weight of the model is NaN or infinite after the last optimizer step ({state.global_step}); lower"
                f" training.learning_rate (now {self._training.learning_rate:g}) or set training.clip_gradient_norm"
            )

    def _check_target(self, result: TrainingResult) -> None:
        training = self._training
        limit = parse_memory_target(training.memory_target).size_bytes if training.micro_batch_size == AUTO else None
        if (
            limit is not None and result.peak_memory_bytes > limit
        ):  # the base of a share is known only to the measurement
            self._warn(
                f"the peak of {result.peak_memory_bytes / BYTES_PER_MIB:.0f} MiB is above training.memory_target"
                f" {training.memory_target}, though a trial of micro-batches of {result.micro_batch_size} kept within it;"
                " lower the target if it must hold"
            )

    def _result(
        self, snapshot: Snapshot, *, train_duration_s: float, test_accuracy: float, test_samples: int
    ) -> TrainingResult:
        training, progress, memory = self._training, snapshot.progress, self._memory
        micro_batch_size = snapshot.loop.micro_batch_size
        return TrainingResult(
            device=self._device.type,
            device_name=device_name(self._device),
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
            versions=versions(self._device),
        )

    def _emit_phase(self, phase: Phase) -> None:
        self._emit(EventKind.PHASE, {"phase": phase.value})
