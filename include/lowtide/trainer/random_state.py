"""Every generator that a user's model or augmentation may draw from: PyTorch's, NumPy's and Python's global ones."""

import random
from dataclasses import dataclass
from typing import Any, Self

import numpy
import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomState:
    """The generators at one time; ``host`` has NumPy's and Python's, None if they were left out.

    Copying those two takes up to a third of a millisecond.
    """

    torch_cpu: Tensor
    torch_cuda: Tensor | None
    host: tuple[Any, Any] | None

    @classmethod
    def capture(cls, device: torch.device, *, host: bool = True) -> Self:
        """Copy the states; on CUDA the host has them, so nothing waits for the device."""
        return cls(
            torch_cpu=torch.get_rng_state(),
            torch_cuda=torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
            host=(numpy.random.get_state(legacy=True), random.getstate()) if host else None,
        )

    def restore(self, device: torch.device) -> None:
        """Restore all generators that were captured."""
        torch.set_rng_state(self.torch_cpu)
        if self.torch_cuda is not None and device.type == "cuda":
            torch.cuda.set_rng_state(self.torch_cuda, device)
        if self.host is not None:
            numpy.random.set_state(self.host[0])
            random.setstate(self.host[1])

    def host_has_drawn(self) -> bool:
        """Whether something was drawn from NumPy's or Python's generators since; False if they were left out."""
        if self.host is None:
            return False
        (_, keys, *rest), python = self.host
        _, keys_now, *rest_now = numpy.random.get_state(legacy=True)
        return rest != rest_now or python != random.getstate() or not numpy.array_equal(keys, keys_now)

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain figures, which ``torch.load(weights_only=True)`` reads.

        :raises ValueError: captured without the host's generators.
        """
        if self.host is None:
            raise ValueError("a state without NumPy's and Python's generators cannot be saved; capture them too")
        (_, keys, position, has_gauss, gauss), (version, internal, next_gauss) = self.host
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
            host=(
                ("MT19937", saved["numpy_keys"].numpy().astype(numpy.uint32), position, has_gauss, gauss),
                (version, tuple(saved["python_internal"].tolist()), next_gauss),
            ),
        )


def seed_everything(seed: int) -> None:
    """Seed all of them; NumPy takes 32 bits."""
    torch.manual_seed(seed)  # every device
    random.seed(seed)
    numpy.random.seed(seed % 2**32)
