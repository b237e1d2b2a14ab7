"""The wait in sentences: what it avoided, what it cost in time, and what was possible."""

import html
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from lowtide import units
from lowtide.records import Counterfactual, IntensityKind, Settlement
from lowtide.report.data_quality import CLAIM_LIMIT_SHARE
from lowtide.report.model import Changes, Difference, Interval, PerfectForesight, Report, RunFigures, Spread, Waiting

# Makes text from configuration harmless in Markdown: a run's name must not become a table cell, a link or HTML.


_INVISIBLE = {"Cc", "Cf", "Zl", "Zp"}
_MARKUP = re.compile(r"([\\`*\[\]|~#]|(?<=:)/(?=/)|(?<=www)\.)", re.IGNORECASE)
"""What begins or ends markup, also a bare address, which GitHub makes a link."""
_UNDERSCORES = re.compile(r"(?<!_)(?:(?<![^\W_])_+|_+(?![\w]))(?!_)")
"""Those at a word's edge are emphasis; inside a word they stand as they are."""


def plain(text: str) -> str:
    """Return one line without control, bidirectional or invisible characters."""
    visible = (" " if unicodedata.category(character) in _INVISIBLE else character for character in text)
    return " ".join("".join(visible).split())


def markdown(text: str) -> str:
    """Return text that Markdown shows as it stands, also inside a table."""
    escaped = _MARKUP.sub(r"\\\1", html.escape(plain(text), quote=False))
    return _UNDERSCORES.sub(lambda found: r"\_" * len(found[0]), escaped)


# The table's rows where a side has several runs: means with half their 95 % interval, and what all the runs were.


Row = tuple[str, str, str, str]
_Text = Callable[[float], str]
_ROUNDING = 1e-9

_FIGURES: tuple[tuple[str, str, _Text, Callable[[Changes], str]], ...] = (
    ("emissions_gco2eq", "Emissions", units.grams_text, lambda c: units.change_text(c.emissions_percent)),
    ("energy_kwh", "Energy", units.energy_text, lambda c: units.change_text(c.energy_percent)),
    (
        "mean_intensity_gco2eq_per_kwh",
        "Mean carbon intensity",
        units.intensity_text,
        lambda c: units.change_text(c.mean_intensity_percent),
    ),
    (
        "peak_memory_bytes",
        "Peak memory",
        lambda v: units.memory_text(round(v)),
        lambda c: units.change_text(c.peak_memory_percent),
    ),
    ("test_accuracy", "Test accuracy", lambda v: f"{100 * v:.2f} %", lambda c: units.points_text(c.accuracy_points)),
    ("duration_s", "Duration", units.duration_text, lambda c: units.change_text(c.duration_percent)),
    ("wait_s", "From submission to start", units.duration_text, lambda _: ""),
)
_WORDS: tuple[tuple[str, Callable[[RunFigures], str]], ...] = (
    ("Seed", lambda r: str(r.seed)),
    ("Policy", lambda r: r.policy),
    ("Device", lambda r: f"{r.device} ({r.device_name})"),
    ("Precision", lambda r: r.precision),
    ("Batch (micro x accumulation)", lambda r: f"{r.micro_batch_size} x {r.accumulation_steps}"),
)


def replicate_rows(report: Report) -> list[Row]:
    """Return rows of (figure, baselines, runs, change); empty with one run a side."""
    repeats = report.replicates
    if repeats is None:
        return []
    spreads = {figure.name: figure for figure in repeats.figures}
    count = ("Runs", str(len(repeats.baselines)) if repeats.baselines else "-", str(len(repeats.runs)), "")
    means = [
        (label, _mean(spreads[name].baseline, text), _mean(spreads[name].run, text), change(report.changes))
        for name, label, text, change in _FIGURES
    ]
    words = [(label, _all(repeats.baselines, word), _all(repeats.runs, word), "") for label, word in _WORDS]
    return [count, *means, *words]


