"""Derives a run's account, ``record.json`` and ``emissions.csv``, from its facts: the ledger and what was known of the grid."""

import csv
import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lowtide.config.schema import AccountConfig, GridConfig
from lowtide.errors import ArtifactError, MeasurementError
from lowtide.grid.series import best_known
from lowtide.io import sha256_of, write_atomically
from lowtide.records import (
    AnyRecord,
    IncompleteRecord,
    IntensityKind,
    Interruption,
    LedgerEventKind,
    LedgerRow,
    Meaning,
    Phase,
    Settlement,
    TrainingRecord,
    ValuedRow,
    first_fault,
    load_record,
    read_intensity,
    read_record,
)
from lowtide.runs.context import RunDetails, sizes_of_killed
from lowtide.runs.folder import RunFolder
from lowtide.timeutil import format_time
from lowtide.tracker.emissions import Valuation, counterfactual, machine_totals, total_energy_kwh, value_rows
from lowtide.tracker.ledger import (
    TORN_SUFFIX,
    IntensityLog,
    LedgerContents,
    LedgerWriter,
    held_up_s,
    read_ledger,
    uncovered_s,
)
from lowtide.tracker.sci import sci_score
from lowtide.tracker.uncertainty import emissions_interval
from lowtide.trainer.protocol import TrainingResult
from lowtide.units import percent_text

ACTUAL = (IntensityKind.MEASURED, IntensityKind.ESTIMATED)

# The facts of a run: what its folder holds that is only ever appended to.


class Facts:
    """A run's ledger, and what was known of the grid, as its folder has them now.

    :raises ArtifactError: the folder has no ledger, or it cannot be read.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.ledger, self.contents = folder.ledger, read_ledger(folder.ledger)
        self.rows = self.contents.rows
        self.entries, self.problems = read_intensity(folder.path)

    @cached_property
    def details(self) -> RunDetails:
        """What the run is about, as the opening of its last attempt says.

        :raises ArtifactError: no attempt was opened, or its opening line is damaged.
        """
        openings = [event for event in self.contents.events if event.event is LedgerEventKind.OPENED]
        if not (openings or self.rows or self.contents.problems):
            raise ArtifactError(f"{self.ledger}: is empty, since nothing was measured; train the run again")
        if not openings:
            raise ArtifactError(f"{self.ledger}: does not say what its run was about; restore its opening line")
        with _one_sentence(f"{self.ledger}: its opening line"):
            return RunDetails.model_validate(openings[-1].details)

    @property
    def result(self) -> TrainingResult | None:
        """The result that the last attempt was closed with; None of a run that did not finish.

        :raises ArtifactError: its closing line is damaged.
        """
        last = self.contents.events[-1]
        found = last.details.get("result") if last.event is LedgerEventKind.CLOSED else None
        with _one_sentence(f"{self.ledger}: its closing line"):
            return None if found is None else TrainingResult.model_validate(found)

    @property
    def ended_at(self) -> datetime:
        """Return the real time at which the run ended, or, killed, wrote its last row; the first valuation's time."""
        last = self.contents.events[-1]
        if last.event is LedgerEventKind.CLOSED:
            return last.at
        own = self.contents.rows_of(last.attempt)
        if own and self.details.replay is None:  # its clock also ran while the machine was suspended
            return own[-1].end + timedelta(seconds=self.details.interval_s)
        ran_s = own[-1].monotonic_s - last.monotonic_s if own else 0.0
        return last.at + timedelta(seconds=max(0.0, ran_s + self.details.interval_s))

    @property
    def grid(self) -> GridConfig:
        """The grid that the run was valued at, as the opening of its last attempt says.

        :raises ArtifactError: it does not say so.
        """
        try:
            return GridConfig.model_validate(self.details.grid)
        except ValidationError as error:
            raise ArtifactError(
                f"{self.ledger}: its opening line names no grid ({first_fault(error)}); give --config"
            ) from None

    @property
    def speed(self) -> float:
        """Seconds of policy time in a real second: above 1 under replay."""
        return self.details.replay.speed if self.details.replay else 1.0

    @property
    def meaning(self) -> Meaning:
        """The signal and emission factor type of the record; only intensities of these value energy."""
        return (self.details.signal_type, self.details.emission_factor_type)


@contextmanager
def _one_sentence(place: str) -> Iterator[None]:
    """Report what a file holds and must not as one sentence, so that a damaged run stops no other."""
    try:
        yield
    except ValidationError as error:
        raise ArtifactError(f"{place} is damaged ({first_fault(error)}); restore the file") from None


