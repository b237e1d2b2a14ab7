"""A report in words: its table, the summary of a task's log, the effect of waiting, data quality, sources; and as Markdown.

All but the Markdown page is plain text, escaped where it is rendered.
"""

import html
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from lowtide import units
from lowtide.records import Counterfactual, IntensityKind, TrainingRecord
from lowtide.report.data_quality import CLAIM_LIMIT_SHARE, missing_emissions_text, unsettled_share
from lowtide.report.figures import (
    DETAILS,
    EMISSIONS,
    ENERGY,
    FIGURES,
    PARTS,
    TEST_ACCURACY,
    WAIT_FIGURES,
    Figure,
    Side,
    credit_of,
    runs_of,
    spread_of,
)
from lowtide.report.model import PerfectForesight, Report, Spread, Waiting

_INVISIBLE = {"Cc", "Cf", "Zl", "Zp"}
_MARKUP = re.compile(r"([\\`*\[\]|~#]|(?<=:)/(?=/)|(?<=www)\.)", re.IGNORECASE)
"""What begins or ends markup, also a bare address, which GitHub makes a link."""
_UNDERSCORES = re.compile(r"(?<!_)(?:(?<![^\W_])_+|_+(?![\w]))(?!_)")
"""Those at a word's edge are emphasis; inside a word they are text."""


def plain(text: str) -> str:
    """Return one line without control, bidirectional or invisible characters."""
    visible = (" " if unicodedata.category(character) in _INVISIBLE else character for character in text)
    return " ".join("".join(visible).split())


def markdown(text: str) -> str:
    """Return text that Markdown shows unchanged, also inside a table."""
    escaped = _MARKUP.sub(r"\\\1", html.escape(plain(text), quote=False))
    return _UNDERSCORES.sub(lambda found: r"\_" * len(found[0]), escaped)


# The table of all figures.


Row = tuple[str, str, str, str]
_ROUNDING = 1e-9


def render_table(report: Report) -> list[Row]:
    """Return rows of (figure, baseline, run, change); safe for a terminal, not yet escaped for Markdown.

    With several runs a side, figures are means with half their 95 % interval, and texts are those of all runs.
    """
    repeated, sides = report.replicates is not None, (runs_of(report, "baseline"), runs_of(report, "run"))
    before, after = (str(len(side) or "-") for side in sides)
    rows: list[Row] = [("Runs", before, after, "")] if repeated else []
    for figure in FIGURES:
        before, after = (_cell(report, figure, side) for side in ("baseline", "run"))
        rows.append((figure.label, before, after, figure.change_in(report.changes)))
        rows += [] if repeated else _detail_rows(sides, figure)
    rows += [
        (figure.label, "", _mean(spread, units.percent_text), "")
        for figure in WAIT_FIGURES
        if (spread := spread_of(report, "run", figure.key))
    ]
    return [*rows, *_detail_rows(sides, None)]


def _cell(report: Report, figure: Figure, side: Side) -> str:
    if report.replicates is not None:
        return _mean(spread_of(report, side, figure.key), figure.write)
    return "".join(plain(figure.write(figure.read(run)) + figure.note(run)) for run in runs_of(report, side)) or "-"


def _detail_rows(sides: Sequence[Sequence[TrainingRecord]], after: Figure | None) -> Iterator[Row]:
    for detail in DETAILS:
        if detail.after is after:
            before, now = (plain(", ".join(dict.fromkeys(map(detail.write, side)))) or "-" for side in sides)
            if now != units.NONE_TEXT:  # a run without bounds or score
                yield (detail.label, before, now, "")


def _mean(spread: Spread | None, text: Callable[[float], str]) -> str:
    if spread is None:
        return "-"
    if spread.interval is None:
        return text(spread.mean)
    half = (spread.interval.high - spread.interval.low) / 2
    return f"{text(spread.mean)} ± {text(half if half > _ROUNDING * abs(spread.mean) else 0.0)}"


# A comparison in at most ten lines, for the log of the task that made it.


_MOST_REASONS = 3
_STATUS = {"claimed": "", "simulated": ", simulated", "withheld": ", not claimed", "no_baseline": ""}


