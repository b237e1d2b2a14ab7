"""How long the report of a day's run takes: 24 h of 5-second rows on each side, a wait and two pauses.

Each figure is of a fresh process: what is imported, both ledgers read and checked, every chart drawn. ``--runs`` of them,
of which the middle one counts. Usage: python benchmarks/report_html.py [--hours 24] [--row 5] [--runs 5]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lowtide.records import TrainingRecord

from tests.support.day_runs import evening_baseline, night_run

ROOT = Path(__file__).resolve().parents[1]
PAGE = """
import json, sys, time
wall, cpu = time.perf_counter(), time.process_time()
from pathlib import Path
from lowtide.config.schema import ReportConfig
from lowtide.timeutil import utc_now
from lowtide.report.compare import compare_runs
from lowtide.records import load_record
from lowtide.report.html.page import render_html
baselines, runs = ([load_record(Path(path))] for path in sys.argv[1:3])
report = compare_runs(baselines, runs, settings=ReportConfig(), now=utc_now())
page = render_html(report)
print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu, len(page.encode())]))
"""


def measured(folders: list[Path], runs: int) -> list[list[float]]:
    command = [sys.executable, "-c", PAGE, *map(str, folders)]
    found = []
    for _ in range(runs):
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        found.append(json.loads(answer.stdout))
    return found


def whole_command(folders: list[Path], output: Path) -> list[str]:
    """The command as a person gives it; the wait is searched for its best time, too."""
    return [
        sys.executable,
        "-m",
        "lowtide.cli",
        "compare",
        "--baseline",
        str(folders[0]),
        "--run",
        str(folders[1]),
        "--output",
        str(output),
    ]


def timed(command: list[str]) -> tuple[float, float]:
    code = (
        "import json, os, subprocess, sys, time; t = time.perf_counter();"
        " subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); u = os.times();"
        " print(json.dumps([time.perf_counter() - t, u.children_user + u.children_system]))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, *command], cwd=ROOT, capture_output=True, text=True, check=True
    )
    wall_s, cpu_s = json.loads(answer.stdout)
    return wall_s, cpu_s


def rows_of(record: TrainingRecord) -> int:
    return sum(
        line.startswith('{"start"') for line in Path(record.ledger_path).read_text(encoding="utf-8").splitlines()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="time to write the report of a long run")
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--row", type=float, default=5.0, help="seconds a row")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    length = {"hours": options.hours, "row_s": options.row}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _, baseline = evening_baseline(**length).write(folder / "base")
        pauses = [(options.hours / 3, 2.0), (options.hours / 1.5, 3.0)]
        _, run = night_run(**length, wait=timedelta(hours=9), pauses=pauses).write(folder / "run")
        folders = [folder / "base", folder / "run"]
        measured(folders, 1)  # once without counting: matplotlib looks for the machine's fonts only once
        walls, cpus, sizes = zip(*measured(folders, options.runs), strict=True)
        command = [timed(whole_command(folders, folder / "report")) for _ in range(options.runs)]
        print(f"rows: {rows_of(baseline):,} and {rows_of(run):,}; page: {sizes[0] / 1024:.0f} KiB")
        told = f"median of {options.runs} fresh processes"
        print(
            f"both records and ledgers to the page: {statistics.median(walls):.2f} s, CPU {statistics.median(cpus):.2f} s ({told})"
        )
        wall_s, cpu_s = (statistics.median(column) for column in zip(*command, strict=True))
        print(f"lowtide compare, with the search for perfect foresight: {wall_s:.2f} s, CPU {cpu_s:.2f} s ({told})")


if __name__ == "__main__":
    main()
