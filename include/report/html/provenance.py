"""Where each side's figures come from: files with checksums, versions, configuration, sources."""

from collections.abc import Iterator
from dataclasses import dataclass

from include.report.html.evidence import Evidence, EvidenceFile
from include.report.html.parts import Facts
from include.report.html.trusting import methods_text, shares_text
from include.report.model import RunFigures
from include.report.text import figures

_CHECKED = {True: "as recorded", False: "has changed", None: "no checksum to hold it against"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """One side's."""

    who: str
    facts: Facts
    files: tuple[dict[str, str], ...]
    problems: tuple[str, ...]


def provenance_of(who: str, run: RunFigures, evidence: Evidence) -> Provenance:
    """Return one side's provenance; what could not be read is among its problems."""
    return Provenance(
        who=who,
        facts=tuple((name, tuple(lines)) for name, lines in _facts(run, evidence) if lines),
        files=tuple(_file(file) for file in evidence.files),
        problems=evidence.problems,
    )


def sources_of(evidence: Evidence) -> tuple[str, ...]:
    """Return whose intensities a run was booked at or waited for, the most frequent of the ledger first."""
    rows = () if evidence.rows is None else evidence.rows.sources
    named = dict.fromkeys(sorted(set(rows), key=lambda source: -rows.count(source)))
    return tuple(named | dict.fromkeys(reading.source for reading in (*evidence.at_submission, *evidence.seen)))


def _facts(run: RunFigures, evidence: Evidence) -> Iterator[tuple[str, list[str]]]:
    yield "Run", [run.run_id]
    yield (
        "Submitted, ran",
        [
            figures.moment_text(run.submitted_at),
            f"{figures.moment_text(run.started_at)} to {figures.moment_text(run.ended_at)}",
        ],
    )
    yield "Zone and signal", [f"{run.zone}; {run.signal_type} signal, {run.emission_factor_type} factors"]
    yield "Intensity booked as", [shares_text(run)]
    yield "Intensity from", [", ".join(sources_of(evidence))] if sources_of(evidence) else []
    yield "Energy", [f"{methods_text(run)}; scope {run.measuring_scope.replace('_', ' ')}; PUE {run.pue:g}"]
    yield "Rows of the ledger", _rows(run, evidence)
    yield "Settled", [] if run.settlement is None else [_settled(run)]
    yield "Known errors", list(run.uncertainty.basis) if run.uncertainty is not None else []
    yield "Device", [f"{run.device} ({run.device_name}), {run.precision}"]
    yield "Peak memory", [f"{run.peak_memory_kind}, by {run.peak_memory_method}"]
    yield "Configuration", [run.configuration]
    yield "Versions", _versions(evidence)


def _rows(run: RunFigures, evidence: Evidence) -> list[str]:
    """Say whether the ledger's rows, summed here, are the record's figures."""
    rows = evidence.rows
    if rows is None:
        return []
    kwh, grams = float(rows.energy_kwh.sum()), float(rows.emissions_gco2eq.sum())
    same = _close(kwh, run.energy_kwh.total) and _close(grams, run.emissions_gco2eq)
    sums = f"{figures.energy_text(kwh)} and {figures.grams_text(grams)}"
    verdict = "the record's figures" if same else "NOT the record's figures"
    return [f"{len(rows):,} rows, which sum to {sums}: {verdict}"]


def _close(value: float, reference: float) -> bool:
    return abs(value - reference) <= 1e-9 * max(abs(reference), 1e-12)


def _settled(run: RunFigures) -> str:
    settlement = run.settlement
    if settlement is None:
        return ""
    share = figures.percent_text(100 * settlement.settled_energy_share)
    first = figures.grams_text(settlement.first_booked.emissions_gco2eq)
    when = figures.moment_text(settlement.settled_at)
    return f"{when}: {share} of the energy booked again at actual figures of {', '.join(settlement.sources)}; first booked {first}"


def _versions(evidence: Evidence) -> list[str]:
    if evidence.record is None:
        return []
    return [", ".join(f"{name} {version}" for name, version in evidence.record.versions.items())]


def _file(file: EvidenceFile) -> dict[str, str]:
    return {"what": file.what, "path": file.path, "sha256": file.sha256 or "", "checked": _CHECKED[file.checked]}
