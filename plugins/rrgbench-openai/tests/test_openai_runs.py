"""Whole runs against a server that misbehaves: no report lost, no recorded reply asked for again, no key in a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from rrgbench import harness, hookimpl, hookspecs, pacing, plugins
from rrgbench.errors import RunError
from rrgbench.runs import RunResult
from rrgbench.types import Context, Failure, Findings, Message, Report

from .serving import KEY, Answer, Server, chat, error

SCHEMA = {"type": "object", "properties": {"report": {"type": "string"}}, "required": ["report"]}
GOOD: Answer = (200, {}, chat('{"report": "Small left effusion."}'))
Script = dict[str, Sequence[Answer]]  # what to answer to each study's first, second, ... call; then the last again


class Structured:
    """A prompt that names the study and wants JSON."""

    version = "1"
    needs = ("sections",)

    async def write(self, findings: Findings, text: str, context: Context, ask: Any) -> Report | Failure:
        reply = await ask([Message("user", f"{context.sections['indication']}\n{text}")], schema=SCHEMA)
        try:
            return Report(json.loads(reply.text)["report"])
        except ValueError:
            return Failure("unparsable", "the reply is no JSON")


class Plugin:
    """Registers it."""

    name = value = "openai-runs"
    dist = None

    def load(self) -> object:
        return self

    @hookimpl
    def rrgbench_register_prompts(self, register: hookspecs.Register) -> None:
        register("json-prompt", "json_prompt:Structured")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "json_prompt", sys.modules[__name__])  # a name that a target may have
    catalogue = plugins.load([*entry_points(group="rrgbench"), Plugin()])  # type: ignore[list-item]
    monkeypatch.setattr(plugins, "catalogue", lambda: catalogue)
    monkeypatch.setattr(pacing, "FIRST_WAIT", 0.02)


@pytest.fixture
def table(tmp_path: Path) -> Callable[[int], str]:
    """A dataset of so many studies, each with an indication that names it."""

    def make(studies: int) -> str:
        lines = ["study_id,labels,s_findings,s_indication"]
        lines += [f"s{n},Edema,Edema is seen.,case s{n}." for n in range(studies)]
        file = tmp_path / f"{studies}.csv"
        file.write_text("\n".join(lines))
        return f"table:path={file},labels=labels,sections=s_,terms=open"

    return make


@pytest.fixture
def run(server: Server, table: Callable[[int], str], tmp_path: Path) -> Callable[..., RunResult]:
    """Run the server's model over so many studies."""

    def call(studies: int, options: str = "", **given: Any) -> RunResult:
        llm = f"openai:model=m,base_url={server.url},concurrency=4{options}"
        (result,) = harness.run(
            dataset=table(studies),
            encoder="oracle",
            prompt="json-prompt",
            metric=["rouge_l"],
            resamples=0,
            out=tmp_path / "runs",
            **{"llm": llm, **given},
        ).runs
        return result

    return call


def play(server: Server, script: Script) -> Counter[str]:
    """Let the server answer by script; how often it was asked of each study."""
    asked: Counter[str] = Counter()
    lock = threading.Lock()

    def answer(body: dict[str, Any]) -> Answer:
        study = body["messages"][-1]["content"].split("case ")[1].split(".")[0]
        with lock:
            asked[study] += 1
            answers = script.get(study, [GOOD])
            status, headers, content = answers[min(asked[study], len(answers)) - 1]
        time.sleep(float(headers.get("hang", 0)))
        return status, dict(headers), content

    server.answer = answer
    return asked


def records(result: RunResult) -> dict[str, dict[str, Any]]:
    assert result.folder
    lines = (result.folder / "reports.jsonl").read_text().splitlines()
    return {record["study_id"]: record for record in map(json.loads, lines)}


def no_key_in(folder: Path) -> bool:
    files = [file for file in folder.rglob("*") if file.is_file()]
    return bool(files) and not any(KEY.encode() in file.read_bytes() for file in files)


