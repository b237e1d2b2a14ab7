"""What a whole machine used over a run's rows: the upper bound of what the run is charged."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from include.records import LedgerRow


class MachineTotals(NamedTuple):
    """Energy in kWh before PUE; of GPUs, the selected ones'."""

    cpu: float
    gpu: float
    ram: float

    @property
    def total(self) -> float:
        """All three."""
        return math.fsum(self)


def machine_totals(rows: Sequence[LedgerRow]) -> MachineTotals | None:
    """Add the machine's energy up; None where it is not known for every row (a replayed meter, an older ledger)."""
    figures = [(row.machine_cpu_energy_kwh, row.machine_gpu_energy_kwh, row.machine_ram_energy_kwh) for row in rows]
    known = [(cpu, gpu, ram) for cpu, gpu, ram in figures if cpu is not None and gpu is not None and ram is not None]
    if not known or len(known) < len(figures):
        return None
    cpu, gpu, ram = (math.fsum(column) for column in zip(*known, strict=True))
    return MachineTotals(cpu, gpu, ram)
