"""What tests need that really train."""

import pytest
from lowtide.config.loader import PROJECT_ROOT
from lowtide.trainer.mnist import ensure_mnist


@pytest.fixture(scope="session")
def mnist() -> None:
    """MNIST on the disk, fetched once."""
    ensure_mnist(PROJECT_ROOT / ".data", report=print)
