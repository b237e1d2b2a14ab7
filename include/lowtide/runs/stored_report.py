"""Reads the HTML report of an Airflow run for somebody who may name the run, but never a place.

The place follows from the ids and the artifact root of this process. What a task's XCom says is only held against it, since
an XCom can be edited by whoever may edit XComs.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from lowtide.config.airflow_params import CONFIGS_FOLDER, configuration_files
from lowtide.config.loader import ARTIFACTS_VARIABLE, load_config
from lowtide.errors import ArtifactError, ConfigurationError
from lowtide.runs.folder import report_folder

PAGE = "report.html"
LARGEST_PAGE_BYTES = 64 * 1024**2
_NOT_FOLLOWED = (errno.ELOOP, errno.ENOTDIR)
"""What opening a symbolic link with O_NOFOLLOW gives, as a file and as a folder."""


def artifacts_roots() -> list[Path]:
    """Return where reports of this deployment may lie: ``LOWTIDE_ARTIFACTS_ROOT``, else what the files in include/configs say."""
    found: list[Path] = []
    for name in configuration_files():
        with contextlib.suppress(
            ConfigurationError
        ):  # a broken file writes no report; it must not hide those of the others
            found.append(load_config(CONFIGS_FOLDER / name).artifacts_path)
    return list(dict.fromkeys(found))


def read_stored_report(written: object, dag_id: str, run_id: str, map_index: int = -1) -> bytes:
    """Return the page of the report that a run, or an instance of its mapped comparison, wrote.

    :param written: the path of ``report.json``, as the task's XCom has it.
    :raises ArtifactError: it lies elsewhere than such a run's report does, behind a symbolic link, is gone, or is no page.
    """
    for root in artifacts_roots():
        folder = report_folder(root, dag_id, run_id, map_index)
        if isinstance(written, str) and Path(written) == folder / "report.json":
            return _page(root, folder.relative_to(root).parts)
    raise ArtifactError(
        f"the report of run {run_id!r} of {dag_id} lies outside this server's artifact root; set {ARTIFACTS_VARIABLE} to the"
        " same folder for every component"
    )


def _page(root: Path, folders: tuple[str, ...]) -> bytes:
    try:
        with _opened(root, folders) as descriptor:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST_PAGE_BYTES:
                raise ArtifactError(f"the report {PAGE} of this run is no page of at most 64 MiB, so it is not shown")
            with os.fdopen(os.dup(descriptor), "rb") as file:
                return file.read(LARGEST_PAGE_BYTES)
    except FileNotFoundError:
        raise ArtifactError("the report of this run is gone; clear its task to write it again") from None
    except OSError as error:
        if error.errno in _NOT_FOLLOWED:
            raise ArtifactError("the report of this run lies behind a symbolic link, which is not followed") from None
        raise ArtifactError(f"the report of this run cannot be read here ({error.strerror})") from None


@contextlib.contextmanager
def _opened(root: Path, folders: tuple[str, ...]) -> Iterator[int]:
    """Open the page from the root down, each step by the folder before it: a link swapped in meanwhile is not followed either."""
    with contextlib.ExitStack() as stack:
        # the root itself may be a link: whoever deploys chose it
        step = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        stack.callback(os.close, step)
        for name in folders:
            step = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=step)
            stack.callback(os.close, step)
        # O_NONBLOCK: a named pipe in the page's place must not hold the server
        page = os.open(PAGE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=step)
        stack.callback(os.close, page)
        yield page
