"""How many calls to a server are in flight, and when the next may start.

Additive increase, multiplicative decrease (Chiu and Jain, Computer Networks and ISDN Systems 17, 1989), as in TCP: a
server that turns a call away halves the number in flight, once for all that were under way together, and nothing starts
before the time it names; then one more may be in flight after each round of good replies, up to what was asked for.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from rrgbench.errors import LLMError

# Seconds to wait where a server turns calls away and doesn't say for how long: 1, 2, 4, ... up to a minute, each
# shortened by up to half at random, so that several clients don't come back together.
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
TRUSTED = 3  # so often in a row a server's own wait is believed; after that the above is the least


def backoff(times: int, first: float | None = None) -> float:
    """Seconds to wait after so many failures in a row (1: the first)."""
    return min(LONGEST_WAIT, (FIRST_WAIT if first is None else first) * 2.0 ** (times - 1)) * random.uniform(0.5, 1.0)


class Pace:
    """The pace of one run's calls to one server. ``most`` is how many may ever be in flight."""

    def __init__(self, most: int) -> None:
        self.size = self._most = most  # how many may be in flight now
        self.refused_since: float | None = None  # since when no call was taken, in time.monotonic()'s seconds
        self.stopped: LLMError | None = None
        self._places = asyncio.Semaphore(most)
        self._owed = 0  # places to be taken away as they come free
        self._good = 0  # good replies since the size last changed
        self._generation = 0  # calls that started in one generation were under way together
        self._turned_away = 0  # generations in a row that met a rate limit
        self._barred_until = float("-inf")
        self._stop = asyncio.Event()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[int]:
        """Wait until a call may start; what comes with it is for ``turned_away``. Raises what ``stop`` was given."""
        await self._places.acquire()
        while self._owed:
            self._owed -= 1
            await self._places.acquire()
        try:
            while (wait := self._barred_until - time.monotonic()) > 0:
                await self.sleep(wait)
            self._check()
            yield self._generation
        finally:
            self._free()

    async def sleep(self, seconds: float) -> None:
        """Wait, but no longer than until ``stop``, whose error is raised."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)
        self._check()

    def stop(self, error: LLMError) -> None:
        """Let no further call start: each raises this error."""
        self.stopped = self.stopped or error
        self._stop.set()

    def good(self, pause: float = 0.0) -> None:
        """A good reply came. ``pause``: seconds that the server asks to wait before the next call, a minute at most."""
        self.refused_since = None
        self._turned_away = 0
        if pause > 0:
            self._bar(min(pause, LONGEST_WAIT))
        self._good += 1
        if self.size < self._most and self._good >= self.size:
            self._good = 0
            self.size += 1
            self._free()

    def turned_away(self, generation: int, wait: float | None) -> None:
        """A rate limit was met by a call of this generation; ``wait`` is what the server asks for, in seconds."""
        if self.refused_since is None:
            self.refused_since = time.monotonic()
        if generation == self._generation:
            self._generation += 1
            self._turned_away += 1
            self._good = 0
            smaller = max(1, self.size // 2)
            self._owed += self.size - smaller
            self.size = smaller
            if wait is None or self._turned_away > TRUSTED:
                wait = max(wait or 0.0, backoff(self._turned_away))
        self._bar(wait or 0.0)

    def _free(self) -> None:
        if self._owed:
            self._owed -= 1
        else:
            self._places.release()

    def _bar(self, seconds: float) -> None:
        self._barred_until = max(self._barred_until, time.monotonic() + seconds)

    def _check(self) -> None:
        if self.stopped:
            raise self.stopped
