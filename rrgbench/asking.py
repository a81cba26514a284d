"""``ask``: the metered, cached, paced and gated way from a prompt (or a judge) to an LLM.

What is tried again, by the kind of error:

- A rate limit, as long as it takes: it costs no attempt. A call that was turned away for ``PATIENCE`` seconds is a
  failure of its report; where the server took no other call either, or asks to wait longer than that, the run stops.
- A fault of the server, of the connection or a timeout (``LLMError.retry``): ``ATTEMPTS`` calls in all, after what the
  server asks to wait, or 1, 2, 4 seconds.
- Anything else never: a bad request, a refusal, a cut or an empty reply. What is wrong for every report (a wrong key, a
  model that isn't there, a quota or a budget that is spent) lets no further call start; those in flight are finished.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from rrgbench import batching, governance
from rrgbench.cache import Cache, digest
from rrgbench.errors import FAULTS, LLMError, RunError, UsageError
from rrgbench.pacing import Pace, backoff
from rrgbench.parts import Part
from rrgbench.spending import Budget
from rrgbench.types import Completion, Message

ATTEMPTS = 4
PATIENCE = 3600.0
T = TypeVar("T")


@dataclass
class Meter:
    """What the calls for one report used. Replies from the cache count with what they once cost."""

    prompts: list[str] = field(default_factory=list)
    completions: list[Completion] = field(default_factory=list)
    seconds: float = 0.0  # what the calls took when they were made
    waited: float = 0.0  # what they took now, with the wait for their turn
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


def check(llm: Part, hosts: Collection[str] | None, budget: Budget) -> None:
    """Raise UsageError where an LLM can't be asked as it is wished to be. ``hosts`` as for ``Asker``."""
    budget.check(llm)
    if hosts is not None and batching.wanted(llm.obj) and governance.host_of(llm.obj) is not None:
        raise UsageError(
            f"{llm.public}: a batch is kept by the server as a file for days, and the data of this run is not open."
            f" {governance.REQUIREMENT} Leave batch=true out, or use a server on this machine."
        )


