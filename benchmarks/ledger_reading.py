"""How large a long run's ledger grows, and how fast it is read, valued and added up.

Rows are those of a real run: CPU, GPU and RAM with the machine's beside them. They are
written without waiting for the disk, which a run does once a row. Usage: python benchmarks/ledger_reading.py [--days 30]
"""

import argparse
import resource
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lowtide.records import EmissionFactorType, IntensityKind, KnownIntensity, LedgerRow, Phase, Reading, SignalType
from lowtide.tracker.emissions import counterfactual, machine_totals, value_rows
from lowtide.tracker.ledger import read_ledger

START = datetime(2026, 3, 1, tzinfo=UTC)
HALF_HOUR = timedelta(minutes=30)


def reading(start: datetime) -> Reading:
    return Reading(
        zone="GB",
        start=start,
        end=start + HALF_HOUR,
        carbon_intensity_gco2eq_per_kwh=100.0 + start.hour,
        source="neso:api.carbonintensity.org.uk",
        kind=IntensityKind.ESTIMATED,
        signal_type=SignalType.AVERAGE,
        emission_factor_type=EmissionFactorType.DIRECT,
    )


def rows_of(days: float, interval_s: float) -> list[LedgerRow]:
    step = timedelta(seconds=interval_s)
    rows: list[LedgerRow] = []
    for k in range(round(days * 86_400 / interval_s)):
        start = START + k * step
        cpu_kwh, gpu_kwh, ram_kwh = 1.234567e-4 + k * 1e-12, 4.56789e-4, 2.3456e-6
        rows.append(
            LedgerRow(
                start=start,
                end=start + step,
                phase=Phase.TRAIN,
                attempt=1,
                monotonic_s=k * interval_s,
                cpu_energy_kwh=cpu_kwh,
                gpu_energy_kwh=gpu_kwh,
                ram_energy_kwh=ram_kwh,
                machine_cpu_energy_kwh=cpu_kwh * 1.7,
                machine_gpu_energy_kwh=gpu_kwh,
                machine_ram_energy_kwh=ram_kwh * 9,
            )
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="size and reading speed of a long run's ledger")
    parser.add_argument("--days", type=float, default=30.0)
    parser.add_argument("--interval", type=float, default=5.0, help="seconds between two rows")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.jsonl"
        rows = rows_of(options.days, options.interval)
        with path.open("w") as file:
            file.writelines(row.as_json_line() for row in rows)
        count, size = len(rows), path.stat().st_size
        del rows
        before_s = time.process_time()
        contents = read_ledger(path)
        read_s = time.process_time() - before_s
    if len(contents.rows) != count or contents.problems:
        raise SystemExit(f"{len(contents.rows)} of {count} rows came back; {contents.problems[:1]}")
    grid = [reading(START + k * HALF_HOUR) for k in range(round(options.days * 48) + 2)]
    before_s = time.process_time()
    valued = value_rows(contents.rows, [KnownIntensity(reading=one, learnt_at=START) for one in grid], pue=1.2)
    value_s = time.process_time() - before_s
    before_s = time.process_time()
    for figures in (valued, valued.of(Phase.TRAIN)):
        _ = (
            figures.energy_kwh,
            figures.emissions_gco2eq,
            figures.mean_carbon_intensity_gco2eq_per_kwh,
            figures.intensity_kinds,
        )
    machine_totals(contents.rows)
    sum_s = time.process_time() - before_s
    before_s = time.process_time()
    counterfactual(contents.rows, START, grid, pue=1.2)
    shift_s = time.process_time() - before_s
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{options.days:g} days at {options.interval:g} s: {count:,} rows, {size / 1e6:.1f} MB")
    print(f"size: {size / count:.0f} bytes a row, {size / options.days / 1e6:.2f} MB a day")
    print(
        f"read and checked in {read_s:.2f} s of CPU time ({count / read_s:,.0f} rows/s), peak memory {peak_mib:.0f} MiB"
    )
    print(f"valued in {value_s:.2f} s; added up in {sum_s:.2f} s; valued again at submission in {shift_s:.2f} s")


if __name__ == "__main__":
    main()
