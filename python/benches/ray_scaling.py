"""Pictures per second of one and of two workers of Ray, a processor and a thread each.

    python python/benches/ray_scaling.py [ROUNDS]

The start of the cluster and of the workers is left out: the clock runs from the first block of a run to the last. Runs of one
and of two workers take turns; what is printed is the median of each, and the ratio, which should be 1.7 or more.
"""

import os
import statistics
import sys
import time
from pathlib import Path

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import ray
import ray.data

import sandglass.ray

DEMO = Path(__file__).resolve().parents[2] / "assets" / "demo"
PICTURES, BLOCKS = 3072, 96
LEAST = 1.7


def pictures_per_second(pictures: ray.data.Dataset, workers: int) -> float:
    found = sandglass.ray.detect(pictures, concurrency=workers, num_cpus=1, batch_size=PICTURES // BLOCKS)
    started, first, rows, errors = 0.0, 0, 0, 0
    for batch in found.iter_batches(batch_size=None, batch_format="pyarrow"):
        rows += len(batch)
        errors += len(batch) - batch["error"].null_count
        if not started:
            started, first = time.perf_counter(), rows
    seconds = time.perf_counter() - started
    if rows != PICTURES or errors:
        sys.exit(f"{rows} of {PICTURES} pictures came back, {errors} with an error")
    return (rows - first) / seconds


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    if (os.cpu_count() or 1) < 2:
        sys.exit("this needs two processors")
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=1 << 30, log_to_driver=False)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    # All workers are there before any begins.
    context.wait_for_min_actors_s = 120
    files = [path.read_bytes() for path in sorted(DEMO.glob("*.jpg"))]
    rows = [{"id": number, "image": files[number % len(files)]} for number in range(PICTURES)]
    pictures = ray.data.from_items(rows, override_num_blocks=BLOCKS).materialize()
    figures: dict[int, list[float]] = {1: [], 2: []}
    for number in range(rounds):
        for workers, taken in figures.items():
            taken.append(pictures_per_second(pictures, workers))
        print(f"round {number + 1}: " + ", ".join(f"{taken[-1]:.1f}" for taken in figures.values()), flush=True)
    one, two = (statistics.median(taken) for taken in figures.values())
    print(f"one worker {one:.1f}, two workers {two:.1f} pictures/s: {two / one:.2f} times (at least {LEAST} wanted)")


if __name__ == "__main__":
    main()