def test_every_report_is_made_or_fails_in_its_own_way(
    run: Callable[..., RunResult], server: Server, start: Callable[[], Server], tmp_path: Path
) -> None:
    other = start()
    slow_down = error("slow down")
    script: Script = {
        "s1": [(429, {"Retry-After": "0.05"}, slow_down)] * 6 + [GOOD],
        "s2": [(429, {}, slow_down)] * 3 + [GOOD],
        "s3": [(500, {}, b"oops"), (503, {"Retry-After": "0.01"}, b"busy"), GOOD],
        "s4": [(200, {"hang": "1.2"}, GOOD[2]), GOOD],
        "s5": [(200, {"cut": "60"}, GOOD[2]), GOOD],
        "s6": [(200, {}, chat(None, refusal="I can't help with that."))],
        "s7": [(200, {}, chat(""))],
        "s8": [(200, {}, chat('{"report": "Small le'))],
        "s9": [(307, {"Location": f"http://localhost:{other.http.server_port}/v1/chat/completions"}, b"")],
        "s10": [(400, {}, error(f"bad header {KEY}"))],
        "s11": [(200, {}, chat('{"report": "Small', finish_reason="length"))],
        "s12": [(500, {}, b"oops")],
    }
    asked = play(server, script)
    result = run(16, ",timeout=0.6")
    found = records(result)
    assert {study: record["failure"]["kind"] for study, record in found.items() if record["failure"]} == {
        "s6": "refused",
        "s7": "empty",
        "s8": "unparsable",
        "s9": "redirect",
        "s10": "request",
        "s11": "truncated",
        "s12": "server",
    }
    assert asked == {"s1": 7, "s2": 4, "s3": 3, "s4": 2, "s5": 2, "s12": 4} | {
        f"s{n}": 1 for n in (0, 6, 7, 8, 9, 10, 11, 13, 14, 15)
    }
    assert other.asked == []
    assert found["s6"]["prompt_tokens"] == 20  # what can't be used was paid, too
    assert result.summary["coverage"] == 9 / 16
    assert no_key_in(tmp_path / "runs")

    again = play(server, {})
    result = run(16, ",timeout=0.6")
    # What failed is asked for again; a reply that was recorded is not, though it can't be read.
    assert again == {"s6": 1, "s7": 1, "s9": 1, "s10": 1, "s11": 1, "s12": 1}
    assert {study for study, record in records(result).items() if record["failure"]} == {"s8"}


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((404, {}, error("The model `m` does not exist", code="model_not_found")), "is the model 'm' there"),
        ((401, {}, error(f"Incorrect API key provided: {KEY}")), "the key in OPENAI_API_KEY"),
        ((429, {}, error("you ran out of credit", code="insufficient_quota")), "out of credit"),
    ],
)
def test_what_is_wrong_for_all_is_said_once_and_costs_the_calls_in_flight(
    run: Callable[..., RunResult], server: Server, tmp_path: Path, answer: Answer, says: str
) -> None:
    asked = play(server, {f"s{n}": [answer] for n in range(6, 40)})
    with pytest.raises(RunError, match=says) as caught:
        run(40)
    assert KEY not in str(caught.value) and str(caught.value).count("answers") == 1
    assert sum(asked[f"s{n}"] for n in range(6, 40)) <= 4
    assert no_key_in(tmp_path / "runs")
    made = {study for study in asked if study in ("s0", "s1", "s2", "s3", "s4", "s5")}
    again = play(server, {})
    assert run(40).complete
    assert not made & set(again) and len(again) == 34


def test_a_crowd_is_turned_away_until_it_is_small_enough(run: Callable[..., RunResult], server: Server) -> None:
    """A server that takes two calls at a time: all 60 reports are made, few calls are turned away."""
    inside, turned_away, most = [0], [0], [0]
    lock = threading.Lock()

    def answer(body: dict[str, Any]) -> Answer:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            busy = inside[0] > 2
            turned_away[0] += busy
        time.sleep(0 if busy else 0.02)
        with lock:
            inside[0] -= 1
        return (429, {"Retry-After-Ms": "20"}, error("slow down")) if busy else GOOD

    server.answer = answer
    result = run(60, llm=f"openai:model=m,base_url={server.url},concurrency=16")
    assert result.complete and most[0] > 2
    assert turned_away[0] < 60


def test_another_model_after_an_interruption_gets_its_own_replies(
    run: Callable[..., RunResult], server: Server
) -> None:
    left = [10]  # calls of the model "one" that are answered

    def answer(body: dict[str, Any]) -> Answer:
        if body["model"] == "one":
            left[0] -= 1
            if left[0] < 0:
                return 401, {}, error("no")
        return 200, {}, chat(json.dumps({"report": f"Said by {body['model']}."}), model=body["model"])

    server.answer = answer
    llm = f"openai:base_url={server.url},concurrency=2,model="
    with pytest.raises(RunError):
        run(20, llm=f"{llm}one")
    other = records(run(20, llm=f"{llm}other"))
    assert {record["text"] for record in other.values()} == {"Said by other."} and len(other) == 20
    left[0] = 10
    first = records(run(20, llm=f"{llm}one"))  # of its own replies none is asked for again: ten are enough
    assert {record["text"] for record in first.values()} == {"Said by one."} and len(first) == 20


def test_kill_9_loses_at_most_the_calls_in_flight(server: Server, table: Callable[[int], str], tmp_path: Path) -> None:
    def answer(body: dict[str, Any]) -> Answer:
        time.sleep(0.1)
        return 200, {}, chat("FINDINGS: Edema. IMPRESSION: Edema.")

    server.answer = answer
    command = [sys.executable, "-m", "rrgbench", "run", "--dataset", table(40), "--encoder", "oracle"]
    command += ["--prompt", "zero-shot:indication=true", "--metric", "rouge_l", "--resamples", "0"]
    command += ["--llm", f"openai:model=m,base_url={server.url},concurrency=4", "--out", str(tmp_path / "killed")]
    process = subprocess.Popen(command, env=os.environ, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while process.poll() is None and len(server.asked) < 16:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert 16 <= len(server.asked) < 40, "it was not killed in the middle"
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert len(server.asked) <= 40 + 4
    assert no_key_in(tmp_path / "killed")
