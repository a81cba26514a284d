"""``ask``: what is tried again, what is kept, what it may cost, and what stops a run."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from rrgbench import asking, harness, pacing, plugins
from rrgbench.asking import Asker
from rrgbench.cache import Cache
from rrgbench.errors import LLMError, RunError, UsageError
from rrgbench.parts import Part
from rrgbench.runs import RunResult
from rrgbench.spending import Budget
from rrgbench.types import Completion, Message
from tests import misbehaving
from tests.misbehaving import CountingEncoder, Scripted


class Fake:
    """An LLM that answers as it is told: with what ``answer`` gives for the words and the number of the call."""

    version = "1"
    host: str | None = None

    def __init__(self, answer: Callable[[str, int], Completion | LLMError], concurrency: int = 4) -> None:
        self._answer = answer
        self.concurrency = concurrency
        self.asked: Counter[str] = Counter()
        self.inside = self.most = 0

    async def complete(self, messages: Sequence[Message], schema: Mapping[str, Any] | None = None) -> Completion:
        words = messages[-1].content
        self.asked[words] += 1
        self.inside += 1
        self.most = max(self.most, self.inside)
        await asyncio.sleep(0.002)
        self.inside -= 1
        answer = self._answer(words, self.asked[words])
        if isinstance(answer, LLMError):
            raise answer
        return answer


def part(llm: Any) -> Part:
    return Part("llm", "fake", "fake", llm, "rrgbench", {}, "fake")


def good(words: str = "", number: int = 1, **more: Any) -> Completion:
    return Completion(**{"text": f"said {words}", "model": "m", "prompt_tokens": 10, "completion_tokens": 5, **more})


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    cache = Cache(tmp_path / "cache.sqlite")
    yield cache
    cache.close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "FIRST_WAIT", 0.01)


def ask_all(llm: Fake, cache: Cache, words: Sequence[str], **more: Any) -> list[Completion | LLMError]:
    """Ask in one report for each of the words, all at once; each outcome."""

    async def main() -> list[Any]:
        asker = Asker(part(llm), cache, more.pop("timeout", 5.0), None, **more)
        asks = [asker.for_study()[0]([Message("user", each)]) for each in words]
        return await asyncio.gather(*asks, return_exceptions=True)

    return asyncio.run(main())


def kinds(outcomes: Sequence[Completion | LLMError]) -> list[str]:
    return [outcome.kind if isinstance(outcome, LLMError) else "good" for outcome in outcomes]


# --- what is tried again ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        (LLMError("server", "500", retry=True), 4),
        (LLMError("timeout", "slow", retry=True), 4),
        (LLMError("connection", "gone", retry=True, wait=0.0), 4),
        (LLMError("server", "503", retry=True, wait=7200.0), 1),
        (LLMError("request", "400"), 1),
        (LLMError("refused", "no"), 1),
        (LLMError("truncated", "cut"), 1),
    ],
)
def test_faults_are_tried_four_times_and_what_asking_again_can_t_mend_never(
    cache: Cache, error: LLMError, calls: int
) -> None:
    llm = Fake(lambda words, number: error)
    assert kinds(ask_all(llm, cache, ["a"])) == [error.kind]
    assert llm.asked["a"] == calls


def test_a_rate_limit_costs_no_attempt(cache: Cache) -> None:
    def answer(words: str, number: int) -> Completion | LLMError:
        if number <= 6:
            return LLMError("rate limit", "slow down", retry=True, wait=0.01)
        return LLMError("server", "500", retry=True) if number <= 9 else good()

    llm = Fake(answer)
    assert kinds(ask_all(llm, cache, ["a"])) == ["good"]
    assert llm.asked["a"] == 10


def test_who_is_turned_away_for_too_long_while_others_are_not_is_a_failure(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "PATIENCE", 0.2)
    away = LLMError("rate limit", "too many tokens", retry=True, wait=0.01)
    llm = Fake(lambda words, number: away if words == "long" else good())
    outcomes = ask_all(llm, cache, ["long", *(str(n) for n in range(60))])
    assert kinds(outcomes) == ["rate limit"] + ["good"] * 60


@pytest.mark.parametrize("wait", [0.02, 7200.0])
def test_a_server_that_takes_nobody_stops_the_run(cache: Cache, monkeypatch: pytest.MonkeyPatch, wait: float) -> None:
    monkeypatch.setattr(asking, "PATIENCE", 0.2)
    llm = Fake(lambda words, number: LLMError("rate limit", "come back tomorrow", retry=True, wait=wait))
    outcomes = ask_all(llm, cache, [str(n) for n in range(20)])
    assert set(kinds(outcomes)) == {"quota"}
    assert all(isinstance(each, LLMError) and each.fatal for each in outcomes)


def test_what_is_wrong_for_all_lets_no_further_call_start(cache: Cache) -> None:
    llm = Fake(lambda words, number: LLMError("model", "no such model"))
    assert set(kinds(ask_all(llm, cache, [str(n) for n in range(40)]))) == {"model"}
    assert llm.asked.total() <= 4


def test_a_call_that_hangs_is_a_timeout(cache: Cache) -> None:
    class Hanging(Fake):
        async def complete(self, messages: Sequence[Message], schema: Mapping[str, Any] | None = None) -> Completion:
            self.asked["a"] += 1
            await asyncio.sleep(60 if self.asked["a"] == 1 else 0)
            return good()

    llm = Hanging(good)
    assert kinds(ask_all(llm, cache, ["a"], timeout=0.05)) == ["good"]
    assert llm.asked["a"] == 2


# --- what is kept -----------------------------------------------------------------------------------------------------


def test_two_reports_with_one_prompt_are_one_call(cache: Cache) -> None:
    llm = Fake(lambda words, number: good(words, text=f"reply {number}"))
    assert {str(each) for each in ask_all(llm, cache, ["same"] * 10)} == {str(good(text="reply 1"))}
    assert llm.asked["same"] == 1


def test_asking_the_same_again_is_another_sample_whose_number_is_told(cache: Cache) -> None:
    class Numbered(Fake):
        async def complete(
            self, messages: Sequence[Message], schema: Mapping[str, Any] | None = None, sample: int = 0
        ) -> Completion:
            return good(f"sample {sample}")

    async def twice(asker: Asker) -> list[str]:
        ask, _ = asker.for_study()
        return [(await ask([Message("user", "x")])).text for _ in range(3)]

    said = ["said sample 0", "said sample 1", "said sample 2"]
    assert asyncio.run(twice(Asker(part(Numbered(good)), cache, 5, None))) == said
    silent = Fake(lambda words, number: LLMError("server", "down"))
    assert asyncio.run(twice(Asker(part(silent), cache, 5, None))) == said  # each has its place in the cache
    assert not silent.asked


def test_the_second_tries_where_the_first_failed(cache: Cache) -> None:
    llm = Fake(lambda words, number: LLMError("refused", "no") if number == 1 else good())
    assert sorted(kinds(ask_all(llm, cache, ["same"] * 3))) == ["good", "good", "refused"]
    assert llm.asked["same"] == 2


def test_a_reply_is_kept_with_its_logprob_and_without_its_pause(cache: Cache) -> None:
    llm = Fake(lambda words, number: good(logprob=-1.5, pause=0.01))
    (first,) = ask_all(llm, cache, ["a"])
    (second,) = ask_all(llm, cache, ["a"])
    assert isinstance(first, Completion) and first.pause == 0.01
    assert second == good(logprob=-1.5) and llm.asked["a"] == 1


def test_a_pause_that_a_reply_asks_for_holds_up_the_next_call(cache: Cache) -> None:
    import time

    llm = Fake(lambda words, number: good(pause=0.1), concurrency=1)
    started = time.monotonic()
    ask_all(llm, cache, ["a", "b", "c"])
    assert time.monotonic() - started >= 0.19


def test_no_more_calls_are_in_flight_than_the_llm_takes(cache: Cache) -> None:
    llm = Fake(good, concurrency=3)
    ask_all(llm, cache, [str(n) for n in range(30)])
    assert llm.most == 3


# --- what it may cost -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [Budget(dollars=1.0), Budget(tokens=1500)])
def test_a_budget_stops_the_next_call_and_is_overspent_by_no_more_than_the_first_calls(
    cache: Cache, budget: Budget
) -> None:
    llm = Fake(lambda words, number: good(cost=0.01), concurrency=8)
    outcomes = ask_all(llm, cache, [str(n) for n in range(300)], budget=budget)
    assert Counter(kinds(outcomes))["good"] == llm.asked.total() == budget.replies
    assert 95 <= budget.replies <= 100  # replies of one price: none too many
    assert "$1.0000" in str(budget) or "tokens" in str(budget)
    assert {o.kind for o in outcomes if isinstance(o, LLMError)} == {"budget"}


def test_cached_replies_are_free_and_the_same_words_go_on(cache: Cache) -> None:
    llm = Fake(lambda words, number: good(cost=0.01), concurrency=1)
    words = [str(n) for n in range(25)]
    made = [Counter(kinds(ask_all(llm, cache, words, budget=Budget(dollars=0.1))))["good"] for _ in range(4)]
    assert made == [10, 20, 25, 25] and llm.asked.total() == 25


def test_what_can_t_be_used_is_paid_all_the_same(cache: Cache) -> None:
    cut = LLMError("truncated", "cut", paid=good(cost=0.02))
    budget = Budget(dollars=0.1)
    llm = Fake(lambda words, number: cut, concurrency=1)
    assert Counter(kinds(ask_all(llm, cache, [str(n) for n in range(9)], budget=budget))) == {
        "truncated": 5,
        "budget": 4,
    }

    async def metered() -> dict[str, Any]:
        ask, meter = Asker(part(llm), cache, 5.0, None).for_study()
        with pytest.raises(LLMError):
            await ask([Message("user", "x")])
        return dict(meter.record())

    assert asyncio.run(metered())["cost"] == 0.02


@pytest.mark.parametrize(
    ("budget", "reply", "says"),
    [
        (Budget(dollars=1), good(cost=None), "price of m, which replied"),
        (Budget(tokens=99), good(completion_tokens=None), "how many tokens"),
    ],
)
def test_a_reply_of_unknown_price_ends_a_budget(cache: Cache, budget: Budget, reply: Completion, says: str) -> None:
    llm = Fake(lambda words, number: reply, concurrency=1)
    outcomes = ask_all(llm, cache, ["a", "b", "c"], budget=budget)
    assert kinds(outcomes) == ["good", "budget", "budget"] and says in str(outcomes[1])


def test_a_budget_that_can_t_be_kept_is_refused_before_any_call(cache: Cache) -> None:
    llm = Fake(good)
    llm.host = "llm.example.org"
    with pytest.raises(UsageError, match="price isn't known"):
        Asker(part(llm), cache, 5.0, None, Budget(dollars=1))
    Asker(part(llm), cache, 5.0, None, Budget(tokens=1))
    llm.price = lambda prompt, completion: 0.01 * completion  # type: ignore[attr-defined]
    Asker(part(llm), cache, 5.0, None, Budget(dollars=1))
    llm.batch = True  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="a batch is paid before"):
        Asker(part(llm), cache, 5.0, None, Budget(dollars=1))


# --- whole runs -------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    there = plugins.load([misbehaving.Plugin()])  # type: ignore[list-item]
    monkeypatch.setattr(plugins, "catalogue", lambda: there)
    CountingEncoder.calls.clear()
    Scripted.calls.clear()

    def call(**given: Any) -> Sequence[RunResult]:
        default = {
            "dataset": table,
            "encoder": "counting",
            "renderer": "names",
            "prompt": "plain",
            "llm": "scripted",
            "metric": ["length"],
            "resamples": 0,
            "out": tmp_path / "runs",
        }
        return harness.run({**default, **given}).runs

    return call


def test_a_run_stops_at_its_budget_and_the_same_command_goes_on(run: Any, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"\$0\.0030 and 45 tokens went on 3 new replies, of a budget of \$0\.003\. The"):
        run(budget=0.003)
    folder = misbehaving.folder_of(tmp_path / "runs")
    assert json.loads((folder / "manifest.json").read_text())["status"] == "incomplete"
    assert len((folder / "reports.jsonl").read_text().splitlines()) == 3
    with pytest.raises(RunError, match="budget of 45 tokens"):
        run(token_budget=45)
    (done,) = run(budget=0.003)  # the two that are left
    assert done.complete and len(Scripted.calls) == 8


def test_one_budget_is_for_the_whole_command(run: Any) -> None:
    with pytest.raises(RunError):
        run(llm=["scripted:model=one", "scripted:model=two"], budget=0.005)
    assert len(Scripted.calls) == 5


def test_interrupted_after_half_and_resumed_with_another_llm(run: Any) -> None:
    """The encoder isn't run again, and one model's replies are never shown as another's."""
    with pytest.raises(RunError):
        run(llm="scripted:model=one", token_budget=60)
    assert len(Scripted.calls) == 4 and len(CountingEncoder.calls) == 8
    (other,) = run(llm="scripted:model=other")
    (one,) = run(llm="scripted:model=one")
    assert len(CountingEncoder.calls) == 8 and len(Scripted.calls) == 4 + 8 + 4
    for result, model in ((other, "other"), (one, "one")):
        texts = [json.loads(line)["text"] for line in (result.folder / "reports.jsonl").read_text().splitlines()]
        assert len(texts) == 8 and all(text.startswith(f"{model} says") for text in texts)


@pytest.mark.parametrize(("key", "value"), [("budget", 0), ("budget", -1.0), ("token_budget", 0)])
def test_a_budget_of_nothing_is_refused(run: Any, key: str, value: float) -> None:
    with pytest.raises(UsageError, match=key):
        run(**{key: value})
