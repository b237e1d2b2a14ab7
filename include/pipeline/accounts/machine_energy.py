"""The whole machine's energy, as a run's account tells it: the upper bound of what the run was charged."""

from collections.abc import Sequence

from include.records import LedgerRow, MachineEnergy
from include.tracker import machine_totals


def machine_energy(rows: Sequence[LedgerRow]) -> MachineEnergy | None:
    """Return the machine's energy over the rows; None where it is not known for all of them."""
    totals = machine_totals(rows)
    if totals is None:
        return None
    return MachineEnergy(total=totals.total, cpu=totals.cpu, gpu=totals.gpu, ram=totals.ram)
