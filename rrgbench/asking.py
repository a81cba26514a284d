"""``ask``: the metered, cached and retried way from a prompt (or a judge) to an LLM."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Collection, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from rrgbench import governance
from rrgbench.cache import Cache, digest
from rrgbench.errors import LLMError
from rrgbench.parts import Part
from rrgbench.types import Completion, Message

ATTEMPTS = 4
T = TypeVar("T")


@dataclass
class Meter:
    """What the calls for one report used. Replies from the cache count with what they once cost."""

    prompts: list[str] = field(default_factory=list)
    completions: list[Completion] = field(default_factory=list)
    seconds: float = 0.0  # what the calls took when they were made
    waited: float = 0.0  # what they took now
    from_cache: int = 0

    def record(self) -> dict[str, Any]:
        """The usage, as reports.jsonl keeps it."""
        return {
            "model": "+".join(sorted({c.model for c in self.completions})) or None,
            "prompt_hash": digest(*self.prompts) if self.prompts else None,
            "calls": len(self.prompts),
            "calls_from_cache": self.from_cache,
            "prompt_tokens": total([c.prompt_tokens for c in self.completions]),
            "completion_tokens": total([c.completion_tokens for c in self.completions]),
            "cost": total([c.cost for c in self.completions]),
        }


class Asker:
    """One LLM with its cache. ``for_study()`` gives the ``ask`` of one report, and its meter.

    ``hosts`` are the remote hosts that the text may be sent to; None: any, for open data.
    """

    def __init__(self, llm: Part, cache: Cache, timeout: float, hosts: Collection[str] | None) -> None:
        self._llm = llm.obj
        self._signature = llm.signature
        self._cache = cache if getattr(llm.obj, "cached", True) else None
        self._timeout = timeout
        self._hosts = hosts

    def for_study(self) -> tuple[Any, Meter]:
        """An ``ask`` for one report, and the meter that it fills."""
        meter = Meter()
        asked: Counter[str] = Counter()

        async def ask(messages: Sequence[Message], schema: Mapping[str, Any] | None = None) -> Completion:
            prompt = digest([asdict(message) for message in messages], schema)
            replicate = asked[prompt]  # asking the same again (self-consistency) is another sample
            asked[prompt] += 1
            key = digest(self._signature, prompt, replicate)
            meter.prompts.append(prompt)
            started = time.monotonic()
            try:
                if self._cache and (stored := self._cache.get(key)):
                    completion = Completion(**stored["completion"])
                    meter.seconds += stored["seconds"]
                    meter.from_cache += 1
                else:
                    begun = time.monotonic()
                    completion = await self._complete(messages, schema)
                    seconds = time.monotonic() - begun
                    meter.seconds += seconds
                    if self._cache:
                        self._cache.put({key: {"completion": asdict(completion), "seconds": seconds}})
            finally:
                meter.waited += time.monotonic() - started
            meter.completions.append(completion)
            return completion

        return ask, meter

    async def _complete(self, messages: Sequence[Message], schema: Mapping[str, Any] | None) -> Completion:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await asyncio.wait_for(self._once(messages, schema), self._timeout)
            except TimeoutError:
                error = LLMError("timeout", f"no reply within {self._timeout:g} s", retry=True)
            except LLMError as raised:
                error = raised
            except Exception as raised:  # a plugin's own fault: this report's failure, and no other's
                error = LLMError("llm", f"{type(raised).__name__}: {raised}")
            wait = error.wait if error.wait is not None else 0.5 * 2**attempt
            if not error.retry or attempt == ATTEMPTS or wait > self._timeout:
                raise error
            await asyncio.sleep(wait)
        raise AssertionError("unreachable")

    async def _once(self, messages: Sequence[Message], schema: Mapping[str, Any] | None) -> Completion:
        governance.check_call(self._llm, self._hosts)
        try:
            completion: Completion = await self._llm.complete(messages, schema)
            return completion
        except SystemExit as error:  # the event loop would end the process
            raise LLMError("llm", f"SystemExit: {error}") from error


def total(values: Sequence[float | None]) -> float | None:
    """The sum, or None where one of them is not known: a part of a price is no price."""
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, from a notebook's running event loop too."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()
