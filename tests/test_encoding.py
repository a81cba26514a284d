"""Encoding in batches and as a stream: what is asked, what a fault costs, what is kept, how much memory it takes."""

from __future__ import annotations

import time
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rrgbench.cache import Cache
from rrgbench.encoding import Encoded, encode, encode_cached
from rrgbench.errors import ImageError, RunError, UsageError
from rrgbench.labels import CHEXPERT
from rrgbench.parts import Part
from rrgbench.types import Context, Failure, Finding, Findings, Image, Status

Fault = Callable[[str], None]


class InBatches:
    """Cardiomegaly with the mean grey level as its probability; notes which studies it has answered."""

    version = "1"
    needs = ("images",)
    batch = 4

    def __init__(self, fault: Fault = lambda study_id: None) -> None:
        self.fault = fault
        self.answered: list[str] = []

    def encode(self, contexts: Sequence[Context]) -> list[Findings | Failure]:
        return [self._look(seen) for seen in contexts]

    def _look(self, seen: Context) -> Findings:
        self.fault(seen.study_id)
        mean = float(seen.images[0].read().mean())
        self.answered.append(seen.study_id)
        return Findings(CHEXPERT, {"Cardiomegaly": Finding("Cardiomegaly", Status.PRESENT, mean)})


class Streaming(InBatches):
    """The same, reading a batch and a bit ahead of its answers."""

    def stream(self, contexts: Iterable[Context]) -> Iterator[list[Findings | Failure]]:
        source, ahead = iter(contexts), deque[Context]()
        while True:
            ahead.extend(islice(source, 2 * self.batch - len(ahead)))
            if not ahead:
                return
            yield [self._look(ahead.popleft()) for _ in range(min(self.batch, len(ahead)))]


BOTH = pytest.mark.parametrize("kind", [InBatches, Streaming])


def part(encoder: object) -> Part:
    return Part("encoder", "it", "it", encoder, "tests", {}, "it")


def study(name: str, fingerprint: Callable[[], str] | None = None, size: int = 8) -> Context:
    shade = int(name[1:]) % 100 / 100
    image = Image(name, partial(np.full, (size, size), shade, np.float32), fingerprint or (lambda: name), "PA")
    return Context(name, images=(image,))


def studies(n: int) -> list[Context]:
    return [study(f"s{at}") for at in range(n)]


def shades(found: Encoded) -> dict[str, float | str]:
    out: dict[str, float | str] = {}
    for study_id, (each, _) in found.items():
        out[study_id] = each.kind if isinstance(each, Failure) else round(next(iter(each)).probability, 4)
    return out


def right(contexts: Sequence[Context], **other: str) -> dict[str, float | str]:
    return {seen.study_id: int(seen.study_id[1:]) % 100 / 100 for seen in contexts} | other


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    cache = Cache(tmp_path / "cache.sqlite")
    yield cache
    cache.close()


def raising(*those: str, error: type[BaseException] = RuntimeError) -> Fault:
    def fault(study_id: str) -> None:
        if study_id in those:
            raise error(f"can't look at {study_id}")

    return fault


@BOTH
@pytest.mark.parametrize("n", [0, 1, 4, 21])
def test_every_study_has_its_own_answer_in_order(kind: type[InBatches], n: int, cache: Cache) -> None:
    contexts, steps = studies(n), []
    for found in (
        encode(part(kind()), contexts, steps.append),
        encode_cached(part(kind()), contexts, cache, steps.append),
    ):
        assert shades(found) == right(contexts)
        assert list(found) == [seen.study_id for seen in contexts]
    assert sum(steps) == 2 * n


@BOTH
def test_what_is_in_the_cache_is_not_asked_again_and_stands_in_its_place(kind: type[InBatches], cache: Cache) -> None:
    contexts, steps = studies(20), []
    encode_cached(part(kind()), contexts[3:17:2], cache, steps.append)
    encoder = kind()
    found = encode_cached(part(encoder), contexts, cache, steps.append)
    assert shades(found) == right(contexts)
    assert list(found) == [seen.study_id for seen in contexts]
    assert encoder.answered == [seen.study_id for seen in contexts if seen not in contexts[3:17:2]]
    assert sum(steps) == 7 + 20


