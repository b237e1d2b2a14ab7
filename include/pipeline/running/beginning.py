"""What happens to the files of a run when it is begun, begun again, or gone on with."""

import contextlib
import logging
import os
import secrets
from collections.abc import Iterator
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from include.config import LowtideConfig
from include.errors import ArtifactError, ConfigurationError, LedgerInUse
from include.files import write_json_atomically
from include.pipeline.accounts.files import restore_first_booking, set_first_booking_aside
from include.pipeline.identity import run_identity
from include.pipeline.run_folder import RunFolder
from include.pipeline.running.training_run import TrainingRun
from include.records import ReplayAnchor
from include.tracker import hold_ledger
from include.trainer.checkpoint.folder import CheckpointFolder
from include.trainer.checkpoint.identity import first_difference
from include.trainer.checkpoint.manifest import Manifest

_log = logging.getLogger(__name__)

SETTLEMENT_S = 5.0
"""For so long an attempt waits for who holds its ledger: a settlement may be at work there for a moment."""


class Beginning(BaseModel):
    """``identity.json``: which training the folder's files belong to, and the moments fixed when it began."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    training_id: str
    run_id: str
    submitted_at: AwareDatetime
    identity: dict[str, Any]

    @property
    def anchor(self) -> ReplayAnchor | None:
        """The link between real and virtual time, under replay."""
        replay = self.identity.get("replay")
        return ReplayAnchor.model_validate(replay) if replay else None


def new_training_id() -> str:
    """Return a name that no other training has."""
    return secrets.token_hex(8)


def unfinished(folder: RunFolder) -> Beginning | None:
    """Return the training that was begun in a folder and not finished; None if there is none, or its name is unreadable."""
    if folder.is_finished:
        return None
    try:
        return Beginning.model_validate_json(folder.identity.read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return None


def goes_on(folder: RunFolder, config: LowtideConfig) -> Beginning | None:
    """Return the unfinished training that an attempt with this configuration would go on with, or be refused for.

    One that was begun with another configuration and has saved nothing (a mistake that was mended) is not gone on with.
    """
    earlier = unfinished(folder)
    if earlier is None:
        return None
    anchor = earlier.anchor if config.grid.provider == "replay" else None
    same = first_difference(earlier.identity, run_identity(config, anchor), "") is None
    return earlier if same or last_checkpoint(folder) else None


def last_checkpoint(folder: RunFolder) -> Manifest | None:
    """Return the newest checkpoint that an attempt could go on from."""
    return CheckpointFolder(folder.checkpoints).newest()


def begin(run: TrainingRun) -> str:
    """Prepare the folder for an attempt and return the id of the training that it belongs to.

    What a finished training left is moved to ``finished-N``. What an unfinished one of the same identity left stays: its
    checkpoint is gone on from, and its ledger continued, because the energy was used for this result too; what was read back
    from that ledger after a kill goes, since the record will tell of all attempts. What another one left is moved to
    ``other-N``.

    :raises ConfigurationError: an unfinished training has a checkpoint, but the configuration is another one by now.
    :raises ArtifactError: the folder cannot be written, or another process is training in it.
    """
    run.folder.create()
    with _held(run.folder):
        return _begin(run)


def _begin(run: TrainingRun) -> str:
    folder = run.folder
    earlier, wanted = unfinished(folder), run.training_id
    identity = run_identity(run.config.values, run.anchor)
    if folder.is_finished:
        moved = _move_to(folder, "finished")
        _log.warning("the finished training in %s is in %s now: it trains anew", folder.path, moved)
    elif earlier is None or (wanted is not None and wanted != earlier.training_id):
        _set_aside(folder, "they belong to another training")
    else:
        difference = refuse_another_training(run, earlier)
        if difference is None:
            _forget_account(folder)
            return earlier.training_id
        _set_aside(folder, difference)
    training_id = wanted or new_training_id()
    beginning = Beginning(training_id=training_id, run_id=run.run_id, submitted_at=run.submitted_at, identity=identity)
    write_json_atomically(folder.identity, beginning.model_dump_json(indent=2))
    return training_id


@contextlib.contextmanager
def _held(folder: RunFolder) -> Iterator[None]:
    # the ledger of a training that still runs must not be taken from under it, nor one be settled that is gone on with
    if not folder.ledger.exists():
        yield
        return
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(hold_ledger(folder.ledger, patience_s=SETTLEMENT_S))
        except LedgerInUse:
            raise ArtifactError(
                f"{folder.path}: another process is training in this folder; wait for it, or end it"
            ) from None
        with contextlib.suppress(FileNotFoundError):
            os.utime(folder.identity)  # a sign of life: the attempt's first row may be a minute away
        yield


def _forget_account(folder: RunFolder) -> None:
    # the record last: as long as it stands, this is done again
    if folder.booked.exists():  # of this account only: the finished run's first booking will be another one
        if folder.record.exists():
            restore_first_booking(folder)
        set_first_booking_aside(folder)
    folder.settling.unlink(missing_ok=True)
    folder.record.unlink(missing_ok=True)


def refuse_another_training(run: TrainingRun, earlier: Beginning) -> str | None:
    """Return in words how a run differs from the unfinished training in its folder; None where it is the same.

    :raises ConfigurationError: it differs, and the training has a checkpoint, which would be lost.
    """
    folder = run.folder
    difference = first_difference(earlier.identity, run_identity(run.config.values, run.anchor), "")
    found = last_checkpoint(folder) if difference else None
    if found is not None:
        raise ConfigurationError(
            f"{difference}, but {folder.path} holds an unfinished training with a checkpoint at optimizer step"
            f" {found.optimizer_step}; set it back to go on, or start over (--fresh, or a new run)"
        )
    return difference


def _set_aside(folder: RunFolder, why: str) -> None:
    moved = _move_to(folder, "other")
    if moved:
        _log.warning("what an earlier attempt left in %s is in %s now: %s", folder.path, moved, why)


def _move_to(folder: RunFolder, name: str) -> str | None:
    # the record last: as long as it stands, what is half moved is known for a finished training's
    kept = (
        *(folder.ledger, folder.submission_readings, folder.child_log, folder.attempts, folder.checkpoints),
        *sorted(folder.path.glob(f"{folder.ledger.name}.*")),  # torn lines
        *folder.settled_files(),
        *(folder.pauses, folder.identity, folder.record),
    )
    present = [path for path in kept if path.exists()]
    if not present:
        return None
    number = 1 + sum(1 for _ in folder.path.glob(f"{name}-*"))
    target = folder.path / f"{name}-{number}"
    target.mkdir()
    for path in present:
        path.replace(target / path.name)
    return target.name
