"""Several runs on a side: each figure's mean and spread, and how sure the changes are."""

from collections.abc import Callable, Mapping, Sequence

from include.records import TrainingRecord
from include.report.factors import grid_intensity
from include.report.model import Fairness, Interval, RepeatedFigure, Repeats, RunFigures
from include.report.ours import ours_of
from include.report.repeats.intervals import CONFIDENCE_PERCENT, METHOD, intervals_of, spread_of
from include.report.sides import changes_of, parts_of
from include.report.waits.model import Waiting
from include.report.waits.wait import avoided_percent

Records = Sequence[TrainingRecord]

_FIGURES: Mapping[str, Callable[[TrainingRecord], float]] = {
    "emissions_gco2eq": lambda r: r.emissions_gco2eq,
    "energy_kwh": lambda r: r.energy_kwh.total,
    "mean_intensity_gco2eq_per_kwh": grid_intensity,
    "peak_memory_bytes": lambda r: float(r.peak_memory_bytes),
    "test_accuracy": lambda r: r.test_accuracy,
    "duration_s": lambda r: r.duration_s,
    "wait_s": lambda r: r.wait_s,
}


def repeats_of(
    baselines: Records, runs: Records, waits: Sequence[Waiting], fairness: Fairness, names: Sequence[str]
) -> Repeats | None:
    """Return the spreads and intervals; None with one run a side.

    :param waits: of the runs, in their order.
    :param names: the parts that count as ours.
    """
    if len(baselines) <= 1 and len(runs) <= 1:
        return None
    reason = _without_interval(baselines, runs)
    found = (
        {}
        if reason
        else intervals_of(lambda groups: _figures(groups[0], groups[1], fairness, names), [baselines, runs])
    )
    return Repeats(
        baselines=tuple(map(RunFigures.of, baselines)),
        runs=tuple(map(RunFigures.of, runs)),
        confidence_percent=CONFIDENCE_PERCENT,
        method=METHOD,
        without_interval=reason,
        figures=(*_spreads(baselines, runs), *_wait_spreads(waits)),
        changes=_of("changes", found),
        attribution_gco2eq=_of("parts", found),
        ours_percent=found.get("ours"),
        waiting_avoided_percent=_waiting_interval(runs),
    )


def _without_interval(baselines: Records, runs: Records) -> str | None:
    if not baselines:
        return "there is no baseline"
    alone = [who for who, side in (("baseline", baselines), ("run", runs)) if len(side) == 1]
    return f"there is one {alone[0]} only, whose spread nobody knows; give at least two" if alone else None


def _figures(baselines: Records, runs: Records, fairness: Fairness, names: Sequence[str]) -> dict[str, float | None]:
    found: dict[str, float | None] = {
        f"changes.{key}": value for key, value in changes_of(baselines, runs, fairness).model_dump().items()
    }
    if any(difference.bars == "comparison" for difference in fairness.differences):
        return found
    parts = parts_of(baselines, runs)
    ours = ours_of(parts, baselines, runs, names)
    return (
        found
        | {f"parts.{key}": value for key, value in parts.model_dump().items()}
        | {"ours": ours.change_percent if ours else None}
    )


def _of(family: str, found: Mapping[str, Interval]) -> dict[str, Interval]:
    return {key.partition(".")[2]: interval for key, interval in found.items() if key.startswith(f"{family}.")}


def _waiting_interval(runs: Records) -> Interval | None:
    if len(runs) < 2:
        return None
    return intervals_of(lambda groups: {"waiting": avoided_percent(groups[0])}, [runs]).get("waiting")


def _spreads(baselines: Records, runs: Records) -> list[RepeatedFigure]:
    return [
        RepeatedFigure(
            name=name,
            baseline=spread_of([value(record) for record in baselines]) if baselines else None,
            run=spread_of([value(record) for record in runs]),
        )
        for name, value in _FIGURES.items()
    ]


def _wait_spreads(waits: Sequence[Waiting]) -> list[RepeatedFigure]:
    """Return what is told of waits only where every run knows it."""
    figures = {
        "waiting_avoided_percent": [wait.avoided_percent for wait in waits],
        "oracle_avoided_percent": [wait.oracle.avoided_percent if wait.oracle else None for wait in waits],
        "captured_percent": [wait.oracle.captured_percent if wait.oracle else None for wait in waits],
    }
    known = {name: [v for v in values if v is not None] for name, values in figures.items()}
    return [
        RepeatedFigure(name=name, baseline=None, run=spread_of(values))
        for name, values in known.items()
        if len(values) == len(waits)
    ]
