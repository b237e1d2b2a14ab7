"""What a user's own model and data import from Lowtide."""

import subprocess
import sys

import lowtide.trainer
import pytest
from lowtide.trainer import data


def test_the_public_names_are_these() -> None:
    assert lowtide.trainer.__all__ == ["StreamedData", "TrainingData"]
    assert lowtide.trainer.TrainingData is data.TrainingData
    assert lowtide.trainer.StreamedData is data.StreamedData


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'lowtide\.trainer' has no attribute 'TrainingDate'"):
        lowtide.trainer.TrainingDate  # noqa: B018


def test_pytorch_is_loaded_by_the_first_use_of_a_public_name() -> None:
    code = (
        "import sys, lowtide.trainer, lowtide.trainer.child_process; print('torch' in sys.modules);"
        "from lowtide.trainer import TrainingData; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
