"""What the tasks of ``grid_history`` have in common: whose grid they look after, and how far back."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from lowtide.operators.configured import ConfiguredOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from include.config import LoadedConfig

DEFAULT_DAYS = 14


class GridUpkeepOperator(ConfiguredOperator):
    """Looks after what is kept of one grid. Running it again changes nothing.

    :param config: configuration file; its ``grid`` section says zone, provider and connection. (templated)
    :param settings: dotted keys to lay over the file. (templated)
    :param days: how far back is looked; the Param ``days`` goes before it.
    :param grid_conn_id: connection of the provider; None for the configuration's ``grid.connection``. (templated)
    """

    template_fields: Sequence[str] = ("config", "settings", "grid_conn_id")
    ui_color = "#d9ead3"

    def __init__(
        self,
        *,
        days: int = DEFAULT_DAYS,
        grid_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.days = days
        self.grid_conn_id = grid_conn_id

    def connection_of(self, config: LoadedConfig) -> str | None:
        """Return the id of the provider's connection."""
        return self.grid_conn_id or config.values.grid.connection

    def look_back(self, context: Context) -> timedelta:
        """Return how far back this run looks."""
        return timedelta(days=context["params"].get("days") or self.days)
