"""The page's charts with their legends and tables, from a report and the evidence of its runs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from lowtide import units
from lowtide.grid.providers.registry import licences_of
from lowtide.report.comparability import CHECKS, DEVICE_NAME, GPU_DEVICES, METHODS, WHOLE_KEY
from lowtide.report.html.drawings import Facts, Shown, Table, Tile, intensity, power, quality, waterfall
from lowtide.report.html.run_data import Evidence, EvidenceFile, Span, activities, average, runs_of, total_s
from lowtide.report.model import Direction, Interval, ReplicateFigure, Report, RunFigures, Spread, Status, Waiting
from lowtide.report.text import render_table, waiting_sentences
from lowtide.units import time_text

# What the page says in words of its own: what a status means, and what the terms mean.


STATUS: Final[dict[Status, tuple[str, str]]] = {
    "claimed": (
        "Claimed",
        "The figures meet the rules for a claim. What is claimed is the sentence above, and no more.",
    ),
    "simulated": (
        "Simulated",
        "The grid or the energy was replayed or modelled. The figures show how it works; nothing is claimed.",
    ),
    "withheld": ("Withheld", "No claim is made, for the reasons below. The figures are shown as they are."),
    "no_baseline": (
        "No baseline",
        "There is no run to compare with. Only what waiting did to this run's own emissions is known.",
    ),
}
DIRECTION: Final[dict[Direction, str]] = {
    "lower": "Lower",
    "higher": "Higher",
    "no_measurable_change": "No measurable change",
}
TERMS: Final = (
    (
        "Emissions",
        "Energy of each interval, times the site's PUE, times the grid's intensity then, summed over the ledger's rows."
        " Location-based, in grams of CO2-equivalent.",
    ),
    (
        "Attribution",
        "The change in grams, divided without a residual into work, efficiency, grid conditions and waiting"
        " (LMDI-I: Ang, Energy Policy 32, 2004).",
    ),
    (
        "Of that change, ours",
        "The grams of the parts that count as ours, and what percentage of the baseline's emissions they are, as of the whole"
        " change. The last line, and a headline that claims, have another base: what the same samples would have emitted without them.",
    ),
    ("Work", "More or fewer samples than the baseline."),
    ("Efficiency", "Energy per sample, PUE included. Counts as ours where the meters can tell it."),
    (
        "Grid conditions",
        "The grid when this run was submitted, against the grid of the baseline. Nobody's merit: the weather.",
    ),
    (
        "Waiting",
        "The grid when the run used its energy, against the grid had it begun at submission."
        " Counts as ours where a decision made the run wait.",
    ),
    (
        "Perfect knowledge",
        "The same energy curve at the best time between submission and deadline, known only afterwards. No plan can do better.",
    ),
    (
        "Within the methods' known errors",
        "The bounds if every method errs as far as its published error goes, all in the same direction.",
    ),
)
KIND_MEANING: Final = {
    "measured": "measured",
    "estimated": "estimated by the provider",
    "forecast": "forecast",
    "cached": "last good reading",
    "modelled": "modelled",
    "replayed": "replayed",
}
FOLLOWS: Final = {
    "comparison": "Bars any claim about the change.",
    "efficiency": "Bars a claim about efficiency and the total.",
    "nothing": "Noted.",
}


# What speaks for and against a report's figures, in one column beside them.


def trust_of(report: Report) -> Facts:
    """Return the facts, each with a name."""
    return tuple((name, tuple(lines)) for name, lines in _trusting_facts(report) if lines)


def shares_text(run: RunFigures) -> str:
    """Write which share of the energy was valued at which kind of intensity."""
    kinds = sorted(run.intensity_kinds.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{KIND_MEANING[kind]} {units.percent_text(100 * share)}" for kind, share in kinds)


def methods_text(run: RunFigures) -> str:
    """Write how the energy of each component was obtained, and its share."""
    energy = run.energy_kwh
    parts = (("CPU", "cpu", energy.cpu), ("GPU", "gpu", energy.gpu), ("RAM", "ram", energy.ram))
    methods = {str(part): str(method) for part, method in energy.methods.items()}
    return ", ".join(
        f"{name} {methods.get(part, 'none')} {units.percent_text(100 * kwh / energy.total if energy.total else 0.0)}"
        for name, part, kwh in parts
        if kwh
    )


def _trusting_facts(report: Report) -> Iterator[tuple[str, list[str]]]:
    yield "Intensity", list(_of_both(report, shares_text))
    yield "Energy", list(_energy(report))
    yield "Known errors", list(_known_errors(report))
    yield "Repetition", [_repetition(report)]
    yield "Fairness", [_fairness(report)]
    yield "The wait", list(_wait(report))


def _of_both(report: Report, write: Callable[[RunFigures], str]) -> Iterator[str]:
    now = write(report.run)
    if report.baseline is None:
        yield now
    elif (before := write(report.baseline)) == now:
        yield f"{now}, in both"
    else:
        yield from (f"this run: {now}", f"baseline: {before}")


def _energy(report: Report) -> Iterator[str]:
    if report.baseline is None or report.baseline.energy_kwh.methods != report.run.energy_kwh.methods:
        yield from _of_both(report, methods_text)
    else:
        yield f"{methods_text(report.run)}; the same meters in both"


def _known_errors(report: Report) -> Iterator[str]:
    errors = report.known_errors
    if errors is None or errors.emissions_percent is None:
        return
    low, high = (units.change_text(bound) for bound in (errors.emissions_percent.low, errors.emissions_percent.high))
    yield f"the change lies between {low} and {high} if the two meters err independently"
    if errors.same_meters:
        yield "both runs have the same meters: most of that error is in both, and cancels"


def _repetition(report: Report) -> str:
    repeats = report.replicates
    if repeats is None:
        return "one run a side: how much runs differ by chance is not measured here"
    told = f"{len(repeats.baselines)} baselines and {len(repeats.runs)} runs"
    if repeats.without_interval is not None:
        return f"{told}; no interval: {repeats.without_interval}"
    return f"{told}; {repeats.confidence_percent:g} % intervals"


def _fairness(report: Report) -> str:
    if report.baseline is None:
        return "nothing to hold it against"
    checked, found = len(report.comparability.checked), report.comparability.differences
    told = "no difference" if not found else "1 difference" if len(found) == 1 else f"{len(found)} differences"
    barring = sum(difference.bars != "nothing" for difference in found)
    barred = f", {barring} of which bar a claim" if barring else ""
    return f"{told} in {checked} things that should agree{barred}" if checked else f"{told} found{barred}"


def _wait(report: Report) -> Iterator[str]:
    waiting = report.waiting
    if waiting.deadline is not None:
        met = {True: "met", False: "missed", None: "not known whether met"}[waiting.deadline_met]
        yield f"deadline {met}"
    if waiting.perfect_foresight is not None:
        possible, captured = (
            units.grams_text(waiting.perfect_foresight.avoided_gco2eq),
            waiting.perfect_foresight.captured_percent,
        )
        share = "" if captured is None else f"; the run got {units.percent_text(captured)} of it"
        yield f"perfect knowledge would have avoided {possible}{share}"
    elif waiting.perfect_foresight_unknown is not None:
        yield "what was possible is not known"


# Where each side's figures come from: files with checksums, versions, configuration, sources.


_CHECKED = {True: "as recorded", False: "has changed", None: "no checksum to hold it against"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """One side's."""

    who: str
    facts: Facts
    files: tuple[dict[str, str], ...]
    problems: tuple[str, ...]


