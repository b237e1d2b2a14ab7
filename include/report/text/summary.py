"""A comparison in at most ten lines, for the log of the task that made it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from include.records import IntensityKind
from include.report.evidence import CLAIM_LIMIT_SHARE
from include.report.model import Report
from include.report.text import figures
from include.report.text.accuracy import samples_text
from include.report.text.escape import plain

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
    yield _line("emissions", [figures.grams_text(r.emissions_gco2eq) for r in sides], changes.emissions_percent)
    yield _line("energy", [figures.energy_text(r.energy_kwh.total) for r in sides], changes.energy_percent)
    accuracy = " -> ".join(f"{100 * r.test_accuracy:.2f} %" for r in sides)
    yield f"test accuracy: {accuracy}" + (f" ({_points(report)})" if len(sides) > 1 else "")


def _points(report: Report) -> str:
    points, sampling = figures.points_text(report.changes.accuracy_points), report.accuracy
    if sampling is None or sampling.beyond_sampling is None:
        return points
    return points + (", more" if sampling.beyond_sampling else ", no more") + f" than {samples_text(sampling)} may make"


def _line(name: str, texts: Sequence[str], change_percent: float | None) -> str:
    if len(texts) > 1 and change_percent is None:  # an arrow between two figures would be read as a change
        return f"{name}: {texts[-1]}; the baseline's {texts[0]} cannot be compared with it"
    change = f" ({figures.change_text(change_percent)})" if len(texts) > 1 else ""
    return f"{name}: {' -> '.join(texts)}{change}"


def _causes(report: Report) -> Iterator[str]:
    parts = report.attribution_gco2eq
    if report.baseline is None or parts.total is None:
        return
    known = (f"{name.replace('_', ' ')} {figures.signed_grams_text(getattr(parts, name) or 0.0)}" for name in _PARTS)
    yield f"why{_STANDING[report.headline.status]}: {', '.join(known)}"


def _waited(report: Report) -> str:
    waited = f"from submission to start: {figures.duration_text(report.waiting.wait_s)}"
    avoided = report.waiting.avoided_gco2eq
    if avoided is None:
        return f"{waited}; what that avoided is not known"
    share = report.waiting.avoided_percent
    percent = "" if share is None else f" ({figures.percent_text(abs(share))})"
    more_or_less = "less" if avoided >= 0 else "more"
    booked = f"{figures.grams_text(abs(avoided))}{percent} {more_or_less} than the same energy at submission"
    return f"{waited}; {booked}{_how_booked(report)}"


def _how_booked(report: Report) -> str:
    if report.headline.status == "simulated":
        return ", in the simulation"
    at_submission = report.run.counterfactual
    for kinds in (report.run.intensity_kinds, at_submission.intensity_kinds if at_submission else {}):
        if sum(kinds.get(kind, 0.0) for kind in _UNSETTLED) > CLAIM_LIMIT_SHARE:
            return ", booked at forecasts, not yet settled"
    return ""
