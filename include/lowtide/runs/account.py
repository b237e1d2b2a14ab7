"""Derives a run's account, ``record.json`` and ``emissions.csv``, from its facts: the ledger and what was known of the grid."""

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import ValidationError

from lowtide.config.schema import LowtideConfig
from lowtide.errors import ArtifactError, MeasurementError
from lowtide.grid.client import IntensityClient
from lowtide.grid.series import cover
from lowtide.io import objects, sha256_of, write_atomically
from lowtide.records import (
    Counterfactual,
    EmissionFactorType,
    EnergyTotals,
    FirstValuation,
    IncompleteRecord,
    IntensityKind,
    Interruption,
    KnownIntensity,
    LedgerEvent,
    LedgerEventKind,
    LedgerRow,
    MachineEnergy,
    Reading,
    SciScore,
    Settlement,
    SignalType,
    TrainingRecord,
    ValuedRow,
    tells_of_an_unfinished_run,
)
from lowtide.report.files import load_record
from lowtide.runs.context import TrainingRun, comparison_key, sizes_of_killed
from lowtide.runs.folder import RunFolder
from lowtide.timeutil import format_moment
from lowtide.tracker.emissions import (
    Valuation,
    best_known,
    counterfactual,
    embodied_part_gco2eq,
    functional_units,
    machine_totals,
    rescored,
    sci_score,
    summarise,
    total_energy_kwh,
    value_rows,
)
from lowtide.tracker.ledger import (
    IntensityLog,
    LedgerContents,
    LedgerWriter,
    lost_energy,
    read_intensity,
    read_ledger,
    uncovered_s,
)
from lowtide.tracker.meter import EnergyMeter, Scope
from lowtide.tracker.uncertainty import emissions_interval
from lowtide.trainer.protocol import TrainingResult

# The whole machine's energy, as a run's account tells it: the upper bound of what the run was charged.


def machine_energy(rows: Sequence[LedgerRow]) -> MachineEnergy | None:
    """Return the machine's energy over the rows; None where it is not known for all of them."""
    totals = machine_totals(rows)
    if totals is None:
        return None
    return MachineEnergy(total=totals.total, cpu=totals.cpu, gpu=totals.gpu, ram=totals.ram)


# What ledger and intensities come to, as fields of a record, finished or not.


