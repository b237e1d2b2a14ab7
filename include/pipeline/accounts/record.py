"""Puts a finished run's record together from the child's result and the rows of the ledger."""

import json
import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import cast

from include.errors import MeasurementError
from include.files import sha256_of, write_atomically, write_json_atomically
from include.pipeline.accounts.machine_energy import machine_energy
from include.pipeline.accounts.methods import differing_methods, methods_of, scope_of
from include.pipeline.accounts.score import score_of
from include.pipeline.accounts.stand_ins import stand_in_problems
from include.pipeline.identity import comparison_key
from include.pipeline.running.training_run import TrainingRun
from include.records import (
    Counterfactual,
    EnergyTotals,
    Interruption,
    LedgerRow,
    TrainingRecord,
)
from include.scheduler import GridSignal
from include.tracker import (
    EnergyMeter,
    LedgerContents,
    LedgerSummary,
    counterfactual,
    emissions_interval,
    read_ledger,
    summarise,
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
    rows = contents.rows
    config, result, summary = run.config.values, finished.result, summarise(rows)
    methods = methods_of(contents, finished.meter.methods)
    return TrainingRecord(
        run_id=run.run_id,
        comparison_key=comparison_key(config),
        configuration=f"{run.config.source} sha256:{run.config.sha256}",
        zone=config.grid.zone,
        signal_type=signal.signal_type,
        emission_factor_type=signal.emission_factor_type,
        policy=config.scheduler.policy,
        submitted_at=run.submitted_at,
        started_at=summary.started_at,
        ended_at=summary.ended_at,
        wait_s=max(0.0, (summary.started_at - run.submitted_at).total_seconds()),
        duration_s=_real_duration_s(run, rows),
        attempts=summary.attempts,
        interruptions=_interruptions(run, rows),
        replay=run.anchor,
        energy_kwh=_energy(summary, methods),
        machine_energy_kwh=machine_energy(rows),
        gpu_devices=finished.meter.gpu_devices,
        energy_train_kwh=summary.train.energy_kwh,
        measuring_scope=cast("Scope", scope_of(contents, finished.meter.scope)),
        pue=config.tracker.pue,
        emissions_gco2eq=summary.emissions_gco2eq,
        emissions_train_gco2eq=summary.train.emissions_gco2eq,
        mean_carbon_intensity_gco2eq_per_kwh=summary.mean_carbon_intensity_gco2eq_per_kwh,
        intensity_kinds=summary.intensity_kinds,
        foreign_signal_share=_foreign_share(signal, rows),
        counterfactual=_at_submission(run, signal, rows),
        uncertainty=emissions_interval(rows, methods),
        sci=score_of(
            config,
            emissions_gco2eq=summary.emissions_gco2eq,
            duration_s=_real_duration_s(run, rows),
            epochs=result.epochs,
            samples=result.samples,
        ),
        problems=finished.problems,
        warnings=run.folder.warnings(),
        ledger_path=str(run.folder.ledger),
        ledger_sha256=sha256_of(run.folder.ledger),
        **result.model_dump(exclude={"versions"}),
        versions=result.versions | finished.meter.versions,
    )


def _energy(summary: LedgerSummary, methods: dict[str, str]) -> EnergyTotals:
    return EnergyTotals.model_validate(
        {
            "total": summary.total_energy_kwh,
            "cpu": summary.cpu_energy_kwh,
            "gpu": summary.gpu_energy_kwh,
            "ram": summary.ram_energy_kwh,
            "methods": methods,
        }
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
    speed = run.anchor.speed if run.anchor else 1.0
    return uncovered_s(contents.rows, contents.events, interval_s=interval_s, speed=speed)


def _real_duration_s(run: TrainingRun, rows: tuple[LedgerRow, ...]) -> float:
    # from the rows, so that failed attempts count as their energy does
    policy_s = math.fsum((row.end - row.start).total_seconds() for row in rows)
    return policy_s / run.anchor.speed if run.anchor else policy_s


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


def _foreign_share(signal: GridSignal, rows: tuple[LedgerRow, ...]) -> float:
    own = (signal.signal_type, signal.emission_factor_type)
    foreign = (row.energy_kwh for row in rows if (row.signal_type, row.emission_factor_type) != own)
    return math.fsum(foreign) / math.fsum(row.energy_kwh for row in rows)
