"""Which signal a store holds: values of two keys are never mixed, so each key has a folder of its own."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, unquote

from include.records import EmissionFactorType, Reading, SignalType

_PUBLIC = "public"


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryKey:
    """Zone, source, connection (None: the source's public address), signal type and emission factor type."""

    zone: str
    source: str
    connection: str | None = None
    signal_type: SignalType
    emission_factor_type: EmissionFactorType

    def folder(self, artifacts_root: Path) -> Path:
        """Return the store's folder: history/<zone>/<source>/<connection or public>/<signal>-<factor>."""
        connection = _PUBLIC if self.connection is None else _component(self.connection)
        meaning = f"{self.signal_type.value}-{self.emission_factor_type.value}"
        return history_root(artifacts_root) / _component(self.zone) / _component(self.source) / connection / meaning

    def admits(self, reading: Reading) -> bool:
        """Whether a reading is of this zone and means the same by its grams."""
        mine = (self.zone, self.signal_type, self.emission_factor_type)
        return (reading.zone, reading.signal_type, reading.emission_factor_type) == mine

    def as_json(self) -> dict[str, Any]:
        """Return a JSON-able mapping, which every part of the store carries."""
        return asdict(self)

    @classmethod
    def from_folder(cls, folder: Path) -> Self | None:
        """Return the key of a store's folder; None where the folder is no store's."""
        zone, source, connection, meaning = folder.parts[-4:]
        signal_type, _, factor_type = meaning.partition("-")
        try:
            return cls(
                zone=unquote(zone),
                source=unquote(source),
                connection=None if connection == _PUBLIC else unquote(connection),
                signal_type=SignalType(signal_type),
                emission_factor_type=EmissionFactorType(factor_type),
            )
        except ValueError:
            return None


def history_root(artifacts_root: Path) -> Path:
    """Return the folder of all stores."""
    return artifacts_root / "history"


def _component(text: str) -> str:
    """Return a text as one path component; two texts never share one, and none is hidden, ``public`` or a parent."""
    quoted = quote(text, safe="")
    if quoted.startswith(".") or quoted == _PUBLIC:
        return f"%{ord(text[0]):02X}{quoted[1:]}"
    return quoted
