"""Reads the provider's connection: where to ask, and with which token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from include.scheduler import open_signal

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from include.config import GridConfig
    from include.records import ReplayAnchor
    from include.scheduler import GridSignal


@dataclass(frozen=True, slots=True)
class ProviderAccess:
    """Base address and token of a provider; both None for its public address. Never serialized: it holds a secret."""

    base_url: str | None = None
    token: str | None = None

    def __repr__(self) -> str:
        return f"ProviderAccess(base_url={self.base_url!r}, token={'***' if self.token else None})"


class CarbonIntensityHook(BaseHook):
    """Gives the signal of a grid, asked through an Airflow connection.

    :param grid_conn_id: connection whose host is the provider's address and whose password is its token; None for
        the provider's public address without a token.
    """

    conn_name_attr = "grid_conn_id"
    default_conn_name = "carbon_intensity_default"
    conn_type = "carbon_intensity"
    hook_name = "Carbon intensity"

    def __init__(self, grid_conn_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.grid_conn_id = grid_conn_id

    def get_conn(self) -> ProviderAccess:
        """Read the connection.

        :raises AirflowNotFoundException: there is no such connection.
        """
        return _access(self.get_connection(self.grid_conn_id)) if self.grid_conn_id else ProviderAccess()

    async def aget_conn(self) -> ProviderAccess:
        """Read the connection without blocking the triggerer's event loop."""
        return _access(await self.aget_connection(self.grid_conn_id)) if self.grid_conn_id else ProviderAccess()

    def signal(self, grid: GridConfig, anchor: ReplayAnchor | None = None) -> GridSignal:
        """Return the signal of a configured grid."""
        return open_signal_with(self.get_conn(), grid, anchor)


def open_signal_with(access: ProviderAccess, grid: GridConfig, anchor: ReplayAnchor | None) -> GridSignal:
    """Open a grid's signal with what a connection said."""
    return open_signal(grid, anchor=anchor, base_url=access.base_url, token=access.token)


def _access(connection: Connection) -> ProviderAccess:
    host = connection.host or None
    if host and "://" not in host:
        port = f":{connection.port}" if connection.port else ""
        host = f"{connection.schema or 'https'}://{host}{port}"
    return ProviderAccess(base_url=host, token=connection.password or None)
