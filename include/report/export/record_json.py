"""Records as JSON: one object for one run, a list for several; each as in ``record.json``, which has a published schema."""

import json
from collections.abc import Sequence

from include.records import IncompleteRecord, TrainingRecord


def json_text(accounts: Sequence[TrainingRecord | IncompleteRecord]) -> str:
    """Return the text with a final newline."""
    values = [account.model_dump(mode="json") for account in accounts]
    return json.dumps(values[0] if len(values) == 1 else values, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
