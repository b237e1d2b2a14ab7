"""Reads histories from files: our own trace format, and the yearly CSV of the Electricity Maps portal.

Rules for the portal's file (names of columns as of 2021 to 2025, capitals aside):

- ``Datetime (UTC)`` is the interval's start; the interval is as long as the shortest step in the file, an hour at most.
- each of the columns ``(direct)`` and ``(Life cycle)`` / ``(LCA)`` is a separate signal; an empty field is a gap.
- ``Data estimated`` true: kind ``estimated``, false: ``measured``; without the column: ``estimated``.
- another ``Zone id`` than the one asked for: the file is refused, since its figures are of another grid.

A trace names its zone at most, in its file name (``DE_2023.csv``): it is average lifecycle intensity
(the contract of trace files) unless the user says otherwise, kind ``estimated``.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from lowtide.config.zones import Zone, zone_table
from lowtide.errors import ArtifactError, InvalidAnswer
from lowtide.grid.providers.offline import INTENSITY, TIMESTAMP, read_table, read_trace, shortest_step, utc_time
from lowtide.records import EmissionFactorType, IntensityKind, Reading, SignalType

PORTAL_SOURCE, TRACE_SOURCE = "electricity_maps", "trace"
_START, _ZONE, _ESTIMATED = "datetime (utc)", "zone id", "data estimated"
_FACTOR_COLUMNS = {
    "carbon intensity gco₂eq/kwh (life cycle)": EmissionFactorType.LIFECYCLE,
    "carbon intensity gco₂eq/kwh (lca)": EmissionFactorType.LIFECYCLE,
    "carbon intensity gco₂eq/kwh (direct)": EmissionFactorType.DIRECT,
}
_HOUR = timedelta(hours=1)


def read_history_file(
    path: Path, zone: Zone, *, factor_type: EmissionFactorType | None = None, source: str | None = None
) -> dict[EmissionFactorType, list[Reading]]:
    """Return the readings of a file of either format, plain or gzip, oldest first, of each factor type that it has.

    :param factor_type: of a trace, which does not say it; of a portal's file, the only column to take.
    :param source: another name for where the file comes from.
    :raises ArtifactError: missing, unreadable, of neither format, of another zone, or with a line that is no reading.
    """
    text = read_table(path, "file; check the path")
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        columns = {name.strip().lower() for name in next(reader, [])}
    except csv.Error as error:
        raise ArtifactError(f"{path}, line 1: is not CSV ({error}); check the file") from None
    if {TIMESTAMP, INTENSITY} <= columns:
        readings = _trace(path, zone, factor_type or EmissionFactorType.LIFECYCLE, source or TRACE_SOURCE)
    elif _START in columns:
        readings = _portal(path, zone, text, source or PORTAL_SOURCE)
    else:
        raise ArtifactError(
            f"{path}: is neither a trace (columns {TIMESTAMP}, {INTENSITY}) nor a CSV of the Electricity Maps portal"
            " (column 'Datetime (UTC)'); name the columns in the first line"
        )
    wanted = [kind for kind in EmissionFactorType if factor_type in (None, kind)]
    found = {kind: [reading for reading in readings if reading.emission_factor_type is kind] for kind in wanted}
    if not any(found.values()):
        raise ArtifactError(f"{path}: holds no {factor_type.value if factor_type else ''} intensity; check the file")
    return {kind: own for kind, own in found.items() if own}


def _trace(path: Path, zone: Zone, factor_type: EmissionFactorType, source: str) -> list[Reading]:
    named = path.name.partition("_")[0]
    if named != zone.key and named in zone_table():
        raise ArtifactError(
            f"{path}: is of zone {named!r} by its name, not {zone.key!r}; give --zone {named} or rename it"
        )
    trace = read_trace(path)
    _refuse_coarse(path, trace.resolution)
    return [
        Reading(
            zone=zone.key,
            start=start,
            end=start + trace.resolution,
            carbon_intensity_gco2eq_per_kwh=value,
            source=source,
            kind=IntensityKind.ESTIMATED,
            signal_type=SignalType.AVERAGE,
            emission_factor_type=factor_type,
        )
        for start, value in zip(trace.starts, trace.values, strict=True)
    ]


def _portal(path: Path, zone: Zone, text: str, source: str) -> list[Reading]:
    reader = csv.reader(io.StringIO(text, newline=""))
    columns = [name.strip().lower() for name in next(reader)]
    try:
        rows = [(reader.line_num, dict(zip(columns, row, strict=False))) for row in reader if row]
    except csv.Error as error:
        raise ArtifactError(f"{path}, line {reader.line_num}: is not CSV ({error}); check the file") from None
    starts = [_start(f"{path}, line {line}", row, zone) for line, row in rows]
    length = shortest_step(path, sorted(starts))
    _refuse_coarse(path, length)
    found = [
        reading
        for (line, row), start in zip(rows, starts, strict=True)
        for reading in _readings(f"{path}, line {line}", row, zone, source, start, start + length)
    ]
    return sorted(found, key=lambda reading: reading.start)


def _start(place: str, row: Mapping[str, str], zone: Zone) -> datetime:
    named = row.get(_ZONE)
    if named is not None and named.strip() != zone.key:
        raise ArtifactError(f"{place}: is of zone {named!r}, not {zone.key!r}; give --zone {named} or another file")
    try:
        return utc_time(row[_START].strip())
    except ValueError:
        raise ArtifactError(f"{place}: {row[_START]!r} is not a time; fix or remove the line") from None


def _readings(
    place: str, row: Mapping[str, str], zone: Zone, source: str, start: datetime, end: datetime
) -> Iterator[Reading]:
    measured = row.get(_ESTIMATED, "").strip().lower() == "false"
    for column, factor_type in _FACTOR_COLUMNS.items():
        text = row.get(column, "").strip()
        if not text:
            continue
        try:
            yield Reading(
                zone=zone.key,
                start=start,
                end=end,
                carbon_intensity_gco2eq_per_kwh=float(text),
                source=source,
                kind=IntensityKind.MEASURED if measured else IntensityKind.ESTIMATED,
                signal_type=SignalType.AVERAGE,
                emission_factor_type=factor_type,
            )
        except (ValueError, InvalidAnswer):
            raise ArtifactError(
                f"{place}: {text!r} is not an intensity of at least 0 g/kWh; fix or remove the line"
            ) from None


def _refuse_coarse(path: Path, length: timedelta) -> None:
    if length > _HOUR:
        raise ArtifactError(f"{path}: holds means over {length}, which are too coarse; give the hourly file")
