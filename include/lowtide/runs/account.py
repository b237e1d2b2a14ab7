"""Reads and replaces what a run's account consists of: record and ledger, which must fit together at any moment."""

import contextlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from lowtide.config.schema import LowtideConfig
from lowtide.errors import ArtifactError, MeasurementError
from lowtide.grid.client import IntensityClient
from lowtide.io import hold_ledger, sha256_of, write_atomically, write_bytes_atomically, write_json_atomically
from lowtide.records import (
    Counterfactual,
    EmissionFactorType,
    EnergyTotals,
    IncompleteRecord,
    IntensityKind,
    Interruption,
    LedgerEvent,
    LedgerEventKind,
    LedgerRow,
    MachineEnergy,
    SciScore,
    SignalType,
    TrainingRecord,
    tells_of_an_unfinished_run,
)
from lowtide.report.files import load_record
from lowtide.runs.context import TrainingRun, comparison_key, sizes_of_killed
from lowtide.runs.folder import RunFolder
from lowtide.timeutil import format_moment
from lowtide.tracker.emissions import (
    counterfactual,
    embodied_part_gco2eq,
    functional_units,
    machine_totals,
    sci_score,
    summarise,
)
from lowtide.tracker.ledger import LedgerContents, LedgerWriter, lost_energy, read_ledger, uncovered_s
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


# What the rows of a ledger come to, in the words of a record, finished or not.


def figures_of(rows: Sequence[LedgerRow], methods: Mapping[str, str]) -> dict[str, Any]:
    """Return a record's fields that follow from the rows alone.

    :param methods: how each component's energy was obtained.
    :raises MeasurementError: no rows, or rows without any energy.
    """
    summary = summarise(rows)
    totals = {"cpu": summary.cpu_energy_kwh, "gpu": summary.gpu_energy_kwh, "ram": summary.ram_energy_kwh}
    return {
        "started_at": summary.started_at,
        "ended_at": summary.ended_at,
        "attempts": summary.attempts,
        "energy_kwh": EnergyTotals.model_validate({**totals, "total": summary.total_energy_kwh, "methods": methods}),
        "machine_energy_kwh": machine_energy(rows),
        "energy_train_kwh": summary.train.energy_kwh,
        "emissions_gco2eq": summary.emissions_gco2eq,
        "emissions_train_gco2eq": summary.train.emissions_gco2eq,
        "mean_carbon_intensity_gco2eq_per_kwh": summary.mean_carbon_intensity_gco2eq_per_kwh,
        "intensity_kinds": summary.intensity_kinds,
        "uncertainty": emissions_interval(rows, methods),
    }


def foreign_share(rows: Sequence[LedgerRow], own: tuple[SignalType, EmissionFactorType]) -> float:
    """Return the share of the energy that was booked at another signal or factor type than the run's own."""
    foreign = [row for row in rows if (row.signal_type, row.emission_factor_type) != own]
    return math.fsum(row.energy_kwh for row in foreign) / math.fsum(row.energy_kwh for row in rows)


def real_duration_s(rows: Sequence[LedgerRow], *, speed: float) -> float:
    """Return how long the rows lasted in real seconds: failed attempts count as their energy does, pauses do not.

    :param speed: of policy time, above 1 under replay.
    """
    return math.fsum((row.end - row.start).total_seconds() for row in rows) / speed


Account = TrainingRecord | IncompleteRecord


def load_account(folder: RunFolder, *, held: bool = False) -> Account:
    """Read a run's record, finished or not; a settlement that was killed half-way is first brought to its end.

    :param held: the caller holds the ledger.
    :raises ArtifactError: missing, damaged, or beside a ledger that is not its own.
    """
    _finish_interrupted(folder, held=held)
    data = _json(folder.record)
    if not tells_of_an_unfinished_run(data):
        return load_record(folder.path)
    try:
        return IncompleteRecord.model_validate_json(json.dumps(data))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ArtifactError(
            f"{folder.record}: is not the account of a run: {first['loc']}: {first['msg']}; remove it and read the run back"
        ) from None


