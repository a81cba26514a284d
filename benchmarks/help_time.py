"""How long `rrgbench --help` takes, beside `pytest --help` in the same run."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 9


def seconds(program: str) -> float:
    """The median wall time of a program's --help, the first run left out."""
    times = []
    for _ in range(RUNS + 1):
        started = time.perf_counter()
        subprocess.run([Path(sys.executable).parent / program, "--help"], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


if __name__ == "__main__":
    ours, theirs = seconds("rrgbench"), seconds("pytest")
    print(f"rrgbench --help {ours:.3f} s, pytest --help {theirs:.3f} s, ratio {ours / theirs:.2f} (median of {RUNS})")
