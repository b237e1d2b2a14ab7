"""Threads of our own for what blocks: asyncio's default ones are Airflow's too, and there are few on a small machine."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

NETWORK_THREADS = 16
"""Requests at a time; each is bounded in time, and holds its thread for no pause."""

Result = TypeVar("Result")


@cache
def _network() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(NETWORK_THREADS, thread_name_prefix="lowtide-grid")


@cache
def _thinking() -> ThreadPoolExecutor:
    # one thread: Python lets only one compute at a time, and each further one would make the event loop wait its turn
    return ThreadPoolExecutor(1, thread_name_prefix="lowtide-decide")


async def in_network_thread(work: Callable[[], Result]) -> Result:
    """Run what waits for the network or a disk."""
    return await asyncio.get_running_loop().run_in_executor(_network(), work)


async def in_thinking_thread(work: Callable[[], Result]) -> Result:
    """Run what computes for more than a moment."""
    return await asyncio.get_running_loop().run_in_executor(_thinking(), work)
