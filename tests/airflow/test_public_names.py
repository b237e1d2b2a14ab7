"""What a DAG file imports from Lowtide."""

import subprocess
import sys

import lowtide.airflow
import pytest


def test_the_public_names_are_these() -> None:
    from lowtide.airflow import compare, sensor, training

    assert lowtide.airflow.__all__ == ["CarbonIntensitySensor", "CompareRunsOperator", "GpuTrainingOperator"]
    assert lowtide.airflow.CarbonIntensitySensor is sensor.CarbonIntensitySensor
    assert lowtide.airflow.CompareRunsOperator is compare.CompareRunsOperator
    assert lowtide.airflow.GpuTrainingOperator is training.GpuTrainingOperator


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'lowtide\.airflow' has no attribute 'CarbonSensor'"):
        lowtide.airflow.CarbonSensor  # noqa: B018


def test_the_provider_s_form_is_found_without_the_operators_or_airflow() -> None:
    code = "import sys, lowtide.airflow.provider_info; print('airflow' in sys.modules, 'lowtide.airflow.sensor' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
