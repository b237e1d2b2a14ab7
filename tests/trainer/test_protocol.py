"""JSON lines between parent and child."""

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lowtide.config.loader import PROJECT_ROOT
from lowtide.errors import ConfigurationError, DataSetError, TrainingError
from lowtide.trainer.protocol import Command, EventKind, Requests, TrainingEvent

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    kind=st.sampled_from(EventKind),
    monotonic_s=st.floats(0, 1e9),
    data=st.dictionaries(st.text(), JSON_VALUES, max_size=4),
)
def test_an_event_survives_its_line(kind: EventKind, monotonic_s: float, data: dict[str, object]) -> None:
    event = TrainingEvent(kind=kind, monotonic_s=monotonic_s, data=data)
    line = event.encode()
    assert line.count("\n") == 1  # whatever the data hold, an event is one line
    assert TrainingEvent.decode(line) == event


@pytest.mark.parametrize(
    "line",
    [
        *("", "hello", "[]", "3", "null", '{"kind": "ready"}'),
        '{"kind": "nonsense", "monotonic_s": 1, "data": {}}',
        '{"kind": "ready", "monotonic_s": "soon", "data": {}}',
        '{"kind": "ready", "monotonic_s": 1, "data": 7}',
    ],
)
def test_a_line_that_is_no_event_is_an_error_that_shows_it(line: str) -> None:
    with pytest.raises(TrainingError) as caught:
        TrainingEvent.decode(line)
    assert repr(line) in str(caught.value)


@given(st.text())
def test_garbage_never_raises_anything_but_a_training_error(text: str) -> None:
    with pytest.raises(TrainingError):
        TrainingEvent.decode(text)


def test_a_figure_that_json_cannot_hold_is_refused_by_the_sender() -> None:
    event = TrainingEvent(kind=EventKind.PROGRESS, monotonic_s=1.0, data={"loss": math.nan})
    with pytest.raises(ValueError, match="JSON"):
        event.encode()


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([f"{Command.STOP}\n".encode()], (True, False)),
        ([f"{Command.PAUSE}\n".encode()], (False, True)),
        ([b"sto", b"hurry\n", b"", b"\xff\n"], (False, False)),
    ],
)
def test_a_command_is_recorded_and_a_torn_or_unknown_one_is_ignored(
    lines: list[bytes], expected: tuple[bool, bool]
) -> None:
    requests = Requests()
    for line in lines:
        requests.take(line)
    assert (requests.stop.is_set(), requests.pause.is_set()) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ConfigurationError", ConfigurationError),
        ("DataSetError", DataSetError),
        ("ZeroDivisionError", TrainingError),
        ("Any", TrainingError),
    ],
)
def test_a_failure_becomes_the_lowtide_exception_that_it_was(name: str, expected: type[Exception]) -> None:
    event = TrainingEvent(kind=EventKind.FAILED, monotonic_s=1.0, data={"error_type": name, "message": "a sentence."})
    error = event.as_error()
    assert type(error) is expected
    assert str(error) == "a sentence."


def test_the_parents_side_imports_neither_torch_nor_numpy() -> None:
    """An Airflow worker that supervises a training must not carry PyTorch's 220 MB."""
    code = (
        "import sys, lowtide.trainer.child_process, lowtide.trainer.protocol, lowtide.trainer.mnist;"
        "print([name for name in ('torch', 'torchvision', 'numpy', 'airflow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
