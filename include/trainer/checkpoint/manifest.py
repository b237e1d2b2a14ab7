"""A checkpoint's manifest: small, readable without PyTorch, and able to tell that it was altered."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from include.errors import ArtifactError, CheckpointDamaged

FORMAT_VERSION: Final = 1


class Manifest(BaseModel):
    """What a state file holds; ``sha256`` and ``size_bytes`` are the state file's, ``checksum`` this manifest's own.

    ``versions`` is what the bits depend on beside the configuration: device, PyTorch, number of threads.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = FORMAT_VERSION
    run_id: str
    training_id: str
    number: Annotated[int, Field(ge=1)]
    optimizer_step: Annotated[int, Field(ge=0)]
    epoch: Annotated[int, Field(ge=0, description="counted from 0; equal to the epochs when the training is complete")]
    micro_batch_size: Annotated[
        int, Field(ge=1, description="as it was then: chosen by auto, or smaller than it began")
    ]
    written_at: AwareDatetime
    file: Annotated[str, Field(pattern=r"^[^/]+\.pt$")]
    size_bytes: Annotated[int, Field(ge=1)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    training: dict[str, Any]
    versions: dict[str, str]
    checksum: str = ""

    @property
    def name(self) -> str:
        """The manifest's file name."""
        return manifest_name(self.number)

    def sealed(self) -> Self:
        """Return the manifest with its checksum."""
        return self.model_copy(update={"checksum": self._own_checksum()})

    def _own_checksum(self) -> str:
        return hashlib.sha256(self.model_dump_json(exclude={"checksum"}).encode()).hexdigest()

    @classmethod
    def parse(cls, text: str, name: str) -> Self:
        """Read a manifest.

        :param name: of the file, for the error sentence.
        :raises CheckpointDamaged: torn or altered.
        :raises ArtifactError: of a later format, which this version of Lowtide does not know.
        """
        _refuse_later_format(text, name)
        try:
            found = cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "its JSON"
            raise CheckpointDamaged(f"{name} cannot be used: {where}: {first['msg']}") from error
        if found.checksum != found._own_checksum():
            raise CheckpointDamaged(f"{name} was altered: its own checksum does not fit")
        return found


def _refuse_later_format(text: str, name: str) -> None:
    try:
        found = json.loads(text)
    except ValueError:
        return  # no JSON at all: the damage is named by who parses it
    version = found.get("format_version") if isinstance(found, Mapping) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise ArtifactError(
            f"{name} has format_version {version}, but this Lowtide knows up to {FORMAT_VERSION}; go on with the version"
            " that wrote it, or start over with fresh"
        )


def manifest_name(number: int) -> str:
    """Return the file name of a manifest."""
    return f"checkpoint-{number:06d}.json"


def payload_name(number: int, sha256: str) -> str:
    """Return the file name of a state; with its checksum's start, so that no two states ever share a name."""
    return f"checkpoint-{number:06d}-{sha256[:8]}.pt"
