"""Merges many small parts into one, while others read and write.

1. The parts of a month and stage are read, and one new part with all their values is published. It names the parts whose
   values it holds. From then on readers leave those aside; reading both would only say the same twice.
2. A part that is held by another is deleted only when that other one has been there for a grace period, and is still
   readable. A reader that lists the folder in between sees either the old parts or the new one, never neither, also where
   listings are a little late (NFS). A reader whose listing is older finds a file gone, and lists again.
3. Parts that cannot be read are left where they are, and named.

Two compactions at once write parts that hold the same values, or delete the same files: neither loses one.
"""

from dataclasses import dataclass
from datetime import timedelta

from include.scheduler.history.folder import PartFolder
from include.scheduler.history.parts import Part, PartName


@dataclass(frozen=True, slots=True, kw_only=True)
class Compaction:
    """What a compaction did."""

    merged: int = 0
    """Parts whose values another part now holds too."""
    written: int = 0
    deleted: int = 0
    """Files that were replaced by an earlier compaction, or left behind by a writer that died."""
    unreadable: tuple[str, ...] = ()


def compact(folder: PartFolder, *, minimum_parts: int, grace: timedelta) -> Compaction:
    """Merge each month and stage that has at least ``minimum_parts`` parts, then delete what older merges replaced.

    :raises ArtifactError: full disk or no permission; no value is lost.
    """
    merged = written = 0
    for month, stage in sorted({(name.month, name.stage) for name in folder.names()}):
        parts = folder.parts(lambda name, group=(month, stage): (name.month, name.stage) == group)  # type: ignore[misc]
        if len(parts) >= max(2, minimum_parts):
            folder.publish(_merged(parts, {name.text for name in folder.names()}))
            merged += len(parts)
            written += 1
    deleted = folder.delete(_replaced(folder, grace)) + folder.delete_leftovers()
    return Compaction(merged=merged, written=written, deleted=deleted, unreadable=tuple(sorted(folder.unreadable)))


def _merged(parts: dict[str, Part], present: set[str]) -> Part:
    """Return one part with the values of all; ``present`` keeps the list of held parts from growing for ever."""
    values = {value for part in parts.values() for value in part.values}
    held = {name for part in parts.values() for name in part.replaces}
    return Part(tuple(values), frozenset(parts) | (held & present))


def _replaced(folder: PartFolder, grace: timedelta) -> set[str]:
    """Return the parts that may go: held by another one that is old enough, and readable at this moment."""
    names = {name.text: name for name in folder.names()}
    replaced: set[str] = set()
    for text, name in names.items():
        if name.compacted and _is_old(folder, name, grace):
            holder = folder.reread(name)
            replaced |= (holder.replaces & names.keys()) - {text} if holder else set()
    return replaced


def _is_old(folder: PartFolder, name: PartName, grace: timedelta) -> bool:
    age = folder.age(name.text)
    return age is not None and age >= grace
