"""Takes the place of CodeCarbon's one-second timer, which costs more than all the rest and never forgets a figure.

That timer starts a thread a second and keeps four lists of utilisation figures, which every flush sums from the beginning:
after a month millions of figures, every five seconds. Nothing of ours reads them.
"""

import threading
from collections.abc import Iterable
from typing import Any

_PERIOD_S = 1.0


class PowerSampler:
    """Once a second, samples the power of what has no energy counter; the energy of the rest needs no help.

    Has the two methods of CodeCarbon's ``PeriodicScheduler`` that the tracker calls.
    """

    def __init__(self, hardware: Iterable[Any]) -> None:
        self._sampled = [item for item in hardware if _may_need_it(item)]
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, if there is anything to sample."""
        if self._sampled and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="power-sampler", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End; a sample under way is waited for, so that none meets the tracker's last measurement."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(_PERIOD_S):
            for item in self._sampled:
                try:
                    item.monitor_power()
                except Exception:  # noqa: BLE001, S112 the next measurement covers this second, and says what is wrong
                    continue


def _may_need_it(item: Any) -> bool:
    # a GPU's own code looks at once whether its counter fails it
    kind = type(item).__name__
    return kind == "GPU" or (kind == "CPU" and item._mode not in ("intel_rapl", "windows_emi", "constant"))
