"""How a run's energy is measured, and what becomes of the run when that goes wrong: the training itself always goes on."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from include.errors import MeasurementError
from include.pipeline.running.training_run import TrainingRun
from include.tracker import AttributedMeter, CodeCarbonMeter, EnergyMeter, EnergyRecorder, ProcessTree
from include.tracker.ledger.attempts import INCOMPLETE
from include.tracker.meters.gpu_selection import VISIBLE
from include.trainer.result import TrainingResult

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metering:
    """The meter, and variables that the training child must see so that it uses no GPU that is not counted."""

    meter: EnergyMeter
    child_environment: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A training's result; ``shortfall`` says what is missing of its energy, None = nothing."""

    result: TrainingResult
    shortfall: str | None = None


def open_metering(run: TrainingRun) -> Metering:
    """Set CodeCarbon up for the GPUs that the child can use, and charge the run its share of the machine unless told otherwise.

    :raises MeasurementError: CodeCarbon cannot be set up.
    """
    config = run.config.values
    machine = CodeCarbonMeter(gpu_ids=[] if config.training.device == "cpu" else None)
    visible = machine.selection.visible
    environment = {} if visible is None else {VISIBLE: visible}
    if config.tracker.scope == "machine":
        return Metering(meter=machine, child_environment=environment)
    try:
        return Metering(meter=AttributedMeter(machine, ProcessTree()), child_environment=environment)
    except MeasurementError as error:
        _log.warning("the run is charged all that the machine uses, since its share of it is not known: %s", error)
        return Metering(meter=machine, child_environment=environment)


def measured(recorder: EnergyRecorder, meter: EnergyMeter, train: Callable[[], TrainingResult]) -> Measured:
    """Train while the recorder runs; what goes wrong with the measuring is kept, and ends no training.

    :raises LowtideError: what ``train`` raises, or a meter that does not start.
    """
    result: TrainingResult | None = None
    try:
        with recorder:
            result = train()
    except Exception as failure:
        if result is None:
            raise
        shortfall: str | None = f"{INCOMPLETE}{failure}"
    else:
        shortfall = _unseen_gpu(result, meter)
    finally:
        for problem in recorder.problems:
            _log.warning("energy ledger: %s", problem)
    if shortfall is not None:
        _log.warning("%s", shortfall)
    return Measured(result=result, shortfall=shortfall)


def told(recorder: EnergyRecorder) -> tuple[str, ...]:
    """Return what an attempt's closing line says of its measuring, with what is missing of its energy for the next attempt."""
    failure = recorder.failure
    return recorder.problems if failure is None else (f"{INCOMPLETE}{failure}", *recorder.problems)


def _unseen_gpu(result: TrainingResult, meter: EnergyMeter) -> str | None:
    if not result.device.startswith("cuda") or meter.methods["gpu"] != "none":
        return None
    return (
        f"{INCOMPLETE}it ran on {result.device_name}, whose energy could not be measured"
        " (CodeCarbon finds no GPU through NVML and nvidia-smi)"
    )