def _mean(spread: Spread | None, text: _Text) -> str:
    if spread is None:
        return "-"
    if spread.interval is None:
        return text(spread.mean)
    half = (spread.interval.high - spread.interval.low) / 2
    return f"{text(spread.mean)} ± {text(half if half > _ROUNDING * abs(spread.mean) else 0.0)}"


def _all(runs: Sequence[RunFigures], word: Callable[[RunFigures], str]) -> str:
    return plain(", ".join(dict.fromkeys(map(word, runs)))) or "-"


# A comparison in at most ten lines, for the log of the task that made it.


MOST_LINES = 10
_MOST_REASONS = 3
_PARTS = ("waiting", "efficiency", "grid_conditions", "work")
_STANDING = {"claimed": "", "simulated": ", in the simulation", "withheld": ", not claimed", "no_baseline": ""}
_UNSETTLED = (IntensityKind.FORECAST, IntensityKind.CACHED)


def summary_lines(report: Report, paths: Mapping[str, Path]) -> list[str]:
    """Return headline, reasons, main figures, their causes and the report's path; plain text, one line each."""
    page = paths.get("report.html") or paths.get("report.json")
    lines = [report.headline.text, *_reasons(report), *_changes(report), *_causes(report), _waited(report)]
    return [plain(line) for line in lines] + ([f"report: {page}"] if page else [])


def _reasons(report: Report) -> Iterator[str]:
    reasons = report.headline.reasons
    shown = reasons if len(reasons) <= _MOST_REASONS else reasons[: _MOST_REASONS - 1]
    yield from (f"- {reason}" for reason in shown)
    if len(shown) < len(reasons):
        yield f"- and {len(reasons) - len(shown)} more reasons, which the report lists"


def _changes(report: Report) -> Iterator[str]:
    sides = [run for run in (report.baseline, report.run) if run is not None]
    changes = report.changes
    yield _line("emissions", [units.grams_text(r.emissions_gco2eq) for r in sides], changes.emissions_percent)
    yield _line("energy", [units.energy_text(r.energy_kwh.total) for r in sides], changes.energy_percent)
    accuracy = " -> ".join(f"{100 * r.test_accuracy:.2f} %" for r in sides)
    yield f"test accuracy: {accuracy}" + (
        f" ({units.points_text(report.changes.accuracy_points)})" if len(sides) > 1 else ""
    )


def _line(name: str, texts: Sequence[str], change_percent: float | None) -> str:
    if len(texts) > 1 and change_percent is None:  # an arrow between two figures would be read as a change
        return f"{name}: {texts[-1]}; the baseline's {texts[0]} cannot be compared with it"
    change = f" ({units.change_text(change_percent)})" if len(texts) > 1 else ""
    return f"{name}: {' -> '.join(texts)}{change}"


def _causes(report: Report) -> Iterator[str]:
    parts = report.attribution_gco2eq
    if report.baseline is None or parts.total is None:
        return
    known = (f"{name.replace('_', ' ')} {units.signed_grams_text(getattr(parts, name) or 0.0)}" for name in _PARTS)
    yield f"why{_STANDING[report.headline.status]}: {', '.join(known)}"


def _waited(report: Report) -> str:
    waited = f"from submission to start: {units.duration_text(report.waiting.wait_s)}"
    avoided = report.waiting.avoided_gco2eq
    if avoided is None:
        return f"{waited}; what that avoided is not known"
    share = report.waiting.avoided_percent
    percent = "" if share is None else f" ({units.percent_text(abs(share))})"
    more_or_less = "less" if avoided >= 0 else "more"
    valued = f"{units.grams_text(abs(avoided))}{percent} {more_or_less} than the same energy at submission"
    return f"{waited}; {valued}{_how_valued(report)}"