def summary_lines(report: Report, paths: Mapping[str, Path]) -> list[str]:
    """Return headline, reasons, main figures, their causes and the report's path; plain text, one line each."""
    page = paths.get("report.html") or paths.get("report.json")
    figures = (_summary(report, figure) for figure in (EMISSIONS, ENERGY, TEST_ACCURACY))
    lines = [report.headline.text, *_reasons(report), *figures, *_causes(report), _waited(report)]
    return [plain(line) for line in lines] + ([f"report: {page}"] if page else [])


def _reasons(report: Report) -> Iterator[str]:
    reasons = report.headline.reasons
    shown = reasons if len(reasons) <= _MOST_REASONS else reasons[: _MOST_REASONS - 1]
    yield from (f"- {reason}" for reason in shown)
    if len(shown) < len(reasons):
        yield f"- and {len(reasons) - len(shown)} more reasons, which the report lists"


def _summary(report: Report, figure: Figure) -> str:
    name, after = figure.label.lower(), figure.write(figure.mean(report, "run") or 0.0)
    mean_before = figure.mean(report, "baseline")
    if mean_before is None:
        return f"{name}: {after}"
    before, change = figure.write(mean_before), figure.change_in(report.changes)
    if change == units.NONE_TEXT:  # an arrow between two figures would be read as a change
        return f"{name}: {after}; the baseline's {before} cannot be compared with it"
    return f"{name}: {before} -> {after} ({change})"


def _causes(report: Report) -> Iterator[str]:
    parts = report.attribution_gco2eq
    if report.baseline is None or parts.total is None:
        return
    known = (f"{part.label.lower()} {_grams(getattr(parts, part.key))}" for part in reversed(PARTS))
    yield f"why{_STATUS[report.headline.status]}: {', '.join(known)}"


def _waited(report: Report) -> str:
    waited = f"from submission to start: {units.duration_text(report.waiting.wait_s)}"
    avoided = report.waiting.avoided_gco2eq
    if avoided is None:
        return f"{waited}; the effect on emissions is unknown"
    return f"{waited}; {_against_submission(report.waiting)} than the same energy at submission{_valuation(report)}"


def _against_submission(waiting: Waiting) -> str:
    avoided = waiting.avoided_gco2eq or 0.0
    share = "" if waiting.avoided_percent is None else f" ({units.percent_text(abs(waiting.avoided_percent))})"
    return f"{units.grams_text(abs(avoided))}{share} {'less' if avoided >= 0 else 'more'}"


def _valuation(report: Report) -> str:
    if report.headline.status == "simulated":
        return ", simulated"
    at_submission = report.run.counterfactual
    for kinds in (report.run.intensity_kinds, at_submission.intensity_kinds if at_submission else {}):
        if unsettled_share(kinds) > CLAIM_LIMIT_SHARE:
            return ", valued at forecasts, not yet settled"
    return ""


# The effect of waiting, in the order in which a reader asks.


def waiting_sentences(report: Report) -> Iterator[str]:
    """Yield what the wait avoided, what it cost in time, and what was possible."""
    waiting = report.waiting
    several = len(runs_of(report, "run")) > 1
    yield from _wait_itself(waiting, several=several)
    if waiting.avoided_gco2eq is None:
        yield "The effect of waiting on emissions is unknown."
    else:
        who = "They" if several else "It"
        yield f"{who} emitted {_against_submission(waiting)} than the same energy would have at submission{_range(waiting)}."
        if report.attribution_gco2eq.total is not None:
            yield "The attribution weights waiting by the emissions of both runs, this section by this run's alone."
    yield from _delay(waiting, replayed=IntensityKind.REPLAYED in report.run.intensity_kinds)
    if waiting.perfect_foresight is not None:
        yield from _foresight(waiting.perfect_foresight)
    elif waiting.perfect_foresight_unknown is not None:
        yield f"What perfect foresight would have saved is unknown: {waiting.perfect_foresight_unknown}."


