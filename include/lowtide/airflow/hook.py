"""Reads the provider's connection: where to ask, and with which credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from pydantic import ValidationError

from lowtide.airflow.provider_info import CONNECTION_TYPE, TESTED_PROVIDERS
from lowtide.config.schema import GridConfig
from lowtide.errors import ConfigurationError, LowtideError, ProviderUnavailable
from lowtide.grid.factory import open_signal
from lowtide.grid.http import Credentials, Limits
from lowtide.timeutil import format_moment, utc_now

if TYPE_CHECKING:
    from pathlib import Path

    from airflow.sdk import Connection

    from lowtide.grid.client import IntensityClient
    from lowtide.records import ReplayAnchor


ProviderAccess = Credentials

_TEST_LIMITS = Limits(connect_timeout_s=3.0, read_timeout_s=8.0, total_timeout_s=10.0, retries=1)
"""A person waits in front of the form."""


class CarbonIntensityHook(BaseHook):
    """Gives the signal of a grid, asked through an Airflow connection.

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

        :raises AirflowNotFoundException: there is no such connection.
        """
        return access_of(self.get_connection(self.grid_conn_id)) if self.grid_conn_id else Credentials()

    async def aget_conn(self) -> Credentials:
        """Read the connection without blocking the triggerer's event loop."""
        return access_of(await self.aget_connection(self.grid_conn_id)) if self.grid_conn_id else Credentials()

    def signal(
        self, grid: GridConfig, anchor: ReplayAnchor | None = None, *, artifacts: Path | None = None
    ) -> IntensityClient:
        """Return the signal of a configured grid.

        :param artifacts: the artifact root, for the history of this signal.
        """
        # the history of a signal is kept by the connection that it is really asked through
        asked = grid.model_copy(update={"connection": self.grid_conn_id})
        return open_signal(asked, anchor=anchor, access=self.get_conn(), artifacts=artifacts)

    def test_connection(self) -> tuple[bool, str]:
        """Ask the provider that the form names for the zone that it names, and say what came."""
        try:
            connection = self.get_connection(self.grid_conn_id or self.default_conn_name)
            return True, _reading_now(connection)
        except LowtideError as error:
            return False, str(error)


def access_of(connection: Connection) -> Credentials:
    """Return what a connection says; its token is masked in logs by Airflow, and hidden by the result's repr."""
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


def _reading_now(connection: Connection) -> str:
    fields = connection.extra_dejson
    provider, zone = fields.get("provider"), fields.get("zone")
    if provider not in TESTED_PROVIDERS or not zone:
        raise ConfigurationError(
            f"the form's provider is {provider!r} and its zone {zone!r}; choose what to test: a provider"
            f" ({', '.join(TESTED_PROVIDERS)}) and a zone, e.g. GB"
        )
    try:
        grid = GridConfig.model_validate({"zone": zone, "provider": provider})
    except ValidationError as error:
        raise ConfigurationError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
    outlook = open_signal(grid, access=access_of(connection), limits=_TEST_LIMITS).outlook(utc_now())
    reading = outlook.reading
    if outlook.failed_looks or reading is None:
        raise ProviderUnavailable(outlook.steps[0].removesuffix(" (failed look 1 in a row)"))
    return (
        f"{provider} answers: zone {reading.zone} had {reading.carbon_intensity_gco2eq_per_kwh:.0f} gCO2eq/kWh"
        f" ({reading.kind.value}, {reading.signal_type.value}, {reading.emission_factor_type.value} factors)"
        f" from {format_moment(reading.start)}"
    )