def provenance_of(who: str, run: RunFigures, evidence: Evidence) -> Provenance:
    """Return one side's provenance; what could not be read is among its problems."""
    return Provenance(
        who=who,
        facts=tuple((name, tuple(lines)) for name, lines in _facts(run, evidence) if lines),
        files=tuple(_file(file) for file in evidence.files),
        problems=evidence.problems,
    )


def sources_of(evidence: Evidence) -> tuple[str, ...]:
    """Return whose intensities a run was valued at or waited for, the most frequent of the ledger first."""
    rows = () if evidence.rows is None else evidence.rows.sources
    named = dict.fromkeys(sorted(set(rows), key=lambda source: -rows.count(source)))
    return tuple(named | dict.fromkeys(reading.source for reading in (*evidence.at_submission, *evidence.seen)))


def _facts(run: RunFigures, evidence: Evidence) -> Iterator[tuple[str, list[str]]]:
    yield "Run", [run.run_id]
    yield (
        "Submitted, ran",
        [
            units.moment_text(run.submitted_at),
            f"{units.moment_text(run.started_at)} to {units.moment_text(run.ended_at)}",
        ],
    )
    yield "Zone and signal", [f"{run.zone}; {run.signal_type} signal, {run.emission_factor_type} factors"]
    yield "Intensity valued as", [shares_text(run)]
    yield "Intensity from", [", ".join(sources_of(evidence))] if sources_of(evidence) else []
    yield "Energy", [f"{methods_text(run)}; scope {run.measuring_scope.replace('_', ' ')}; PUE {run.pue:g}"]
    yield "Rows of the ledger", _rows(run, evidence)
    yield "Settled", [] if run.settlement is None else [_settled(run)]
    yield "Known errors", list(run.uncertainty.basis) if run.uncertainty is not None else []
    yield "Device", [f"{run.device} ({run.device_name}), {run.precision}"]
    yield "Peak memory", [f"{run.peak_memory_kind}, by {run.peak_memory_method}"]
    yield "Configuration", [run.configuration]
    yield "Versions", _versions(evidence)


