"""What a run's configuration said about its comparison: for a comparison that is made elsewhere, from the run's folder alone."""

import logging

from pydantic import ValidationError

from include.config import PROJECT_ROOT, ReportConfig, load_config
from include.errors import LowtideError
from include.pipeline.accounts.reading_back import opening_details
from include.pipeline.run_folder import RunFolder
from include.records import TrainingRecord
from include.tracker import read_ledger

_log = logging.getLogger(__name__)


def report_settings(record: TrainingRecord, folder: RunFolder) -> ReportConfig | None:
    """Return the section ``report`` of a run's configuration; None where nobody knows it any more.

    The opening of its ledger has it; of a ledger from before that, the configuration's file has, if its checksum is still the
    record's: then nothing was laid over it, and it has not changed since.
    """
    try:
        details = opening_details(read_ledger(folder.ledger)) or {}
        if "report" in details:
            return ReportConfig.model_validate(details["report"])
    except (OSError, LowtideError, ValidationError) as error:
        _log.info("the ledger of %s does not say how the run is compared: %s", folder.path, error)
    return _of_file(record.configuration)


def _of_file(configuration: str) -> ReportConfig | None:
    source, _, checksum = configuration.rpartition(" sha256:")
    try:
        found = load_config(PROJECT_ROOT / source)  # of an absolute path, that one
    except LowtideError:
        return None
    return found.values.report if found.sha256 == checksum else None