def keep_first_booking(folder: RunFolder) -> tuple[Path, str]:
    """Copy ledger and record to ``booked`` unless they are there, and return the ledger's copy with its checksum.

    Call it for an account that has not been settled: its ledger is the first booking.
    """
    ledger, record = folder.booked / folder.ledger.name, folder.booked / folder.record.name
    checksum = sha256_of(folder.ledger)
    if record.exists() and not (ledger.exists() and sha256_of(ledger) == checksum):
        set_first_booking_aside(folder)  # of an account that was forgotten since: its figures are not these
    if not record.exists():  # the record is copied last: without it, the ledger's copy may be of a kill before
        write_bytes_atomically(ledger, folder.ledger.read_bytes())
        _keep_time(folder.ledger.stat(), ledger)
        write_bytes_atomically(record, folder.record.read_bytes())
    return ledger, checksum


def restore_first_booking(folder: RunFolder) -> None:
    """Put the ledger back as it was before it was settled, because an attempt goes on in it; the settled one goes aside.

    Else the finished run's record would call figures first booked of which a part was settled. The caller holds the ledger.

    :raises ArtifactError: a file cannot be read or written.
    """
    if not folder.ledger.exists():
        return
    account = load_account(folder, held=True)
    first, settlement = folder.booked / folder.ledger.name, account.settlement
    if settlement is None or not first.exists():
        return
    if sha256_of(first) != settlement.first_booked.ledger_sha256:
        return
    if sha256_of(folder.ledger) == account.ledger_sha256:  # else it was restored before a kill
        for file in (folder.ledger, folder.record):
            write_bytes_atomically(folder.booked / f"settled-{file.name}", file.read_bytes())
        write_bytes_atomically(folder.ledger, first.read_bytes())
        _keep_time(first.stat(), folder.ledger)


def set_first_booking_aside(folder: RunFolder) -> None:
    """Give ``booked`` a number: what is settled next will be another account."""
    number = 1 + sum(1 for _ in folder.path.glob("booked-*"))
    folder.booked.replace(folder.path / f"booked-{number}")


def replace_account(folder: RunFolder, ledger_lines: str, account: Account) -> None:
    """Put another ledger and its record in the place of what is there; killed anywhere, the next reader finishes it.

    :raises ArtifactError: a file cannot be written.
    """
    intent, written = folder.settling, folder.ledger.stat()
    write_atomically(intent, account.model_dump_json())
    with contextlib.ExitStack() as held:
        # the caller holds the old file, and an attempt may begin as soon as that is gone
        def hold(replacement: Path) -> None:
            held.enter_context(hold_ledger(replacement))

        write_bytes_atomically(folder.ledger, ledger_lines.encode("utf-8"), before_rename=hold)
        _keep_time(written, folder.ledger)
        write_json_atomically(folder.record, account.model_dump_json(indent=2))
        intent.unlink()


def ledger_lines(path: Path, old: Sequence[LedgerRow], new: Sequence[LedgerRow]) -> str:
    """Return a ledger's text with other rows; each old row's place is taken by the rows that divide its time.

    :param old: the rows as they are in the file, in its order; a line of one that stays is kept byte for byte.
    """
    before, after = iter(old), iter(new)
    following = next(after, None)
    lines = []
    for raw in path.read_text(encoding="utf-8").splitlines():
        if raw.startswith('{"event"'):
            lines.append(raw + "\n")
            continue
        row = next(before)
        while following is not None and following.end <= row.end:
            lines.append(raw + "\n" if following is row else following.as_json_line())
            following = next(after, None)
    return "".join(lines)


def _finish_interrupted(folder: RunFolder, *, held: bool) -> None:
    intent = folder.settling
    if not intent.exists():
        return
    # held: else one that is still at work would lose its intent
    with contextlib.nullcontext() if held else hold_ledger(folder.ledger):
        data = _json(intent)
        if isinstance(data, dict) and sha256_of(folder.ledger) == data.get("ledger_sha256"):
            write_json_atomically(folder.record, json.dumps(data, indent=2))
        intent.unlink()  # else the ledger is still the old one, which the record fits


def _keep_time(of: os.stat_result, path: Path) -> None:
    # when a killed run was last alive is told by its ledger's time (held_up_s)
    os.utime(path, ns=(of.st_atime_ns, of.st_mtime_ns))


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


# Says where a grid's provider had no figure for a run's energy and a typical one stood in: kinds and sources alone are easily missed.


_MODELLED_ANYWAY = ("profile", "replay")


