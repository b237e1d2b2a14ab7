"""Reads the provider's connection: its address and its credentials. The connection's form is in ``provider_info``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from pydantic import ValidationError

from lowtide.airflow.provider_info import CONNECTION_TYPE
from lowtide.config.providers import LIVE_PROVIDERS
from lowtide.config.schema import GridConfig
from lowtide.errors import ConfigurationError, LowtideError
from lowtide.grid.factory import open_signal
from lowtide.grid.http import Credentials, Limits
from lowtide.timeutil import format_time, utc_now

if TYPE_CHECKING:
    from pathlib import Path

    from airflow.sdk import Connection

    from lowtide.grid.client import IntensityClient
    from lowtide.records import ReplayAnchor

_TEST_LIMITS = Limits(connect_timeout_s=3.0, read_timeout_s=8.0, total_timeout_s=10.0, retries=1)
"""A person waits in front of the form."""


class CarbonIntensityHook(BaseHook):
    """Opens the client of a grid through an Airflow connection.

    :param grid_conn_id: connection whose host is the provider's address and whose password is its token (login and
        password for WattTime); None for the provider's public address without credentials.
    """

    conn_name_attr = "grid_conn_id"
    default_conn_name = "carbon_intensity_default"
    conn_type = CONNECTION_TYPE
    hook_name = "Carbon intensity"

    def __init__(self, grid_conn_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.grid_conn_id = grid_conn_id

    def get_conn(self) -> Credentials:
        """Read the connection.

        :raises AirflowNotFoundException: the connection does not exist.
        """
        return credentials_of(self.get_connection(self.grid_conn_id)) if self.grid_conn_id else Credentials()

    async def aget_conn(self) -> Credentials:
        """Read the connection without blocking the triggerer's event loop."""
        return credentials_of(await self.aget_connection(self.grid_conn_id)) if self.grid_conn_id else Credentials()

    def client(
        self, grid: GridConfig, anchor: ReplayAnchor | None = None, *, artifacts: Path | None = None
    ) -> IntensityClient:
        """Return the client of a configured grid.

        :param artifacts: the artifact root, for the history of this grid.
        """
        # the history is stored by the connection that is really used
        grid = grid.model_copy(update={"connection": self.grid_conn_id})
        return open_signal(grid, anchor=anchor, access=self.get_conn(), artifacts=artifacts)

    def test_connection(self) -> tuple[bool, str]:
        """Ask the provider of the form for its zone, and return whether it answered, and a sentence."""
        try:
            return True, _current_reading(self.get_connection(self.grid_conn_id or self.default_conn_name))
        except LowtideError as error:
            return False, str(error)


def credentials_of(connection: Connection) -> Credentials:
    """Return a connection's address and credentials; Airflow masks the token in logs, and the result's repr hides it."""
    host = connection.host or None
    if host:
        host = _with_port(host if "://" in host else f"{connection.schema or 'https'}://{host}", connection.port)
    return Credentials(
        base_url=host,
        login=connection.login or None,
        token=connection.password or None,
        place=f"connection {connection.conn_id}",
    )


def _with_port(address: str, port: int | None) -> str:
    scheme, _, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    has_port = host.rpartition("@")[2].rpartition("]")[2].count(":") > 0
    return address if has_port or not port else f"{scheme}://{host}:{port}{slash}{path}"


def _current_reading(connection: Connection) -> str:
    fields = connection.extra_dejson
    provider, zone = fields.get("provider"), fields.get("zone")
    if provider not in LIVE_PROVIDERS or not zone:
        raise ConfigurationError(
            f"the form's provider is {provider!r} and its zone {zone!r}; choose what to test: a provider"
            f" ({', '.join(LIVE_PROVIDERS)}) and a zone, e.g. GB"
        )
    try:
        grid = GridConfig.model_validate({"zone": zone, "provider": provider})
    except ValidationError as error:
        raise ConfigurationError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
    client = open_signal(grid, access=credentials_of(connection), limits=_TEST_LIMITS)
    reading = client.source.current(utc_now()).reading
    return (
        f"{provider} answers: zone {reading.zone} had {reading.carbon_intensity_gco2eq_per_kwh:.0f} gCO2eq/kWh"
        f" ({reading.kind.value}, {reading.signal_type.value}, {reading.emission_factor_type.value} factors)"
        f" from {format_time(reading.start)}"
    )
