"""The training child's entry: ``python -m lowtide.trainer.worker EVENTS_FD``, started by ``child_process.TrainingChild``."""

import faulthandler
import os
import signal
import sys
import traceback

from lowtide.errors import LowtideError, TrainingStopped
from lowtide.records import Phase
from lowtide.trainer.child_process import process_reaper
from lowtide.trainer.protocol import STACK_SIGNAL, Control, EventKind, Events, ExitStatus


def main(arguments: list[str]) -> int:
    """Train what the parent requests on standard input and return the exit status."""
    events = Events(int(arguments[0]))
    control = Control()
    with process_reaper(control.descriptor, close=(events.descriptor,)):  # forks, so before the first thread
        faulthandler.register(STACK_SIGNAL, all_threads=True)  # a hung child's stack, into its log
        _stop_on_sigterm(control)
        control.listen()
        return _run(control, events)


def _stop_on_sigterm(control: Control) -> None:
    """Treat SIGTERM, which a service manager sends to a whole control group, as a request to stop.

    What a user's code forks must die of it, or multiprocessing's ``terminate`` would wait forever. It is blocked around a
    fork: one that came before the new process has its default handler would be lost there.
    """
    sigterm = {signal.SIGTERM}

    def die_of_it() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, sigterm)

    signal.signal(signal.SIGTERM, lambda *_: control.requests.stop.set())
    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, sigterm),
        after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, sigterm),
        after_in_child=die_of_it,
    )


def _run(control: Control, events: Events) -> int:
    events.emit(EventKind.PHASE, {"phase": Phase.STARTUP.value})
    try:
        result = _carry_out(control, events)
    except TrainingStopped:
        return ExitStatus.STOPPED
    except LowtideError as error:
        events.emit(EventKind.FAILED, {"error_type": type(error).__name__, "message": str(error)})
        return ExitStatus.FAILED
    except Exception as error:  # noqa: BLE001 whatever the user's code raises: reported to the parent, shown in full in the log
        traceback.print_exc()
        name = type(error).__name__
        first = next(iter(str(error).strip().splitlines()), "no message")
        message = f"the training raised {name}: {first}; the traceback is in the training's log"
        events.emit(EventKind.FAILED, {"error_type": name, "message": message})
        return ExitStatus.FAILED
    events.emit(EventKind.FINISHED, result)
    return ExitStatus.FINISHED


def _carry_out(control: Control, events: Events) -> dict[str, object]:
    # PyTorch takes seconds to import, in which the parent's death must be noticed too: so it is imported here
    from lowtide.trainer.checkpoint import Checkpointer
    from lowtide.trainer.trainer import Training, run_trial

    request, requests = control.request, control.requests
    if request.trial_sizes:
        run_trial(request.training, request.trial_sizes, emit=events.emit, stop_requested=requests.stop.is_set)
        return {}
    manager = Checkpointer(request.checkpoints, request.training, emit=events.emit, requests=requests)
    return Training(request.training, emit=events.emit, checkpointer=manager).run().model_dump(mode="json")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
