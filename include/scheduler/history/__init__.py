"""The history of a grid's signal: every value with its origin and with the moment when it was learnt."""

from include.scheduler.history.compaction import Compaction
from include.scheduler.history.filling import Filling, fill, provider_key, spans_to_ask
from include.scheduler.history.importing import ImportedFile, read_history_file
from include.scheduler.history.key import HistoryKey
from include.scheduler.history.recorder import HistoryRecorder, Recorder
from include.scheduler.history.spans import Coverage
from include.scheduler.history.store import HistoryStore, Knowledge, Known, open_history, stores_of_zone

__all__ = [
    "Compaction",
    "Coverage",
    "Filling",
    "HistoryKey",
    "HistoryRecorder",
    "HistoryStore",
    "ImportedFile",
    "Knowledge",
    "Known",
    "Recorder",
    "fill",
    "open_history",
    "provider_key",
    "read_history_file",
    "spans_to_ask",
    "stores_of_zone",
]
