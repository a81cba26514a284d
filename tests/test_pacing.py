"""How many calls are in flight, and when the next may start."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rrgbench import pacing
from rrgbench.errors import LLMError
from rrgbench.pacing import LONGEST_WAIT, TRUSTED, Pace, backoff


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "FIRST_WAIT", 0.02)


def paced(work: Callable[[Pace], Awaitable[Any]], most: int = 8) -> Any:
    async def main() -> Any:
        return await asyncio.wait_for(work(Pace(most)), 5)

    return asyncio.run(main())


async def most_at_once(pace: Pace, calls: int) -> int:
    """The most of so many calls that were ever in flight together."""
    inside = most = 0

    async def call() -> None:
        nonlocal inside, most
        async with pace.place():
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.001)
            inside -= 1

    await asyncio.gather(*(call() for _ in range(calls)))
    return most


def test_no_more_than_asked_for_are_in_flight() -> None:
    assert paced(lambda pace: most_at_once(pace, 50)) == 8


def test_a_rate_limit_halves_it_once_for_all_that_were_under_way_together() -> None:
    async def work(pace: Pace) -> list[int]:
        sizes = []
        for _ in range(5):
            async with pace.place() as generation:
                for _ in range(8):  # eight calls of one generation meet it
                    pace.turned_away(generation, 0.0)
            sizes.append(pace.size)
            assert await most_at_once(pace, 20) == pace.size
        return sizes

    assert paced(work) == [4, 2, 1, 1, 1]


def test_it_grows_by_one_after_each_round_of_good_replies_up_to_what_was_asked_for() -> None:
    async def work(pace: Pace) -> None:
        async with pace.place() as generation:
            pace.turned_away(generation, 0.0)
        grown = []
        for _ in range(4 + 5 + 6 + 7 + 30):
            pace.good()
            grown.append(pace.size)
        assert [grown.index(size) + 1 for size in (5, 6, 7, 8)] == [4, 4 + 5, 4 + 5 + 6, 4 + 5 + 6 + 7]
        assert max(grown) == 8 and await most_at_once(pace, 50) == 8

    paced(work)


def test_nothing_starts_before_the_servers_wait_is_over() -> None:
    async def work(pace: Pace) -> float:
        async with pace.place() as generation:
            pace.turned_away(generation, 0.15)
        started = time.monotonic()
        await asyncio.gather(*(most_at_once(pace, 3) for _ in range(3)))
        return time.monotonic() - started

    assert paced(work) >= 0.14


def test_a_hint_to_pause_is_heeded_for_a_minute_at_most() -> None:
    async def work(pace: Pace) -> float:
        pace.good(pause=0.1)
        started = time.monotonic()
        async with pace.place():
            waited = time.monotonic() - started
        pace.good(pause=1e6)
        assert pace._barred_until - time.monotonic() <= LONGEST_WAIT
        return waited

    assert paced(work) >= 0.09


def test_without_a_wait_it_backs_off_exponentially_with_jitter() -> None:
    for times in range(1, 30):
        whole = min(LONGEST_WAIT, 0.02 * 2 ** (times - 1))
        drawn = [backoff(times) for _ in range(50)]
        assert whole / 2 <= min(drawn) < max(drawn) <= whole


def test_a_server_that_always_says_come_back_at_once_is_not_believed_for_ever() -> None:
    async def work(pace: Pace) -> list[float]:
        waits = []
        for _ in range(TRUSTED + 2):
            async with pace.place() as generation:
                pace.turned_away(generation, 0.0)
                waits.append(pace._barred_until - time.monotonic())
        return waits

    waits = paced(work)
    assert all(wait <= 0 for wait in waits[:TRUSTED]) and all(wait > 0.05 for wait in waits[TRUSTED:])


def test_stop_wakes_whoever_waits_and_lets_nothing_start() -> None:
    why = LLMError("auth", "wrong key")

    async def work(pace: Pace) -> list[Any]:
        async with pace.place() as generation:
            pace.turned_away(generation, 60.0)
        waiting = [asyncio.create_task(most_at_once(pace, 1)) for _ in range(20)]
        await asyncio.sleep(0.01)
        pace.stop(why)
        return await asyncio.gather(*waiting, return_exceptions=True)

    assert paced(work) == [why] * 20


def test_a_call_that_is_cancelled_gives_its_place_back() -> None:
    async def work(pace: Pace) -> int:
        async def hang() -> None:
            async with pace.place():
                await asyncio.sleep(60)

        hanging = [asyncio.create_task(hang()) for _ in range(12)]
        await asyncio.sleep(0.01)
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
        return await most_at_once(pace, 30)

    assert paced(work) == 8
