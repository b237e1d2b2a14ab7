"""Copies of a model's buffers, so that a step that failed half-way can be taken again; large ones only where they change."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

_SMALL_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copy:
    buffer: Tensor
    version: int | None  # None: what changes it cannot be told from its version
    saved: Tensor
    proved: bool = False  # a comparison has found the version to be right


class BufferCopies:
    """The buffers at the last ``capture``.

    A large buffer (a table, a mask) is copied again only where PyTorch's version counter says that it was written to.
    BatchNorm's kernels and what is written through ``.data`` do not count: small buffers are always copied, and large ones
    are compared at some captures; one that changed unnoticed is copied each time from then on.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._copies: list[_Copy] = []

    @torch.no_grad()
    def capture(self, *, compare: bool) -> None:
        """Copy what changed, on the device and without a wait.

        :param compare: look whether a large buffer changed unnoticed; this waits for the device.
        """
        known = {id(copy.buffer): copy for copy in self._copies}
        self._copies = [_copy(buffer, known.get(id(buffer)), compare) for buffer in self._model.buffers()]

    @torch.no_grad()
    def restore(self) -> None:
        """Set back what changed since the capture."""
        for buffer, copy in zip(self._model.buffers(), self._copies, strict=True):
            if buffer is not copy.buffer or not copy.proved or copy.version != buffer._version:
                buffer.copy_(copy.saved)


def _copy(buffer: Tensor, known: _Copy | None, compare: bool) -> _Copy:
    version = None if buffer.nbytes <= _SMALL_BYTES or buffer.is_inference() else buffer._version
    if known is not None and version is not None:
        if known.version is None:
            version = None  # it changed unnoticed once
        elif known.version == version:
            if not compare:
                return known
            if torch.equal(known.saved, buffer):
                return replace(known, proved=True)
            version = None
    return _Copy(buffer=buffer, version=version, saved=buffer.detach().clone())
