"""A ledger's rows as columns of numbers: a day of 5-second rows is drawn and summed without an object a row."""

import json
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from include.moments import parse_moment

Floats = npt.NDArray[np.float64]

_FIGURES = (
    "cpu_energy_kwh",
    "gpu_energy_kwh",
    "ram_energy_kwh",
    "carbon_intensity_gco2eq_per_kwh",
    "emissions_gco2eq",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerColumns:
    """Rows in the order of time; moments are UNIX seconds, virtual under replay; energy is kWh before PUE."""

    start_s: Floats
    end_s: Floats
    energy_kwh: Floats
    emissions_gco2eq: Floats
    carbon_intensity_gco2eq_per_kwh: Floats
    attempt: npt.NDArray[np.int64]
    kinds: tuple[str, ...]
    sources: tuple[str, ...]
    passed_over: int

    def __len__(self) -> int:
        return len(self.start_s)


def read_columns(path: Path) -> LedgerColumns | None:
    """Read the whole rows of a ledger; None where there is none in it. Lines that are no row are counted, not guessed at.

    :raises OSError: the file cannot be read.
    """
    reader = _Reader()
    with path.open("rb") as file:
        for raw in file:
            reader.take(raw)
    return reader.columns() if reader.texts else None


class _Reader:
    """Keeps eight numbers and one reference a row: a month has half a million."""

    def __init__(self) -> None:
        self.figures = array("d")
        self.texts: list[tuple[str, str]] = []
        self.passed_over = 0
        self._known: dict[tuple[str, str], tuple[str, str]] = {}

    def take(self, raw: bytes) -> None:
        if not raw.strip() or raw.startswith(b'{"event"'):
            return
        try:
            data = json.loads(raw)
            row = (*_moments(data), int(data["attempt"]), *(float(data[name]) for name in _FIGURES))
            texts = (str(data["intensity_kind"]), str(data["intensity_source"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            self.passed_over += 1
            return
        if row[0] < row[1] and all(0 <= figure < np.inf for figure in row[3:]):
            self.figures.extend(row)
            self.texts.append(self._known.setdefault(texts, texts))
        else:
            self.passed_over += 1

    def columns(self) -> LedgerColumns:
        table = np.frombuffer(self.figures, dtype=np.float64).reshape(len(self.texts), -1)
        order = np.argsort(table[:, 0], kind="stable")
        table = table[order]
        kinds, sources = zip(*(self.texts[i] for i in order), strict=True)
        return LedgerColumns(
            start_s=table[:, 0],
            end_s=table[:, 1],
            attempt=table[:, 2].astype(np.int64),
            energy_kwh=table[:, 3:6].sum(axis=1),
            carbon_intensity_gco2eq_per_kwh=table[:, 6],
            emissions_gco2eq=table[:, 7],
            kinds=kinds,
            sources=sources,
            passed_over=self.passed_over,
        )


def _moments(data: dict[str, Any]) -> Iterator[float]:
    yield parse_moment(data["start"]).timestamp()
    yield parse_moment(data["end"]).timestamp()
