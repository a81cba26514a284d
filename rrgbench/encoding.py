"""Run an encoder over contexts; what it raises costs the studies that raise it alone, too.

An encoder with a ``stream`` takes contexts ahead of its answers, so that reading images and the network overlap over
the whole run; others get a batch at a time. Either way memory holds the findings and no more than what is under way.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

from rrgbench.cache import Cache, digest
from rrgbench.errors import FAULTS, ImageError, RunError, UsageError
from rrgbench.labels import VOCABULARIES
from rrgbench.parts import Part
from rrgbench.types import Box, Context, Failure, Finding, Findings, Status, Vocabulary

BATCH = 32
Encoded = dict[str, tuple[Findings | Failure, float]]
Answers = Iterator[tuple[list[Context], list[Findings | Failure], float]]  # with the seconds that all of them took


def failing(error: BaseException, kind: str) -> Failure:
    """The failure that an exception of a part becomes."""
    if isinstance(error, ImageError):
        return Failure("image", str(error))
    return Failure(kind, f"{type(error).__name__}: {error}")


def encode(encoder: Part, contexts: Sequence[Context], advance: Callable[[int], None]) -> Encoded:
    """Findings or a failure of each context by study, and the seconds it took (its share of its batch)."""
    out: Encoded = {}
    for batch, found, seconds in _answers(encoder, iter(contexts)):
        out |= {seen.study_id: (each, seconds / len(batch)) for seen, each in zip(batch, found, strict=True)}
        advance(len(batch))
    return out


def encode_cached(encoder: Part, contexts: Sequence[Context], cache: Cache, advance: Callable[[int], None]) -> Encoded:
    """The same, asking the cache first. The key is the encoder's signature and the bytes of the images.

    A batch is stored as soon as it is there: a run that is killed loses what is under way and no more.
    """
    out: Encoded = {}
    keys: dict[str, str] = {}  # of what is under way

    def missing() -> Iterator[Context]:
        for seen in contexts:
            try:
                key = _key(encoder, seen)
            except ImageError as error:
                out[seen.study_id] = (failing(error, "image"), 0.0)
            else:
                stored = cache.get(key)
                if stored is None:
                    keys[seen.study_id] = key
                    yield seen
                    continue
                out[seen.study_id] = (_load(stored), stored["seconds"])
            advance(1)

    for batch, found, seconds in _answers(encoder, missing()):
        share, new = seconds / max(1, len(batch)), {}
        for seen, each in zip(batch, found, strict=True):
            out[seen.study_id] = (each, share)
            key = keys.pop(seen.study_id)
            if isinstance(each, Findings):
                new[key] = {**_dump(each), "seconds": share}
        cache.put(new)
        advance(len(batch))
    return {seen.study_id: out[seen.study_id] for seen in contexts}


class _Ahead:
    """Contexts that a stream takes ahead of its answers: those that wait, and how getting them went."""

    def __init__(self, contexts: Iterator[Context]) -> None:
        self._contexts = contexts
        self.waiting: deque[Context] = deque()
        self.seconds = 0.0
        self.broken = self.over = False

    def __iter__(self) -> Iterator[Context]:
        while True:
            started = time.monotonic()
            try:
                seen = next(self._contexts, None)
            except BaseException:
                self.broken = True
                raise
            self.seconds += time.monotonic() - started
            if seen is None:
                self.over = True
                return
            self.waiting.append(seen)
            yield seen

    def take(self, number: int) -> list[Context]:
        return [self.waiting.popleft() for _ in range(number)]


def _answers(encoder: Part, contexts: Iterator[Context]) -> Answers:
    if not hasattr(encoder.obj, "stream"):
        while batch := list(islice(contexts, getattr(encoder.obj, "batch", BATCH))):
            yield _batched(encoder, batch)
        return
    ahead = _Ahead(contexts)
    while True:
        try:
            yield from _streamed(encoder, ahead)
            return
        except (UsageError, RunError):
            raise
        except FAULTS:
            if ahead.broken:
                raise  # the fault is the contexts', not the encoder's
        # Some that wait may be to blame; then the stream begins anew.
        if not (batch := ahead.take(len(ahead.waiting)) or list(islice(contexts, 1))):
            return
        yield _batched(encoder, batch)


def _streamed(encoder: Part, ahead: _Ahead) -> Answers:
    started, getting = time.monotonic(), ahead.seconds
    for some in encoder.obj.stream(iter(ahead)):
        found = list(some)
        if len(found) > len(ahead.waiting):
            raise ValueError(f"the encoder gave {len(found)} findings for {len(ahead.waiting)} studies")
        yield ahead.take(len(found)), found, time.monotonic() - started - (ahead.seconds - getting)
        started, getting = time.monotonic(), ahead.seconds
    if ahead.waiting or not ahead.over:
        raise ValueError("the encoder's findings ended before the studies did")


def _batched(encoder: Part, batch: list[Context]) -> tuple[list[Context], list[Findings | Failure], float]:
    started = time.monotonic()
    found = _one_batch(encoder, batch)
    return batch, found, time.monotonic() - started


def _one_batch(encoder: Part, batch: list[Context]) -> list[Findings | Failure]:
    try:
        found = list(encoder.obj.encode(batch))
        if len(found) != len(batch):
            raise ValueError(f"the encoder gave {len(found)} findings for {len(batch)} studies")
        return found
    except (UsageError, RunError):
        raise  # the encoder can't work as it was asked for, or not here: no study's fault
    except FAULTS as error:
        if len(batch) == 1:
            return [failing(error, "encoder")]
        return [found for seen in batch for found in _one_batch(encoder, [seen])]


def _key(encoder: Part, seen: Context) -> str:
    images = [[image.fingerprint(), image.view] for image in seen.images]
    labels = [asdict(finding) for finding in seen.labels] if seen.labels else None
    prior = seen.prior and [dict(seen.prior.sections), [image.fingerprint() for image in seen.prior.images]]
    rest = [dict(seen.sections), dict(seen.demographics), labels, prior]
    return digest(encoder.signature, images, rest if images else [seen.study_id, *rest])


def _dump(findings: Findings) -> dict[str, Any]:
    return {
        "vocabulary": [findings.vocabulary.name, findings.vocabulary.labels],
        "findings": [
            [f.label, f.status, f.probability, f.side, f.severity, [[b.x, b.y, b.width, b.height] for b in f.boxes]]
            for f in findings
        ],
    }


def _load(value: dict[str, Any]) -> Findings:
    name, labels = value["vocabulary"]
    known = VOCABULARIES.get(name)
    vocabulary = known if known and list(known.labels) == labels else Vocabulary(name, tuple(labels))
    found = [
        Finding(label, Status(status), probability, side, severity, tuple(Box(*box) for box in boxes))
        for label, status, probability, side, severity, boxes in value["findings"]
    ]
    return Findings(vocabulary, {finding.label: finding for finding in found})
