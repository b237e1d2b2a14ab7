"""Leaving a provider alone for as long as it asked (Retry-After), within reason."""

import threading
import time
from collections.abc import Callable

from include.errors import ProviderUnavailable

LONGEST_HOLD_S = 3600.0
"""A provider that asks for more is asked again after this: a typing error there must not blind a nightly run."""


class Patience:
    """What one provider asked for; all that ask through one feed share it. Thread-safe."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._until_s = float("-inf")

    def remaining_s(self) -> float:
        """Return for how much longer the provider is left alone."""
        with self._lock:
            return max(0.0, self._until_s - self._monotonic())

    def check(self, provider: str) -> None:
        """Refuse to ask while the provider is left alone.

        :raises ProviderUnavailable: it is.
        """
        left_s = self.remaining_s()
        if left_s > 0:
            raise ProviderUnavailable(
                f"{provider} asked to be left alone for another {left_s:.0f} s, so it was not asked",
                retry_after_s=left_s,
            )

    def hold(self, seconds: float) -> None:
        """Leave the provider alone for so long, an hour at most."""
        with self._lock:
            self._until_s = max(self._until_s, self._monotonic() + min(seconds, LONGEST_HOLD_S))

    def note(self, error: ProviderUnavailable) -> None:
        """Keep what a refusal asked for."""
        if error.retry_after_s:
            self.hold(error.retry_after_s)
