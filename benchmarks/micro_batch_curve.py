"""Peak memory and time over micro-batch sizes at one effective batch, as a table and a picture.

    .venv/bin/python -m benchmarks.micro_batch_curve --picture docs/images/micro_batch_curve.svg

Each point is a training in a process of its own; the sizes take turns, the order turned round from one round to the next.
"""

import argparse
import sys
from pathlib import Path

from lowtide.units import BYTES_PER_MIB

from benchmarks.child_runs import ChildRun, configured, run_child
from benchmarks.intervals import Interval, median_interval

WIDTH, HEIGHT, MARGIN = 720, 400, 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="baseline.yaml")
    parser.add_argument("--effective-batch-size", type=int, default=512)
    parser.add_argument("--sizes", default="512,256,128,64,32,16", help="micro-batch sizes")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--set", action="append", default=["training.epochs=1"], metavar="KEY=VALUE")
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    sizes = sorted((int(size) for size in options.sizes.split(",")), reverse=True)
    runs: dict[int, list[ChildRun]] = {size: [] for size in sizes}
    for number in range(options.rounds):
        for size in reversed(sizes) if number % 2 else sizes:
            runs[size].append(run_child(configured(options.config, settings(options, size))))
        print(f"round {number + 1} of {options.rounds} done", file=sys.stderr, flush=True)
    show(runs)
    if options.picture:
        options.picture.parent.mkdir(parents=True, exist_ok=True)
        options.picture.write_text(picture(runs), encoding="utf-8")


def settings(options: argparse.Namespace, size: int) -> dict[str, object]:
    from lowtide.config.loader import parse_setting

    given = dict(parse_setting(text) for text in options.set)
    batching = {
        "training.micro_batch_size": size,
        "training.accumulation_steps": None,
        "training.effective_batch_size": options.effective_batch_size,
    }
    return given | batching


def peak_mib(runs: list[ChildRun]) -> Interval:
    return median_interval([run.result.peak_memory_bytes / BYTES_PER_MIB for run in runs])


def seconds(runs: list[ChildRun]) -> Interval:
    return median_interval([run.result.train_duration_s for run in runs])


def show(runs: dict[int, list[ChildRun]]) -> None:
    whole = runs[max(runs)]
    result = whole[0].result
    print(
        f"{result.device_name}, {result.precision}, effective batch {result.effective_batch_size}, {len(whole)} rounds\n"
    )
    print(
        "| micro x accumulation | peak, MiB | against the largest | training, s | against the largest | CPU time against |"
    )
    print("|---|---|---|---|---|---|")
    for size, own in runs.items():
        peaks = [a.result.peak_memory_bytes / b.result.peak_memory_bytes for a, b in zip(own, whole, strict=True)]
        times = [a.result.train_duration_s / b.result.train_duration_s for a, b in zip(own, whole, strict=True)]
        cpu = [a.train_cpu_s / b.train_cpu_s for a, b in zip(own, whole, strict=True)]
        print(
            f"| {size} x {own[0].result.accumulation_steps} | {peak_mib(own).show(0)} | x {median_interval(peaks).show(2)} |"
            f" {seconds(own).show(1)} | x {median_interval(times).show(2)} | x {median_interval(cpu).show(2)} |"
        )


def picture(runs: dict[int, list[ChildRun]]) -> str:
    """Return an SVG: memory and time, each against the largest micro-batch's, over the size (halving to the left)."""
    sizes = sorted(runs)
    whole = runs[sizes[-1]]
    series = {
        "peak memory": ("#1f6feb", [peak_mib(runs[size]).middle / peak_mib(whole).middle for size in sizes]),
        "training time": ("#d1242f", [seconds(runs[size]).middle / seconds(whole).middle for size in sizes]),
    }
    top = max(1.2, *(value for _, values in series.values() for value in values)) * 1.05
    step = (WIDTH - 2 * MARGIN) / max(1, len(sizes) - 1)

    def point(index: int, value: float) -> tuple[float, float]:
        return MARGIN + index * step, HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * value / top

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for tick in range(int(top / 0.25) + 1):
        x, y = point(0, tick * 0.25)
        lines.append(f'<line x1="{x}" y1="{y:.1f}" x2="{WIDTH - MARGIN}" y2="{y:.1f}" stroke="#ddd"/>')
        lines.append(f'<text x="{x - 8}" y="{y + 4:.1f}" text-anchor="end">{tick * 0.25:.2f}</text>')
    for index, size in enumerate(sizes):
        lines.append(
            f'<text x="{point(index, 0)[0]:.1f}" y="{HEIGHT - MARGIN + 20}" text-anchor="middle">{size}</text>'
        )
    for number, (name, (colour, values)) in enumerate(series.items()):
        points = [point(index, value) for index, value in enumerate(values)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        lines += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in points]
        lines.append(f'<text x="{MARGIN + 10 + 140 * number}" y="{MARGIN - 25}" fill="{colour}">{name}</text>')
    title = f"micro-batch size at effective batch {whole[0].result.effective_batch_size}; 1 = the whole batch at once"
    lines.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 12}" text-anchor="middle">{title}</text>')
    return "\n".join([*lines, "</svg>\n"])


if __name__ == "__main__":
    main()