def stand_in_problems(contents: LedgerContents) -> list[str]:
    """Return one sentence for each live provider that rows had to do without.

    From the rows as they are in the ledger, so over all attempts. A grid that is a profile or a replay by configuration has none.
    """
    asked = {event.attempt: provider for event in contents.events if (provider := _live_provider(event))}
    total_kwh = math.fsum(row.energy_kwh for row in contents.rows)
    without = [row for row in contents.rows if row.intensity_kind is IntensityKind.MODELLED and row.attempt in asked]
    return list(_sentences(without, asked, of=len(contents.rows), total_kwh=total_kwh))


def _live_provider(event: LedgerEvent) -> str | None:
    grid = event.details.get("grid")
    if event.event is not LedgerEventKind.OPENED or not isinstance(grid, dict):
        return None
    provider = grid.get("provider")
    return provider if isinstance(provider, str) and provider not in _MODELLED_ANYWAY else None


def _sentences(without: Sequence[LedgerRow], asked: dict[int, str], *, of: int, total_kwh: float) -> Iterator[str]:
    for provider in sorted({asked[row.attempt] for row in without}):
        rows = [row for row in without if asked[row.attempt] == provider]
        kwh = math.fsum(row.energy_kwh for row in rows)
        share = f", {100 * kwh / total_kwh:.1f} % of the energy" if total_kwh > 0 else ""
        instead = ", ".join(sorted({row.intensity_source for row in rows}))
        yield (
            f"{provider} had no usable figure for {len(rows)} of {of} rows between {format_moment(rows[0].start)} and"
            f" {format_moment(rows[-1].end)}{share}; they were first booked at typical figures instead ({instead})"
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
    record = _account(folder, contents, details, ledger)
    write_json_atomically(folder.record, record.model_dump_json(indent=2))
    return record


def _account(
    folder: RunFolder, contents: LedgerContents, details: Mapping[str, Any], ledger: LedgerWriter
) -> IncompleteRecord:
    rows, methods = contents.rows, methods_of(contents, details.get("methods", {}))
    sizes, unknown = sizes_of_killed(folder, details)
    lost = lost_energy(rows, contents.events)
    further = (*differing_methods(contents), *stand_in_problems(contents))
    told = {key: details[key] for key in _FROM_OPENING if key in details}
    own: Any = (details.get("signal_type"), details.get("emission_factor_type"))
    fields = {**told, **sizes, **figures_of(rows, methods)} | {
        "duration_s": real_duration_s(rows, speed=_speed(details)),
        "foreign_signal_share": foreign_share(rows, own),
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
    contents = read_ledger(run.folder.ledger)
    new = [problem for problem in contents.problems if problem not in finished.problems]
    if not contents.rows:
        reasons = "; ".join((*new, *finished.problems)) or "nothing was booked"
        raise MeasurementError(f"{run.folder.ledger} has no rows: {reasons}")
    short = [*([finished.shortfall] if finished.shortfall else []), *lost_energy(contents.rows, contents.events)]
    further = (*differing_methods(contents), *stand_in_problems(contents))
    said = tuple(dict.fromkeys((*short, *finished.problems, *new, *further)))
    gaps_s = None if short or new else _record_uncovered_s(run, contents)
    record = _record(run, signal, replace(finished, problems=said), contents).model_copy(
        update={"energy_complete": gaps_s == 0, "uncovered_s": gaps_s}
    )
    write_json_atomically(run.folder.record, record.model_dump_json(indent=2))
    return record


def _record(
    run: TrainingRun, signal: IntensityClient, finished: FinishedTraining, contents: LedgerContents
) -> TrainingRecord:
    rows, config, result = contents.rows, run.config.values, finished.result
    figures = figures_of(rows, methods_of(contents, finished.meter.methods))
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


def _record_uncovered_s(run: TrainingRun, contents: LedgerContents) -> float | None:
    interval_s = run.config.values.tracker.interval.total_seconds()
    return uncovered_s(contents.rows, contents.events, interval_s=interval_s, speed=_record_speed(run))


def _record_speed(run: TrainingRun) -> float:
    return run.anchor.speed if run.anchor else 1.0


def _at_submission(run: TrainingRun, signal: IntensityClient, rows: tuple[LedgerRow, ...]) -> Counterfactual | None:
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
