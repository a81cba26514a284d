"""Runs whose LLM is asked in batches: submitted by one command, collected by a later one, nothing submitted twice."""

from __future__ import annotations

import asyncio
import datetime
import json
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from rrgbench import harness, hookimpl, hookspecs, plugins
from rrgbench.errors import LLMError, RunError, UsageError
from rrgbench.runs import RunResult
from rrgbench.types import Completion, Context, Failure, Findings, Message, Report
from tests import misbehaving
from tests.misbehaving import CountingEncoder


class Office:
    """What a batch server has: batches by id, with their names, requests and replies."""

    def __init__(self) -> None:
        self.batches: dict[str, dict[str, Any]] = {}
        self.dies: str | None = None  # when the connection is lost: "before" a batch is made, or "after"

    @property
    def requests(self) -> list[str]:
        """The words of all requests ever submitted."""
        return [words for batch in self.batches.values() for words in batch["requests"].values()]

    def finish(self, **special: LLMError | None) -> None:
        """Answer every request; ``special``, by study, is an error, or None for no line at all."""
        for batch in self.batches.values():
            if batch["replies"] is None:
                replies = {}
                for key, words in batch["requests"].items():
                    study = words.split(":")[0]
                    reply = special.get(study, Completion(f"answer to {words}", "m", 10, 5, 0.0005))
                    if reply is not None:
                        replies[key] = reply
                batch["replies"] = replies


OFFICE = Office()


class Batched:
    """An LLM that is asked in batches."""

    version = "1"
    batch_size = 3
    neutral = ("batch",)

    def __init__(self, host: str | None = None, batch: bool = True, model: str = "m") -> None:
        self.host = host
        self.batch = batch

    async def complete(self, messages: Sequence[Message], schema: Any = None) -> Completion:
        assert not self.batch
        return Completion(f"live answer to {messages[-1].content}", "m", 10, 5, 0.001)

    async def submit(self, name: str, requests: Mapping[str, Any]) -> str:
        if OFFICE.dies == "before":
            raise LLMError("connection", "no connection", retry=True)
        batch = f"batch-{len(OFFICE.batches)}"
        words = {key: messages[-1].content for key, (messages, _) in requests.items()}
        OFFICE.batches[batch] = {"name": name, "requests": words, "replies": None}
        if OFFICE.dies == "after":
            raise LLMError("timeout", "no reply", retry=True)
        return batch

    async def submitted(self, name: str) -> str | None:
        return next((batch for batch, each in OFFICE.batches.items() if each["name"] == name), None)

    async def collect(self, batch: str) -> Mapping[str, Completion | LLMError] | None:
        replies = OFFICE.batches[batch]["replies"]
        if isinstance(replies, LLMError):
            raise replies
        return replies  # type: ignore[no-any-return]


class AtOnce(misbehaving.Plain):
    """A prompt that makes two calls at once."""

    async def write(self, findings: Findings, text: str, context: Context, ask: Any) -> Report | Failure:
        replies = await asyncio.gather(*(ask([Message("user", f"{text} {n}")]) for n in range(2)))
        return Report(" ".join(reply.text for reply in replies))


class Plugin(misbehaving.Plugin):
    """The misbehaving parts and these two."""

    @hookimpl
    def rrgbench_register_prompts(self, register: hookspecs.Register) -> None:
        register("plain", "tests.misbehaving:Plain")
        register("at-once", f"{__name__}:AtOnce")

    @hookimpl
    def rrgbench_register_llms(self, register: hookspecs.Register) -> None:
        register("batched", f"{__name__}:Batched")
        register("far", f"{__name__}:Batched", host="llm.example.org")