# The account: derived from the facts, and as often as wanted.


def account_of(folder: RunFolder) -> AnyRecord:
    """Return a run's account; that of a run that was killed is recovered from its ledger and kept as ``record.json``.

    :raises ArtifactError: no record and no ledger, a ledger that another process writes to, or one that says nothing of its run.
    :raises MeasurementError: a ledger without any energy.
    """
    if not folder.record.exists() and not folder.ledger.exists():
        raise ArtifactError(f"{folder.path}: there is neither record.json nor ledger.jsonl; give the folder of a run")
    if folder.record.exists():
        account = read_record(folder.record)
        if isinstance(account, TrainingRecord):
            return load_record(folder.record)  # compares its ledger with the record's checksum
        if sha256_of(folder.ledger) == account.ledger_sha256:
            return account  # else it was killed once more since
    with LedgerWriter(folder.ledger):  # refuses a run that is still running, and moves a torn line aside
        return recover(folder)


def recover(folder: RunFolder) -> AnyRecord:
    """Derive the account of a run that was killed; call it while the ledger is held.

    :raises ArtifactError: a ledger that says nothing of its run.
    :raises MeasurementError: a ledger without any energy.
    """
    IntensityLog(folder.path)  # cuts off a line that the killed process left half-written
    return derive(folder)


def derive(folder: RunFolder) -> AnyRecord:
    """Value a run's energy at what is known of the grid by now, and write ``emissions.csv`` and ``record.json``.

    Facts are read, never written, so it may be called as often as wanted and after a kill at any point; nothing is written
    where nothing is new. A run whose last attempt has no result has an incomplete record.

    :raises ArtifactError: a file cannot be read or written, or the ledger does not say what its run was about.
    :raises MeasurementError: a ledger without any energy.
    """
    facts = Facts(folder)
    now = value_rows(facts.rows, facts.entries, pue=facts.details.pue, meaning=facts.meaning)
    with _one_sentence(f"{folder.ledger}: what it says of its run"):
        account = _account(folder, facts, now)
    _write_if_new(folder.emissions, _table(now))
    _write_if_new(folder.record, account.model_dump_json(indent=2) + "\n")
    return account


def _account(folder: RunFolder, facts: Facts, now: Valuation) -> AnyRecord:
    details, result, fields = facts.details, facts.result, _fields(folder, facts, now)
    if result is None:
        sizes, _ = sizes_of_killed(folder, details)
        return IncompleteRecord.model_validate({**fields, **sizes, "precision": details.precision})
    score = sci_score(
        fields["emissions_gco2eq"],
        AccountConfig.model_validate(details.account),
        duration_s=fields["duration_s"],
        epochs=result.epochs,
        samples=result.samples,
    )
    return TrainingRecord.model_validate(
        {
            **fields,
            **result.model_dump(),
            # a score of a part of the emissions would be too low
            "sci": None if fields["unvalued_energy_kwh"] else score,
            "energy_complete": fields["uncovered_s"] == 0,
            "versions": result.versions | details.versions,
        }
    )


