"""An XCom keeps what a run said when it ended; its folder may know better since."""

import math
from pathlib import Path

from include.errors import ArtifactError
from include.files import sha256_of
from include.records import TrainingRecord
from include.report import load_record


def settled_record(record: TrainingRecord) -> TrainingRecord:
    """Return the settled record of the same run where its folder has one; else the record as it is.

    Only one that was settled from these very figures is taken: the folder may hold another training by now.
    """
    path = Path(record.ledger_path).with_name("record.json")
    try:
        found = load_record(path)
    except ArtifactError:  # gone, of a later training that was killed, or on another machine: the XCom stands
        return record
    if found.run_id != record.run_id or found.settlement is None:
        return record
    first = found.settlement.first_booked
    same = math.isclose(first.emissions_gco2eq, record.emissions_gco2eq, rel_tol=1e-12)
    return found if same and found.started_at == record.started_at else record


def is_record_of(path: Path, checksum: str) -> bool:
    """Whether a record's file has this checksum, or had it before it was settled.

    :raises OSError: the file cannot be read.
    """
    first = path.parent / "booked" / path.name
    return sha256_of(path) == checksum or (first.exists() and sha256_of(first) == checksum)