def _wait_itself(waiting: Waiting, *, several: bool) -> Iterator[str]:
    waited, on_average = units.duration_text(waiting.wait_s), " on average" if several else ""
    if waiting.no_wait is not None:
        started = f" It started {waited} after submission." if waiting.wait_s else ""
        yield f"The run did not wait for the grid: {waiting.no_wait}.{started}"
        return
    yield f"The {'runs' if several else 'run'} waited {waited}{on_average}."
    if waiting.queued_s:
        claim = " The figures below include it, so nothing is claimed for waiting." if waiting.queue_bars_claim else ""
        yield (
            f"Of {'that and the pauses' if waiting.paused_s else 'that'}, {units.duration_text(waiting.queued_s)}{on_average}"
            f" was queueing and start-up after the decision to start.{claim}"
        )


def _range(waiting: Waiting) -> str:
    if waiting.avoided_low_gco2eq is None or waiting.avoided_high_gco2eq is None or not waiting.avoided_gco2eq:
        return ""
    low, high = map(units.grams_text, sorted(map(abs, (waiting.avoided_low_gco2eq, waiting.avoided_high_gco2eq))))
    return f": between {low} and {high} by the meter's known error, on which the percentage does not depend"


def _delay(waiting: Waiting, *, replayed: bool) -> Iterator[str]:
    if waiting.later_s > 0:
        pauses = f", {units.duration_text(waiting.paused_s)} of it paused" if waiting.paused_s else ""
        clock = " in replayed time" if replayed else ""
        grams = 0.0 if waiting.no_wait else waiting.avoided_gco2eq_per_hour or 0.0
        gain = f": {units.grams_text(abs(grams))} {'avoided' if grams > 0 else 'added'} per hour" if grams else ""
        yield f"The result was delayed by {units.duration_text(waiting.later_s)}{clock}{pauses}{gain}."
    if waiting.deadline is not None:
        met = "met" if waiting.deadline_met else "missed"
        yield f"The deadline {units.timestamp_text(waiting.deadline)} was {met}."


def _foresight(best: PerfectForesight) -> Iterator[str]:
    first, last = best.segments[0], best.segments[-1]
    segments = "" if len(best.segments) == 1 else f" in {len(best.segments)} segments"
    percent = "" if best.avoided_percent is None else f" ({units.percent_text(best.avoided_percent)})"
    free = ", with pauses at no cost" if best.may_pause else ""
    yield (
        f"With perfect foresight of the grid until {units.timestamp_text(best.window.end)}, the same energy would have run"
        f" from {units.timestamp_text(first.start)} to {units.timestamp_text(last.end)}{segments} and avoided"
        f" {units.grams_text(best.avoided_gco2eq)}{percent}{free}."
    )
    if best.captured_percent is not None:
        yield f"Waiting achieved {units.percent_text(best.captured_percent)} of that."


# Data quality: where intensity and energy come from, how certain the changes are, and whether the runs are comparable.


Facts = list[tuple[str, list[str]]]
"""Names, each with its lines."""

_BARRED = {
    "comparison": "any claim about the change",
    "efficiency": "a claim about efficiency or the total",
    "nothing": "nothing",
}
_KIND_MEANING = {"estimated": "estimated by the provider", "cached": "last good reading"}
DIFFERENCE_HEADER = ("Difference", "Baseline", "Run", "Rules out", "Meaning")
INTERVAL_HEADER = ("Change", "Value", "From", "To")


def quality_facts(report: Report) -> Facts:
    """Return what supports and what limits the figures of a comparison."""
    found = (
        ("Intensity", [*_of_both(report, _kinds_text)]),
        (
            "Energy",
            [
                *_of_both(
                    report, lambda run: ", ".join(f"{part} by {how}" for part, kwh, how in _components(run) if kwh)
                )
            ],
        ),
        ("Known errors", [*_known_errors(report)]),
        ("Repetition", [*_repetition(report)]),
        ("Comparability", [*_comparability(report)]),
    )
    return [(name, lines) for name, lines in found if lines]


def difference_rows(report: Report) -> list[tuple[str, ...]]:
    """Return a row for each difference between the sides, those that rule out most first."""
    ranked = sorted(report.fairness.differences, key=lambda difference: list(_BARRED).index(difference.bars))
    return [(d.label, d.baseline, d.run, _BARRED[d.bars], d.why) for d in ranked]


