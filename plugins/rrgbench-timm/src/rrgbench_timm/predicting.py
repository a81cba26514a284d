"""From images to a network's outputs: reading and scaling go on in threads while the network works.

However many images there are, memory holds two batches of pictures and one image for each thread that reads.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from rrgbench.errors import FAULTS, ImageError, RunError, UsageError
from rrgbench.types import Context, Failure, Image
from rrgbench_timm import pixels

Forward = Callable[[torch.Tensor], torch.Tensor]
"""Grey levels, uint8 of shape (batch, size, size) on the device, to outputs of shape (batch, K)."""

Read = Callable[[Image], npt.NDArray[np.uint8]]
"""An image's grey levels, uint8 of shape (size, size); may raise ImageError."""

Outputs = npt.NDArray[np.float64] | Failure
Precision = Literal["fp32", "bf16"]

CPU_BATCH, MOST = 32, 1024  # more pictures at once make no device faster
MOST_WORKERS = 16


def network(
    model: torch.nn.Module,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    precision: Precision = "fp32",
    compiled: bool = False,
) -> Forward:
    """What ``batches`` and ``logits`` call: a model in evaluation mode, with its normalisation, on its own device.

    ``mean`` and ``std`` hold a number for each of the model's channels, for grey levels 0..1. ``bf16`` lets matrix
    products and convolutions work in bfloat16; ``compiled`` puts the model through torch.compile, once for all batches
    of several pictures, and raises UsageError where that can't be done.
    """
    model.eval()
    device = next(model.parameters()).device
    # On the device beforehand: a copy from the host in every batch would wait for the batch before it.
    centre, spread = (torch.tensor(list(v), device=device).view(1, -1, 1, 1) for v in (mean, std))
    call = _compiled(model) if compiled else model

    def forward(grey: torch.Tensor) -> torch.Tensor:
        x = (grey.unsqueeze(1).float() / 255.0 - centre) / spread
        x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            return call(x)

    return forward


def looked_at(context: Context) -> Image | Failure:
    """The first frontal image of a study, or its first image, where all are lateral; a failure where it has none."""
    return pixels.frontal(context.images) or Failure("image", f"The study {context.study_id} has no image.")


def batches(
    images: Iterable[Image | Failure | None],
    read: Read,
    forward: Forward,
    *,
    device: torch.device,
    batch: int,
    workers: int | None = None,
) -> Iterator[list[Outputs]]:
    """The network's outputs for each image, float64 of shape (K,), in order, a batch at a time; a failure for one that
    can't be read.

    A Failure among the images stays one, at its place, and None becomes one (``looked_at`` says whose).
    ``images`` may be endless: no more than two batches and a few are asked for ahead, from the thread that asks for the
    outputs. ``read`` is called in ``workers`` threads (None: ``default_workers``). Where memory does not suffice, the
    batch is halved, and stays so. Raises RunError where not even one picture fits.
    """
    failed: deque[list[Failure | None]] = deque()

    def pictures() -> Iterator[npt.NDArray[np.uint8]]:
        for items in _read_ahead(images, read, batch, workers or default_workers(device)):
            failed.append([item if isinstance(item, Failure) else None for item in items])
            readable = [item for item in items if not isinstance(item, Failure)]
            yield np.stack(readable) if readable else np.empty((0, 0, 0), np.uint8)

    for outputs in _outputs(pictures(), forward, device, batch):
        row = iter(outputs)
        yield [next(row) if failure is None else failure for failure in failed.popleft()]


def logits(
    forward: Forward, grey: npt.NDArray[np.uint8], *, device: torch.device, batch: int
) -> npt.NDArray[np.float64]:
    """The network's outputs, shape (n, K), for pictures of shape (n, size, size), n at least 1. As ``batches`` does."""
    parts = (grey[start : start + batch] for start in range(0, len(grey), batch))
    return np.concatenate(list(_outputs(parts, forward, device, batch)))


def find_batch(forward: Forward, size: int, device: torch.device) -> int:
    """How many pictures of ``size`` pixels to give the network at once: on a GPU the greatest power of two that fits.

    At most 1,024, tried by doubling. A CPU gets 32. Raises RunError where not even one picture fits.
    """
    if device.type != "cuda":
        return CPU_BATCH
    number, fits = 1, 0
    while number <= MOST:
        try:
            _launch(forward, np.zeros((number, size, size), np.uint8), device)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            break
        number, fits = 2 * number, number
    torch.cuda.empty_cache()
    if not fits:
        raise _too_small(device, size)
    return fits


