"""What can go wrong with the local Airflow, each as one sentence for a person."""

from pathlib import Path

from lowtide.errors import LowtideError, UserError


class LocalProblem(UserError):
    """Something about this machine that the user can mend: a port, the disk, another run. Exit status 2."""


class ComponentFailed(LowtideError):
    """A process of Airflow, or a command of it, ended when it should not have. Exit status 1."""


class RunFailed(LowtideError):
    """A DAG run of the demo did not succeed. Exit status 1."""


def with_last_lines(sentence: str, log: Path, count: int = 12) -> str:
    """Append a log's last lines, indented, and its path to a sentence."""
    lines = last_lines(log, count)
    quoted = "\n".join(f"    {line}" for line in lines) or "    (empty)"
    return f"{sentence}\n{quoted}\n  log: {log}"


def last_lines(log: Path, count: int) -> list[str]:
    """Return the last non-empty lines of a file; none where it is missing."""
    if not log.exists():
        return []
    text = log.read_text(encoding="utf-8", errors="replace")
    return [line for line in text.splitlines() if line.strip()][-count:]
