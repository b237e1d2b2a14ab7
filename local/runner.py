"""What the commands have in common: the lock, the signals, the end of everything that was started, the exit status."""

import sys
from collections.abc import Callable

from lowtide.errors import LowtideError, UserError
from rich.console import Console

from local import preflight
from local.components import LocalAirflow
from local.lock import only_one
from local.places import Places
from local.signals import Interrupted, ignore_signals, raise_on_signals
from local.startup import refuse_or_end_what_is_there

Job = Callable[[LocalAirflow, Console], None]


def with_airflow(places: Places, port: int, job: Job, *, keep: bool, console: Console) -> None:
    """Do a job with a local Airflow, and end all of its processes afterwards.

    :param keep: leave Airflow running if the job succeeds; otherwise it also follows no schedule.
    """
    preflight.check_folder(places.home, preflight.NEEDED_BYTES)
    with only_one(places.lock):
        ended = refuse_or_end_what_is_there(places)
        if ended:
            console.print(f"Ended {ended} processes that an earlier run left behind.", highlight=False)
        preflight.check(places, port)
        airflow = LocalAirflow(places, port=port, scheduled=keep)
        finished = False
        try:
            try:
                job(airflow, console)
                finished = True
            finally:
                ignore_signals()  # a second Ctrl-C must not interrupt the stopping
        finally:  # one that comes before they are ignored must not prevent it
            if not (keep and finished):
                airflow.stop()


def guarded(action: Callable[[], None]) -> int:
    """Call an action and return the exit status: 0, 1 failed, 2 the user's to mend, 128 + n ended by signal n."""
    raise_on_signals()
    try:
        action()
    except Interrupted as interruption:
        print("\nInterrupted; everything that was started has been stopped.", file=sys.stderr)
        return 128 + interruption.number
    except LowtideError as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, UserError) else 1
    except OSError as error:
        where = error.filename or "a file"
        print(
            f"{where} cannot be used ({error.strerror or error}); free some space or mend its permissions.",
            file=sys.stderr,
        )
        return 2
    return 0
