"""Every generator that a user's model or augmentation may draw from: PyTorch's, NumPy's and Python's global ones."""

import random
from dataclasses import dataclass
from typing import Any, Self

import numpy
import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomState:
    """The generators at one moment."""

    torch_cpu: Tensor
    torch_cuda: Tensor | None
    numpy_state: tuple[Any, ...]
    python_state: tuple[Any, ...]

    @classmethod
    def capture(cls, device: torch.device) -> Self:
        """Copy the states; on CUDA they are kept by the host, so nothing waits for the device."""
        return cls(
            torch_cpu=torch.get_rng_state(),
            torch_cuda=torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
            numpy_state=tuple(numpy.random.get_state(legacy=True)),
            python_state=random.getstate(),
        )

    def restore(self, device: torch.device) -> None:
        """Set all generators back."""
        torch.set_rng_state(self.torch_cpu)
        if self.torch_cuda is not None and device.type == "cuda":
            torch.cuda.set_rng_state(self.torch_cuda, device)
        name, keys, position, has_gauss, gauss = self.numpy_state
        numpy.random.set_state((name, keys, position, has_gauss, gauss))
        random.setstate(self.python_state)

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain figures, which ``torch.load(weights_only=True)`` reads."""
        _, keys, position, has_gauss, gauss = self.numpy_state
        version, internal, next_gauss = self.python_state
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
            numpy_state=("MT19937", saved["numpy_keys"].numpy().astype(numpy.uint32), position, has_gauss, gauss),
            python_state=(version, tuple(saved["python_internal"].tolist()), next_gauss),
        )


def seed_everything(seed: int) -> None:
    """Seed all of them; NumPy takes 32 bits."""
    torch.manual_seed(seed)  # every device
    random.seed(seed)
    numpy.random.seed(seed % 2**32)