def default_workers(device: torch.device) -> int:
    """How many threads read: one for each core that there is, at most 16; beside a model on the CPU, half of that."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(MOST_WORKERS, cores // 2 if device.type == "cpu" else cores))


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device's memory, or the machine's, did not suffice."""
    said = str(error)
    # The CPU's allocator and cuBLAS have no error class of their own.
    words = ("DefaultCPUAllocator: ", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(word in said for word in words)


def _compiled(model: torch.nn.Module) -> Forward:
    faster = torch.compile(model)

    def call(x: torch.Tensor) -> torch.Tensor:
        if len(x) == 1:  # would be compiled once more, for itself
            return model(x)  # type: ignore[no-any-return]
        torch._dynamo.maybe_mark_dynamic(x, 0)
        try:
            return faster(x)  # type: ignore[no-any-return]
        except torch._dynamo.exc.TorchDynamoException as error:
            why = " ".join(str(error).split())[:300]
            raise UsageError(f"torch.compile can't compile this model here ({why}). Leave compile out.") from error

    return call


def _read_ahead(
    images: Iterable[Image | Failure | None], read: Read, batch: int, workers: int
) -> Iterator[list[npt.NDArray[np.uint8] | Failure]]:
    """Batches of pictures; the next one is read while the caller is busy with the last."""

    def one(image: Image | Failure | None) -> npt.NDArray[np.uint8] | Failure:
        if image is None:
            return Failure("image", "The study has no image.")
        if isinstance(image, Failure):
            return image
        try:
            return read(image)
        except ImageError as error:
            return Failure("image", str(error))
        except (UsageError, RunError):
            raise
        except FAULTS as error:
            return Failure("image", f"The image {image.image_id} can't be read ({type(error).__name__}: {error}).")

    source = iter(images)
    waiting: deque[Future[npt.NDArray[np.uint8] | Failure]] = deque()
    pool = ThreadPoolExecutor(workers, "read")
    try:
        while True:
            items: list[npt.NDArray[np.uint8] | Failure] = []
            while len(items) < batch:
                waiting.extend(pool.submit(one, image) for image in islice(source, batch + workers - len(waiting)))
                if not waiting:
                    break
                items.append(waiting.popleft().result())
            if not items:
                return
            yield items
    finally:
        pool.shutdown(cancel_futures=True)


def _outputs(
    batches: Iterable[npt.NDArray[np.uint8]], forward: Forward, device: torch.device, most: int
) -> Iterator[npt.NDArray[np.float64]]:
    """The outputs of each batch, by ``most`` pictures at once, or by fewer once memory has not sufficed."""
    ahead = 1 if device.type == "cuda" else 0  # a GPU works on the next batch while the caller uses the last
    launched: deque[tuple[list[torch.Tensor], torch.cuda.Event | None]] = deque()
    for pictures in batches:
        parts = []
        start = 0
        while start < len(pictures):
            part = pictures[start : start + most]
            try:
                parts.append(_launch(forward, part, device))
                start += len(part)
                continue
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                if len(part) == 1:
                    raise _too_small(device, part.shape[-1]) from error
            most = len(part) // 2
            if device.type == "cuda":
                torch.cuda.empty_cache()  # only here, where the error no longer holds on to the forward pass
        done = None
        if device.type == "cuda":
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record(torch.cuda.current_stream(device))
        launched.append((parts, done))
        while len(launched) > ahead:
            yield _collect(*launched.popleft())
    while launched:
        yield _collect(*launched.popleft())


def _launch(forward: Forward, pictures: npt.NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    """The outputs on the CPU; a GPU's are there only when its stream has come so far."""
    with torch.inference_mode():
        grey = torch.from_numpy(pictures)
        if device.type != "cuda":
            return forward(grey.to(device)).float().cpu()
        return forward(grey.pin_memory().to(device, non_blocking=True)).float().to("cpu", non_blocking=True)


def _collect(parts: list[torch.Tensor], done: torch.cuda.Event | None) -> npt.NDArray[np.float64]:
    if done is not None:
        done.synchronize()
    return torch.cat(parts).numpy().astype(np.float64) if parts else np.empty((0, 0))


def _too_small(device: torch.device, size: int) -> RunError:
    return RunError(
        f"The memory of {device} does not suffice for the model with even one picture of {size} px. Close what else"
        " uses that memory, or choose a smaller model, a smaller size or another device."
    )
