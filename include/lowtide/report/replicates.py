"""Several runs a side: each figure's mean, standard deviation and interval, and the intervals of the changes."""

from collections.abc import Iterator, Sequence

from lowtide.records import TrainingRecord
from lowtide.report.attribution import changes_of, controllable_of, parts_of
from lowtide.report.comparability import barring
from lowtide.report.figures import FIGURES, WAIT_FIGURES
from lowtide.report.model import Comparability, Interval, ReplicateFigure, Replicates, Waiting
from lowtide.report.statistics import CONFIDENCE_PERCENT, METHOD, intervals_of, spread_of
from lowtide.report.waiting import avoided_percent

Records = Sequence[TrainingRecord]


def replicates_of(
    baselines: Records, runs: Records, waits: Sequence[Waiting], comparability: Comparability, names: Sequence[str]
) -> Replicates | None:
    """Return the spreads and intervals; None with one run a side.

    :param waits: of the runs, in their order.
    :param names: the controllable parts.
    """
    if len(baselines) <= 1 and len(runs) <= 1:
        return None
    changes, parts, controllable, waiting = (dict[str, Interval]() for _ in range(4))
    reason, groups = _without_interval(baselines, runs), (baselines, runs)
    if reason is None:
        changes = intervals_of(lambda g: changes_of(g[0], g[1], comparability).model_dump(), groups)
        if not barring(comparability, "comparison"):
            parts = intervals_of(lambda g: parts_of(g[0], g[1]).model_dump(), groups)
            controllable = intervals_of(lambda g: {"percent": _controllable_percent(g[0], g[1], names)}, groups)
    if len(runs) > 1:
        waiting = intervals_of(lambda g: {"percent": avoided_percent(g[0])}, [runs])
    return Replicates(
        baselines=tuple(baselines),
        runs=tuple(runs),
        confidence_percent=CONFIDENCE_PERCENT,
        method=METHOD,
        without_interval=reason,
        figures=(*_spreads(baselines, runs), *_wait_spreads(waits)),
        changes=changes,
        attribution_gco2eq=parts,
        controllable_percent=controllable.get("percent"),
        waiting_avoided_percent=waiting.get("percent"),
    )


def _without_interval(baselines: Records, runs: Records) -> str | None:
    if not baselines:
        return "there is no baseline"
    alone = [who for who, side in (("baseline", baselines), ("run", runs)) if len(side) == 1]
    return f"there is only one {alone[0]}, which has no spread; give at least two" if alone else None


def _controllable_percent(baselines: Records, runs: Records, names: Sequence[str]) -> float | None:
    found = controllable_of(parts_of(baselines, runs), baselines, runs, names)
    return found.change_percent if found else None


def _spreads(baselines: Records, runs: Records) -> Iterator[ReplicateFigure]:
    for figure in FIGURES:
        before, after = ([figure.read(record) for record in side] for side in (baselines, runs))
        yield ReplicateFigure(name=figure.key, baseline=spread_of(before) if before else None, run=spread_of(after))


def _wait_spreads(waits: Sequence[Waiting]) -> Iterator[ReplicateFigure]:
    """Yield the figures of waits that are known for every run."""
    for figure in WAIT_FIGURES:
        values = [value for wait in waits if (value := figure.read(wait)) is not None]
        if len(values) == len(waits):
            yield ReplicateFigure(name=figure.key, baseline=None, run=spread_of(values))
