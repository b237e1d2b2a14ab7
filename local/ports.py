"""Loopback ports: is one free, and who has it."""

import socket

import psutil

from local.problems import LocalProblem

HOST = "127.0.0.1"


def demand_free(port: int) -> None:
    """Return if the port can be bound.

    :raises LocalProblem: it is in use or not allowed; names the process where it can be known.
    """
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as uvicorn does: TIME_WAIT is no obstacle
            probe.bind((HOST, port))
    except PermissionError:
        raise LocalProblem(f"Port {port} may be opened by root only; choose one above 1023, e.g. PORT=8090.") from None
    except OverflowError:
        raise LocalProblem(f"Port {port} does not exist; choose one from 1024 to 65535, e.g. PORT=8090.") from None
    except OSError:
        raise LocalProblem(
            f"Port {port} is in use by {holder(port)}; end that process or choose another port,"
            f" e.g. PORT={port + 10 if port < 65000 else 8090}."
        ) from None


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def holder(port: int) -> str:
    """Name the process that listens on a port."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return "another process"
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and tuple(connection.laddr)[1:2] == (port,) and connection.pid:
            return _name(connection.pid)
    return "another process"


def _name(pid: int) -> str:
    try:
        return f"{psutil.Process(pid).name()} (process {pid})"
    except psutil.Error:
        return f"process {pid}"
