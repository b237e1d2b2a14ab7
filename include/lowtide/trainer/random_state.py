"""Every generator that a user's model or augmentation may draw from: PyTorch's, NumPy's and Python's global ones."""

import random
from dataclasses import dataclass
from typing import Any, Self

import numpy
import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class HostGenerators:
    """NumPy's and Python's global generators; copying them takes up to a third of a millisecond."""

    numpy_state: tuple[Any, ...]
    python_state: tuple[Any, ...]

    @classmethod
    def capture(cls) -> Self:
        """Copy the states."""
        return cls(numpy_state=tuple(numpy.random.get_state(legacy=True)), python_state=random.getstate())

    def restore(self) -> None:
        """Set them back."""
        name, keys, position, has_gauss, gauss = self.numpy_state
        numpy.random.set_state((name, keys, position, has_gauss, gauss))
        random.setstate(self.python_state)

    def differs_from(self, other: "HostGenerators") -> bool:
        """Whether something was drawn in between."""
        mine, theirs = self.numpy_state, other.numpy_state
        drawn = mine[2:] != theirs[2:] or not numpy.array_equal(mine[1], theirs[1])
        return drawn or self.python_state != other.python_state


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomState:
    """The generators at one time; ``host`` is None if NumPy's and Python's were left out."""

    torch_cpu: Tensor
    torch_cuda: Tensor | None
    host: HostGenerators | None

    @classmethod
    def capture(cls, device: torch.device, *, host: bool = True) -> Self:
        """Copy the states; on CUDA the host has them, so nothing waits for the device."""
        return cls(
            torch_cpu=torch.get_rng_state(),
            torch_cuda=torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
            host=HostGenerators.capture() if host else None,
        )

    def restore(self, device: torch.device) -> None:
        """Restore all generators that were captured."""
        torch.set_rng_state(self.torch_cpu)
        if self.torch_cuda is not None and device.type == "cuda":
            torch.cuda.set_rng_state(self.torch_cuda, device)
        if self.host is not None:
            self.host.restore()

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain figures, which ``torch.load(weights_only=True)`` reads.

        :raises ValueError: captured without the host's generators.
        """
        if self.host is None:
            raise ValueError("a state without NumPy's and Python's generators cannot be saved; capture them too")
        _, keys, position, has_gauss, gauss = self.host.numpy_state
        version, internal, next_gauss = self.host.python_state
        return {
            "torch_cpu": self.torch_cpu,
            "torch_cuda": self.torch_cuda,
            "numpy_keys": torch.from_numpy(keys.astype(numpy.int64)),
            "numpy_rest": [int(position), int(has_gauss), float(gauss)],
            "python_internal": torch.tensor(internal, dtype=torch.int64),
            "python_rest": [int(version), next_gauss],
        }

    @classmethod
    def from_state_dict(cls, saved: dict[str, Any]) -> Self:
        """Read what ``state_dict`` returned."""
        position, has_gauss, gauss = saved["numpy_rest"]
        version, next_gauss = saved["python_rest"]
        return cls(
            torch_cpu=saved["torch_cpu"].cpu(),
            torch_cuda=None if saved["torch_cuda"] is None else saved["torch_cuda"].cpu(),
            host=HostGenerators(
                numpy_state=("MT19937", saved["numpy_keys"].numpy().astype(numpy.uint32), position, has_gauss, gauss),
                python_state=(version, tuple(saved["python_internal"].tolist()), next_gauss),
            ),
        )


def seed_everything(seed: int) -> None:
    """Seed all of them; NumPy takes 32 bits."""
    torch.manual_seed(seed)  # every device
    random.seed(seed)
    numpy.random.seed(seed % 2**32)