def _write_if_new(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_atomically(path, text)


_FROM_OPENING = {
    *("run_id", "comparison_key", "configuration", "zone", "signal_type", "emission_factor_type", "policy"),
    *("submitted_at", "replay", "effective_batch_size", "seed", "gpu_devices", "pue", "versions"),
}


def _fields(folder: RunFolder, facts: Facts, now: Valuation) -> dict[str, Any]:
    """Return the fields that a record has whether its run finished or not."""
    details, rows = facts.details, facts.rows
    then = value_rows(rows, facts.entries, pue=details.pue, meaning=facts.meaning, as_of=facts.ended_at)
    methods, scope, differences = how_measured(facts.contents)
    problems = _problems(folder, facts, then, now, differences)
    if not rows:
        raise MeasurementError(f"{folder.ledger} has no rows: {'; '.join(problems) or 'nothing was measured'}")
    if now.energy_kwh <= 0:
        raise MeasurementError(
            "the energy meter counted nothing in the whole run; check what it can read on this machine"
        )
    every, train = now.every, now.of(Phase.TRAIN)
    started_at = min(row.start for row in every)
    foreign = value_rows(now.unvalued, facts.entries, pue=details.pue)
    energy = {part: math.fsum(getattr(row, f"{part}_energy_kwh") for row in every) for part in ("cpu", "gpu", "ram")}
    return details.model_dump(include=_FROM_OPENING) | {
        "started_at": started_at,
        "ended_at": max(row.end for row in every),
        "wait_s": max(0.0, (started_at - details.submitted_at).total_seconds()),
        # failed attempts count as their energy does, pauses do not
        "duration_s": math.fsum((row.end - row.start).total_seconds() for row in rows) / facts.speed,
        "attempts": max(row.attempt for row in every),
        "interruptions": tuple(_interruptions(folder, rows)),
        "energy_kwh": energy | {"total": now.energy_kwh, "methods": methods},
        "machine_energy_kwh": machine_totals(rows),
        "energy_train_kwh": train.energy_kwh,
        "measuring_scope": scope,
        "uncovered_s": uncovered_s(
            facts.contents,
            interval_s=details.interval_s,
            speed=facts.speed,
            held_up_s=held_up_s(facts.contents, folder.ledger.stat().st_mtime),
        ),
        **_figures(now),
        "emissions_train_gco2eq": train.emissions_gco2eq,
        "unvalued_energy_kwh": total_energy_kwh(now.unvalued),
        "foreign_signal_share": total_energy_kwh(foreign.rows) / now.energy_kwh,
        "first_valuation": {"as_of": facts.ended_at, **_figures(then)},
        "settlement": _settlement(now.rows, facts.ended_at, now.energy_kwh),
        "counterfactual": _at_submission(facts),
        "uncertainty": emissions_interval(now, methods),
        "problems": problems,
        "warnings": folder.warnings(),
        "ledger_path": str(folder.ledger),
        "ledger_sha256": sha256_of(folder.ledger),
    }


def _figures(valued: Valuation) -> dict[str, Any]:
    names = ("emissions_gco2eq", "mean_carbon_intensity_gco2eq_per_kwh", "intensity_kinds")
    return {name: getattr(valued, name) for name in names}


def _problems(
    folder: RunFolder, facts: Facts, then: Valuation, now: Valuation, differences: Sequence[str]
) -> tuple[str, ...]:
    """Return what went wrong with the measuring, each sentence once."""
    contents = facts.contents
    torn = facts.ledger.with_name(facts.ledger.name + TORN_SUFFIX)
    moved = [f"broken lines of {facts.ledger} were moved to {torn.name}"] if torn.exists() else []
    closings = [event for event in contents.events if event.event is LedgerEventKind.CLOSED]
    unknown_sizes = [] if facts.result else sizes_of_killed(folder, facts.details)[1]
    return tuple(
        dict.fromkeys(
            (
                *contents.lost_energy(),
                *(str(problem) for event in closings for problem in event.details.get("problems", ())),
                *contents.problems,
                *moved,
                *unknown_sizes,
                *differences,
                *facts.problems,
                *fallback_problems(facts, then),
                *_without_intensity(facts, now),
            )
        )
    )


def _without_intensity(facts: Facts, now: Valuation) -> list[str]:
    if not (unvalued_kwh := total_energy_kwh(now.unvalued)):
        return []
    share, own = percent_text(100 * unvalued_kwh / now.energy_kwh), ", ".join(facts.meaning)
    return [f"no intensity ({own}) is known of {share} of the energy, which is in no emissions; settle the run later"]


def _settlement(rows: Sequence[ValuedRow], ended_at: datetime, total_kwh: float) -> Settlement | None:
    later = [row for row in rows if row.learnt_at is not None and row.learnt_at > ended_at]
    if not later:
        return None
    return Settlement(
        settled_at=max(row.learnt_at for row in later if row.learnt_at is not None),
        settled_energy_share=total_energy_kwh(later) / total_kwh,
        sources=tuple(sorted({row.intensity_source for row in later})),
    )


def _at_submission(facts: Facts) -> Any:
    """Value the run's energy at what is known of the grid from submission on, as if it had begun then."""
    details = facts.details
    readings = [entry.reading for entry in best_known(facts.entries, meaning=facts.meaning)]
    paused = details.policy == "interruptible"
    return counterfactual(facts.rows, details.submitted_at, readings, pue=details.pue, in_one_piece=paused)


def _interruptions(folder: RunFolder, rows: Sequence[LedgerRow]) -> Iterator[Interruption]:
    resumed_from = folder.resumed_from()
    for before, after in pairwise(rows):
        if after.attempt != before.attempt:
            step = resumed_from.get(after.attempt, 0)
            yield Interruption(
                attempt=after.attempt, start=before.end, end=after.start, resumed_from_optimizer_step=step
            )


_COLUMNS = "start,end,phase,energy_kwh,carbon_intensity_gco2eq_per_kwh,kind,source,emissions_gco2eq,attempt"


def _table(valued: Valuation) -> str:
    """Return the valued rows as CSV in time order; where no intensity is known, its columns are empty."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS.split(","))
    for row in sorted((*valued.rows, *valued.unvalued), key=lambda row: row.start):
        grid: tuple[object, ...] = ("",) * 4
        if isinstance(row, ValuedRow):
            intensity = row.carbon_intensity_gco2eq_per_kwh
            grid = (intensity, row.intensity_kind.value, row.intensity_source, row.emissions_gco2eq)
        start, end = format_time(row.start), format_time(row.end)
        table.writerow((start, end, row.phase.value, row.energy_kwh, *grid, row.attempt))
    return text.getvalue()


# How a run's energy was obtained when its attempts ran on machines that measure differently: the weakest is named.


_WEAKEST_FIRST = ("replayed", "constant", "tdp_estimate", "nvml", "rapl", "none")
_WIDEST_FIRST = ("replayed", "machine", "process_tree")


def how_measured(contents: LedgerContents) -> tuple[dict[str, str], str, list[str]]:
    """Return one method for each component, one scope, and a sentence for each in which attempts with rows differ.

    The method is the one that says least; the scope is whose energy it is, at most: the machine's where one attempt was
    charged all of it.
    """
    with_rows = {row.attempt for row in contents.rows}
    openings = contents.attempts(LedgerEventKind.OPENED).items()
    opened = [opening.details for number, opening in openings if number in with_rows]
    scopes = {str(details["measuring_scope"]) for details in opened if details.get("measuring_scope")}
    methods, problems = {}, []
    for part in ("cpu", "gpu", "ram"):
        found = {how["methods"].get(part, "none") for how in opened if how.get("methods")}
        methods[part] = next((method for method in _WEAKEST_FIRST if method in found), "none")
        if len(found - {"none"}) > 1:
            names = ", ".join(sorted(found - {"none"}))
            problems.append(f"the attempts' {part.upper()} energy was obtained differently ({names})")
    if len(scopes) > 1:
        problems.append(f"the attempts were measured over different scopes ({', '.join(sorted(scopes))})")
    return methods, next((scope for scope in _WIDEST_FIRST if scope in scopes), "none"), problems


# Where a grid's provider had no figure for a run's energy: its kinds and sources alone are easily missed.


_MODELLED_ANYWAY = ("profile", "replay")


def fallback_problems(facts: Facts, then: Valuation) -> list[str]:
    """Return one sentence for each live provider that had no figure for some rows.

    A grid that is a profile or a replay by configuration has none. Typical figures of another factor type than the run's
    value no energy, and are reported too.

    :param then: the ledger at what was known when the run ended, over all attempts.
    """
    openings = facts.contents.attempts(LedgerEventKind.OPENED)
    providers = {number: (opening.details.get("grid") or {}).get("provider") for number, opening in openings.items()}
    asked = {number: str(name) for number, name in providers.items() if name and name not in _MODELLED_ANYWAY}
    foreign = value_rows(then.unvalued, facts.entries, pue=facts.details.pue, as_of=facts.ended_at)
    of = len(then.rows) + len(foreign.rows) + len(foreign.unvalued)
    found: list[str] = []
    for valued, instead in (
        (then.rows, "they were first valued at typical figures instead"),
        (foreign.rows, "only typical figures of another signal or factor type are known, at which they are not valued"),
    ):
        for provider in sorted(set(asked.values())):
            rows = [
                row
                for row in valued
                if row.intensity_kind is IntensityKind.MODELLED and asked.get(row.attempt) == provider
            ]
            if not rows:
                continue
            share = f", {100 * total_energy_kwh(rows) / then.energy_kwh:.1f} % of the energy" if then.energy_kwh else ""
            sources = ", ".join(sorted({row.intensity_source for row in rows}))
            found.append(
                f"{provider} had no usable figure for {len(rows)} of {of} rows between {format_time(rows[0].start)} and"
                f" {format_time(rows[-1].end)}{share}; {instead} ({sources})"
            )
    return found
