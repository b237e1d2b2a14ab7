"""Several runs a side: each figure's mean, standard deviation and interval, and the intervals of the changes."""

from collections.abc import Sequence

from lowtide.records import TrainingRecord
from lowtide.report.attribution import changes_of, controllable_of, parts_of
from lowtide.report.figures import FIGURES, WAIT_FIGURES
from lowtide.report.model import Comparability, Interval, ReplicateFigure, Replicates, RunFigures, Waiting
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
    changes: dict[str, Interval] = {}
    parts: dict[str, Interval] = {}
    controllable: dict[str, Interval] = {}
    reason = _without_interval(baselines, runs)
    if reason is None:
        groups = [baselines, runs]
        changes = intervals_of(lambda g: changes_of(g[0], g[1], comparability).model_dump(), groups)
        if not any(difference.bars == "comparison" for difference in comparability.differences):
            parts = intervals_of(lambda g: parts_of(g[0], g[1]).model_dump(), groups)
            controllable = intervals_of(lambda g: {"percent": _controllable_percent(g[0], g[1], names)}, groups)
    return Replicates(
        baselines=tuple(map(RunFigures.of, baselines)),
        runs=tuple(map(RunFigures.of, runs)),
        confidence_percent=CONFIDENCE_PERCENT,
        method=METHOD,
        without_interval=reason,
        figures=(*_spreads(baselines, runs), *_wait_spreads(waits)),
        changes=changes,
        attribution_gco2eq=parts,
        controllable_percent=controllable.get("percent"),
        waiting_avoided_percent=_waiting_interval(runs),
    )


def _without_interval(baselines: Records, runs: Records) -> str | None:
    if not baselines:
        return "there is no baseline"
    alone = [who for who, side in (("baseline", baselines), ("run", runs)) if len(side) == 1]
    return f"there is only one {alone[0]}, which has no spread; give at least two" if alone else None


def _controllable_percent(baselines: Records, runs: Records, names: Sequence[str]) -> float | None:
    found = controllable_of(parts_of(baselines, runs), baselines, runs, names)
    return found.change_percent if found else None


def _waiting_interval(runs: Records) -> Interval | None:
    if len(runs) < 2:
        return None
    return intervals_of(lambda groups: {"waiting": avoided_percent(groups[0])}, [runs]).get("waiting")


def _spreads(baselines: Records, runs: Records) -> list[ReplicateFigure]:
    return [
        ReplicateFigure(
            name=figure.key,
            baseline=spread_of([figure.read(record) for record in baselines]) if baselines else None,
            run=spread_of([figure.read(record) for record in runs]),
        )
        for figure in FIGURES
    ]


def _wait_spreads(waits: Sequence[Waiting]) -> list[ReplicateFigure]:
    """Return the figures of waits that are known for every run."""
    known = {figure.key: [v for wait in waits if (v := figure.read(wait)) is not None] for figure in WAIT_FIGURES}
    return [
        ReplicateFigure(name=name, baseline=None, run=spread_of(values))
        for name, values in known.items()
        if len(values) == len(waits)
    ]
