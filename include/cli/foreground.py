"""A run in the foreground: it waits, trains and pauses as its policy says, and a person sees all of it."""

from dataclasses import dataclass

from include.cli.display import Display
from include.pipeline import TrainingRun, wait_in_foreground
from include.pipeline.durations import expected_job
from include.pipeline.running.pausing import train_with_pauses
from include.pipeline.running.telling import Looked
from include.records import TrainingRecord
from include.scheduler import Decision, GridSignal, Job, clock_for


@dataclass(frozen=True, slots=True)
class Foreground:
    """One run, its signal, and where it is shown; every look is kept among the run's decisions."""

    run: TrainingRun
    signal: GridSignal
    display: Display

    def job(self) -> Job:
        """Return the job to decide on."""
        job, _ = expected_job(self.run.config, job_id=self.run.folder.path.name, submitted_at=self.run.submitted_at)
        return job

    def wait(self, job: Job) -> Decision:
        """Look until the decision is no longer to wait, and return it."""
        clock = clock_for(self.run.anchor)
        return wait_in_foreground(job, self.signal, clock, on_look=self._keep, sleep=self.display.sleep)

    def train(self, job: Job) -> TrainingRecord:
        """Train, in pieces where the policy pauses."""
        return train_with_pauses(
            self.run,
            job,
            self.signal,
            clock_for(self.run.anchor),
            on_look=self._keep,
            on_progress=self.display.training,
            wait=self.wait,
        )

    def _keep(self, looked: Looked) -> None:
        self.run.folder.append_decisions([looked.decision.as_json()])
        self.display.look(looked)
