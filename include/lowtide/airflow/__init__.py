"""Thin adapters between Airflow and Lowtide; the public names below are imported when they are first used.

Airflow imports this package to load the plugin and the provider's connection form: both must stay cheap.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lowtide.airflow.compare import CompareRunsOperator
    from lowtide.airflow.sensor import CarbonIntensitySensor
    from lowtide.airflow.training import GpuTrainingOperator

__all__ = ["CarbonIntensitySensor", "CompareRunsOperator", "GpuTrainingOperator"]

_MODULES = {"CarbonIntensitySensor": "sensor", "CompareRunsOperator": "compare", "GpuTrainingOperator": "training"}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