def _rows(run: RunFigures, evidence: Evidence) -> list[str]:
    """Say whether the ledger's rows, summed here, are the record's figures."""
    rows = evidence.rows
    if rows is None:
        return []
    kwh, grams = float(rows.energy_kwh.sum()), float(rows.emissions_gco2eq.sum())
    same = _close(kwh, run.energy_kwh.total) and _close(grams, run.emissions_gco2eq)
    sums = f"{units.energy_text(kwh)} and {units.grams_text(grams)}"
    verdict = "the record's figures" if same else "NOT the record's figures"
    return [f"{len(rows):,} rows, which sum to {sums}: {verdict}"]


def _close(value: float, reference: float) -> bool:
    return abs(value - reference) <= 1e-9 * max(abs(reference), 1e-12)


def _settled(run: RunFigures) -> str:
    settlement = run.settlement
    if settlement is None:
        return ""
    share = units.percent_text(100 * settlement.settled_energy_share)
    first = units.grams_text(run.first_valuation.emissions_gco2eq)
    when = units.moment_text(settlement.settled_at)
    return f"{when}: {share} of the energy is valued at actual figures of {', '.join(settlement.sources)}; first valued at {first}"


def _versions(evidence: Evidence) -> list[str]:
    if evidence.record is None:
        return []
    return [", ".join(f"{name} {version}" for name, version in evidence.record.versions.items())]


def _file(file: EvidenceFile) -> dict[str, str]:
    return {"what": file.what, "path": file.path, "sha256": file.sha256 or "", "checked": _CHECKED[file.checked]}


# Several runs a side: means, spread and intervals in a table.


_BY_ROUNDING = 1e-12
_NAMES = {
    "emissions_gco2eq": "Emissions",
    "energy_kwh": "Energy",
    "mean_intensity_gco2eq_per_kwh": "Mean intensity of the grid",
    "peak_memory_bytes": "Peak memory",
    "test_accuracy": "Test accuracy",
    "duration_s": "Duration",
    "wait_s": "Wait",
    "waiting_avoided_percent": "Avoided by waiting",
    "perfect_foresight_avoided_percent": "Avoided by perfect knowledge",
    "captured_percent": "Of that, got",
}
_UNITS: dict[str, Callable[[float], str]] = {
    "gco2eq_per_kwh": units.intensity_text,
    "gco2eq": units.grams_text,
    "kwh": units.energy_text,
    "bytes": lambda value: units.memory_text(round(value)),
    "s": time_text,
    "percent": units.percent_text,
    "accuracy": lambda value: f"{100 * value:.2f} %",
}


def replicates_of(report: Report) -> dict[str, Any] | None:
    """Return what to say and the table; None with one run a side."""
    repeats = report.replicates
    if repeats is None:
        return None
    text = f"{len(repeats.baselines)} baselines and {len(repeats.runs)} runs. {repeats.method}."
    if repeats.without_interval is not None:
        text += f" No interval of the changes: {repeats.without_interval}."
    table = Table(
        summary="Figures of all runs",
        caption=f"Mean, standard deviation and {repeats.confidence_percent:g} % interval of the mean",
        header=("Figure", "Baselines", "Runs"),
        rows=tuple(
            (_name(figure), _spread(figure, figure.baseline), _spread(figure, figure.run)) for figure in repeats.figures
        ),
    )
    return {"text": text, "table": table}


