"""How a run's energy was obtained when its attempts ran on machines that measure differently: the weakest is named."""

from collections.abc import Iterator, Mapping
from typing import Any

from include.records import LedgerEventKind
from include.tracker import LedgerContents

_WEAKEST_FIRST = ("replayed", "constant", "tdp_estimate", "nvml", "rapl", "none")
_WIDEST_FIRST = ("replayed", "machine", "process_tree")
_PARTS = ("cpu", "gpu", "ram")


def methods_of(contents: LedgerContents, unless_told: Mapping[Any, str]) -> dict[str, str]:
    """Return one method for each component: of those that the attempts with rows opened with, the one that says least.

    :param unless_told: for a ledger whose attempts do not tell.
    """
    found = {part: {told.get(part, "none") for told in _told(contents, "methods") if told} for part in _PARTS}
    given = {str(part): how for part, how in unless_told.items()}
    return {part: _first_of(_WEAKEST_FIRST, found[part], given.get(part, "none")) for part in _PARTS}


def scope_of(contents: LedgerContents, unless_told: str) -> str:
    """Return whose energy it is, at most: the machine's where one attempt was charged all of it."""
    return _first_of(_WIDEST_FIRST, set(_told(contents, "measuring_scope")), unless_told)


def differing_methods(contents: LedgerContents) -> list[str]:
    """Say where attempts measured differently."""
    said = []
    for part in _PARTS:
        found = sorted({told.get(part, "none") for told in _told(contents, "methods") if told} - {"none"})
        if len(found) > 1:
            said.append(f"the attempts' {part.upper()} energy was obtained differently ({', '.join(found)})")
    scopes = sorted(set(_told(contents, "measuring_scope")))
    return (
        said if len(scopes) < 2 else [*said, f"the attempts were measured over different scopes ({', '.join(scopes)})"]
    )


def _told(contents: LedgerContents, key: str) -> Iterator[Any]:
    with_rows = {row.attempt for row in contents.rows}
    for event in contents.events:
        if event.event is LedgerEventKind.OPENED and event.attempt in with_rows and event.details.get(key):
            yield event.details[key]


def _first_of(order: tuple[str, ...], found: set[str], unless_found: str) -> str:
    return next((word for word in order if word in found), unless_found)