@pytest.fixture
def run(table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the eight studies."""
    there = plugins.load([Plugin()])  # type: ignore[list-item]
    monkeypatch.setattr(plugins, "catalogue", lambda: there)
    monkeypatch.setattr(f"{__name__}.OFFICE", Office())
    CountingEncoder.calls.clear()

    def call(**given: Any) -> RunResult:
        default = {
            "dataset": table,
            "encoder": "counting",
            "renderer": "names",
            "prompt": "plain",
            "llm": "batched",
            "metric": ["length"],
            "resamples": 0,
            "out": tmp_path / "runs",
        }
        (result,) = harness.run({**default, **given}).runs
        return result

    return call


def texts(result: RunResult) -> dict[str, str]:
    assert result.folder
    records = map(json.loads, (result.folder / "reports.jsonl").read_text().splitlines())
    return {record["study_id"]: record["text"] or record["failure"]["kind"] for record in records}


def test_it_submits_then_waits_then_collects(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    submitted = run()
    assert set(texts(submitted).values()) == {"pending"} and not submitted.complete
    assert "Run the same command later to collect them" in capsys.readouterr().err
    assert [len(batch["requests"]) for batch in OFFICE.batches.values()] == [3, 3, 2]
    assert set(texts(run()).values()) == {"pending"}  # still under way
    assert len(OFFICE.requests) == 8
    OFFICE.finish()
    collected = run()
    assert collected.complete and collected.summary["costs"]["usd"] == pytest.approx(8 * 0.0005)
    assert all(text == f"answer to {study}: Cardiomegaly" for study, text in texts(collected).items())
    run()
    assert len(OFFICE.requests) == 8 and len(CountingEncoder.calls) == 8


def test_what_expired_or_met_a_fault_is_submitted_again_and_a_refusal_is_a_failure(run: Any) -> None:
    run()
    OFFICE.finish(s1=None, s2=LLMError("server", "500", retry=True), s3=LLMError("refused", "no"))
    kinds = texts(run())
    assert {study: kind for study, kind in kinds.items() if not kind.startswith("answer")} == {
        "s1": "pending",
        "s2": "pending",
        "s3": "refused",
    }
    assert sorted(OFFICE.requests[8:]) == ["s1: Cardiomegaly", "s2: Cardiomegaly"]
    OFFICE.finish()
    # A failure is tried again by the next command, as ever.
    assert {study for study, kind in texts(run()).items() if kind == "pending"} == {"s3"}
    OFFICE.finish()
    assert run().complete and len(OFFICE.requests) == 11


@pytest.mark.parametrize(("dies", "requests"), [("before", 8), ("after", 3 + 5)])
def test_a_submission_that_was_cut_off_is_found_by_its_name(run: Any, dies: str, requests: int) -> None:
    OFFICE.dies = dies
    with pytest.raises(RunError, match="same command goes on"):
        run()
    OFFICE.dies = None
    run()
    assert len(OFFICE.requests) == requests == len(set(OFFICE.requests))
    OFFICE.finish()
    assert run().complete


def test_a_batch_that_failed_as_a_whole_is_said_and_submitted_again(
    run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run()
    OFFICE.batches["batch-0"]["replies"] = LLMError("request", "token_limit_exceeded: too many at once")
    OFFICE.finish()
    run()
    assert "batch-0 failed as a whole: token_limit_exceeded" in capsys.readouterr().err
    assert len(OFFICE.requests) == 8 + 3
    OFFICE.finish()
    assert run().complete


def test_a_wrong_model_stops_the_run(run: Any) -> None:
    run()
    OFFICE.batches["batch-1"]["replies"] = LLMError("model", "no such model")
    with pytest.raises(RunError, match="no such model"):
        run()


def test_a_server_that_can_t_be_reached_loses_no_batch(run: Any) -> None:
    run()
    OFFICE.batches["batch-0"]["replies"] = LLMError("connection", "gone", retry=True)
    with pytest.raises(RunError, match="gone"):
        run()
    OFFICE.batches["batch-0"]["replies"] = None
    OFFICE.finish()
    assert run().complete and len(OFFICE.requests) == 8


def test_requests_of_another_run_are_shared_and_not_submitted_twice(run: Any) -> None:
    run(limit=3)
    run()
    assert len(OFFICE.requests) == 8
    OFFICE.finish()
    assert run().complete and run(limit=3).complete


def test_another_models_batch_is_another_batch(run: Any) -> None:
    run(limit=2)
    run(limit=2, llm="batched:model=other")
    assert len(OFFICE.requests) == 4


def test_what_waits_can_be_asked_live(run: Any) -> None:
    """batch=true doesn't change a reply, so that the run is the same one."""
    pending = run()
    live = run(llm="batched:batch=false")
    assert live.complete and live.folder == pending.folder


def test_calls_that_follow_one_another_take_a_batch_each(run: Any) -> None:
    run(limit=1, prompt="plain:samples=2")
    OFFICE.finish()
    assert set(texts(run(limit=1, prompt="plain:samples=2")).values()) == {"pending"}
    OFFICE.finish()
    assert run(limit=1, prompt="plain:samples=2").complete


def test_calls_that_are_made_at_once_share_one(run: Any) -> None:
    run(limit=2, prompt="at-once")
    assert len(OFFICE.requests) == 4
    OFFICE.finish()
    assert run(limit=2, prompt="at-once").complete and len(OFFICE.requests) == 4


def test_data_that_is_not_open_never_waits_on_a_server(run: Any, table: str, tmp_path: Path) -> None:
    private = table.replace("terms=open", "terms=private")
    attestation = tmp_path / "attestation.yaml"
    attestation.write_text(
        "{dataset: table, host: llm.example.org, zero_retention: true, no_training: true, no_human_review: true,"
        f" person: A, date: {datetime.date.today()}}}"
    )
    with pytest.raises(UsageError, match="kept by the server as a file"):
        run(dataset=private, llm="far", attestation=attestation)
    run(dataset=private, llm="far:batch=false", attestation=attestation, limit=1)
    run(dataset=private, limit=1)  # a server on this machine may
    assert len(OFFICE.requests) == 1
    cache = tmp_path / "runs" / ".cache.sqlite"
    assert stat.S_IMODE(cache.stat().st_mode) == 0o600