def _how_valued(report: Report) -> str:
    if report.headline.status == "simulated":
        return ", in the simulation"
    at_submission = report.run.counterfactual
    for kinds in (report.run.intensity_kinds, at_submission.intensity_kinds if at_submission else {}):
        if sum(kinds.get(kind, 0.0) for kind in _UNSETTLED) > CLAIM_LIMIT_SHARE:
            return ", valued at forecasts, not yet settled"
    return ""


# How fair and how sure a comparison is, in sentences and rows; plain text, escaped where it is rendered.


_BARS = {"comparison": "any claim about the change", "efficiency": "a claim about efficiency", "nothing": "nothing"}
_CHANGES = {
    "emissions_percent": "emissions",
    "energy_percent": "energy",
    "mean_intensity_percent": "mean carbon intensity",
    "peak_memory_percent": "peak memory",
    "accuracy_points": "test accuracy",
    "duration_percent": "duration",
}

FAIRNESS_HEADER = ("What differs", "Baseline", "Run", "Bars", "What it means")
INTERVAL_HEADER = ("Figure", "Change", "From", "To")


def comparability_sentence(report: Report) -> str:
    """Say how much was held against one another, and how much of it differs."""
    checked, found = len(report.comparability.checked), len(report.comparability.differences)
    if not checked:
        return "There was nothing to hold the run against."
    differs = {0: "none differs", 1: "one differs"}.get(found, f"{found} differ")
    return f"{checked} things that should agree were held against one another: {differs}."


def comparability_rows(report: Report) -> list[tuple[str, ...]]:
    """Return a row for each difference, those that bar most first."""
    ranked = sorted(report.comparability.differences, key=lambda d: list(_BARS).index(d.bars))
    return [_row(difference) for difference in ranked]


def sureness_sentences(report: Report) -> Iterator[str]:
    """Say how large a change would have to be, by repeated runs and by the methods' known errors."""
    repeats = report.replicates
    if repeats is None and report.baseline is not None:
        yield (
            "One run a side: how far such runs spread is not measured, but assumed; a change within"
            f" {_assumed(report)} counts as none."
        )
    if repeats is not None and repeats.without_interval is not None:
        yield f"The changes have no interval: {repeats.without_interval}."
    if repeats is not None and repeats.without_interval is None:
        yield (
            f"{len(repeats.baselines)} baselines and {len(repeats.runs)} runs; intervals of"
            f" {repeats.confidence_percent:g} % by {repeats.method}."
        )
    yield from _known_errors(report)


def interval_rows(report: Report) -> list[tuple[str, ...]]:
    """Return a row for each change that has an interval."""
    if report.replicates is None:
        return []
    changes, intervals = report.changes.model_dump(), report.replicates.changes
    rows = [(label, *_texts(key, changes[key], intervals[key])) for key, label in _CHANGES.items() if key in intervals]
    parts = report.attribution_gco2eq.model_dump()
    return rows + [
        (key.replace("_", " "), *(units.signed_grams_text(value) for value in (parts[key], found.low, found.high)))
        for key, found in report.replicates.attribution_gco2eq.items()
    ]


def _assumed(report: Report) -> str:
    name, percent = "report.repeatability_percent", report.repeatability_percent
    return name if percent is None else f"{percent:g} % ({name})"


def _texts(key: str, value: float, interval: Interval) -> tuple[str, ...]:
    text = units.points_text if key == "accuracy_points" else units.change_text
    return tuple(text(figure) for figure in (value, interval.low, interval.high))


def _known_errors(report: Report) -> Iterator[str]:
    errors = report.known_errors
    if errors is None or errors.emissions_percent is None:
        return
    low, high = (units.change_text(end) for end in (errors.emissions_percent.low, errors.emissions_percent.high))
    yield (
        "If every method erred as far as its known error goes, and differently in the two runs, the change of emissions would"
        f" lie between {low} and {high}."
    )
    yield (
        "The methods and the device are the same on both sides, so that a meter's error is in both and cancels in the percentages."
        if errors.same_meters
        else "The methods or the devices are not the same, so that a meter's error does not cancel."
    )