def _name(figure: ReplicateFigure) -> str:
    return _NAMES.get(figure.name, figure.name.replace("_", " "))


def _spread(figure: ReplicateFigure, spread: Spread | None) -> str:
    if spread is None:
        return units.NONE_TEXT
    write = next((write for ending, write in _UNITS.items() if figure.name.endswith(f"_{ending}")), units.significant)
    text = write(spread.mean)
    if spread.standard_deviation is None:
        return text
    if spread.standard_deviation <= _BY_ROUNDING * abs(spread.mean):
        return f"{text}, in all"
    text += f", sd {write(spread.standard_deviation)}"
    if spread.interval is not None:
        text += f" ({write(spread.interval.low)} to {write(spread.interval.high)})"
    return text


# The key figures: what they are now, what they were, and between which bounds they lie.


Write = Callable[[float], str]


class _Figure(NamedTuple):
    label: str
    change: str
    name: str
    read: Callable[[RunFigures], float]
    write: Write


_EMISSIONS = _Figure(
    "Emissions", "emissions_percent", "emissions_gco2eq", lambda r: r.emissions_gco2eq, units.grams_text
)
_ENERGY = _Figure("Energy", "energy_percent", "energy_kwh", lambda r: r.energy_kwh.total, units.energy_text)
_INTENSITY = _Figure(
    "Mean intensity of the grid",
    "mean_intensity_percent",
    "mean_intensity_gco2eq_per_kwh",
    # the record's mean carries the site's PUE; a grid's intensity does not
    lambda r: r.mean_carbon_intensity_gco2eq_per_kwh,
    units.intensity_text,
)
_ACCURACY = _Figure(
    "Test accuracy", "accuracy_points", "test_accuracy", lambda r: r.test_accuracy, lambda value: f"{100 * value:.2f} %"
)
_MEMORY = _Figure(
    "Peak memory",
    "peak_memory_percent",
    "peak_memory_bytes",
    lambda r: r.peak_memory_bytes,
    lambda value: units.memory_text(round(value)),
)
_DURATION = _Figure("Duration", "duration_percent", "duration_s", lambda r: r.duration_s, time_text)


def tiles_of(report: Report) -> tuple[Tile, ...]:
    """Return the tiles, in the order of what a reader asks first."""
    rest = (_ENERGY, _INTENSITY, _ACCURACY, _MEMORY, _DURATION)
    return (
        _with_bounds(_tile(report, _EMISSIONS), report),
        _ours(report),
        _waiting(report),
        *(_tile(report, figure) for figure in rest),
    )


def interval_text(interval: Interval, write: Write) -> str:
    """Write two bounds."""
    return f"{write(interval.low)} to {write(interval.high)}"


def _tile(report: Report, figure: _Figure) -> Tile:
    now = average(report, "run", figure.name, figure.read)
    text = units.NONE_TEXT if now is None else figure.write(now)
    return Tile(label=figure.label, now=text, lines=tuple(_before(report, figure)))


def _before(report: Report, figure: _Figure) -> Iterator[str]:
    before = average(report, "baseline", figure.name, figure.read)
    if before is None:
        return
    write = units.points_text if figure is _ACCURACY else units.change_text
    change = report.changes.model_dump()[figure.change]
    told = figure.write(before)
    if change is None:
        yield f"{told} before; not comparable"
    elif figure is _EMISSIONS and report.attribution_gco2eq.total is not None:
        yield f"{units.signed_grams_text(report.attribution_gco2eq.total)}, {write(change)} of the baseline's {told}"
    else:
        yield f"{write(change)} against {told}"
    repeats = report.replicates
    if repeats is not None and figure.change in repeats.changes:
        yield f"{interval_text(repeats.changes[figure.change], write)} over {_runs(report)}"


def _runs(report: Report) -> str:
    return f"{len(runs_of(report, 'baseline'))} and {len(runs_of(report, 'run'))} runs"


def _with_bounds(tile: Tile, report: Report) -> Tile:
    bounds = report.run.uncertainty
    if bounds is None or report.replicates is not None:
        return tile
    low, high = units.grams_text(bounds.emissions_low_gco2eq), units.grams_text(bounds.emissions_high_gco2eq)
    return Tile(label=tile.label, now=tile.now, lines=(*tile.lines, f"known errors: {low} to {high}"))