class Asker:
    """One LLM with its cache. ``for_study()`` gives the ``ask`` of one report, and its meter.

    ``hosts`` are the remote hosts that the text may be sent to; None: any, for open data. An LLM with ``batch`` is
    asked between ``collect()`` and ``submit()``.
    """

    def __init__(
        self, llm: Part, cache: Cache, timeout: float, hosts: Collection[str] | None, budget: Budget | None = None
    ) -> None:
        self.budget = budget or Budget()
        check(llm, hosts, self.budget)
        self._llm = llm.obj
        self._signature = llm.signature
        self._numbers_samples = "sample" in inspect.signature(llm.obj.complete).parameters
        self._cache = cache if getattr(llm.obj, "cached", True) else None
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._timeout = timeout
        self._hosts = hosts
        self._pace = Pace(getattr(llm.obj, "concurrency", 1))
        self._batches = batching.Batches(llm, cache) if batching.wanted(llm.obj) else None

    async def collect(self) -> None:
        """Take in the replies of earlier batches. Raises RunError."""
        if self._batches:
            governance.check_call(self._llm, self._hosts)
            await self._batches.collect()

    async def submit(self) -> None:
        """Hand over the batches that were asked for. Raises RunError."""
        if self._batches:
            governance.check_call(self._llm, self._hosts)
            await self._batches.submit()

    def for_study(self, first: int = 0) -> tuple[Any, Meter]:
        """An ``ask`` for one report, and the meter that it fills. ``first`` is the number of its first sample."""
        meter = Meter()
        asked: Counter[str] = Counter()

        async def ask(messages: Sequence[Message], schema: Mapping[str, Any] | None = None) -> Completion:
            prompt = prompt_digest(messages, schema)
            replicate = first + asked[prompt]  # asking the same again (self-consistency) is another sample
            asked[prompt] += 1
            meter.prompts.append(prompt)
            started = time.monotonic()
            try:
                arguments = (messages, schema, replicate) if self._numbers_samples else (messages, schema)
                completion, seconds, cached = await self._reply(digest(self._signature, prompt, replicate), arguments)
            except LLMError as error:
                if error.paid:
                    meter.completions.append(error.paid)
                raise
            finally:
                meter.waited += time.monotonic() - started
            meter.seconds += seconds
            meter.from_cache += cached
            meter.completions.append(completion)
            return completion

        return ask, meter

    async def _reply(self, key: str, arguments: batching.Request) -> tuple[Completion, float, bool]:
        """A reply, the seconds that it took when it was made, and whether the cache had it."""
        if self._cache is None:
            return *await self._complete(arguments), False
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:  # two reports with one prompt are one call
            if stored := self._cache.get(key):
                return Completion(**stored["completion"]), stored["seconds"], True
            if self._batches:
                self._batches.ask(key, arguments)
            completion, seconds = await self._complete(arguments)
            self._cache.put({key: batching.kept(completion, seconds)})
            return completion, seconds, False

    async def _complete(self, arguments: batching.Request) -> tuple[Completion, float]:
        attempt, refused_since = 1, None
        while True:
            async with self._pace.place() as generation:
                started = time.monotonic()
                try:
                    completion = await self._called(arguments)
                except LLMError as raised:
                    error = raised
                else:
                    self._pace.good(completion.pause)
                    return completion, time.monotonic() - started
                if error.kind == "rate limit":
                    self._be_patient(error, refused_since)
                    self._pace.turned_away(generation, error.wait)
                    refused_since = refused_since or self._pace.refused_since
                    continue
            wait = backoff(attempt) if error.wait is None else error.wait
            if error.fatal:
                self._pace.stop(error)
            if not error.retry or attempt == ATTEMPTS or wait > PATIENCE:
                raise error
            attempt += 1
            await self._pace.sleep(wait)

    def _be_patient(self, error: LLMError, since: float | None) -> None:
        """Raise where a call was turned away for too long, or is to wait for too long."""
        then = time.monotonic() + (error.wait or 0.0)
        nobody_since = self._pace.refused_since or time.monotonic()
        since = since or nobody_since
        if since < nobody_since and then - since > PATIENCE:
            raise LLMError("rate limit", f"{error} (turned away for {PATIENCE:.0f} s, while others were not)")
        if then - nobody_since > PATIENCE:
            stop = LLMError("quota", f"{error} (no call is taken for more than {PATIENCE:.0f} s)")
            self._pace.stop(stop)
            raise stop

    async def _called(self, arguments: batching.Request) -> Completion:
        """One call, within the budget, the time limit and what may leave this machine. Raises LLMError only."""
        governance.check_call(self._llm, self._hosts)
        self.budget.admit()
        paid: Completion | None = None
        try:
            async with asyncio.timeout(self._timeout):
                completion: Completion = await self._llm.complete(*arguments)
            paid = completion
            return completion
        except TimeoutError:
            raise LLMError("timeout", f"no reply within {self._timeout:g} s", retry=True) from None
        except LLMError as error:
            paid = error.paid
            raise
        except FAULTS as error:  # a plugin's own fault: this report's failure, and no other's
            raise LLMError("llm", f"{type(error).__name__}: {error}") from error
        finally:
            self.budget.settle(paid)


async def for_each(
    llm: Part | None, asker: Asker | None, items: Iterable[T], work: Callable[[T], Awaitable[None]]
) -> None:
    """Do ``work`` for each item, as many at a time as the LLM takes.

    Where it can't go on (``work`` raises LLMError: a wrong key, a budget that is spent) no further item is begun, but
    the calls in flight are paid and so waited for; then RunError is raised.
    """
    queue = iter(items)
    stopped: list[LLMError] = []

    async def worker() -> None:
        for item in queue:
            if stopped:
                return
            try:
                await work(item)
            except LLMError as error:
                stopped.append(error)

    workers: list[asyncio.Task[None]] = []
    try:
        if asker:
            await asker.collect()
        workers += [asyncio.create_task(worker()) for _ in range(getattr(llm.obj, "concurrency", 1) if llm else 1)]
        await asyncio.gather(*workers)
        if asker and not stopped:
            await asker.submit()
    finally:
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        if llm and hasattr(llm.obj, "aclose"):
            await llm.obj.aclose()
    if llm and asker and stopped:
        spent = f" {asker.budget}." if asker.budget.limited else ""
        raise RunError(f"{llm.spec}: {str(stopped[0]).rstrip('.')}.{spent} The same command goes on from here.")


def prompt_digest(messages: Sequence[Message], schema: Mapping[str, Any] | None) -> str:
    """What a question is called in the cache and in the records."""
    return digest([asdict(message) for message in messages], schema)


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
