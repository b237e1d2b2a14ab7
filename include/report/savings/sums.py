"""Sums of runs whose figures mean the same thing: one basis, one signal type, one emission factor type."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from include.report.savings.model import Figures, Group, Part, SavingsRun

_S_PER_HOUR = 3600.0
_BASES = ("measured", "estimated_energy", "simulated")

_Key = tuple[str | None, str | None]


def groups_of(runs: Sequence[SavingsRun]) -> tuple[Group, ...]:
    """Return the groups that there are runs of: measured ones first, simulated ones last."""
    keys = {(run.basis, run.signal_type, run.emission_factor_type) for run in runs}
    return tuple(
        _group([run for run in runs if (run.basis, run.signal_type, run.emission_factor_type) == key])
        for key in sorted(keys, key=lambda key: (_BASES.index(key[0]), *key[1:]))
    )


def figures_of(runs: Sequence[SavingsRun]) -> Figures:
    """Return the sums over runs of one group."""
    waiting = [run for run in runs if run.avoided_by_waiting_gco2eq is not None]
    efficient = [run for run in runs if run.avoided_by_efficiency_gco2eq is not None]
    return Figures(
        runs=len(runs),
        unfinished_runs=sum(not run.finished for run in runs),
        superseded_runs=sum(run.superseded for run in runs),
        runs_with_missing_energy=sum(not run.energy_complete for run in runs),
        energy_kwh=math.fsum(run.energy_kwh for run in runs),
        energy_with_pue_kwh=math.fsum(run.energy_with_pue_kwh for run in runs),
        emissions_gco2eq=math.fsum(run.emissions_gco2eq for run in runs),
        emissions_low_gco2eq=_sum_if_all(run.emissions_low_gco2eq for run in runs),
        emissions_high_gco2eq=_sum_if_all(run.emissions_high_gco2eq for run in runs),
        unsettled_gco2eq=math.fsum(run.unsettled_gco2eq for run in runs),
        avoided_by_waiting_gco2eq=_sum_if_all(run.avoided_by_waiting_gco2eq for run in waiting),
        avoided_by_waiting_low_gco2eq=_sum_if_all(run.avoided_by_waiting_low_gco2eq for run in waiting),
        avoided_by_waiting_high_gco2eq=_sum_if_all(run.avoided_by_waiting_high_gco2eq for run in waiting),
        runs_with_waiting=len(waiting),
        avoided_by_efficiency_gco2eq=_sum_if_all(run.avoided_by_efficiency_gco2eq for run in efficient),
        runs_with_efficiency=len(efficient),
        waits=sum(run.waited is True for run in runs),
        waits_unknown=sum(run.waited is None for run in runs),
        wait_h=math.fsum(run.wait_s for run in runs) / _S_PER_HOUR,
        paused_h=math.fsum(run.paused_s for run in runs) / _S_PER_HOUR,
        deadlines=sum(run.deadline_met is not None for run in runs),
        deadlines_missed=sum(run.deadline_met is False for run in runs),
    )


def _group(runs: Sequence[SavingsRun]) -> Group:
    first = runs[0]
    return Group(
        basis=first.basis,
        signal_type=first.signal_type,
        emission_factor_type=first.emission_factor_type,
        measuring_scopes=dict(sorted(Counter(run.measuring_scope for run in runs).items())),
        total=figures_of(runs),
        by_month=_parts(runs, lambda run: (run.month, None)),
        by_model=_parts(runs, lambda run: (None, run.model)),
        cells=_parts(runs, lambda run: (run.month, run.model)),
    )


def _parts(runs: Sequence[SavingsRun], key_of: Callable[[SavingsRun], _Key]) -> tuple[Part, ...]:
    found: dict[_Key, list[SavingsRun]] = {}
    for run in runs:
        found.setdefault(key_of(run), []).append(run)
    ordered = sorted(found.items(), key=lambda item: tuple(part or "" for part in item[0]))
    return tuple(Part(month=month, model=model, figures=figures_of(part)) for (month, model), part in ordered)


def _sum_if_all(values: Iterable[float | None]) -> float | None:
    """Return the sum; None where nothing is known, or not of all: a sum over some would pass for the whole."""
    found = list(values)
    known = [value for value in found if value is not None]
    return math.fsum(known) if known and len(known) == len(found) else None