def _row(difference: Difference) -> tuple[str, ...]:
    return (difference.label, difference.baseline, difference.run, _BARS[difference.bars], difference.why)


# The rows that terminal and Markdown share: figure, baseline, run, change, all plain text.


_Cell = Callable[[RunFigures], str]
_Change = Callable[[Changes], str]


def _intensity(run: RunFigures) -> str:
    # the record's mean carries the site's PUE; a grid's intensity does not
    return units.intensity_text(run.mean_carbon_intensity_gco2eq_per_kwh)


def _wait(run: RunFigures) -> str:
    # under replay the wait is in the grid's time, the durations are real
    return units.duration_text(run.wait_s) + (
        " (replayed time)" if IntensityKind.REPLAYED in run.intensity_kinds else ""
    )


def _nothing(changes: Changes) -> str:
    del changes
    return ""


def _bounds(run: RunFigures) -> str:
    bounds = run.uncertainty
    if bounds is None:
        return units.NONE_TEXT
    return f"{units.grams_text(bounds.emissions_low_gco2eq)} to {units.grams_text(bounds.emissions_high_gco2eq)}"


def _score(run: RunFigures) -> str:
    score = run.sci
    if score is None:
        return units.NONE_TEXT
    unit = "1,000 samples" if score.functional_unit == "1000_samples" else score.functional_unit
    return (
        f"{units.grams_text(score.gco2eq_per_unit)} per {unit}{'' if score.embodied_gco2eq is None else ', M included'}"
    )


_ROWS: tuple[tuple[str, _Cell, _Change], ...] = (
    ("Emissions", lambda r: units.grams_text(r.emissions_gco2eq), lambda c: units.change_text(c.emissions_percent)),
    ("within the methods' known errors", _bounds, _nothing),
    ("of which training", lambda r: units.grams_text(r.emissions_train_gco2eq), _nothing),
    ("SCI score", _score, _nothing),
    ("Energy", lambda r: units.energy_text(r.energy_kwh.total), lambda c: units.change_text(c.energy_percent)),
    ("Mean carbon intensity", _intensity, lambda c: units.change_text(c.mean_intensity_percent)),
    (
        "Peak memory",
        lambda r: f"{units.memory_text(r.peak_memory_bytes)} ({r.peak_memory_kind})",
        lambda c: units.change_text(c.peak_memory_percent),
    ),
    (
        "Test accuracy",
        lambda r: f"{100 * r.test_accuracy:.2f} %",
        lambda c: units.points_text(c.accuracy_points),
    ),
    ("Duration", lambda r: units.duration_text(r.duration_s), lambda c: units.change_text(c.duration_percent)),
    ("of which training", lambda r: units.duration_text(r.train_duration_s), _nothing),
    ("From submission to start", _wait, _nothing),
    ("Policy", lambda r: r.policy, _nothing),
    ("Device", lambda r: f"{r.device} ({r.device_name})", _nothing),
    ("Precision", lambda r: r.precision, _nothing),
    ("Batch (micro x accumulation)", lambda r: f"{r.micro_batch_size} x {r.accumulation_steps}", _nothing),
)


def render_table(report: Report) -> list[Row]:
    """Return rows of (figure, baseline, run, change); safe for a terminal, not yet escaped for Markdown."""
    if report.replicates is not None:
        return replicate_rows(report)
    base, run = report.baseline, report.run
    rows = [
        (name, "-" if base is None else plain(cell(base)), plain(cell(run)), change(report.changes))
        for name, cell, change in _ROWS
    ]
    return [row for row in rows if row[2] != units.NONE_TEXT]  # a run of an older version has no bounds and no score


# The section "How to trust this": kinds, methods, scopes and the ledgers that every figure follows from.


