"""What a training child says, waited for."""

import time

from lowtide.trainer.child_process import TrainingChild
from lowtide.trainer.protocol import EventKind, TrainingEvent


def heard_until(
    child: TrainingChild, *last: EventKind, heard: list[TrainingEvent] | None = None
) -> list[TrainingEvent]:
    """Hear a child until one of some kinds has come, which is then the last of what is returned.

    :param heard: gets the events as they come; the one to use where the child may end before.
    """
    events = [] if heard is None else heard
    until = time.monotonic() + 60
    while time.monotonic() < until:
        event = child.next_event(1.0)
        if event is not None:
            events.append(event)
            if event.kind in last:
                return events
    raise AssertionError(f"none of {last} came in 60 s; heard {events}")
