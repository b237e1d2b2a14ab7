"""``make setup``: a virtual environment in .venv with the pinned dependencies, made once.

Runs on the system's Python, so the standard library is all there is. A stamp inside .venv names the checksums of the
requirement files; a marker stands there while the set-up is unfinished, so that an interrupted one is begun again.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
INPUTS = ("requirements.txt", "requirements-local.txt", "requirements-dev.txt", "constraints.txt")
STAMP = "lowtide-setup.sha256"
UNFINISHED = "lowtide-setup-unfinished"
LOG = "lowtide-setup.log"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NEEDED_BYTES = 3 * 1024**3
"""Airflow and the CPU build of torch take 1.5 GB, and pip unpacks beside them."""


class SetupFailed(Exception):
    """The set-up cannot go on; the message is one sentence."""


class Interrupted(BaseException):
    """A signal asked for the end; ``number`` is the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def main(root: Path = ROOT) -> int:
    """Set up, or find that it is done; 0 when .venv can be used."""
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    try:
        with _alone(root):
            set_up(root)
    except Interrupted as interruption:
        print("\nSet-up interrupted; make setup begins it again.", file=sys.stderr)
        return 128 + interruption.number
    except SetupFailed as failure:
        print(failure, file=sys.stderr)
        return 2
    except OSError as error:
        print(
            f"Set-up failed: {error.strerror} ({error.filename or root / '.venv'}); mend that and run make setup again.",
            file=sys.stderr,
        )
        return 2
    return 0


def set_up(root: Path) -> None:
    """Bring .venv to the state that the requirement files describe.

    :raises SetupFailed: no venv module, no space, or pip failed.
    """
    venv = root / ".venv"
    wanted = checksum(root)
    if is_ready(venv, wanted):
        return
    started = time.monotonic()
    _check_space(root)
    if (venv / UNFINISHED).exists() or not _python_works(venv):
        _create(venv)
    (venv / UNFINISHED).touch()
    (venv / STAMP).unlink(missing_ok=True)
    _install(root, venv)
    (venv / STAMP).write_text(wanted, encoding="utf-8")
    (venv / UNFINISHED).unlink()
    print(f"Set-up: done in {time.monotonic() - started:.0f} s.", flush=True)


def checksum(root: Path) -> str:
    """Return one SHA-256 over the files that decide what is installed."""
    digest = hashlib.sha256()
    for name in INPUTS:
        digest.update(name.encode() + b"\0" + (root / name).read_bytes() + b"\0")
    return digest.hexdigest()


def is_ready(venv: Path, wanted: str) -> bool:
    """Say whether a finished set-up of exactly these requirements is there, and its Python still runs."""
    stamp = venv / STAMP
    if (venv / UNFINISHED).exists() or not stamp.exists():
        return False
    return stamp.read_text(encoding="utf-8") == wanted and _python_works(venv)


def _python_works(venv: Path) -> bool:
    python = venv / "bin" / "python"  # a link: dangling after its Python was upgraded or removed
    if not python.exists():
        return False
    probe = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    return subprocess.run([python, "-c", probe], capture_output=True, check=False).returncode == 0


def _check_space(root: Path) -> None:
    free = shutil.disk_usage(root).free
    if free < NEEDED_BYTES:
        raise SetupFailed(
            f"Set-up needs about {NEEDED_BYTES / 1e9:.0f} GB in {root}, but {free / 1e9:.1f} GB are free;"
            " free some space and run make setup again."
        )


def _create(venv: Path) -> None:
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise SetupFailed(
            f"Python {version} at {sys.executable} has no module {missing[0]}; install it"
            f" (Debian, Ubuntu: apt install python{version}-venv) and run make again."
        )
    if venv.exists():
        shutil.rmtree(venv)
    venv.mkdir()
    (venv / UNFINISHED).touch()  # before anything else: what follows may be interrupted
    print(f"Set-up: creating {venv} with {sys.executable}", flush=True)
    _run([sys.executable, "-m", "venv", str(venv)], venv / LOG, label="venv")


def _install(root: Path, venv: Path) -> None:
    count = sum(1 for line in (root / "constraints.txt").read_text(encoding="utf-8").splitlines() if "==" in line)
    print(f"Set-up: installing up to {count} pinned packages, some minutes (log: {venv / LOG})", flush=True)
    command = [str(venv / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    for name in ("requirements-local.txt", "requirements-dev.txt"):
        command += ["-r", str(root / name)]
    _run([*command, "-c", str(root / "constraints.txt")], venv / LOG, label="pip")


def _run(command: list[str], log: Path, *, label: str) -> None:
    """Run a command in a session of its own, its output in the log; end it when we are ended."""
    process = None
    try:
        with log.open("wb") as output, _signals_put_off():
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        while process.poll() is None:
            _show(log)
            time.sleep(0.2)
    except BaseException:
        if process:
            _end_group(process)
        raise
    finally:
        _show(None)
    if process.returncode != 0:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-5:]
        raise SetupFailed(
            "\n".join([f"Set-up: {label} failed; its last lines, from {log}:", *(f"  {line}" for line in lines)])
        )


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    for number, patience_s in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)  # pip builds in children; the group is theirs too
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience_s)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _show(log: Path | None) -> None:
    if not sys.stdout.isatty():
        return
    text = ""
    if log is not None:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        text = next(
            (line.strip() for line in reversed(lines) if line.startswith(("Collecting", "Installing", "Building"))), ""
        )
    print(f"\r\033[K{text[: shutil.get_terminal_size().columns - 1]}", end="", flush=True)


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Hold a lock; requirements.txt serves as its file, so that no further one lies about."""
    with (root / "requirements.txt").open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SetupFailed(f"Another set-up is at work in {root}; wait for it to finish.") from None
        yield


@contextlib.contextmanager
def _signals_put_off() -> Iterator[None]:
    """Let a signal count only when the block is done: in the middle of Popen it would leave a process that nobody knows.

    They are not blocked: the new process would inherit that, and could not be asked to leave.
    """
    came: list[int] = []
    handlers = {number: signal.signal(number, lambda one, _frame: came.append(one)) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)  # once is enough; the cleaning up must not be interrupted
    raise Interrupted(number)


if __name__ == "__main__":
    sys.exit(main())
