"""What tests need that really train."""

import pytest

from include.config import PROJECT_ROOT
from include.trainer.data_sets.mnist_files import ensure_mnist


@pytest.fixture(scope="session")
def mnist() -> None:
    """MNIST on the disk, fetched once."""
    ensure_mnist(PROJECT_ROOT / ".data", report=print)
