"""Real MNIST and Fashion-MNIST on disk: verified idx files, fetched where they are missing.

``python -m include.trainer.data_sets.mnist_files [ROOT]`` fetches MNIST with progress lines.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from include.errors import DataSetError
from include.trainer.data_sets.folder import default_data_folder
from include.trainer.data_sets.idx_files import IdxFiles, Report
from include.trainer.data_sets.mnist_sources import FASHION_SOURCES, SOURCES, Source

MD5_OF_FILE = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
FASHION_MD5_OF_FILE = {
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}
MNIST = IdxFiles(name="MNIST", folder="MNIST", md5_of_file=MD5_OF_FILE, fetch_mb=250)
FASHION_MNIST = IdxFiles(name="Fashion-MNIST", folder="FashionMNIST", md5_of_file=FASHION_MD5_OF_FILE, fetch_mb=120)


def ensure_mnist(root: Path, *, report: Report, sources: Sequence[Source] = SOURCES) -> Path:
    """Return the folder of MNIST's verified files, fetching them first where they are missing; see ``IdxFiles.ensure``.

    :raises DataSetError: they cannot be had.
    """
    return MNIST.ensure(root, report=report, sources=sources)


def ensure_fashion_mnist(root: Path, *, report: Report, sources: Sequence[Source] = FASHION_SOURCES) -> Path:
    """Return the folder of Fashion-MNIST's verified files, fetching them first where they are missing.

    :raises DataSetError: they cannot be had.
    """
    return FASHION_MNIST.ensure(root, report=report, sources=sources)


def is_complete(raw: Path) -> bool:
    """Whether MNIST's four files are there with the right checksums."""
    return MNIST.is_complete(raw)


def main(arguments: list[str]) -> int:
    """Fetch into the folder named, or the default one; 0 when the files are there, 2 when they cannot be had."""
    root = Path(arguments[0]) if arguments else default_data_folder()
    try:
        raw = ensure_mnist(root, report=lambda line: print(line, flush=True))  # noqa: T201 a command: stdout is its output
    except DataSetError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    print(f"MNIST: ready in {raw}", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
