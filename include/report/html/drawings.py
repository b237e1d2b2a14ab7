"""The page's charts with their legends and tables, from a report and the evidence of its runs."""

from collections.abc import Iterator, Sequence

from include.report.html.averages import Side
from include.report.html.bins import binned, edges_of, nice_width_s, since_start
from include.report.html.charts.intensity import GridOverTime, Mean, draw_intensity
from include.report.html.charts.power import Course, Progress, draw_power, told_course
from include.report.html.charts.quality import draw_quality
from include.report.html.charts.waterfall import bars_of, draw_waterfall
from include.report.html.evidence import Evidence
from include.report.html.ledger_columns import LedgerColumns
from include.report.html.parts import Key, Shown
from include.report.html.tables import intensity_table, power_table, quality_table, waterfall_table
from include.report.html.timeline import Span, intensity_steps, total_s
from include.report.model import Report, RunFigures
from include.report.text import figures

_DRAWN_BINS, _TOLD_BINS = 240, 30
_MEANS = {"submission": "mean of this run, had it begun at submission", "run": "mean as it ran"}
_FURTHEST = 3.0
"""How much longer than the wait and the run the drawing may be, to show the best time for it."""
_PAUSING = "interruptible"
_KIND_LOOKS = {"forecast": "uncertain", "cached": "uncertain", "modelled": "modelled"}


def waterfall(report: Report) -> Shown | None:
    """Return the attribution; None where there is none."""
    chart = draw_waterfall(report)
    if chart is None:
        return None
    bars = bars_of(report)
    legend = [Key(key="less", text="less, ours"), Key(key="more", text="more, ours")]
    if any(bar.kind in ("others", "not_claimed") for bar in bars):
        legend.append(Key(key="others", text="hatched: not ours, or not claimed"))
    if any(bar.interval is not None for bar in bars):
        legend.append(Key(key="interval", text="interval over the runs"))
    return Shown(chart=chart, table=waterfall_table(bars), legend=tuple(legend))


def intensity(report: Report, evidence: Evidence, spans: tuple[Span, ...]) -> Shown | None:
    """Return the grid over time; None where no intensity is known."""
    oracle = report.waiting.oracle
    best = () if oracle is None else tuple((s.start.timestamp(), s.end.timestamp()) for s in oracle.segments)
    begin, end = spans[0].start_s, spans[-1].end_s
    if best and best[-1][1] - begin > _FURTHEST * (end - begin):
        best = ()  # the run itself could not be seen any more; the sentences below tell when it was
    thresholds = {look.threshold_gco2eq_per_kwh for look in evidence.looks} - {None}
    grid = GridOverTime(
        spans=spans,
        steps=intensity_steps(evidence),
        means=_means(report.run, spans),
        best=best,
        threshold_gco2eq_per_kwh=thresholds.pop()
        if len(thresholds) == 1 and report.run.policy == "threshold"
        else None,
    )
    chart = draw_intensity(grid)
    if chart is None:
        return None
    table = intensity_table(grid.spans, grid.steps, evidence.rows)
    return Shown(chart=chart, table=table, legend=tuple(_legend(grid)))


def power(report: Report, baseline: Evidence, run: Evidence, spans: Sequence[Span]) -> Shown | None:
    """Return power and grams since the start of each side whose ledger can be read; None without any."""
    both: tuple[tuple[Side, Evidence], ...] = (("baseline", baseline), ("run", run))
    sides = [(side, since_start(found.rows, found.speed)) for side, found in both if found.rows is not None]
    unknown = report.baseline is not None and baseline.rows is None
    progress = Progress(
        courses=_courses(sides, _DRAWN_BINS),
        stops=() if run.rows is None else tuple(_stops(spans, run)),
        baseline_gco2eq=report.baseline.emissions_gco2eq if unknown and report.baseline is not None else None,
    )
    chart = draw_power(progress)
    if chart is None:
        return None
    table = power_table(_courses(sides, _TOLD_BINS))
    return Shown(chart=chart, table=table, legend=tuple(_power_legend(progress)))


def quality(report: Report) -> Shown:
    """Return memory and accuracy."""
    return Shown(chart=draw_quality(report), table=quality_table(report))


def _power_legend(progress: Progress) -> Iterator[Key]:
    for course in progress.courses:
        yield Key(key=course.side, text=told_course(course))
    if progress.baseline_gco2eq is not None:
        grams = figures.grams_text(progress.baseline_gco2eq)
        yield Key(key="baseline", text=f"Baseline: {grams} in the end; its course is not known here")
    if progress.stops:
        yield Key(key="stopped", text="This run was paused or interrupted")


def _stops(spans: Sequence[Span], run: Evidence) -> Iterator[tuple[float, float]]:
    """Yield when the run stood still, in real seconds since its start."""
    begin = next(span.start_s for span in spans if span.activity == "running")
    for span in spans:
        if span.activity in ("paused", "interrupted"):
            yield (span.start_s - begin) / run.speed, (span.end_s - begin) / run.speed


def _courses(sides: Sequence[tuple[Side, LedgerColumns]], most: int) -> tuple[Course, ...]:
    longest = max((float(rows.end_s.max()) for _, rows in sides), default=0.0)
    width = nice_width_s(longest, most)
    return tuple(
        Course(side=side, bins=binned(rows, edges_of(0.0, float(rows.end_s.max()), width))) for side, rows in sides
    )


def _means(run: RunFigures, spans: Sequence[Span]) -> tuple[Mean, ...]:
    """Return the mean had it begun at submission, over the time that it would have taken, and the mean as it ran."""
    at_submission, energy_kwh = run.counterfactual, run.energy_kwh.total * run.pue
    if at_submission is None or not energy_kwh or spans[0].activity != "waiting":
        return ()
    begin, started = spans[0].start_s, run.started_at.timestamp()
    # without waiting there would have been no pauses for the grid; a run that was killed would have been killed then, too
    took = total_s(spans, "running") if run.policy == _PAUSING else spans[-1].end_s - started
    then = Mean(
        role="submission",
        start_s=begin,
        end_s=begin + took,
        carbon_intensity_gco2eq_per_kwh=at_submission.emissions_gco2eq / energy_kwh,
    )
    as_run = run.emissions_gco2eq / energy_kwh
    ran = (span for span in spans if span.activity == "running")
    return then, *(
        Mean(role="run", start_s=span.start_s, end_s=span.end_s, carbon_intensity_gco2eq_per_kwh=as_run) for span in ran
    )


def _legend(grid: GridOverTime) -> Iterator[Key]:
    kinds = list(dict.fromkeys(step.kind for step in grid.shown))
    for look in dict.fromkeys(_KIND_LOOKS.get(kind, "grid") for kind in kinds):
        of_look = " or ".join(kind for kind in kinds if _KIND_LOOKS.get(kind, "grid") == look)
        yield Key(key=look, text=f"intensity, {of_look}")
    for mean in {mean.role: mean for mean in grid.means}.values():
        text = figures.intensity_text(mean.carbon_intensity_gco2eq_per_kwh)
        yield Key(key=f"mean-{mean.role}", text=f"{_MEANS[mean.role]}: {text}")
    for activity in dict.fromkeys(span.activity for span in grid.spans):
        yield Key(key=activity, text=activity)
    if grid.threshold_gco2eq_per_kwh is not None:
        yield Key(key="threshold", text=f"threshold: {figures.intensity_text(grid.threshold_gco2eq_per_kwh)}")
    if grid.best:
        yield Key(key="oracle", text="when perfect knowledge would have run")
