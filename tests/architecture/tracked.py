"""The files of the repository, and what must not be in them."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

LINE_CAP = 800
TEST_LINE_CAP = 800
CONSTRAINT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[0-9][A-Za-z0-9.!]*(?:\.post\d+)?")

# Assembled from pieces: this file is searched too.
_ADDRESSES = ("simple/", "index" + "-url", "find" + "-links", "trusted" + "-host")
FORBIDDEN = {
    "a package index's address": re.compile(
        r"https?://[^\s\"'`]*/"
        + _ADDRESSES[0]
        + "|--(?:extra-)?"
        + _ADDRESSES[1]
        + "|--"
        + _ADDRESSES[2]
        + "|--"
        + _ADDRESSES[3]
    ),
    "a path of one machine": re.compile(r"(?<![\w./-])/(?:work|opt|root|home/\w+|Users/\w+)/[\w.-]+"),
}


def tracked_files(root: Path) -> list[Path]:
    """Return the files that git tracks, with the new ones that it would."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=root, capture_output=True, check=True, text=True).stdout.split("\0")
    return [root / name for name in names if name and (root / name).is_file()]


def text_of(file: Path) -> str | None:
    """Return a file's text; None for a binary one."""
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def forbidden_words(file: Path) -> Iterator[str]:
    """Yield what must not be in a tracked file, with its place."""
    for number, line in enumerate((text_of(file) or "").splitlines(), 1):
        for what, pattern in FORBIDDEN.items():
            if found := pattern.search(line):
                yield f"{file.name}:{number} holds {what}: {found.group()}"


def bad_constraints(text: str) -> list[str]:
    """Return the lines of a constraints file that are more than a name and a version."""
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#") and not CONSTRAINT.fullmatch(line)]