def interval_rows(report: Report) -> list[tuple[str, ...]]:
    """Return a row for each change that has an interval over repeated runs."""
    if report.replicates is None:
        return []
    changes, intervals = report.changes.model_dump(), report.replicates.changes
    rows = [
        (figure.label, *map(figure.change_text, (changes[key], intervals[key].low, intervals[key].high)))
        for figure in FIGURES
        if (key := figure.change) and key in intervals
    ]
    parts = report.attribution_gco2eq.model_dump()
    return rows + [
        (key.replace("_", " ").capitalize(), *map(units.signed_grams_text, (parts[key], found.low, found.high)))
        for key, found in report.replicates.attribution_gco2eq.items()
    ]


def _kinds_text(valued: TrainingRecord | Counterfactual) -> str:
    """Write which share of the energy is valued at which kind of intensity."""
    kinds = sorted(valued.intensity_kinds.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{_KIND_MEANING.get(kind, kind)} {units.percent_text(100 * share)}" for kind, share in kinds)


def _of_both(report: Report, write: Callable[[TrainingRecord], str]) -> Iterator[str]:
    now = write(report.run)
    if report.baseline is None:
        yield now
    elif (before := write(report.baseline)) == now:
        yield f"{now}, in both"
    else:
        yield from (f"this run: {now}", f"baseline: {before}")


def _components(run: TrainingRecord) -> Iterator[tuple[str, float, str]]:
    """Yield the parts of the energy, each with its kWh and the method by which it was obtained."""
    methods = {str(part): str(method) for part, method in run.energy_kwh.methods.items()}
    for part in ("cpu", "gpu", "ram"):
        yield part.upper(), getattr(run.energy_kwh, part), methods.get(part, "none")


def _known_errors(report: Report) -> Iterator[str]:
    errors = report.known_errors
    if errors is None or errors.emissions_percent is None:
        return
    low, high = (units.change_text(end) for end in (errors.emissions_percent.low, errors.emissions_percent.high))
    yield f"the change of emissions is between {low} and {high} if the meters of the two runs err independently"
    yield (
        "both runs have the same meters and device, so most of that error cancels"
        if errors.same_meters
        else "the meters or the devices differ, so their errors do not cancel"
    )


def _repetition(report: Report) -> Iterator[str]:
    replicates = report.replicates
    if replicates is None:
        if report.baseline is not None:
            percent, name = report.repeatability_percent, "report.repeatability_percent"
            within = name if percent is None else f"{percent:g} % ({name})"
            yield f"one run a side: a change within {within}, an assumed spread, is not measurable"
        return
    yield f"{len(replicates.baselines)} baselines and {len(replicates.runs)} runs"
    if replicates.without_interval is not None:
        yield f"no interval of the changes: {replicates.without_interval}"
    else:
        yield f"intervals of {replicates.confidence_percent:g} % by {replicates.method}"


def _comparability(report: Report) -> Iterator[str]:
    if report.baseline is None:
        yield "no baseline to compare with"
        return
    checked, found = len(report.fairness.checked), report.fairness.differences
    differences = f"{len(found)} {'difference' if len(found) == 1 else 'differences'}" if found else "no difference"
    barring = sum(difference.bars != "nothing" for difference in found)
    yield f"{checked} checks: {differences}" + (f", {barring} of which rule out a claim" if barring else "")


# The sources of one run's figures.


def run_facts(run: TrainingRecord) -> Facts:
    """Return when and where a run took place, and which methods and files its figures follow from."""
    energy = ", ".join(f"{part} {units.energy_text(kwh)} ({method})" for part, kwh, method in _components(run))
    missing, before = missing_emissions_text(run), run.counterfactual
    found = (
        ("Run", [run.run_id]),
        ("Submitted", [units.timestamp_text(run.submitted_at)]),
        ("Ran", [f"{units.timestamp_text(run.started_at)} to {units.timestamp_text(run.ended_at)}"]),
        ("Zone and signal", [f"{run.zone}; {run.signal_type} signal, {run.emission_factor_type} factors"]),
        (
            "Intensity",
            [text for text in (_kinds_text(run), missing and f"emissions are incomplete: {missing}") if text],
        ),
        ("Settled", _settled(run)),
        (
            "Same energy at submission",
            [f"{units.grams_text(before.emissions_gco2eq)}, intensity {_kinds_text(before)}"] if before else [],
        ),
        ("Energy", [f"{energy}; scope {run.measuring_scope.replace('_', ' ')}; PUE {run.pue:g}"]),
        ("Known errors", list(run.uncertainty.basis) if run.uncertainty is not None else []),
        ("Device", [f"{run.device} ({run.device_name}), {run.precision}"]),
        ("Peak memory", [f"{run.peak_memory_kind}, by {run.peak_memory_method}"]),
        ("Configuration", [run.configuration]),
    )
    return [(name, lines) for name, lines in found if lines]


def _settled(run: TrainingRecord) -> list[str]:
    settlement = run.settlement
    if settlement is None:
        return []
    share, first = units.percent_text(100 * settlement.settled_energy_share), run.first_valuation.emissions_gco2eq
    return [
        f"{units.timestamp_text(settlement.settled_at)}: {share} of the energy is valued at actual figures of"
        f" {', '.join(settlement.sources)}; first valued at {units.grams_text(first)}"
    ]


# The report as one Markdown page; every string from outside is escaped.


def render_markdown(report: Report) -> str:
    """Return the whole report as Markdown."""
    return "\n".join(_lines(report)).rstrip("\n") + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield from ("# Training run compared with its baseline", "", f"**{markdown(report.headline.text)}**", "")
    yield f"Status: {report.headline.status.replace('_', ' ')}. Run: {markdown(report.run_id)}."
    baseline = markdown(report.baseline_run_id or "none")
    yield f"Baseline: {baseline}. Written {units.timestamp_text(report.generated_at)}."
    yield ""
    yield from _bullets("Reasons", report.headline.reasons)
    yield from ("## What changed", "")
    yield from _table(("Figure", "Baseline", "Run", "Change"), render_table(report))
    yield from ("## Why", "")
    yield from _table(("Factor", "Change", "Attribution", "Meaning"), _attribution(report))
    yield from _bullets("Effect of waiting", waiting_sentences(report))
    yield from _bullets("Data quality", (f"{name}: {line}" for name, lines in quality_facts(report) for line in lines))
    yield from _table(DIFFERENCE_HEADER, difference_rows(report))
    yield from _table(INTERVAL_HEADER, interval_rows(report))
    yield from _bullets("Notes", report.notes)
    yield from _sources(report)


def _attribution(report: Report) -> Iterator[tuple[str, ...]]:
    parts = report.attribution_gco2eq.model_dump()
    for part in PARTS:
        yield (part.label, _grams(parts[part.key]), credit_of(report, part.key), part.meaning)
    yield ("Total", _grams(parts["total"]), "", "run minus baseline")


def _grams(value_gco2eq: float | None) -> str:
    return units.NONE_TEXT if value_gco2eq is None else units.signed_grams_text(value_gco2eq)


def _sources(report: Report) -> Iterator[str]:
    yield from ("## Sources", "")
    yield "Emissions are the sum over the ledger's rows of energy x PUE x the grid's intensity at that time."
    yield "The attribution is LMDI-I (Ang 2004): its parts sum to the change without a residual."
    yield ""
    for name, runs in (("Baseline", runs_of(report, "baseline")), ("Run", runs_of(report, "run"))):
        for number, run in enumerate(runs, 1):
            yield from (f"### {name}" if len(runs) == 1 else f"### {name} {number}", "")
            yield from (f"- {what}: {markdown('; '.join(lines))}" for what, lines in run_facts(run))
            yield from (f"- Ledger: {markdown(run.ledger_path)}, sha256 {run.ledger_sha256}", "")


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    lines = [f"| {' | '.join(map(markdown, row))} |" for row in rows]
    if lines:
        yield from (f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}", *lines, "")


def _bullets(title: str, sentences: Iterable[str]) -> Iterator[str]:
    lines = [f"- {markdown(sentence)}" for sentence in sentences]
    if lines:
        yield from (f"## {title}", "", *lines, "")