def trust_section(report: Report) -> Iterator[str]:
    """Yield the section's lines, Markdown-escaped."""
    yield from ("## How to trust this", "")
    yield "Emissions are summed over the ledger's rows: energy of the interval x PUE x the grid's intensity then."
    yield "The parts under Why are LMDI-I (Ang 2004): they sum to the change without a residual."
    yield "Where each interval's intensity comes from stands in the ledger, row by row (intensity_source)."
    yield ""
    for who, run in _sides(report):
        yield from (f"### {who}", "", *(f"- {markdown(line)}" for line in _lines(run)), "")


def _sides(report: Report) -> Iterator[tuple[str, RunFigures]]:
    repeats = report.replicates
    baselines = repeats.baselines if repeats else (report.baseline,) if report.baseline else ()
    runs = repeats.runs if repeats else (report.run,)
    for who, side in (("Baseline", baselines), ("Run", runs)):
        for number, run in enumerate(side, 1):
            yield who if len(side) == 1 else f"{who} {number}", run


def _lines(run: RunFigures) -> Iterator[str]:
    yield f"Run id: {run.run_id}, zone {run.zone}, submitted {units.moment_text(run.submitted_at)}"
    yield f"Ran from {units.moment_text(run.started_at)} to {units.moment_text(run.ended_at)}"
    yield f"Intensity: {run.signal_type} signal, {run.emission_factor_type} factors; energy valued at {_kinds(run)}"
    if run.foreign_signal_share > 0:
        share = units.percent_text(100 * run.foreign_signal_share)
        yield f"Of that energy, {share} is valued at another signal or factor type, which no claim is made on"
    if run.settlement is not None:
        yield _settled(run, run.settlement)
    if run.uncertainty is not None:
        yield f"Known errors: {'; '.join(run.uncertainty.basis)}"
    yield f"Energy: {_methods(run)}; scope {run.measuring_scope}; PUE {run.pue:g}"
    if run.counterfactual is not None:
        yield _at_submission(run.counterfactual)
    yield f"Peak memory: {run.peak_memory_kind}, by {run.peak_memory_method}"
    yield f"Configuration: {run.configuration}"
    yield f"Ledger: {run.ledger_path}, sha256 {run.ledger_sha256}"


def _at_submission(counterfactual: Counterfactual) -> str:
    grams = units.grams_text(counterfactual.emissions_gco2eq)
    text = f"The same energy at submission: {grams}, valued at {_kinds(counterfactual)}"
    if counterfactual.readings_path is None:
        return text
    return f"{text}; readings: {counterfactual.readings_path}, sha256 {counterfactual.readings_sha256}"


def _settled(run: RunFigures, settlement: Settlement) -> str:
    share = units.percent_text(100 * settlement.settled_energy_share)
    return (
        f"Settled {units.moment_text(settlement.settled_at)}: {share} of the energy is valued at actual figures of"
        f" {', '.join(settlement.sources)}; at first {units.grams_text(run.first_valuation.emissions_gco2eq)}"
    )


