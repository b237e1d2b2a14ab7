"""Where the local Airflow keeps its things."""

from dataclasses import dataclass
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Folders and files of one local Airflow; every path is absolute."""

    project_root: Path
    home: Path
    dags: Path
    plugins: Path
    artifacts: Path

    @classmethod
    def of_project(cls, root: Path = PROJECT_ROOT) -> "Places":
        """Return the places inside a project folder."""
        return cls(
            project_root=root,
            home=root / ".airflow",
            dags=root / "dags",
            plugins=root / "plugins",
            artifacts=root / "artifacts",
        )

    @property
    def component_logs(self) -> Path:
        """One log for each component, for the migration and for the data set's fetch."""
        return self.home / "logs" / "components"

    @property
    def task_logs(self) -> Path:
        """Airflow's own task logs."""
        return self.home / "logs" / "tasks"

    @property
    def database(self) -> Path:
        """The metadata database."""
        return self.home / "airflow.db"

    @property
    def passwords(self) -> Path:
        """The simple auth manager's passwords, mode 600."""
        return self.home / "passwords.json"

    @property
    def keys(self) -> Path:
        """The keys that the components share, mode 600."""
        return self.home / "keys.json"

    @property
    def instance(self) -> Path:
        """What is running, for ``make down`` and for the next start."""
        return self.home / "instance.json"

    @property
    def unpaused(self) -> Path:
        """The DAGs that a demo has unpaused and has yet to pause again, for the next start if it is killed."""
        return self.home / "unpaused.json"

    @property
    def lock(self) -> Path:
        """Held by the one runner at work here."""
        return self.home / "runner.lock"

    def prepare(self) -> None:
        """Make the folders; the home is for its owner only, since it holds passwords and keys."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.home.chmod(0o700)
        for folder in (self.component_logs, self.task_logs, self.artifacts):
            folder.mkdir(parents=True, exist_ok=True)
