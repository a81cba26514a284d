"""How fast ``phantom`` draws, in images a second of one core: ``python benchmarks/phantom_speed.py [SIZE ...]``."""

from __future__ import annotations

import sys
import time

from rrgbench.datasets.phantom import Phantom

IMAGES = 300


def main() -> None:
    for size in [int(argument) for argument in sys.argv[1:]] or [64, 128, 224]:
        images = [study.images[0] for study in Phantom(n=IMAGES, size=size).load(None)]
        images[0].read()
        wall, cpu = time.perf_counter(), time.process_time()
        for image in images:
            image.read()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(f"{size:4d} px: {IMAGES / cpu:6.0f} images/s of CPU time, {IMAGES / wall:6.0f} images/s of wall time")
    start = time.process_time()
    count = sum(1 for _ in Phantom(n=2000).load(None))
    print(f"studies without pixels: {count / (time.process_time() - start):.0f}/s")


if __name__ == "__main__":
    main()
