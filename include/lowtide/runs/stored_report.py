"""Reads the HTML report of an Airflow run for a caller who may name the run, but never a path.

The path follows from the ids and the artifact root of this process. The path in the task's XCom is only compared with it, since
users may edit XComs.
"""

import contextlib
from pathlib import Path

from lowtide.config.airflow_params import CONFIGS_FOLDER, configuration_files
from lowtide.config.loader import ARTIFACTS_VARIABLE, load_config
from lowtide.errors import ArtifactError, ConfigurationError
from lowtide.runs.folder import report_folder

PAGE = "report.html"
LARGEST_PAGE_BYTES = 64 * 1024**2


def artifacts_roots() -> list[Path]:
    """Return the artifact roots of this deployment: ``LOWTIDE_ARTIFACTS_ROOT``, else those of the files in include/configs."""
    found: list[Path] = []
    for name in configuration_files():
        with contextlib.suppress(ConfigurationError):  # a broken file must not hide the reports of the others
            found.append(load_config(CONFIGS_FOLDER / name).artifacts_path)
    return list(dict.fromkeys(found))


def read_stored_report(written: object, dag_id: str, run_id: str, map_index: int = -1) -> bytes:
    """Return the page of the report that a run, or an instance of its mapped comparison, wrote.

    :param written: the path of ``report.json``, as the task's XCom has it.
    :raises ArtifactError: the path is not the run's, leads over a symbolic link, or there is no page of at most 64 MiB.
    """
    for root in artifacts_roots():
        page = report_folder(root, dag_id, run_id, map_index) / PAGE
        if isinstance(written, str) and Path(written) == page.with_name("report.json"):
            return _content(page, root)
    raise ArtifactError(
        f"the report of run {run_id!r} of {dag_id} is outside this server's artifact root; set {ARTIFACTS_VARIABLE} to the"
        " same folder for every component"
    )


def _content(page: Path, root: Path) -> bytes:
    try:
        # the root itself may be a link: the deployment chose it
        if page.resolve(strict=True) != root.resolve() / page.relative_to(root):
            raise ArtifactError("the report of this run is behind a symbolic link, which is not followed")
        if not page.is_file() or page.stat().st_size > LARGEST_PAGE_BYTES:
            raise ArtifactError(f"the report {PAGE} of this run is not a file of at most 64 MiB, so it is not shown")
        return page.read_bytes()
    except FileNotFoundError:
        raise ArtifactError("the report of this run is gone; clear its task to write it again") from None
    except OSError as error:
        raise ArtifactError(f"the report of this run cannot be read here ({error.strerror})") from None
