"""Run an encoder over contexts in batches; what it raises costs the studies that raise it alone, too."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

from rrgbench.cache import Cache, digest
from rrgbench.errors import FAULTS, ImageError, UsageError
from rrgbench.labels import VOCABULARIES
from rrgbench.parts import Part
from rrgbench.types import Box, Context, Failure, Finding, Findings, Status, Vocabulary

BATCH = 32
Encoded = dict[str, tuple[Findings | Failure, float]]


def failing(error: BaseException, kind: str) -> Failure:
    """The failure that an exception of a part becomes."""
    if isinstance(error, ImageError):
        return Failure("image", str(error))
    return Failure(kind, f"{type(error).__name__}: {error}")


def encode(encoder: Part, contexts: Sequence[Context], advance: Callable[[int], None]) -> Encoded:
    """Findings or a failure of each context by study, and the seconds it took (its share of its batch)."""
    out: Encoded = {}
    for batch in _batches(encoder, contexts):
        started = time.monotonic()
        found = _one_batch(encoder, batch)
        seconds = (time.monotonic() - started) / len(batch)
        out |= {seen.study_id: (findings, seconds) for seen, findings in zip(batch, found, strict=True)}
        advance(len(batch))
    return out


def encode_cached(encoder: Part, contexts: Sequence[Context], cache: Cache, advance: Callable[[int], None]) -> Encoded:
    """The same, asking the cache first. The key is the encoder's signature and the bytes of the images."""
    out: Encoded = {}
    for batch in _batches(encoder, contexts):
        keys = {}
        for seen in batch:
            try:
                keys[seen.study_id] = _key(encoder, seen)
            except ImageError as error:
                out[seen.study_id] = (failing(error, "image"), 0.0)
        stored = {study_id: cache.get(key) for study_id, key in keys.items()}
        out |= {study_id: (_load(value), value["seconds"]) for study_id, value in stored.items() if value}
        rest = [seen for seen in batch if seen.study_id in keys and not stored[seen.study_id]]
        new = encode(encoder, rest, lambda _: None)
        cache.put({keys[i]: {**_dump(f), "seconds": s} for i, (f, s) in new.items() if isinstance(f, Findings)})
        out |= new
        advance(len(batch))
    return out


def _batches(encoder: Part, contexts: Sequence[Context]) -> Iterator[list[Context]]:
    source = iter(contexts)
    while batch := list(islice(source, getattr(encoder.obj, "batch", BATCH))):
        yield batch


def _one_batch(encoder: Part, batch: list[Context]) -> list[Findings | Failure]:
    try:
        found = list(encoder.obj.encode(batch))
        if len(found) != len(batch):
            raise ValueError(f"the encoder gave {len(found)} findings for {len(batch)} studies")
        return found
    except UsageError:
        raise  # the encoder can't work as it was asked for: no study's fault
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
