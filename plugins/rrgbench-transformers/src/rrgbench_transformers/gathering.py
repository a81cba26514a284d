"""Calls that are in flight at the same time become one batch, worked on in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")
Waiting = list[tuple[Q, "asyncio.Future[A]"]]
Work = Callable[[Sequence[Q], Callable[[], bool]], Sequence[A | Exception]]

# A batch is begun when it is full, or when so many seconds brought nobody new: those who were answered together come
# back within milliseconds, and a batch takes seconds.
QUIET = 0.02


class Gatherer(Generic[Q, A]):
    """``work(requests, abandoned)`` gives an answer or an exception each; ``most`` is how many it takes at once.

    ``abandoned()`` says, from the working thread, that nobody waits for any of its answers any more.
    """

    def __init__(self, most: int, work: Work[Q, A]) -> None:
        self._most = most
        self._work = work
        self._waiting: Waiting[Q, A] = []
        self._runner: asyncio.Task[None] | None = None

    async def ask(self, request: Q) -> A:
        """The answer to one request. Raises what ``work`` gave or raised for it."""
        loop = asyncio.get_running_loop()
        if self._runner is None or self._runner.done() or self._runner.get_loop() is not loop:
            self._waiting = []
            self._runner = loop.create_task(self._run(self._waiting))
        future: asyncio.Future[A] = loop.create_future()
        self._waiting.append((request, future))
        return await future

    async def aclose(self) -> None:
        """Let go of all who wait. A later ``ask`` begins anew."""
        runner, self._runner = self._runner, None
        if runner and runner.get_loop() is asyncio.get_running_loop():
            runner.cancel()
            await asyncio.gather(runner, return_exceptions=True)

    async def _run(self, waiting: Waiting[Q, A]) -> None:
        try:
            while waiting:
                before = 0
                while before < len(waiting) < self._most:
                    before = len(waiting)
                    await asyncio.sleep(QUIET)
                group = [each for each in waiting[: self._most] if not each[1].done()]
                del waiting[: self._most]
                if group:
                    await self._answer(group)
        finally:
            for _, future in waiting:
                future.cancel()

    async def _answer(self, group: Waiting[Q, A]) -> None:
        requests, futures = [request for request, _ in group], [future for _, future in group]
        answers: Sequence[A | Exception]
        try:
            answers = await asyncio.to_thread(self._work, requests, lambda: all(future.done() for future in futures))
        except Exception as error:
            answers = [error] * len(futures)
        except asyncio.CancelledError:
            for future in futures:
                future.cancel()
            raise
        for future, answer in zip(futures, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
