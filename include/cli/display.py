"""What a person sees in the terminal: a countdown while waiting, a bar while training; plain lines without a terminal."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from include.pipeline import LogPace
from include.pipeline import Progress as TrainingProgress
from include.pipeline.running.telling import Looked


class Display:
    """Shows the run on standard error, so that standard output stays for results."""

    def __init__(self, *, quiet: bool) -> None:
        self._console = Console(file=sys.stderr, quiet=quiet)
        self._live = self._console.is_terminal and not quiet
        self._bar = Progress(
            TextColumn("{task.fields[phase]:<9}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("samples  {task.fields[figures]}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._task: TaskID | None = None
        self._pace: LogPace | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Print one line."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def look(self, looked: Looked) -> None:
        """Print a look's lines."""
        for line in looked.lines():
            self.say(line)

    def sleep(self, seconds: float) -> None:
        """Sleep, with a countdown where there is a terminal."""
        if not self._live or seconds < 2:
            time.sleep(seconds)
            return
        end = time.monotonic() + seconds
        with self._console.status("") as status:
            while (left := end - time.monotonic()) > 0:
                minutes, rest = divmod(round(left), 60)
                status.update(f"waiting; next look in {minutes}:{rest:02d} (Ctrl-C ends the wait)")
                time.sleep(min(1.0, left))

    def training(self, progress: TrainingProgress) -> None:
        """Show a snapshot of the training."""
        if self._live:
            self._move_bar(progress)
            return
        self._pace = self._pace or LogPace()  # from the training's start: the wait before it may be long
        if self._pace.is_due():
            self.say(progress.sentence())

    def _move_bar(self, progress: TrainingProgress) -> None:
        figures = f"{progress.power_w:.1f} W  {progress.energy_kwh * 1000:.3f} Wh  {progress.emissions_gco2eq:.3f} g"
        if progress.carbon_intensity_gco2eq_per_kwh is not None:
            figures += f" at {progress.carbon_intensity_gco2eq_per_kwh:.0f} g/kWh"
        if self._task is None:
            self._task = self._bar.add_task("", phase=progress.phase, figures=figures)
            self._bar.start()
        self._bar.update(
            self._task,
            completed=progress.samples,
            total=progress.samples_total or None,
            phase=progress.phase,
            figures=figures,
        )
