"""One YAML file -> one validated, typed configuration; the schema of the DAG's Params comes from it."""

from include.config.account import AccountConfig
from include.config.grid import GridConfig, ReplayConfig
from include.config.loader import PROJECT_ROOT, LoadedConfig, load_config, parse_setting
from include.config.models import (
    LowtideConfig,
    ReportConfig,
)
from include.config.params import config_path_from_params, configuration_files, param_schemas, settings_from_params
from include.config.scheduler import PausingConfig, SchedulerConfig
from include.config.times import format_duration, parse_duration, resolve_deadline
from include.config.tracker import TrackerConfig
from include.config.training import ImportedConfig, TrainingConfig
from include.config.zones import Zone, find_zone, zone_table

__all__ = [
    "PROJECT_ROOT",
    "AccountConfig",
    "GridConfig",
    "ImportedConfig",
    "LoadedConfig",
    "LowtideConfig",
    "PausingConfig",
    "ReplayConfig",
    "ReportConfig",
    "SchedulerConfig",
    "TrackerConfig",
    "TrainingConfig",
    "Zone",
    "config_path_from_params",
    "configuration_files",
    "find_zone",
    "format_duration",
    "load_config",
    "param_schemas",
    "parse_duration",
    "parse_setting",
    "resolve_deadline",
    "settings_from_params",
    "zone_table",
]
