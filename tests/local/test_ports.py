"""A port in use is one sentence with the holder and the remedy."""

import os
import socket

import pytest

from local.ports import HOST, demand_free, free_port
from local.problems import LocalProblem


def test_a_port_in_use_names_the_port_the_process_and_the_remedy() -> None:
    with socket.socket() as server:
        server.bind((HOST, 0))
        server.listen()
        port = server.getsockname()[1]
        with pytest.raises(LocalProblem) as raised:
            demand_free(port)
    sentence = str(raised.value)
    assert sentence.startswith(f"Port {port} is in use by ")
    assert f"(process {os.getpid()})" in sentence
    assert "PORT=" in sentence


def test_a_free_port_passes_and_stays_free() -> None:
    port = free_port()
    demand_free(port)
    demand_free(port)


def test_a_port_that_does_not_exist_is_refused() -> None:
    with pytest.raises(LocalProblem, match="Port 70000 does not exist"):
        demand_free(70000)
