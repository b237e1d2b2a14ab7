"""A StatsD server on loopback, to which Airflow in this process sends its metrics."""

import contextlib
import socket
from collections.abc import Iterator

import pytest


@contextlib.contextmanager
def statsd_packets() -> Iterator[socket.socket]:
    """Lend the socket that receives the metrics."""
    from airflow.sdk.observability import stats
    from airflow.sdk.observability.metrics.stats_utils import get_stats_factory

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.5)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)  # read only after a whole training
        with pytest.MonkeyPatch.context() as patch:
            for key, value in {
                "STATSD_ON": "True",
                "STATSD_HOST": "127.0.0.1",
                "STATSD_INFLUXDB_ENABLED": "True",
            }.items():
                patch.setenv(f"AIRFLOW__METRICS__{key}", value)
            patch.setenv("AIRFLOW__METRICS__STATSD_PORT", str(server.getsockname()[1]))
            stats.initialize(factory=get_stats_factory(), export_legacy_names=False)
            yield server
        stats.initialize(factory=get_stats_factory(), export_legacy_names=False)


def received(server: socket.socket) -> list[tuple[str, float]]:
    """Return Lowtide's metrics, in the order in which they came."""
    found = []
    try:
        while True:
            name, _, value = server.recv(4096).decode().partition(":")
            found.append((name, value))
    except TimeoutError:
        return [(name, float(value.split("|")[0])) for name, value in found if "lowtide" in name]
