"""Runs every lesson as the tests do: seconds, peak memory, and whether it holds, several times in a row.

    python benchmarks/lessons.py                       # each lesson once
    python benchmarks/lessons.py --times 5             # five runs in a row, for what fails now and then
    python benchmarks/lessons.py 01_factory --times 3

Memory is the largest of the lesson's processes: what a student's machine must have free, beside the browser.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
NBVAL = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=900", "-q", "-p", "no:cacheprovider", "-n", "0"]


def peak_of(process: subprocess.Popen, every: float = 0.2) -> float:
    """The largest resident size of any of a process's children while it runs, in MB."""
    peak, parent = 0, psutil.Process(process.pid)
    while process.poll() is None:
        for child in parent.children(recursive=True):
            try:
                peak = max(peak, child.memory_info().rss)
            except psutil.NoSuchProcess:
                continue
        time.sleep(every)
    return peak / 1e6


def run(path: Path) -> tuple[float, float, bool]:
    """One run of a lesson: seconds, peak MB, whether every checked cell printed what is stored."""
    start, said = time.perf_counter(), []
    command = [sys.executable, "-m", "pytest", *NBVAL, str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=FOLDER.parent)
    reader = threading.Thread(target=lambda: said.append(process.stdout.read()))
    reader.start()
    peak = peak_of(process)
    reader.join()
    if process.returncode:
        print(said[0][-3000:], file=sys.stderr)
    return time.perf_counter() - start, peak, process.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lessons", nargs="*", help="names without .ipynb; default: all")
    parser.add_argument("--times", type=int, default=1, help="runs of each, in a row (default 1)")
    options = parser.parse_args()
    paths = [FOLDER / f"{name}.ipynb" for name in options.lessons] or sorted(FOLDER.glob("*.ipynb"))
    total, failed = 0.0, 0
    print(f"{os.cpu_count()} cores\nlesson                          held      seconds (least, most)    MB", flush=True)
    for path in paths:
        runs = [run(path) for _ in range(options.times)]
        held, seconds = sum(good for *_, good in runs), [seconds for seconds, *_ in runs]
        total, failed = total + min(seconds), failed + len(runs) - held
        span, memory = f"{min(seconds):6.1f} {max(seconds):6.1f}", max(peak for _, peak, _ in runs)
        print(f"{path.stem:30}  {held} of {len(runs)}    {span}             {memory:6.0f}", flush=True)
    print(f"all, one run each: {total / 60:.1f} minutes; runs that failed: {failed}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
