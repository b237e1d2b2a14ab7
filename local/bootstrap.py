"""``make setup``: a virtual environment in .venv with the pinned dependencies and this project, made once.

Runs on the system's Python, so it uses the standard library only. A stamp inside .venv names the checksum of the files
that decide what is installed; a marker is there while a set-up is unfinished, so that the next one starts afresh.
"""

import fcntl
import hashlib
import importlib.util
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from local.supervisor import note_signals, spawn

ROOT = Path(__file__).resolve().parent.parent
INPUTS = ("requirements.txt", "requirements-local.txt", "requirements-dev.txt", "constraints.txt", "pyproject.toml")
STAMP, UNFINISHED, LOG = "lowtide-setup.sha256", "lowtide-setup-unfinished", "lowtide-setup.log"
NEEDED_BYTES = 3 * 1024**3  # Airflow and the CPU build of torch take 1.5 GB, and pip unpacks beside them


class LocalError(Exception):
    """One sentence for a person; ``status`` is the exit status: 2 where the user can fix it."""

    def __init__(self, message: str, status: int = 2) -> None:
        super().__init__(message)
        self.status = status


def carry_out(action: Callable[[], None], lock: Path) -> int:
    """Do something that one process at a time may do in a folder; return the exit status, a failure being one sentence."""
    message, status = "", 0
    try:
        lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with lock.open("ab") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            action()
    except LocalError as error:
        message, status = str(error), error.status
    except BlockingIOError:
        message, status = f"Another make is running in {lock.parent}; wait for it, or end it with Ctrl-C.", 2
    except OSError as error:
        where, why = error.filename or "A file", error.strerror or error
        message, status = f"{where} cannot be used ({why}); free some space or fix its permissions.", 2
    if status:
        print(message, file=sys.stderr)
    return status


def set_up(root: Path, signals: list[int]) -> None:
    """Bring .venv to the state that the requirement files describe; a LocalError says why that is not possible."""
    venv, log, started = root / ".venv", root / ".venv" / LOG, time.monotonic()
    stamp, unfinished = venv / STAMP, venv / UNFINISHED
    wanted = hashlib.sha256(b"\0".join((root / name).read_bytes() for name in INPUTS)).hexdigest()
    is_new = unfinished.exists() or not _python_works(venv)
    if not is_new and stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    check_space(root, NEEDED_BYTES)
    if is_new and importlib.util.find_spec("ensurepip") is None:
        advice = "install it (Debian, Ubuntu: apt install python3-venv) and run make again"
        raise LocalError(f"{sys.executable} has no module ensurepip; {advice}.")
    if is_new and venv.exists():
        shutil.rmtree(venv)
    venv.mkdir(exist_ok=True)
    unfinished.touch()  # first: what follows may be interrupted
    if is_new:
        print(f"Set-up: creating {venv} with {sys.executable}", flush=True)
        _run([sys.executable, "-m", "venv", str(venv)], log, signals)
    print(f"Set-up: installing the pinned packages, some minutes (log: {log})", flush=True)
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    local, dev, pins = (str(root / name) for name in INPUTS[1:4])
    _run([*pip, "-r", local, "-r", dev, "-c", pins], log, signals)
    _run([*pip, "--no-deps", "-e", str(root)], log, signals)
    stamp.write_text(wanted, encoding="utf-8")
    unfinished.unlink()
    print(f"Set-up: done in {time.monotonic() - started:.0f} s.", flush=True)


def check_space(folder: Path, needed_bytes: int) -> None:
    """Make a folder; a LocalError says that its disk has too little space."""
    folder.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(folder).free) < needed_bytes:
        space = f"needs {needed_bytes / 1e9:.1f} GB, but {free / 1e9:.1f} GB are free"
        raise LocalError(f"{folder} {space}; free some space and try again.")


def last_lines(log: Path, count: int) -> list[str]:
    """Return the last lines of a log."""
    return log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-count:]


def _python_works(venv: Path) -> bool:
    python = venv / "bin" / "python"  # a link: dangling after its Python was upgraded or removed
    probe = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    return python.exists() and subprocess.run([python, "-c", probe], capture_output=True, check=False).returncode == 0


def _run(command: list[str], log: Path, signals: list[int]) -> None:
    process = spawn(command, log)
    while process.poll() is None and not signals:
        time.sleep(0.2)
    process.communicate()  # closes its standard input, which ends the command, and waits
    if signals:
        raise LocalError("\nSet-up interrupted; make setup starts it again.", 128 + signals[0])
    if process.returncode != 0:
        lines = "\n  ".join(last_lines(log, 5))
        raise LocalError(f"Set-up: {' '.join(command[1:4])} failed; the last lines of {log}:\n  {lines}")


if __name__ == "__main__":
    noted = note_signals()
    sys.exit(carry_out(lambda: set_up(ROOT, noted), ROOT / "requirements.txt"))
