"""Whom to ask for a run's actual figures: the grid that its ledger names, or one that a configuration names."""

from pathlib import Path

from pydantic import ValidationError

from include.config import GridConfig, find_zone
from include.errors import ArtifactError, ConfigurationError
from include.pipeline.accounts.files import Account
from include.pipeline.accounts.reading_back import opening_details
from include.pipeline.run_folder import RunFolder
from include.scheduler import GridSignal
from include.scheduler.history import HistoryStore, open_history, provider_key
from include.scheduler.signals.feeds import LiveFeed
from include.tracker import read_ledger


def grid_of(folder: RunFolder) -> GridConfig:
    """Return the grid that the run was booked at, as its ledger's opening says.

    :raises ArtifactError: the ledger is missing, or from before ledgers said so.
    """
    details = opening_details(read_ledger(folder.ledger))
    try:
        if details is not None:
            return GridConfig.model_validate(details["grid"])
    except (KeyError, ValidationError) as error:
        raise ArtifactError(f"{folder.ledger}: its opening line names no grid ({error}); give --config") from None
    raise ArtifactError(
        f"{folder.ledger}: does not say which grid it was booked at, since an older version wrote it; give --config"
    )


def history_of(signal: GridSignal, artifacts_root: Path, connection: str | None) -> HistoryStore | None:
    """Return the stored history of a live signal; None where the signal is no live one."""
    feed = signal.feed
    if not isinstance(feed, LiveFeed):
        return None
    return open_history(artifacts_root, provider_key(feed.provider, signal.zone, connection))


def check_same_grid(account: Account, grid: GridConfig, signal: GridSignal) -> None:
    """Check that a configuration's grid is the one that a run was booked at.

    :raises ConfigurationError: another zone, signal type or emission factor type.
    """
    mine = (account.zone, account.signal_type, account.emission_factor_type)
    theirs = (find_zone(grid.zone).key, signal.signal_type, signal.emission_factor_type)
    if mine != theirs:
        raise ConfigurationError(
            f"run {account.run_id!r} was booked at zone {mine[0]} ({mine[1].value}, {mine[2].value} factors), but the"
            f" configuration's grid is {theirs[0]} ({theirs[1].value}, {theirs[2].value} factors); give the run's own"
        )