def _ours(report: Report) -> Tile:
    ours = report.controllable
    if ours is None:
        attributed = report.attribution_gco2eq.total is not None
        why = "nothing counts as ours here" if attributed else "nothing is attributed"
        return Tile(label="Of that change, ours", now=units.NONE_TEXT, lines=(why,))
    lines = [
        f"by {' and '.join(ours.parts)}",
        f"{units.change_text(ours.change_percent)} of what it would have been without",
    ]
    before = average(report, "baseline", _EMISSIONS.name, _EMISSIONS.read)
    if before:
        share = units.change_text(100 * ours.change_gco2eq / before)
        lines.insert(0, f"{share} of the baseline's {units.grams_text(before)}")
    if report.replicates is not None and report.replicates.controllable_percent is not None:
        lines.append(f"{interval_text(report.replicates.controllable_percent, units.change_text)} over {_runs(report)}")
    return Tile(label="Of that change, ours", now=units.signed_grams_text(ours.change_gco2eq), lines=tuple(lines))


def _waiting(report: Report) -> Tile:
    waiting = report.waiting
    waited = f"waited {time_text(waiting.wait_s)}"
    if waiting.no_wait is not None:
        waited = f"by a start {time_text(waiting.wait_s)} later, no wait: {waiting.no_wait}"
    if waiting.paused_s:
        waited += f", paused {time_text(waiting.paused_s)}"
    if waiting.no_wait is None and waiting.queued_s:
        waited += f", {time_text(waiting.queued_s)} of {'both' if waiting.paused_s else 'it'} in a queue"
    if waiting.avoided_gco2eq is None:
        return Tile(
            label="Avoided by waiting", now=units.NONE_TEXT, lines=(waited, "intensity at submission not known")
        )
    lines = [waited]
    if waiting.avoided_percent is not None:
        lines.insert(0, f"{units.change_text(-waiting.avoided_percent)} against submission")
    captured = None if waiting.perfect_foresight is None else waiting.perfect_foresight.captured_percent
    if captured is not None and captured >= 0:
        lines.append(f"{units.percent_text(captured)} of what was possible")
    now = units.grams_text(abs(waiting.avoided_gco2eq))
    return Tile(label=_waiting_label(waiting), now=now, lines=tuple(lines))


def _waiting_label(waiting: Waiting) -> str:
    """Name the grams after the wait only where there was one: what a queue did is nobody's doing."""
    less = (waiting.avoided_gco2eq or 0.0) >= 0
    if waiting.no_wait is not None or waiting.queued_s:
        return "Less than at submission" if less else "More than at submission"
    return "Avoided by waiting" if less else "Added by waiting"


# Everything that the page says, in the order in which it says it; the template only puts it into place.


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the template shows; plain text and drawings, escaped where it is rendered."""

    title: str
    status: dict[str, str]
    direction: str | None
    headline: str
    ids: tuple[tuple[str, str], ...]
    tiles: tuple[Tile, ...]
    why: str
    waterfall: Shown | None
    no_waterfall: str
    reasons: tuple[str, ...]
    trust: Facts
    when: str
    wait: tuple[str, ...]
    intensity: Shown | None
    no_intensity: str
    missing: tuple[str, ...]
    power: Shown | None
    quality: Shown
    repeats: dict[str, Any] | None
    fairness: dict[str, Any]
    notes: tuple[str, ...]
    all_figures: Sequence[tuple[str, str, str, str]]
    provenance: tuple[Provenance, ...]
    licences: tuple[str, ...]
    words: tuple[tuple[str, str], ...]
    footer: str


def view_of(report: Report, *, baseline: Evidence, run: Evidence) -> View:
    """Return the view of a report and of what its runs left."""
    word, meaning = STATUS[report.headline.status]
    spans = activities(report.run, run)
    return View(
        title=f"{word}: run {report.run_id}",
        status={"key": report.headline.status, "word": word, "meaning": meaning},
        direction=_direction(report),
        headline=report.headline.text,
        ids=_ids(report),
        tiles=tiles_of(report),
        why=_why(report),
        waterfall=waterfall(report),
        no_waterfall="The intensity at submission is not known, so not even what waiting did can be shown.",
        reasons=report.headline.reasons,
        trust=trust_of(report),
        when=_when(report, spans),
        wait=tuple(waiting_sentences(report)),
        intensity=intensity(report, run, spans),
        no_intensity="No intensity is known for the time from submission to the end: the ledger cannot be read here.",
        missing=_missing(report, baseline, run),
        power=power(report, baseline, run, spans),
        quality=quality(report),
        repeats=replicates_of(report),
        fairness=_view_fairness(report),
        notes=report.notes,
        all_figures=render_table(report),
        provenance=_provenance(report, baseline, run),
        licences=licences_of((*sources_of(run), *sources_of(baseline))) or ("No source is known here.",),
        words=TERMS,
        footer=f"Written {units.moment_text(report.generated_at)}. The same figures: report.json and report.md, beside this file.",
    )


def _direction(report: Report) -> str | None:
    """Name the direction, and whose it is where it is the wait's alone: the total may well be higher."""
    found = report.headline.direction
    if found is None:
        return None
    by_waiting = (
        found != "no_measurable_change"
        and report.controllable is not None
        and report.controllable.parts == ("waiting",)
    )
    return DIRECTION[found] + (" by waiting" if by_waiting else "")


