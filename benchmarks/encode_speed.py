"""How fast encoding is through rrgbench: ``python benchmarks/encode_speed.py [IMAGES]``.

The same decoded images go through ``encode_cached`` (a fresh cache, TimmEncoder, a checkpoint with random weights) and
through a bare timm loop, which holds them ready as one array, in turns. Printed are images a second of both, the ratio
of the medians of wall time (the aim is .95 at least) and that of CPU time, which a busy machine disturbs less.

On the CPU torch has one thread, or as many as OMP_NUM_THREADS says. Where there is a CUDA device, ViT-B/16 and
DenseNet-121 in bfloat16 follow, at the batch that is found automatically, with the share of the card's bf16 peak: of
the data sheet's, and of what a great matrix product reaches in the same run.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from rrgbench_timm import checkpoint, models
from rrgbench_timm.predicting import find_batch, network
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from rrgbench.cache import Cache
from rrgbench.encoding import encode_cached
from rrgbench.labels import CHEXPERT
from rrgbench.parts import build
from rrgbench.plugins import catalogue
from rrgbench.types import Context, Image

SIZE, TURNS, AIM = 224, 5, 0.95
CPU, GPU = ("vit_tiny_patch16_224", "resnet18"), ("vit_base_patch16_224", "densenet121")
CPU_IMAGES, CPU_BATCH, GPU_IMAGES = 256, 32, 8192
MEAN, STD = 0.5, 0.25
# Tera floating-point operations a second in bfloat16, dense (half of what the data sheets give with sparsity), from
# NVIDIA's data sheets of each card.
PEAKS = {"H100 PCIe": 756, "H100 NVL": 835, "H100": 989, "H200": 989, "A100": 312}


@dataclass(frozen=True)
class Setting:
    """Where and how a network works."""

    device: torch.device
    batch: int | str
    precision: str


def pictures(number: int) -> tuple[npt.NDArray[np.uint8], list[Context]]:
    """Noise, as the bare loop's array and as studies whose images are already decoded. A few are used over and over."""
    grey = np.random.default_rng(0).integers(0, 256, (min(number, 256), SIZE, SIZE), dtype=np.uint8)
    decoded = grey.astype(np.float32) / np.float32(255)
    each = [decoded[at % len(grey)] for at in range(number)]
    images = [Image(str(at), partial(np.asarray, each[at]), partial(str, at), "PA") for at in range(number)]
    return grey[np.arange(number) % len(grey)], [Context(image.image_id, images=(image,)) for image in images]


def write(folder: Path, name: str) -> Path:
    """A checkpoint with random weights."""
    model = models.create(name, {}, size=SIZE, in_chans=1, classes=len(CHEXPERT), seed=0)
    card = checkpoint.Card(
        format=1,
        model=name,
        model_args={},
        size=SIZE,
        in_chans=1,
        mean=[MEAN],
        std=[STD],
        labels=list(CHEXPERT.labels),
        thresholds=dict.fromkeys(CHEXPERT.labels, 0.5),
        training={
            "provenance": {},
            "started_from": "random weights",
            "recipe": {},
            "seed": 0,
            "epoch": 1,
            "studies": {},
            "skipped": {},
            "versions": {},
            "validate": {},
        },
        terms="open",
        licence=None,
    )
    path = folder / f"{name}.safetensors"
    checkpoint.write(path, card, {key: value.contiguous().numpy() for key, value in model.state_dict().items()})
    return path


def bare(model: torch.nn.Module, grey: torch.Tensor, batch: int, setting: Setting) -> npt.NDArray[np.float32]:
    """What one would write by hand: probabilities, shape (images, labels)."""
    out = []
    bf16 = setting.precision == "bf16"
    with torch.inference_mode(), torch.autocast(setting.device.type, torch.bfloat16, enabled=bf16):
        for part in grey.split(batch):
            x = part.to(setting.device, non_blocking=True).unsqueeze(1).float() / 255.0
            x = ((x - MEAN) / STD).contiguous(memory_format=torch.channels_last)
            out.append(torch.sigmoid(model(x).float()))
        return torch.cat(out).cpu().numpy()


