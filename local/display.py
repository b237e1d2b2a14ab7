"""Progress for a person: one live line for each stage on a terminal, a plain line for each change elsewhere."""

import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from local.stages import StageText


class Display(Protocol):
    """Where stages are shown."""

    def show(self, stage: str, text: StageText, *, done: bool = False) -> None:
        """Set a stage's line."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def display_for(console: Console) -> Display:
    """Return the display that fits where the console writes."""
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(console)


class PlainDisplay:
    """Prints a line whenever a stage says something new."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._keys: dict[str, str] = {}
        self._started = time.monotonic()

    def show(self, stage: str, text: StageText, *, done: bool = False) -> None:
        """Print the line if its key is another than last time."""
        key = f"{text.key}{done}"
        if self._keys.get(stage) != key:
            self._keys[stage] = key
            elapsed = time.monotonic() - self._started
            line = f"[{elapsed:4.0f} s] {stage}: {text.text}"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class LiveDisplay:
    """Redraws the stages in place, the one at work with a spinner and its time."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=8, transient=False)
        self._lines: dict[str, tuple[StageText, bool]] = {}
        self._since: dict[str, float] = {}
        self._took: dict[str, float] = {}

    def show(self, stage: str, text: StageText, *, done: bool = False) -> None:
        """Set the line and redraw."""
        begun = self._since.setdefault(stage, time.monotonic())
        self._took[stage] = time.monotonic() - begun
        self._lines[stage] = (text, done)
        self._live.update(Group(*(self._row(name) for name in self._lines)))

    def _row(self, stage: str) -> Text | Spinner:
        text, done = self._lines[stage]
        line = Text.assemble((f"{stage:<24}", "bold"), f" {self._took[stage]:4.0f} s  ", text.text)
        return Text("✓ ", style="green") + line if done else Spinner("dots", text=line)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
