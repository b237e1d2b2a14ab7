"""What a ledger says of an attempt: what the run is about when it opens, how it went when it closes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from include.config.batching import AUTO
from include.errors import ArtifactError, TrainingPaused, TrainingStopped
from include.moments import format_moment
from include.pipeline.identity import comparison_key
from include.pipeline.running.training_run import TrainingRun
from include.scheduler import GridSignal
from include.tracker import EnergyMeter, LedgerWriter


def run_details(run: TrainingRun, signal: GridSignal, meter: EnergyMeter) -> dict[str, Any]:
    """Return what a reader must know to make an account of a ledger whose run left no record."""
    config = run.config.values
    training = config.training
    return {
        "run_id": run.run_id,
        "comparison_key": comparison_key(config),
        "configuration": f"{run.config.source} sha256:{run.config.sha256}",
        "grid": config.grid.model_dump(mode="json") | {"provider": signal.provider_name},
        "report": config.report.model_dump(mode="json"),
        "zone": config.grid.zone,
        "signal_type": signal.signal_type.value,
        "emission_factor_type": signal.emission_factor_type.value,
        "policy": config.scheduler.policy,
        "submitted_at": format_moment(run.submitted_at),
        "replay": run.anchor.model_dump(mode="json") if run.anchor else None,
        "interval_s": config.tracker.interval.total_seconds(),
        "pue": config.tracker.pue,
        "measuring_scope": meter.scope,
        "methods": dict(meter.methods),
        "gpu_devices": list(meter.gpu_devices),
        "versions": dict(meter.versions),
        "precision": training.precision,
        "micro_batch_size": None if training.micro_batch_size == AUTO else training.micro_batch_size,
        "accumulation_steps": training.accumulation_steps,
        "effective_batch_size": training.effective_batch_size,
        "seed": training.seed,
    }


@contextmanager
def attempt_in(
    ledger: LedgerWriter, number: int, details: Mapping[str, Any], *, problems: Callable[[], Sequence[str]]
) -> Iterator[None]:
    """Open an attempt and close it however it ends; only a process that is killed leaves it open, and that shows.

    :param problems: what went wrong with the measuring so far; asked for at the end.
    """
    ledger.open_attempt(number, details)
    try:
        yield
    except BaseException as error:
        try:
            ledger.close_attempt(_outcome(error), problems())
        except ArtifactError as failure:
            error.add_note(f"the energy ledger's attempt could not be closed: {failure}")
        raise
    ledger.close_attempt("finished", problems())


def _outcome(error: BaseException) -> str:
    if isinstance(error, TrainingPaused):
        return "paused"
    return "stopped" if isinstance(error, TrainingStopped) else "failed"
