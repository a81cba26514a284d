"""The pictures and targets of a split: held in memory where they are few, else read ahead by worker processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset

from rrgbench import progress
from rrgbench.errors import FAULTS, ImageError, RunError, UsageError
from rrgbench.normalisation import Adjust
from rrgbench.types import Image, Study
from rrgbench_timm import pixels
from rrgbench_timm.processes import Processes

Target = npt.NDArray[np.float32]
Batch = tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8], npt.NDArray[np.bool_]]
"""Rows, their grey levels of shape (rows, size, size), and which of them could be read (the others are black)."""

HELD = 2 * 2**30  # bytes of grey levels up to which a split's pictures stay in memory
SAMPLE = 2048  # pictures that grey levels are counted of where not all are held
MOST_WORKERS = 16
_CHUNK = 64


class Pictures(Dataset[tuple[int, npt.NDArray[np.uint8], str | None]]):
    """Pictures by row; ``unreadable`` says of each row that could not be read why, once that is known."""

    def __init__(self, ids: Sequence[str], images: Sequence[Image], size: int, adjust: Adjust, workers: int) -> None:
        self.ids, self.unreadable = ids, dict[int, str]()
        self._images, self._size, self._adjust, self._workers = images, size, adjust, workers
        self._held: npt.NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, row: int) -> tuple[int, npt.NDArray[np.uint8], str | None]:
        image = self._images[row]
        try:
            return row, pixels.read(image, self._size, self._adjust), None
        except ImageError as error:
            why = str(error)
        except FAULTS as error:
            why = f"the image {image.image_id} can't be read ({type(error).__name__}: {error})"
        return row, np.zeros((self._size, self._size), np.uint8), f"{self.ids[row]}: {why}"

    @property
    def streamed(self) -> bool:
        """Whether pictures are read each time anew, as there are too many to hold."""
        return len(self) * self._size**2 > HELD

    def hold(self, advance: Callable[[int], None]) -> None:
        """Read every picture, in threads, and keep it."""
        held = np.zeros((len(self), self._size, self._size), np.uint8)

        def read(row: int) -> str | None:
            _, held[row], why = self[row]
            return why

        with ThreadPoolExecutor(_cores(), "read") as pool:
            for row, why in enumerate(pool.map(read, range(len(self)))):
                if why:
                    self.unreadable[row] = why
                advance(1)
        self._held = held

    def keep(self, rows: npt.NDArray[np.int64]) -> None:
        """Of pictures that are held, keep only those of ``rows``, which could all be read."""
        assert self._held is not None
        for new, old in enumerate(rows):
            self._held[new] = self._held[old]  # in its place: there may be no room for a second one
        self._held = self._held[: len(rows)]
        self.ids, self._images = [self.ids[row] for row in rows], [self._images[row] for row in rows]
        self.unreadable = {}

    def batches(self, rows: Sequence[npt.NDArray[np.int64]]) -> Iterator[Batch]:
        """The pictures of each of ``rows``, in order; where they are not held, workers read ahead."""
        if self._held is not None:
            yield from ((some, self._held[some], np.ones(len(some), bool)) for some in rows)
            return
        loader = DataLoader(
            self, batch_sampler=[some.tolist() for some in rows], num_workers=self._workers, collate_fn=_together
        )
        try:
            for some, grey, unread in loader:
                self.unreadable |= unread
                yield some, grey, np.array([row not in unread for row in some.tolist()])
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise RunError(f"A process that reads images has died ({error}). Try fewer of them: workers=N.") from error

    def levels(self) -> npt.NDArray[np.float64]:
        """How often each grey level 0..255 occurs, as shares that sum to 1; of a sample where pictures are streamed."""
        rows = np.arange(len(self)) if self._held is not None else _spread(len(self), SAMPLE)
        count = np.zeros(256)
        for _, grey, readable in self.batches(chunks(rows)):
            count += np.bincount(grey[readable].ravel(), minlength=256)
        if not count.any():
            raise UsageError(
                f"None of {len(rows)} images could be read. The first: {next(iter(self.unreadable.values()))}"
            )
        return count / count.sum()


@dataclass(frozen=True)
class Split:
    """A split's pictures with their targets, shape (studies, labels), NaN where not known.

    ``left_out`` says why each study that is not among them could not be used.
    """

    name: str
    pictures: Pictures
    target: Target
    left_out: tuple[str, ...]

    def __len__(self) -> int:
        """The studies that can be used, as far as is known."""
        return len(self.pictures) - len(self.pictures.unreadable)

    @property
    def ids(self) -> Sequence[str]:
        """The study of each row."""
        return self.pictures.ids

    @property
    def skipped(self) -> list[str]:
        """All that could not be used: those, too, that turned out to be unreadable while pictures were streamed."""
        return [*self.left_out, *self.pictures.unreadable.values()]

    def readable(self) -> Target:
        """The targets, with NaN for the studies that are known to be unreadable."""
        target = self.target.copy()
        target[list(self.pictures.unreadable)] = np.nan
        return target

    def check(self) -> None:
        """Raise UsageError unless at least two studies can be used."""
        if len(self) < 2:
            first = f" The first that was skipped: {self.skipped[0]}." if self.skipped else ""
            raise UsageError(
                f"The {self.name} split has {len(self)} studies to learn from; at least 2 are needed.{first}"
            )


def gather(
    name: str,
    studies: Sequence[Study],
    target: Target,
    *,
    size: int,
    adjust: Adjust,
    workers: int | None,
    processes: Processes,
) -> Split:
    """The studies that have a frontal image and a label that is known. Raises UsageError if they are fewer than two."""
    images, why = {}, {}
    for row, study in enumerate(studies):
        image = pixels.frontal(study.images)
        if image is None or np.isnan(target[row]).all():
            why[row] = f"{study.study_id}: it has no {'image' if image is None else 'label that is known'}"
        else:
            images[row] = image
    spare = max(0, min(MOST_WORKERS, _cores() // processes.count - 1))
    ids = [studies[row].study_id for row in images]
    pictures = Pictures(ids, list(images.values()), size, adjust, spare if workers is None else workers)
    rows = np.array(list(images), dtype=np.int64)
    if not pictures.streamed:
        with progress.stage(f"read {name}", len(rows)) if processes.main else nullcontext(lambda _: None) as advance:
            pictures.hold(advance)
        why |= {int(rows[row]): words for row, words in pictures.unreadable.items()}
        good = np.array([row for row in range(len(rows)) if row not in pictures.unreadable], dtype=np.int64)
        pictures.keep(good)
        rows = rows[good]
    split = Split(name, pictures, target[rows], tuple(words for _, words in sorted(why.items())))
    split.check()
    return split


def chunks(rows: npt.NDArray[np.int64], size: int = _CHUNK) -> list[npt.NDArray[np.int64]]:
    """The rows in pieces of ``size``."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def to_device(grey: npt.NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    """Grey levels as 0..1 of shape (batch, 1, size, size) on the device."""
    tensor = torch.from_numpy(grey)
    if device.type == "cuda":
        tensor = tensor.pin_memory().to(device, non_blocking=True)
    return tensor.unsqueeze(1).float() / 255.0


def _together(
    items: list[tuple[int, npt.NDArray[np.uint8], str | None]],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8], Mapping[int, str]]:
    # Arrays, not tensors: those would travel through shared memory, of which a container often has little.
    rows, grey, _ = zip(*items, strict=True)
    return np.array(rows, dtype=np.int64), np.stack(grey), {row: words for row, _, words in items if words}


def _spread(n: int, at_most: int) -> npt.NDArray[np.int64]:
    """At most so many of n rows, evenly spread over them."""
    return np.unique(np.linspace(0, n - 1, min(n, at_most)).astype(np.int64))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
