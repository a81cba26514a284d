"""Requests that wait for a batch: handed over together, answered hours or days later, collected by a later run.

What is needed to find a batch again stands in the call cache, a row a batch: its name, its id, and the keys of its
requests, which are the keys of the cache, too. The row is written before the batch is handed over, and the name goes
with it: where a run is killed in between, the next one asks the server for a batch of that name. So nothing is handed
over twice. Neither a key nor a prompt is in it.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rrgbench import progress
from rrgbench.cache import Cache, digest
from rrgbench.errors import LLMError, RunError
from rrgbench.parts import Part
from rrgbench.types import Completion

Request = tuple[Any, ...]  # what ``complete`` takes: messages, schema and, where it wants it, the sample's number

PENDING = "its request waits in a batch: run the same command later to collect the reply"


class Batches:
    """The batches of one language model (see ``interfaces.LLM``), and the requests that will make the next one."""

    def __init__(self, llm: Part, cache: Cache) -> None:
        self._llm = llm.obj
        self._spec = llm.spec
        self._cache = cache
        self._prefix = f"batch:{digest(llm.signature)[:16]}:"
        self._waiting: set[str] = set()  # keys of requests that were handed over and not answered
        self._failed: dict[str, LLMError] = {}
        self._next: dict[str, Request] = {}
        self._collected = False

    async def collect(self) -> None:
        """Take what is answered into the cache. Requests that expired, or met a fault of the server, are free again."""
        for key, row in sorted(self._cache.starting(self._prefix).items()):
            if row["done"]:
                continue
            batch = row["id"] or await self._asked(self._llm.submitted(row["name"]))
            replies = await self._replies(batch) if batch else {}
            if replies is None:
                self._waiting.update(row["requests"])
                continue
            good = {k: reply for k, reply in replies.items() if isinstance(reply, Completion)}
            self._cache.put({k: kept(reply, 0.0) for k, reply in good.items()})
            self._failed |= {k: e for k, e in replies.items() if isinstance(e, LLMError) and not e.retry}
            self._cache.put({key: {**row, "id": batch, "requests": [], "done": True}})
            if batch:
                progress.say(f"batch {batch}: {len(good)} of {len(row['requests'])} requests were answered")
        self._collected = True
        if self._waiting:
            progress.say(f"{len(self._waiting)} requests wait in a batch that is under way")

    def ask(self, key: str, request: Request) -> None:
        """Let a request wait for the next batch, unless it waits in one. Always raises ``LLMError``: "pending", or why
        the batch gave no reply."""
        if not self._collected:
            raise LLMError("request", "batch=true is for `rrgbench run`: leave it out here")
        if key in self._failed:
            raise self._failed[key]
        if key not in self._waiting:
            self._next[key] = request
        raise LLMError("pending", PENDING)

    async def submit(self) -> None:
        """Hand over what waits for the next batch."""
        requests, self._next = iter(self._next.items()), {}
        while some := dict(itertools.islice(requests, self._llm.batch_size)):
            name = f"rrgbench-{uuid.uuid4().hex}"
            row = {"name": name, "id": None, "requests": list(some), "done": False}
            self._cache.put({self._prefix + name: row})
            batch = await self._asked(self._llm.submit(name, some))
            self._cache.put({self._prefix + name: {**row, "id": batch}})
            self._waiting.update(some)
            progress.say(f"batch {batch}: submitted {len(some)} requests. Run the same command later to collect them.")

    async def _replies(self, batch: str) -> Mapping[str, Completion | LLMError] | None:
        try:
            replies: Mapping[str, Completion | LLMError] | None = await self._llm.collect(batch)
            return replies
        except LLMError as error:
            if error.fatal or error.retry:
                raise self._stopped(error) from error
            progress.say(f"batch {batch} failed as a whole: {error}")
            return {}

    async def _asked(self, call: Any) -> Any:
        try:
            return await call
        except LLMError as error:
            raise self._stopped(error) from error

    def _stopped(self, error: LLMError) -> RunError:
        return RunError(f"{self._spec}: {str(error).rstrip('.')}. The same command goes on from here.")


def wanted(llm: Any) -> bool:
    """Whether a language model is to be asked in batches. (A number is how many a model in this process works on.)"""
    return getattr(llm, "batch", False) is True


def kept(completion: Completion, seconds: float) -> dict[str, Any]:
    """What the cache keeps of a reply. What the server asked to wait was for that moment."""
    return {"completion": {**asdict(completion), "pause": 0.0}, "seconds": seconds}