@BOTH
@pytest.mark.parametrize("bad", [["s0"], ["s5"], ["s19"], ["s5", "s6", "s13"], [f"s{at}" for at in range(20)]])
@pytest.mark.parametrize("error", [RuntimeError, SystemExit, ImageError])
def test_what_an_encoder_raises_costs_the_studies_that_raise_it(
    kind: type[InBatches], bad: list[str], error: type[BaseException], cache: Cache
) -> None:
    contexts, steps = studies(20), []
    found = encode_cached(part(kind(raising(*bad, error=error))), contexts, cache, steps.append)
    assert shades(found) == right(contexts, **dict.fromkeys(bad, "image" if error is ImageError else "encoder"))
    assert all(name in found[name][0].message for name in bad)
    assert sum(steps) == 20
    again = kind()
    encode_cached(part(again), contexts, cache, steps.append)
    assert again.answered == bad  # failures are not stored, all others are


@BOTH
@pytest.mark.parametrize("error", [UsageError, RunError, KeyboardInterrupt])
def test_what_is_no_studys_fault_ends_it_and_what_was_done_is_kept(
    kind: type[InBatches], error: type[BaseException], cache: Cache
) -> None:
    contexts = studies(20)
    with pytest.raises(error):
        encode_cached(part(kind(raising("s13", error=error))), contexts, cache, lambda _: None)
    again = kind()
    encode_cached(part(again), contexts, cache, lambda _: None)
    assert again.answered == [f"s{at}" for at in range(12, 20)]


@BOTH
def test_an_image_without_a_fingerprint_costs_its_study(kind: type[InBatches], cache: Cache) -> None:
    def gone() -> str:
        raise ImageError("s5.png can't be read")

    contexts = [*studies(5), study("s5", gone), study("s6")]
    found = encode_cached(part(kind()), contexts, cache, lambda _: None)
    assert shades(found) == right(contexts, s5="image")
    assert found["s5"] == (Failure("image", "s5.png can't be read"), 0.0)


@BOTH
def test_a_fault_of_the_dataset_is_not_laid_on_the_encoder(kind: type[InBatches], cache: Cache) -> None:
    def broken() -> str:
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        encode_cached(part(kind()), [*studies(5), study("s5", broken)], cache, lambda _: None)


@pytest.mark.parametrize("change", [lambda found: found, lambda found: found[:-1], lambda found: found * 3])
def test_where_a_stream_gives_too_little_or_too_much_encode_is_asked(
    change: Callable[[list[Any]], list[Any]], cache: Cache
) -> None:
    class Miscounting(Streaming):
        def stream(self, contexts: Iterable[Context]) -> Iterator[list[Findings | Failure]]:
            yield change(next(super().stream(contexts)))

    contexts = studies(9)
    assert shades(encode_cached(part(Miscounting()), contexts, cache, lambda _: None)) == right(contexts)


def test_seconds_are_those_of_the_encoder_shared_by_its_batch(cache: Cache) -> None:
    def slow(study_id: str) -> None:
        time.sleep(0.2 if study_id == "s5" else 0)

    def hashed(name: str) -> str:
        time.sleep(0.03)
        return name

    contexts = [study(f"s{at}", partial(hashed, f"s{at}")) for at in range(8)]
    found = encode_cached(part(Streaming(slow)), contexts, cache, lambda _: None)
    first, second = ([found[f"s{at}"][1] for at in some] for some in (range(4), range(4, 8)))
    assert len(set(first)) == len(set(second)) == 1
    assert sum(first) < 0.1 < 0.2 <= sum(second) < 0.3  # hashing took .24 more, before the first batch
    again = encode_cached(part(Streaming()), contexts, cache, lambda _: None)
    assert {name: seconds for name, (_, seconds) in again.items()} == {name: s for name, (_, s) in found.items()}


@BOTH
def test_memory_holds_the_findings_and_what_is_under_way(kind: type[InBatches], cache: Cache) -> None:
    size = 256
    contexts = [study(f"s{at}", size=size) for at in range(3000)]
    tracemalloc.start()
    found = encode_cached(part(kind()), contexts, cache, lambda _: None)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) == 3000
    assert peak - kept < 20 * 4 * size**2 < 3000 * 4 * size**2 / 100  # pixels are float32