def _kinds(run: RunFigures | Counterfactual) -> str:
    kinds = sorted(run.intensity_kinds.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{kind} {units.percent_text(100 * share)}" for kind, share in kinds) or "no kind"


def _methods(run: RunFigures) -> str:
    energy = run.energy_kwh
    parts = {"cpu": energy.cpu, "gpu": energy.gpu, "ram": energy.ram}
    return ", ".join(
        f"{part.upper()} {units.energy_text(kwh)} ({energy.methods.get(part, 'none')})"  # type: ignore[call-overload]
        for part, kwh in parts.items()
    )


def waiting_sentences(report: Report) -> Iterator[str]:
    """Yield plain sentences, in the order in which a reader asks."""
    waiting = report.waiting
    several = report.replicates is not None and len(report.replicates.runs) > 1
    waited = units.duration_text(waiting.wait_s)
    if waiting.no_wait is not None:
        yield f"The time from submission to start, {waited}, was no wait for the grid: {waiting.no_wait}."
    else:
        yield f"The runs waited {waited} on average." if several else f"The run waited {waited}."
        if waiting.queued_s:
            whose = "Of that and the pauses" if waiting.paused_s else "Of that"
            yield (
                f"{whose}, {units.duration_text(waiting.queued_s)}{' on average' if several else ''} came after the decision to"
                " start: a queue, which is no wait for the grid. What follows holds both, so that none of it is claimed."
            )
    yield _avoided(waiting, "They" if several else "It")
    if report.attribution_gco2eq.total is not None and waiting.avoided_gco2eq is not None:
        yield "The table under Why weighs waiting by the emissions of both runs, this section by the run's alone."
    yield from _cost(waiting, replayed=IntensityKind.REPLAYED in report.run.intensity_kinds)
    if waiting.perfect_foresight is not None:
        yield from _oracle(waiting.perfect_foresight)
    elif waiting.perfect_foresight_unknown is not None:
        yield f"What perfect knowledge would have saved is not known: {waiting.perfect_foresight_unknown}."


def _avoided(waiting: Waiting, who: str) -> str:
    if waiting.avoided_gco2eq is None:
        return "What that avoided is not known."
    avoided = units.grams_text(abs(waiting.avoided_gco2eq))
    share = "" if waiting.avoided_percent is None else f" ({units.percent_text(abs(waiting.avoided_percent))})"
    verb = "less" if waiting.avoided_gco2eq >= 0 else "more"
    return (
        f"{who} emitted {avoided}{share} {verb} than the same energy would have at submission{_text_bounds(waiting)}."
    )


def _text_bounds(waiting: Waiting) -> str:
    if waiting.avoided_low_gco2eq is None or waiting.avoided_high_gco2eq is None or not waiting.avoided_gco2eq:
        return ""
    ends = sorted(map(abs, (waiting.avoided_low_gco2eq, waiting.avoided_high_gco2eq)))
    low, high = map(units.grams_text, ends)
    return f": between {low} and {high} if the meter errs as far as is known; the percentage does not depend on that"


def _cost(waiting: Waiting, *, replayed: bool) -> Iterator[str]:
    if waiting.later_s > 0:
        pauses = f", {units.duration_text(waiting.paused_s)} of it in pauses" if waiting.paused_s else ""
        clock = " in replayed time" if replayed else ""
        gained = "" if waiting.no_wait else _per_hour(waiting.avoided_gco2eq_per_hour)
        yield f"It cost {units.duration_text(waiting.later_s)}{clock} until the result was there{pauses}{gained}."
    if waiting.deadline is not None:
        met = "was met" if waiting.deadline_met else "was missed"
        yield f"The deadline {units.moment_text(waiting.deadline)} {met}."


def _per_hour(grams: float | None) -> str:
    if not grams:
        return ""
    verb = "avoided" if grams >= 0 else "added"
    return f": {units.grams_text(abs(grams))} {verb} for each hour of it"


def _oracle(oracle: PerfectForesight) -> Iterator[str]:
    first, last = oracle.segments[0], oracle.segments[-1]
    pieces = "" if len(oracle.segments) == 1 else f" in {len(oracle.segments)} pieces"
    percent = "" if oracle.avoided_percent is None else f" ({units.percent_text(oracle.avoided_percent)})"
    free = ", with pauses that cost nothing" if oracle.may_pause else ""
    yield (
        f"Perfect knowledge of the grid until {units.moment_text(oracle.window.end)} would have run this energy from"
        f" {units.moment_text(first.start)} to {units.moment_text(last.end)}{pieces} and avoided"
        f" {units.grams_text(oracle.avoided_gco2eq)}{percent}{free}."
    )
    if oracle.captured_percent is not None:
        yield f"The wait got {units.percent_text(oracle.captured_percent)} of that."
