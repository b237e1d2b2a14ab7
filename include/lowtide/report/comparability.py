"""What two runs should have in common: every difference, whether it bars a claim, and why."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from lowtide.records import TrainingRecord
from lowtide.report.data_quality import CLAIM_LIMIT_SHARE
from lowtide.report.model import Bars, Comparability, Difference
from lowtide.report.statistics import energy_per_sample_bounds

Value = Callable[[TrainingRecord], str]
Records = Sequence[TrainingRecord]

_KEY = re.compile(r"model=(?P<model>.*); data=(?P<data>.*); zone=(?P<zone>.*); effective_batch_size=(?P<batch>.*)")
_NO_NAMES = "none named"
"""There was no GPU, or the record does not name it; the method of the GPU energy distinguishes the two."""
_NEGLIGIBLE_SPREAD = 0.01
"""Of the energy per sample; a third of the change that counts as measurable by default."""
_OTHER_METERS = "a meter's error is then not the same in both, and does not cancel"
_OTHER_GRAMS = "their g/kWh are not comparable"
_HARDWARE = "the change in energy is also that of the hardware"
_WORK = "the attribution's part of work accounts for it"


class Check(NamedTuple):
    """One property that two runs should have in common."""

    what: str
    bars: Bars
    why: str
    label: str
    value: Value


def _check(what: str, bars: Bars, why: str, label: str | None = None, value: Value | None = None) -> Check:
    """Return a check of the record's field of that name, unless another value is given."""
    return Check(what, bars, why, label or what.replace("_", " "), value or (lambda record: str(getattr(record, what))))


def _part(name: str) -> Value:
    def value(record: TrainingRecord) -> str:
        found = _KEY.fullmatch(record.comparison_key)
        return found[name] if found else record.comparison_key

    return value


def _version(package: str) -> Value:
    return lambda record: record.versions.get(package, "unknown")


def _method(part: str) -> Value:
    """Return how a record says that the energy of ``cpu``, ``gpu`` or ``ram`` was obtained."""
    return lambda record: str(dict(record.energy_kwh.methods).get(part, "none"))  # type: ignore[call-overload]


CHECKS = (
    _check("zone", "comparison", "the grids are different ones", value=lambda r: r.zone + " (replay)" * bool(r.replay)),
    _check("signal_type", "comparison", _OTHER_GRAMS),
    _check("emission_factor_type", "comparison", _OTHER_GRAMS),
    _check("measuring_scope", "comparison", "their kWh are not comparable"),
    _check("model", "comparison", "another model is other work", value=_part("model")),
    _check("data", "comparison", "another data set is other work", "data set", _part("data")),
    _check("effective_batch_size", "comparison", "another effective batch is another training", "effective batch"),
    _check("device", "comparison", "the change is that of the hardware", "device class"),
    _check("pue", "efficiency", "the site's overhead is not part of the training", "PUE", lambda r: f"{r.pue:g}"),
    _check("samples", "nothing", _WORK),
    _check("epochs", "nothing", _WORK),
    _check("peak_memory_kind", "nothing", "it has no percentage", "kind of peak memory"),
    _check("gpus", "efficiency", _HARDWARE, "number of GPUs", lambda r: str(len(r.gpu_devices) or _NO_NAMES)),
    *(
        _check(f"versions.{name}", "nothing", "it may work differently", f"version of {name}", _version(name))
        for name in ("lowtide", "torch", "codecarbon")
    ),
)
"""All that is compared as text; seeds, meters and the rest of the key are compared in ``comparability_of``."""

WHOLE_KEY = _check("comparison_key", "comparison", "other keys are other work")
DEVICE_NAME = _check("device_name", "efficiency", f"{_HARDWARE}, and a meter's error does not cancel")
GPU_DEVICES = _check(
    "gpu_devices", "efficiency", "", "set of GPUs", lambda r: ", ".join(sorted(r.gpu_devices)) or _NO_NAMES
)
METHODS = tuple(
    _check(f"methods.{part}", "efficiency", "", f"method of {part} energy", _method(part))
    for part in ("cpu", "gpu", "ram")
)
INTENSITY = ("zone", "signal_type", "emission_factor_type")
"""Where these differ, g/kWh of the two do not mean the same thing."""
ENERGY = ("measuring_scope",)
"""Where these differ, kWh of the two do not mean the same thing."""
METERS = (DEVICE_NAME.what, GPU_DEVICES.what, *(check.what for check in METHODS))
"""Where these differ, a meter's error is not the same in both."""


def comparability_of(baselines: Records, runs: Records) -> Comparability:
    """Compare everything that should agree; the runs of one side must agree among themselves, too."""
    if not baselines:
        return Comparability()
    found = [difference for check in CHECKS for difference in _differing(check, baselines, runs)]
    found = [
        _spread(difference, baselines, runs) if difference.what == "samples" else difference for difference in found
    ]
    found += [*_seeds(baselines, runs), *_meters(baselines, runs)]
    if not any(d.bars == "comparison" for d in found):  # a key of another shape, or what a later version puts there
        found += _differing(WHOLE_KEY, baselines, runs)
    checked = (*(check.what for check in CHECKS), "seed", *METERS, WHOLE_KEY.what)
    return Comparability(checked=checked, differences=tuple(found))


def barring(comparability: Comparability, bars: Bars) -> list[str]:
    """Return the differences that bar something, one sentence each."""
    return [
        f"{d.label} differs (baseline {d.baseline}, run {d.run}): {d.why}"
        for d in comparability.differences
        if d.bars == bars
    ]


def agree_on(comparability: Comparability, keys: Sequence[str]) -> bool:
    """Whether the two sides have all of these in common."""
    return not any(difference.what in keys for difference in comparability.differences)


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
    """Yield differences in how the energy was obtained: a part counted on one side only bars all, others what they may explain.

    Another GPU of the same kind is among them: each card has its own meter and power draw.
    """
    yield from _differing(DEVICE_NAME, baselines, runs)
    bounds = energy_per_sample_bounds(baselines, runs)
    beyond = bounds is not None and not bounds.low <= 0 <= bounds.high
    for check in (GPU_DEVICES, *METHODS):
        for found in _differing(check, baselines, runs):
            bars, why = _consequence(found, _largest_share(check.what, *baselines, *runs), beyond=beyond)
            yield found.model_copy(update={"bars": bars, "why": why})


def _consequence(found: Difference, share: float, *, beyond: bool) -> tuple[Bars, str]:
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
