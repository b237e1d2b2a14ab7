"""The arrows of the architecture: dags -> plugins/lowtide -> include rooms -> the shared words."""

from collections.abc import Callable

from tests.architecture.imports import Import, within

ROOMS = ("scheduler", "tracker", "trainer", "report")
SHARED = ("config", "records", "units", "errors", "moments", "files")
HEAVY = ("torch", "torchvision")

Rule = Callable[[Import], bool]


def _room(file: str) -> str | None:
    parts = file.split("/")
    return parts[1] if parts[0] == "include" and len(parts) > 2 and parts[1] in ROOMS else None


def _include_imports_airflow(found: Import) -> bool:
    return found.file.startswith("include/") and within(found.module, "airflow", "lowtide", "plugins", "dags", "local")


def _room_imports_another(found: Import) -> bool:
    room = _room(found.file)
    if room is None or not within(found.module, "include"):
        return False
    allowed = [f"include.{name}" for name in (room, *SHARED)]
    return found.module != "include" and not within(found.module, *allowed)


def _shared_word_imports_a_room(found: Import) -> bool:
    parts = found.file.split("/")
    if parts[0] != "include" or parts[1].removesuffix(".py") not in SHARED:
        return False
    return within(found.module, *(f"include.{name}" for name in (*ROOMS, "pipeline", "cli")))


def _torch_outside_the_trainer(found: Import) -> bool:
    return within(found.module, *HEAVY) and not found.file.startswith("include/trainer/")


def _codecarbon_outside_its_adapter(found: Import) -> bool:
    return within(found.module, "codecarbon") and not found.file.startswith("include/tracker/")


def _codecarbon_when_a_file_is_imported(found: Import) -> bool:
    return within(found.module, "codecarbon") and found.at_import


def _requests_when_a_file_is_imported(found: Import) -> bool:
    # the exchange and what only it imports: the first GET imports them
    late = (
        "include/scheduler/network/exchange.py",
        "include/scheduler/network/bounded.py",
        "include/scheduler/network/failures.py",
    )
    by_name = within(found.module, "requests", "urllib3") and found.file not in late
    by_file = (
        within(found.module, *(file.removesuffix(".py").replace("/", ".") for file in late)) and found.file not in late
    )
    return (
        found.at_import and found.file.startswith(("include/scheduler/", "plugins/", "dags/")) and (by_name or by_file)
    )


def _dag_reaches_past_the_plugin(found: Import) -> bool:
    return found.file.startswith("dags/") and within(found.module, *(f"include.{room}" for room in ROOMS))


def _plugin_imports_a_dag(found: Import) -> bool:
    return found.file.startswith("plugins/") and within(found.module, "dags", "local", "include.cli")


def _local_imports_airflow(found: Import) -> bool:
    return found.file.startswith("local/") and within(found.module, "airflow", "lowtide", "plugins", "dags")


RULES: dict[str, Rule] = {
    "include never imports airflow, the plugin, DAGs or the local runner": _include_imports_airflow,
    "the four rooms do not import one another, nor what composes them": _room_imports_another,
    "the shared words import no room": _shared_word_imports_a_room,
    "torch is imported in the trainer only": _torch_outside_the_trainer,
    "codecarbon is imported in the tracker only": _codecarbon_outside_its_adapter,
    "codecarbon is never imported by importing a file": _codecarbon_when_a_file_is_imported,
    "requests is imported by the first GET, not by importing a file": _requests_when_a_file_is_imported,
    "DAGs reach the rooms through the plugin only": _dag_reaches_past_the_plugin,
    "plugins import neither DAGs nor the command line": _plugin_imports_a_dag,
    "the local runner imports neither airflow nor the plugin": _local_imports_airflow,
}