def measure(name: str, number: int, setting: Setting) -> float:
    """Print a line for a model; give rrgbench's images a second."""
    grey, contexts = pictures(number)
    held = torch.from_numpy(grey)
    model = models.create(name, {}, size=SIZE, in_chans=1, classes=len(CHEXPERT), seed=0).to(setting.device)
    if isinstance(setting.batch, int):
        batch = setting.batch
    else:
        held = held.pin_memory()
        batch = find_batch(network(model, [MEAN], [STD], precision=setting.precision), SIZE, setting.device)
    with tempfile.TemporaryDirectory() as folder:
        options = {"checkpoint": str(write(Path(folder), name)), "device": str(setting.device)}
        options |= {"batch": setting.batch, "precision": setting.precision}
        encoder = build(catalogue(), "encoder", {"vit": options})

        def ours(turn: int, some: Sequence[Context]) -> npt.NDArray[np.float64]:
            cache = Cache(Path(folder) / f"{turn}.sqlite")
            found = encode_cached(encoder, some, cache, lambda _: None)
            cache.close()
            return np.array([[each.probability for each in findings] for findings, _ in found.values()])

        ours(-1, contexts[:batch])
        bare(model, held[:batch], batch, setting)
        times: list[list[tuple[float, float]]] = [[], []]
        gave: list[npt.NDArray[np.floating]] = [np.empty(0), np.empty(0)]
        for turn in range(TURNS):
            calls: list[tuple[int, Callable[[], npt.NDArray[np.floating]]]]
            calls = [(0, partial(ours, turn, contexts)), (1, partial(bare, model, held, batch, setting))]
            for who, call in calls[:: 1 if turn % 2 else -1]:
                with clock(times[who]):
                    gave[who] = call()
    (mine, mine_cpu), (its, its_cpu) = (map(statistics.median, zip(*each, strict=True)) for each in times)
    print(
        f"{name:22} {setting.precision:>5} {batch:6} {number / mine:10.1f} {number / its:10.1f} {its / mine:7.3f}"
        f" {its_cpu / mine_cpu:7.3f}   {np.abs(gave[0] - gave[1]).max():.0e}",
        flush=True,
    )
    return number / mine


@contextmanager
def clock(times: list[tuple[float, float]]) -> Iterator[None]:
    """Note the seconds of wall time and of CPU time of a block."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    times.append((time.perf_counter() - wall, time.process_time() - cpu))


def operations(name: str) -> int:
    """Floating-point operations of an image: two for each multiplication and addition of convolutions and products."""
    model = models.create(name, {}, size=SIZE, in_chans=1, classes=len(CHEXPERT), seed=0)
    # What attention is fused into is not counted on every device; taken apart it is two matrix products.
    with FlopCounterMode(display=False) as counter, torch.inference_mode(), sdpa_kernel(SDPBackend.MATH):
        model(torch.zeros(1, 1, SIZE, SIZE))
    return int(counter.get_total_flops())


def product_speed(device: torch.device, side: int = 8192, times: int = 20) -> float:
    """Tera operations a second of a bfloat16 matrix product: the fastest of some."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = float("inf")
    for _ in range(times):
        torch.cuda.synchronize(device)
        started = time.perf_counter()
        a @ b
        torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - started)
    return 2 * side**3 / best / 1e12


def header(words: str) -> None:
    print(f"\n{words}")
    print(f"{'':22} {'':5} {'batch':>6} {'rrgbench/s':>10} {'bare/s':>10} {'ratio':>7} {'CPU':>7}   apart (aim: {AIM})")


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else None
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    cores = len(os.sched_getaffinity(0))
    header(f"CPU: {cores} cores, {torch.get_num_threads()} thread(s) of torch {torch.__version__}; {SIZE} px")
    for name in CPU:
        measure(name, number or CPU_IMAGES, Setting(torch.device("cpu"), CPU_BATCH, "fp32"))
    if not torch.cuda.is_available():
        print("CUDA: not measured (no device here)")
        return
    device = torch.device("cuda")
    card = torch.cuda.get_device_name(device)
    sheet = next((peak for part, peak in PEAKS.items() if part in card), None)
    reached = product_speed(device)
    header(f"{card}: bf16 peak {sheet or 'unknown'} TFLOP/s by its sheet, {reached:.0f} by a matrix product; {SIZE} px")
    for name in GPU:
        speed = measure(name, number or GPU_IMAGES, Setting(device, "auto", "bf16")) * operations(name) / 1e12
        of_sheet = f"{speed / sheet:.1%} of the sheet's peak, " if sheet else ""
        print(f"{'':22} {speed:.0f} TFLOP/s: {of_sheet}{speed / reached:.1%} of the matrix product's", flush=True)


if __name__ == "__main__":
    main()
