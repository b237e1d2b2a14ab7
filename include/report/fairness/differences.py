"""What two runs should have in common: every difference, whether it bars a claim, and why."""

from collections.abc import Iterator, Sequence

from include.records import TrainingRecord
from include.report.evidence import CLAIM_LIMIT_SHARE
from include.report.fairness.checks import CHECKS, DEVICE_NAME, GPU_DEVICES, METHODS, WHOLE_KEY, Check
from include.report.fairness.model import Bars, Difference, Fairness
from include.report.known_errors import energy_per_sample_bounds

Records = Sequence[TrainingRecord]

INTENSITY = ("zone", "signal_type", "emission_factor_type")
"""Where these differ, g/kWh of the two do not mean the same thing."""
ENERGY = ("measuring_scope",)
"""Where these differ, kWh of the two do not mean the same thing."""
METERS = (DEVICE_NAME.what, GPU_DEVICES.what, *(check.what for check in METHODS))
"""Where these differ, a meter's error is not the same in both."""
_NEGLIGIBLE_SPREAD = 0.01
"""Of the energy per sample; a third of the change that counts as measurable by default."""
_OTHER_METERS = "a meter's error is then not the same in both, and does not cancel"


def fairness_of(baselines: Records, runs: Records) -> Fairness:
    """Hold everything against one another that should agree; runs of one side must agree among themselves, too."""
    if not baselines:
        return Fairness()
    found = [difference for check in CHECKS for difference in _differing(check, baselines, runs)]
    found = [
        _spread(difference, baselines, runs) if difference.what == "samples" else difference for difference in found
    ]
    found += [*_seeds(baselines, runs), *_meters(baselines, runs)]
    if not any(d.bars == "comparison" for d in found):  # a key of another shape, or what a later version puts there
        found += _differing(WHOLE_KEY, baselines, runs)
    checked = (*(check.what for check in CHECKS), "seed", *METERS, WHOLE_KEY.what)
    return Fairness(checked=checked, differences=tuple(found))


def barring(fairness: Fairness, bars: Bars) -> list[str]:
    """Return the reasons why something is barred, one sentence each."""
    return [sentence(difference) for difference in fairness.differences if difference.bars == bars]


def sentence(difference: Difference) -> str:
    """Say a difference with what it means."""
    d = difference
    return f"{d.label} differs (baseline {d.baseline}, run {d.run}): {d.why}"


def agree_on(fairness: Fairness, keys: Sequence[str]) -> bool:
    """Whether the two sides have all of these in common."""
    return not any(difference.what in keys for difference in fairness.differences)


def _differing(check: Check, baselines: Records, runs: Records) -> Iterator[Difference]:
    before, after = (sorted({check.value(record) for record in side}) for side in (baselines, runs))
    if len({*before, *after}) > 1:
        yield Difference(
            what=check.what,
            label=check.label,
            baseline=" and ".join(before),
            run=" and ".join(after),
            bars=check.bars,
            why=check.why,
        )


def _spread(found: Difference, baselines: Records, runs: Records) -> Difference:
    """Bar efficiency where the energy beside training, spread over another number of samples, explains a part that counts."""
    records = (*baselines, *runs)
    least, most = (end(record.samples for record in records) for end in (min, max))
    beside = max(1.0 - r.energy_train_kwh / r.energy_kwh.total if r.energy_kwh.total else 0.0 for r in records)
    if beside * (1.0 - least / most) <= _NEGLIGIBLE_SPREAD:
        return found
    why = "start-up and evaluation are spread over another number of samples, which changes the energy per sample"
    return found.model_copy(update={"bars": "efficiency", "why": why})


def _seeds(baselines: Records, runs: Records) -> Iterator[Difference]:
    before, after = (sorted(record.seed for record in side) for side in (baselines, runs))
    if set(before) != set(after):
        texts = [", ".join(map(str, side)) for side in (before, after)]
        why = "accuracy differs from seed to seed"
        yield Difference(what="seed", label="seed", baseline=texts[0], run=texts[1], bars="nothing", why=why)


def _meters(baselines: Records, runs: Records) -> Iterator[Difference]:
    """Differences in how the energy was obtained: what is counted on one side only bars all, the rest what it may explain.

    Another GPU of the same kind is among them: each card has a meter, and a draw, of its own.
    """
    yield from _differing(DEVICE_NAME, baselines, runs)
    bounds = energy_per_sample_bounds(baselines, runs)
    beyond = bounds is not None and not bounds.low <= 0 <= bounds.high
    for check in (GPU_DEVICES, *METHODS):
        for found in _differing(check, baselines, runs):
            bars, why = _judged(found, _largest_share(check.what, *baselines, *runs), beyond=beyond)
            yield found.model_copy(update={"bars": bars, "why": why})


def _judged(found: Difference, share: float, *, beyond: bool) -> tuple[Bars, str]:
    if share <= CLAIM_LIMIT_SHARE:
        return "nothing", "it is a small part of the energy"
    if "none" in (*found.baseline.split(" and "), *found.run.split(" and ")):
        return "comparison", "this part of the energy is counted on one side only"
    if beyond:
        return "nothing", f"{_OTHER_METERS}, but the change in energy is larger than all known errors"
    return "efficiency", f"{_OTHER_METERS}; the change in energy is not larger than the known errors"


def _largest_share(what: str, *records: TrainingRecord) -> float:
    part = "gpu" if what == GPU_DEVICES.what else what.removeprefix("methods.")
    energies = [record.energy_kwh for record in records]
    return max((getattr(energy, part) / energy.total if energy.total else 0.0) for energy in energies)