ACTUAL = (IntensityKind.MEASURED, IntensityKind.ESTIMATED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a run's folder holds: its ledger, and what was known of the grid."""

    contents: LedgerContents
    entries: Sequence[KnownIntensity]
    problems: tuple[str, ...] = ()

    @property
    def ended_at(self) -> datetime:
        """Return the real time at which the run ended, or, killed, wrote its last row; the first valuation's time."""
        last, rows = self.contents.events[-1], self.contents.rows
        if last.event is LedgerEventKind.CLOSED:
            return last.at
        own = [row.monotonic_s for row in rows if row.attempt == last.attempt]
        interval_s = last.details.get("interval_s")
        went_s = (own[-1] - last.monotonic_s if own else 0.0) + (
            interval_s if isinstance(interval_s, (int, float)) else 0.0
        )
        return last.at + timedelta(seconds=max(0.0, went_s))


def read_facts(folder: RunFolder) -> Facts:
    """Read the facts of a run.

    :raises ArtifactError: no ledger, or one that says nothing of its run.
    """
    contents = read_ledger(folder.ledger)
    if not contents.events:
        raise ArtifactError(f"{folder.ledger}: does not say what its run was about; restore its opening line")
    entries, problems = read_intensity(folder.path)
    return Facts(contents=contents, entries=entries, problems=tuple(problems))


def valuation_fields(facts: Facts, own: tuple[SignalType, EmissionFactorType], pue: float) -> dict[str, Any]:
    """Return the fields of a record that follow from what is known of the grid.

    :param own: signal type and emission factor type of the record; only intensities of these count.
    :raises MeasurementError: no rows, or rows without any energy.
    """
    rows, ended_at = facts.contents.rows, facts.ended_at
    now = value_rows(rows, facts.entries, pue=pue, meaning=own)
    then = value_rows(rows, facts.entries, pue=pue, meaning=own, as_of=ended_at)
    known, first = summarise(now.rows, now.unvalued, pue=pue), summarise(then.rows, then.unvalued, pue=pue)
    return {
        "emissions_gco2eq": known.emissions_gco2eq,
        "emissions_train_gco2eq": known.train.emissions_gco2eq,
        "mean_carbon_intensity_gco2eq_per_kwh": known.mean_carbon_intensity_gco2eq_per_kwh,
        "intensity_kinds": known.intensity_kinds,
        "unvalued_energy_kwh": known.unvalued_energy_kwh,
        "foreign_signal_share": _foreign_share(now, facts.entries, pue),
        "first_valuation": FirstValuation(
            as_of=ended_at,
            emissions_gco2eq=first.emissions_gco2eq,
            mean_carbon_intensity_gco2eq_per_kwh=first.mean_carbon_intensity_gco2eq_per_kwh,
            intensity_kinds=first.intensity_kinds,
        ),
        "settlement": _settlement(now.rows, ended_at, known.total_energy_kwh),
    }


def energy_fields(facts: Facts, methods: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a record that follow from the ledger alone.

    :param methods: how each component's energy was obtained.
    :raises MeasurementError: no rows, or rows without any energy.
    """
    summary = summarise((), facts.contents.rows)
    totals = {"cpu": summary.cpu_energy_kwh, "gpu": summary.gpu_energy_kwh, "ram": summary.ram_energy_kwh}
    return {
        "started_at": summary.started_at,
        "ended_at": summary.ended_at,
        "attempts": summary.attempts,
        "energy_kwh": EnergyTotals.model_validate({**totals, "total": summary.total_energy_kwh, "methods": methods}),
        "machine_energy_kwh": machine_energy(facts.contents.rows),
        "energy_train_kwh": summary.train.energy_kwh,
    }


def _foreign_share(now: Valuation, entries: Sequence[KnownIntensity], pue: float) -> float:
    foreign = value_rows(now.unvalued, entries, pue=pue)
    return total_energy_kwh(foreign.rows) / now.energy_kwh


def _settlement(rows: Sequence[ValuedRow], ended_at: datetime, total_kwh: float) -> Settlement | None:
    later = [row for row in rows if row.learnt_at is not None and row.learnt_at > ended_at]
    if not later:
        return None
    return Settlement(
        settled_at=max(row.learnt_at for row in later if row.learnt_at is not None),
        settled_energy_share=total_energy_kwh(later) / total_kwh,
        sources=tuple(sorted({row.intensity_source for row in later})),
    )


def real_duration_s(rows: Sequence[LedgerRow], *, speed: float) -> float:
    """Return how long the rows lasted in real seconds: failed attempts count as their energy does, pauses do not.

    :param speed: of policy time, above 1 under replay.
    """
    return math.fsum((row.end - row.start).total_seconds() for row in rows) / speed


Account = TrainingRecord | IncompleteRecord
AccountT = TypeVar("AccountT", bound=Account)


def load_account(folder: RunFolder) -> Account:
    """Read a run's record, finished or not.

    :raises ArtifactError: missing, damaged, or beside a ledger that is not its own.
    """
    data = _json(folder.record)
    if not tells_of_an_unfinished_run(data):
        return load_record(folder.path)
    try:
        return IncompleteRecord.model_validate_json(json.dumps(data))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ArtifactError(
            f"{folder.record}: is not the account of a run: {first['loc']}: {first['msg']}; remove it and derive it again"
        ) from None


def derive(folder: RunFolder, account: AccountT) -> AccountT:
    """Value a run's energy at what is known of the grid by now, and write ``emissions.csv`` and ``record.json``.

    Facts are read, never written, so it may be called as often as wanted and after a kill at any point; nothing is written
    where nothing is new.

    :param account: the run's account; what follows from the valuation is replaced.
    :raises ArtifactError: a file cannot be read or written.
    :raises MeasurementError: a ledger without any energy.
    """
    facts = read_facts(folder)
    own = (account.signal_type, account.emission_factor_type)
    fields = valuation_fields(facts, own, account.pue)
    valued = value_rows(facts.contents.rows, facts.entries, pue=account.pue, meaning=own)
    methods = {str(part): how for part, how in account.energy_kwh.methods.items()}
    fields |= {
        "uncertainty": emissions_interval(valued.rows, methods, unvalued=valued.unvalued),
        "sci": rescored(account.sci, fields["emissions_gco2eq"]),
        "counterfactual": _at_submission(folder, account, facts) or account.counterfactual,
    }
    derived = cast("AccountT", type(account).model_validate({**dict(account), **fields}))
    _write_if_new(folder.emissions, _table(valued))
    _write_if_new(folder.record, derived.model_dump_json(indent=2) + "\n")
    return derived


def _write_if_new(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_atomically(path, text)


_COLUMNS = (
    *("start", "end", "phase", "energy_kwh", "carbon_intensity_gco2eq_per_kwh", "kind", "source"),
    *("emissions_gco2eq", "attempt"),
)


def _table(valued: Valuation) -> str:
    """Return the valued rows as CSV in time order; where no intensity is known, its columns are empty."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS)
    for row in sorted((*valued.rows, *valued.unvalued), key=lambda row: row.start):
        head = (format_moment(row.start), format_moment(row.end), row.phase.value, row.energy_kwh)
        if isinstance(row, ValuedRow):
            grid = (row.carbon_intensity_gco2eq_per_kwh, row.intensity_kind.value, row.intensity_source)
            table.writerow((*head, *grid, row.emissions_gco2eq, row.attempt))
        else:
            table.writerow((*head, "", "", "", "", row.attempt))
    return text.getvalue()


def _at_submission(folder: RunFolder, account: Account, facts: Facts) -> Counterfactual | None:
    """Value the run's energy as if it had begun at submission: at actual figures where known, else at what was known then."""
    rows = facts.contents.rows
    submitted, end = account.submitted_at, account.submitted_at + (rows[-1].end - rows[0].start)
    own = (account.signal_type, account.emission_factor_type)
    actual = [entry.reading for entry in best_known(facts.entries, meaning=own) if entry.reading.kind in ACTUAL]
    path = folder.submission_readings
    first = [Reading.from_json(data) for data in objects(path, [])]
    readings = cover(submitted, end, [lambda *_: actual, lambda *_: first])
    paused = account.policy == "interruptible"
    found = counterfactual(rows, submitted, readings, pue=account.pue, in_one_piece=paused)
    if found is None or not path.exists():
        return found
    return found.model_copy(update={"readings_path": str(path), "readings_sha256": sha256_of(path)})


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ArtifactError(f"{path}: there is no such record; give the folder of a run") from None
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from None
    except ValueError:
        raise ArtifactError(f"{path}: is not JSON; the file is damaged, restore it or remove it") from None


# How a run's energy was obtained when its attempts ran on machines that measure differently: the weakest is named.


_WEAKEST_FIRST = ("replayed", "constant", "tdp_estimate", "nvml", "rapl", "none")
_WIDEST_FIRST = ("replayed", "machine", "process_tree")
_PARTS = ("cpu", "gpu", "ram")


def methods_of(contents: LedgerContents, unless_told: Mapping[Any, str]) -> dict[str, str]:
    """Return one method for each component: of those that the attempts with rows opened with, the one that says least.

    :param unless_told: for a ledger whose attempts do not tell.
    """
    found = {part: {told.get(part, "none") for told in _told(contents, "methods") if told} for part in _PARTS}
    given = {str(part): how for part, how in unless_told.items()}
    return {part: _first_of(_WEAKEST_FIRST, found[part], given.get(part, "none")) for part in _PARTS}


def scope_of(contents: LedgerContents, unless_told: str) -> str:
    """Return whose energy it is, at most: the machine's where one attempt was charged all of it."""
    return _first_of(_WIDEST_FIRST, set(_told(contents, "measuring_scope")), unless_told)


def differing_methods(contents: LedgerContents) -> list[str]:
    """Say where attempts measured differently."""
    said = []
    for part in _PARTS:
        found = sorted({told.get(part, "none") for told in _told(contents, "methods") if told} - {"none"})
        if len(found) > 1:
            said.append(f"the attempts' {part.upper()} energy was obtained differently ({', '.join(found)})")
    scopes = sorted(set(_told(contents, "measuring_scope")))
    return (
        said if len(scopes) < 2 else [*said, f"the attempts were measured over different scopes ({', '.join(scopes)})"]
    )


def _told(contents: LedgerContents, key: str) -> Iterator[Any]:
    with_rows = {row.attempt for row in contents.rows}
    for event in contents.events:
        if event.event is LedgerEventKind.OPENED and event.attempt in with_rows and event.details.get(key):
            yield event.details[key]


def _first_of(order: tuple[str, ...], found: set[str], unless_found: str) -> str:
    return next((word for word in order if word in found), unless_found)


# Where a grid's provider had no figure for a run's energy: its kinds and sources alone are easily missed.


_MODELLED_ANYWAY = ("profile", "replay")


def fallback_problems(facts: Facts, own: tuple[SignalType, EmissionFactorType], pue: float) -> list[str]:
    """Return one sentence for each live provider that had no figure for some rows, at what was known when the run ended.

    A grid that is a profile or a replay by configuration has none. Typical figures of another factor type than the run's
    value no energy, and are reported too.
    """
    asked = {event.attempt: provider for event in facts.contents.events if (provider := _live_provider(event))}
    valued = value_rows(facts.contents.rows, facts.entries, pue=pue, meaning=own, as_of=facts.ended_at)
    foreign = value_rows(valued.unvalued, facts.entries, pue=pue, as_of=facts.ended_at)
    of, total_kwh = len(valued.rows) + len(foreign.rows) + len(foreign.unvalued), valued.energy_kwh
    found: list[str] = []
    for rows, instead in (
        (valued.rows, "they were first valued at typical figures instead"),
        (foreign.rows, "only typical figures of another signal or factor type are known, at which they are not valued"),
    ):
        without = [row for row in rows if row.intensity_kind is IntensityKind.MODELLED and row.attempt in asked]
        found += _sentences(without, asked, instead, of=of, total_kwh=total_kwh)
    return found


def _live_provider(event: LedgerEvent) -> str | None:
    grid = event.details.get("grid")
    if event.event is not LedgerEventKind.OPENED or not isinstance(grid, dict):
        return None
    provider = grid.get("provider")
    return provider if isinstance(provider, str) and provider not in _MODELLED_ANYWAY else None


def _sentences(
    without: Sequence[ValuedRow], asked: dict[int, str], instead: str, *, of: int, total_kwh: float
) -> Iterator[str]:
    for provider in sorted({asked[row.attempt] for row in without}):
        rows = [row for row in without if asked[row.attempt] == provider]
        share = f", {100 * total_energy_kwh(rows) / total_kwh:.1f} % of the energy" if total_kwh > 0 else ""
        sources = ", ".join(sorted({row.intensity_source for row in rows}))
        yield (
            f"{provider} had no usable figure for {len(rows)} of {of} rows between {format_moment(rows[0].start)} and"
            f" {format_moment(rows[-1].end)}{share}; {instead} ({sources})"
        )


# Makes an account of a run that was killed: its ledger says what it was about, and what it used until then.


_FROM_OPENING = (
    "run_id",
    "comparison_key",
    "configuration",
    "zone",
    "signal_type",
    "emission_factor_type",
    "policy",
    "submitted_at",
    "replay",
    "precision",
    "micro_batch_size",
    "accumulation_steps",
    "effective_batch_size",
    "seed",
    "measuring_scope",
    "gpu_devices",
    "pue",
    "versions",
)


def account_of(folder: RunFolder) -> Account:
    """Return a run's account; of a run that was killed, one is read back from the ledger and kept as ``record.json``.

    :raises ArtifactError: no record and no ledger, a ledger that another process writes to, or one that says nothing of its run.
    :raises MeasurementError: a ledger without any energy.
    """
    if folder.record.exists():
        account = load_account(folder)
        if isinstance(account, IncompleteRecord) and sha256_of(folder.ledger) != account.ledger_sha256:
            return _read_back(folder)  # it was killed once more since
        return account
    return _read_back(folder)


def opening_details(contents: LedgerContents) -> Mapping[str, Any] | None:
    """Return what the last attempt's opening says of its run; None in a ledger from before there were openings."""
    openings = [event for event in contents.events if event.event is LedgerEventKind.OPENED]
    return openings[-1].details if openings else None


def read_back_where(folder: RunFolder, holds: Callable[[LedgerContents], bool]) -> IncompleteRecord | None:
    """Read a run back that has no record, if its ledger is such that nobody will go on with it; None where it is not.

    :param holds: asked while the ledger is held, so that no attempt begins meanwhile.
    :raises LedgerInUse: another process writes to the ledger.
    :raises ArtifactError: a ledger that says nothing of its run.
    :raises MeasurementError: a ledger without any energy.
    """
    with LedgerWriter(folder.ledger) as ledger:
        contents = read_ledger(folder.ledger)
        if folder.record.exists() or not holds(contents):
            return None
        return _kept(folder, contents, ledger)


def _read_back(folder: RunFolder) -> IncompleteRecord:
    if not folder.ledger.exists():
        raise ArtifactError(f"{folder.path}: there is neither record.json nor ledger.jsonl; give the folder of a run")
    with LedgerWriter(folder.ledger) as ledger:  # refuses a run that still goes on, and moves a torn line aside
        return _kept(folder, read_ledger(folder.ledger), ledger)


def _kept(folder: RunFolder, contents: LedgerContents, ledger: LedgerWriter) -> IncompleteRecord:
    details = opening_details(contents)
    if details is None:
        raise ArtifactError(
            f"{folder.ledger}: does not say what its run was about, since an older version wrote it; train the run to"
            " its end in the same folder"
        )
    IntensityLog(folder.path)  # cuts off the half line of the process that was killed
    return derive(folder, _account(folder, contents, details, ledger))


def _account(
    folder: RunFolder, contents: LedgerContents, details: Mapping[str, Any], ledger: LedgerWriter
) -> IncompleteRecord:
    rows, methods = contents.rows, methods_of(contents, details.get("methods", {}))
    sizes, unknown = sizes_of_killed(folder, details)
    lost = lost_energy(rows, contents.events)
    own: Any = (details.get("signal_type"), details.get("emission_factor_type"))
    pue: Any = details.get("pue")
    facts = read_facts(folder)
    further = (*differing_methods(contents), *facts.problems, *fallback_problems(facts, own, pue))
    told = {key: details[key] for key in _FROM_OPENING if key in details}
    fields = {**told, **sizes, **energy_fields(facts, methods), **valuation_fields(facts, own, pue)} | {
        "duration_s": real_duration_s(rows, speed=_speed(details)),
        "uncertainty": None,
        "measuring_scope": scope_of(contents, str(details.get("measuring_scope"))),
        "uncovered_s": _uncovered_s(contents, details, ledger.held_up_s),
        "problems": tuple(dict.fromkeys((*lost, *ledger.problems, *contents.problems, *unknown, *further))),
        "warnings": folder.warnings(),
        "ledger_path": str(folder.ledger),
        "ledger_sha256": sha256_of(folder.ledger),
    }
    try:
        return IncompleteRecord.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ArtifactError(
            f"{folder.ledger}: its opening line is damaged ({first['loc'][0]}: {first['msg']}); restore the file"
        ) from None


def _uncovered_s(contents: LedgerContents, details: Mapping[str, Any], held_up_s: float) -> float | None:
    interval_s = details.get("interval_s")
    if not isinstance(interval_s, (int, float)):
        return None
    return uncovered_s(
        contents.rows, contents.events, interval_s=interval_s, speed=_speed(details), held_up_s=held_up_s
    )


def _speed(details: Mapping[str, Any]) -> float:
    replay = details.get("replay")
    return float(replay["speed"]) if replay else 1.0


# A run's SCI score from its configuration's account section.


def score_of(
    config: LowtideConfig, result: TrainingResult, *, emissions_gco2eq: float, duration_s: float
) -> SciScore | None:
    """Return (O + M) per R; M only where the configuration gives the hardware's embodied emissions."""
    account = config.account
    embodied = None
    if account.hardware_embodied_gco2eq is not None:
        embodied = embodied_part_gco2eq(
            account.hardware_embodied_gco2eq,
            duration_s=duration_s,
            lifespan_s=account.hardware_lifespan.total_seconds(),
            resource_share=account.hardware_share,
        )
    units = functional_units(account.functional_unit, epochs=result.epochs, samples=result.samples)
    return sci_score(emissions_gco2eq, embodied, unit=account.functional_unit, units=units)


# Puts a finished run's record together from the child's result and the rows of the ledger.


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedTraining:
    """What is known when a training has gone through, beside its ledger; ``shortfall`` says what is missing of its energy."""

    result: TrainingResult
    meter: EnergyMeter
    problems: tuple[str, ...] = ()
    shortfall: str | None = None


def write_record(run: TrainingRun, signal: IntensityClient, finished: FinishedTraining) -> TrainingRecord:
    """Write ``record.json`` and return it; where energy is missing, ``energy_complete`` is false and ``problems`` says what.

    :raises MeasurementError: the ledger has no rows.
    :raises ArtifactError: the file cannot be written.
    """
    facts = read_facts(run.folder)
    contents = facts.contents
    new = [problem for problem in contents.problems if problem not in finished.problems]
    if not contents.rows:
        reasons = "; ".join((*new, *finished.problems)) or "nothing was booked"
        raise MeasurementError(f"{run.folder.ledger} has no rows: {reasons}")
    short = [*([finished.shortfall] if finished.shortfall else []), *lost_energy(contents.rows, contents.events)]
    own = (signal.signal_type, signal.emission_factor_type)
    further = (
        *differing_methods(contents),
        *facts.problems,
        *fallback_problems(facts, own, run.config.values.tracker.pue),
    )
    _keep_submission_readings(run, signal, contents.rows)
    said = tuple(dict.fromkeys((*short, *finished.problems, *new, *further)))
    gaps_s = None if short or new else _record_uncovered_s(run, contents)
    record = _record(run, signal, replace(finished, problems=said), facts).model_copy(
        update={"energy_complete": gaps_s == 0, "uncovered_s": gaps_s}
    )
    return derive(run.folder, record)


def _record(run: TrainingRun, signal: IntensityClient, finished: FinishedTraining, facts: Facts) -> TrainingRecord:
    contents, config, result = facts.contents, run.config.values, finished.result
    rows = contents.rows
    own = (signal.signal_type, signal.emission_factor_type)
    figures = energy_fields(facts, methods_of(contents, finished.meter.methods)) | valuation_fields(
        facts, own, config.tracker.pue
    )
    duration_s = real_duration_s(rows, speed=_record_speed(run))
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
        counterfactual=None,
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


def _record_uncovered_s(run: TrainingRun, contents: LedgerContents) -> float | None:
    interval_s = run.config.values.tracker.interval.total_seconds()
    return uncovered_s(contents.rows, contents.events, interval_s=interval_s, speed=_record_speed(run))


def _record_speed(run: TrainingRun) -> float:
    return run.anchor.speed if run.anchor else 1.0


def _keep_submission_readings(run: TrainingRun, signal: IntensityClient, rows: tuple[LedgerRow, ...]) -> None:
    """Keep the grid's readings from submission on: what the run would have emitted without a wait is derived from them."""
    readings = signal.readings(run.submitted_at, run.submitted_at + (rows[-1].end - rows[0].start))
    text = "".join(json.dumps(reading.as_json()) + "\n" for reading in readings)
    write_atomically(run.folder.submission_readings, text)
