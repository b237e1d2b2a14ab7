"""Puts a finished run's record together from the child's result and the rows of the ledger."""

import json
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import cast

from include.errors import MeasurementError
from include.files import sha256_of, write_atomically, write_json_atomically
from include.pipeline.accounts.figures import figures_of, foreign_share, real_duration_s
from include.pipeline.accounts.methods import differing_methods, methods_of, scope_of
from include.pipeline.accounts.score import score_of
from include.pipeline.accounts.stand_ins import stand_in_problems
from include.pipeline.identity import comparison_key
from include.pipeline.running.training_run import TrainingRun
from include.records import (
    Counterfactual,
    Interruption,
    LedgerRow,
    TrainingRecord,
)
from include.scheduler import GridSignal
from include.tracker import (
    EnergyMeter,
    LedgerContents,
    counterfactual,
    read_ledger,
)
from include.tracker.ledger.attempts import lost_energy
from include.tracker.ledger.uncovered import uncovered_s
from include.tracker.meters.meter import Scope
from include.trainer.result import TrainingResult


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedTraining:
    """What is known when a training has gone through, beside its ledger; ``shortfall`` says what is missing of its energy."""

    result: TrainingResult
    meter: EnergyMeter
    problems: tuple[str, ...] = ()
    shortfall: str | None = None


def write_record(run: TrainingRun, signal: GridSignal, finished: FinishedTraining) -> TrainingRecord:
    """Write ``record.json`` and return it; where energy is missing, ``energy_complete`` is false and ``problems`` says what.

    :raises MeasurementError: the ledger has no rows.
    :raises ArtifactError: the file cannot be written.
    """
    contents = read_ledger(run.folder.ledger)
    new = [problem for problem in contents.problems if problem not in finished.problems]
    if not contents.rows:
        reasons = "; ".join((*new, *finished.problems)) or "nothing was booked"
        raise MeasurementError(f"{run.folder.ledger} has no rows: {reasons}")
    short = [*([finished.shortfall] if finished.shortfall else []), *lost_energy(contents.rows, contents.events)]
    further = (*differing_methods(contents), *stand_in_problems(contents))
    said = tuple(dict.fromkeys((*short, *finished.problems, *new, *further)))
    gaps_s = None if short or new else _uncovered_s(run, contents)
    record = _record(run, signal, replace(finished, problems=said), contents).model_copy(
        update={"energy_complete": gaps_s == 0, "uncovered_s": gaps_s}
    )
    write_json_atomically(run.folder.record, record.model_dump_json(indent=2))
    return record


def _record(
    run: TrainingRun, signal: GridSignal, finished: FinishedTraining, contents: LedgerContents
) -> TrainingRecord:
    rows, config, result = contents.rows, run.config.values, finished.result
    figures = figures_of(rows, methods_of(contents, finished.meter.methods))
    duration_s = real_duration_s(rows, speed=_speed(run))
    return TrainingRecord(
        run_id=run.run_id,
        comparison_key=comparison_key(config),
        configuration=f"{run.config.source} sha256:{run.config.sha256}",
        zone=config.grid.zone,
        signal_type=signal.signal_type,
        emission_factor_type=signal.emission_factor_type,
        policy=config.scheduler.policy,
        submitted_at=run.submitted_at,
        wait_s=max(0.0, (figures["started_at"] - run.submitted_at).total_seconds()),
        duration_s=duration_s,
        interruptions=_interruptions(run, rows),
        replay=run.anchor,
        gpu_devices=finished.meter.gpu_devices,
        measuring_scope=cast("Scope", scope_of(contents, finished.meter.scope)),
        pue=config.tracker.pue,
        foreign_signal_share=foreign_share(rows, (signal.signal_type, signal.emission_factor_type)),
        counterfactual=_at_submission(run, signal, rows),
        sci=score_of(config, result, emissions_gco2eq=figures["emissions_gco2eq"], duration_s=duration_s),
        problems=finished.problems,
        warnings=run.folder.warnings(),
        ledger_path=str(run.folder.ledger),
        ledger_sha256=sha256_of(run.folder.ledger),
        **figures,
        **result.model_dump(exclude={"versions"}),
        versions=result.versions | finished.meter.versions,
    )


def _interruptions(run: TrainingRun, rows: tuple[LedgerRow, ...]) -> tuple[Interruption, ...]:
    resumed_from = run.folder.resumed_from()
    return tuple(
        Interruption(
            attempt=after.attempt,
            start=before.end,
            end=after.start,
            resumed_from_optimizer_step=resumed_from.get(after.attempt, 0),
        )
        for before, after in pairwise(rows)
        if after.attempt != before.attempt
    )


def _uncovered_s(run: TrainingRun, contents: LedgerContents) -> float | None:
    interval_s = run.config.values.tracker.interval.total_seconds()
    return uncovered_s(contents.rows, contents.events, interval_s=interval_s, speed=_speed(run))


def _speed(run: TrainingRun) -> float:
    return run.anchor.speed if run.anchor else 1.0


def _at_submission(run: TrainingRun, signal: GridSignal, rows: tuple[LedgerRow, ...]) -> Counterfactual | None:
    """Book the run's energy at submission, and keep the readings for whoever wants to do it again."""
    span = rows[-1].end - rows[0].start
    readings = signal.readings(run.submitted_at, run.submitted_at + span)
    paused = run.config.values.scheduler.policy == "interruptible"
    found = counterfactual(rows, run.submitted_at, readings, in_one_piece=paused)
    if found is None:
        return None
    path = run.folder.submission_readings
    write_atomically(path, "".join(json.dumps(reading.as_json()) + "\n" for reading in readings))
    return found.model_copy(update={"readings_path": str(path), "readings_sha256": sha256_of(path)})
