"""What all operators have in common: the configuration file, and what is laid over it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class ConfiguredOperator(BaseOperator):
    """An operator that follows a configuration file; ``run_context.configuration`` reads it when the task runs.

    :param config: configuration file. (templated)
    :param settings: dotted keys to lay over the file. (templated)
    """

    template_fields: Sequence[str] = ("config", "settings")

    def __init__(self, *, config: str, settings: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = config
        self.settings = dict(settings or {})
