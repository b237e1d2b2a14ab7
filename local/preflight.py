"""What must hold before anything is started, so that a full disk is one sentence and not a broken database."""

import shutil
import tempfile
from pathlib import Path

from local.places import Places
from local.ports import demand_free
from local.problems import LocalProblem

NEEDED_BYTES = 500 * 1000**2


def check(places: Places, port: int, *, needed_bytes: int = NEEDED_BYTES) -> None:
    """Make the folders, and check that they can be written, that there is space, and that the port is free.

    :raises LocalProblem: one of these does not hold.
    """
    demand_free(port)
    for folder in (places.home, places.artifacts):
        check_folder(folder, needed_bytes)
    places.prepare()


def check_folder(folder: Path, needed_bytes: int) -> None:
    """Make a folder and check that a file can be written there.

    :raises LocalProblem: it cannot be made or written, or too little space is free.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"lowtide")
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise LocalProblem(
            f"{folder} cannot be written ({error.strerror or error}); mend its permissions or free some space."
        ) from error
    if free < needed_bytes:
        raise LocalProblem(
            f"{folder} needs {needed_bytes / 1e6:.0f} MB of free disk space, but {free / 1e6:.0f} MB are left;"
            " free some space and try again."
        )
