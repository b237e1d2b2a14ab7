"""The section "How to trust this": kinds, methods, scopes and the ledgers that every figure follows from."""

from collections.abc import Iterator

from include.records import Counterfactual, Settlement
from include.report.model import Report, RunFigures
from include.report.text import figures
from include.report.text.escape import markdown


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
    repeats = report.repeats
    baselines = repeats.baselines if repeats else (report.baseline,) if report.baseline else ()
    runs = repeats.runs if repeats else (report.run,)
    for who, side in (("Baseline", baselines), ("Run", runs)):
        for number, run in enumerate(side, 1):
            yield who if len(side) == 1 else f"{who} {number}", run


def _lines(run: RunFigures) -> Iterator[str]:
    yield f"Run id: {run.run_id}, zone {run.zone}, submitted {figures.moment_text(run.submitted_at)}"
    yield f"Ran from {figures.moment_text(run.started_at)} to {figures.moment_text(run.ended_at)}"
    yield f"Intensity: {run.signal_type} signal, {run.emission_factor_type} factors; energy booked at {_kinds(run)}"
    if run.foreign_signal_share > 0:
        share = figures.percent_text(100 * run.foreign_signal_share)
        yield f"Of that energy, {share} is booked at another signal or factor type, which no claim is made on"
    if run.settlement is not None:
        yield _settled(run.settlement)
    if run.uncertainty is not None:
        yield f"Known errors: {'; '.join(run.uncertainty.basis)}"
    yield f"Energy: {_methods(run)}; scope {run.measuring_scope}; PUE {run.pue:g}"
    if run.counterfactual is not None:
        yield _at_submission(run.counterfactual)
    yield f"Peak memory: {run.peak_memory_kind}, by {run.peak_memory_method}"
    yield f"Configuration: {run.configuration}"
    yield f"Ledger: {run.ledger_path}, sha256 {run.ledger_sha256}"


def _at_submission(counterfactual: Counterfactual) -> str:
    grams = figures.grams_text(counterfactual.emissions_gco2eq)
    text = f"The same energy at submission: {grams}, booked at {_kinds(counterfactual)}"
    if counterfactual.readings_path is None:
        return text
    return f"{text}; readings: {counterfactual.readings_path}, sha256 {counterfactual.readings_sha256}"


def _settled(settlement: Settlement) -> str:
    first, share = settlement.first_booked, figures.percent_text(100 * settlement.settled_energy_share)
    return (
        f"Settled {figures.moment_text(settlement.settled_at)}: {share} of the energy booked again at actual figures of"
        f" {', '.join(settlement.sources)}; first booked {figures.grams_text(first.emissions_gco2eq)}, ledger"
        f" {first.ledger_path}, sha256 {first.ledger_sha256}"
    )


def _kinds(run: RunFigures | Counterfactual) -> str:
    kinds = sorted(run.intensity_kinds.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{kind} {figures.percent_text(100 * share)}" for kind, share in kinds) or "no kind"


def _methods(run: RunFigures) -> str:
    energy = run.energy_kwh
    parts = {"cpu": energy.cpu, "gpu": energy.gpu, "ram": energy.ram}
    return ", ".join(
        f"{part.upper()} {figures.energy_text(kwh)} ({energy.methods.get(part, 'none')})"  # type: ignore[call-overload]
        for part, kwh in parts.items()
    )