def _ids(report: Report) -> tuple[tuple[str, str], ...]:
    run = report.run
    return (
        ("Run", report.run_id),
        ("Baseline", report.baseline_run_id or "none"),
        ("Zone", run.zone),
        ("Policy", run.policy),
        ("Device", run.device_name),
        ("Ended", units.moment_text(run.ended_at)),
    )


def _why(report: Report) -> str:
    if report.baseline is None:
        return "Without a baseline, only the run's own energy at submission can be held against it."
    if report.attribution_gco2eq.total is None:
        return "The two runs are not comparable, so the change is not attributed. Shown is this run against its own energy at submission."
    total = units.signed_grams_text(report.attribution_gco2eq.total)
    return f"A change of {total}: filled bars count as ours, hatched ones do not."


def _when(report: Report, spans: Sequence[Span]) -> str:
    waited, paused = total_s(spans, "waiting"), total_s(spans, "paused")
    told = [f"waited {time_text(waited)}" if waited else "started at once"]
    if paused:
        told.append(f"paused for {time_text(paused)}")
    if queued_s := report.waiting.queued_s:  # before the start, or before going on after a pause
        told[-1] += f" ({time_text(queued_s)} {'of both ' if waited and paused else ''}in a queue)"
    if lost := total_s(spans, "interrupted"):
        told.append(f"was interrupted for {time_text(lost)}")
    replayed = (
        " All times are the replayed grid's." if any(kind == "replayed" for kind in report.run.intensity_kinds) else ""
    )
    ran = time_text(total_s(spans, "running"))
    return f"Submitted {units.moment_text(report.run.submitted_at)}; the run {', '.join(told)} and ran for {ran}.{replayed}"


def _missing(report: Report, baseline: Evidence, run: Evidence) -> tuple[str, ...]:
    sides = [("This run", run)] if report.baseline is None else [("The baseline", baseline), ("This run", run)]
    first = (
        ()
        if report.replicates is None
        else ("Drawn are the first baseline and the first run; the table holds all runs.",)
    )
    return first + tuple(
        f"{who} is missing here: {'; '.join(evidence.problems)}. Its totals stand in the tables."
        for who, evidence in sides
        if evidence.rows is None
    )


def _view_fairness(report: Report) -> dict[str, Any]:
    found, checked = report.comparability.differences, report.comparability.checked
    different = {difference.what for difference in found}
    labels = {check.what: check.label for check in (*CHECKS, *METHODS, DEVICE_NAME, GPU_DEVICES, WHOLE_KEY)}
    same = [labels.get(key, key.replace("_", " ")) for key in checked if key not in different]
    if report.baseline is None:
        text = "There is no baseline to compare with."
    elif found:
        text = "What two runs should have in common, and where these two differ."
    else:
        text = "Nothing differs that should not."
    differences = [difference.model_dump() | {"follows": FOLLOWS[difference.bars]} for difference in found]
    return {"text": text, "differences": differences, "same": same}


def _provenance(report: Report, baseline: Evidence, run: Evidence) -> tuple[Provenance, ...]:
    now = provenance_of("This run", report.run, run)
    return (now,) if report.baseline is None else (now, provenance_of("Baseline", report.baseline, baseline))
