"""Prompts in whole runs: what they learn from, what is asked, and what a run folder says of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from rrgbench import harness, hookimpl, hookspecs, plugins
from rrgbench.runs import RunResult
from rrgbench.types import Completion, Message

HEART = "FINDINGS: The heart is enlarged.\nIMPRESSION: Cardiomegaly."
EDEMA = "FINDINGS: There is pulmonary edema.\nIMPRESSION: Edema."


class Plugin:
    """Registers the model below."""

    name = value = "listening"
    dist = None

    def load(self) -> object:
        return self

    @hookimpl
    def rrgbench_register_llms(self, register: hookspecs.Register) -> None:
        register("listening", f"{__name__}:Listening")


class Listening:
    """Gives its replies in turn and keeps what it was asked."""

    version, host = "1", None
    replies: list[str] = []
    asked: list[str] = []

    async def complete(self, messages: Sequence[Message], schema: Mapping[str, Any] | None = None) -> Completion:
        type(self).asked.append("\n".join(message.content for message in messages))
        reply = self.replies[(len(self.asked) - 1) % len(self.replies)]
        return Completion(reply, "listening-1", prompt_tokens=10, completion_tokens=5, cost=0.5)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Two studies of the test split; their patients have studies in the training split, too."""
    there = plugins.load([Plugin()])  # type: ignore[list-item]
    monkeypatch.setattr(plugins, "catalogue", lambda: there)
    Listening.asked, Listening.replies = [], [HEART]
    lines = ["study_id,patient,split,labels,report"]
    for split, count in (("train", 6), ("test", 2)):
        for i in range(count):
            label = "Edema" if i % 2 else "Cardiomegaly"
            lines.append(f"{split}{i},p{i},{split},{label},FINDINGS: Of {split}{i}. IMPRESSION: {label}.")
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    table = f"table:path={tmp_path / 't.csv'},patient=patient,split=split,labels=labels,report=report,terms=open"

    def call(prompt: Any) -> RunResult:
        given = {"dataset": table, "encoder": "oracle", "llm": "listening", "metric": ["fidelity"], "resamples": 10}
        (result,) = harness.run({**given, "prompt": prompt, "out": tmp_path / "runs"}).runs
        return result

    return call


def records(result: RunResult) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (result.folder / "reports.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    "prompt",
    ["icil:k=4", "retrieval:k=4", "self-consistency:samples=2,prompt='retrieval:k=4'", "repair:prompt='icil:k=4'"],
)
def test_no_study_of_an_evaluated_patient_is_shown(run: Any, prompt: str) -> None:
    result = run(prompt)
    assert result.complete
    asked = "\n".join(Listening.asked)
    shown = {f"train{i}" for i in range(6) if f"Of train{i}." in asked}
    assert shown == {"train2", "train3", "train4", "train5"} and "Of test" not in asked
    signature = result.manifest["signatures"]["prompt"]
    assert ("exemplars:" if "icil" in prompt else "index:") in signature


def test_the_samples_of_self_consistency_are_counted_and_come_from_the_cache_again(run: Any) -> None:
    Listening.replies = ["no marks", f"<report>{HEART}</report>", "<report>No cardiomegaly.</report>"]
    first = records(run("self-consistency:samples=3"))
    assert [(r["calls"], r["cost"]) for r in first] == [(3, 1.5)] * 2
    assert all("3 samples, 1 failed (unparsable); sample 1 of 2" in r["reasoning"] for r in first)
    calls = len(Listening.asked)
    result = run("self-consistency:samples=3,prompt={cot: {target: both}}")  # another signature, the same messages
    assert len(Listening.asked) == calls and [r["text"] for r in records(result)] == [r["text"] for r in first]


def test_a_repair_is_counted_and_priced_and_the_fidelity_scored(run: Any) -> None:
    Listening.replies = ["FINDINGS: No cardiomegaly.\nIMPRESSION: Normal.", EDEMA]
    scores = {score.metric: score.value for score in run("zero-shot").scores}
    assert scores["fidelity_contradictions"] == 0.5 and scores["fidelity_faithful"] == 0.5
    Listening.asked, Listening.replies = [], [HEART]
    result = run("repair")
    (told,) = Listening.asked  # the other two replies are known
    assert 'The findings say: "There is cardiomegaly." The report denies it.' in told
    assert [(r["calls"], r["cost"]) for r in records(result)] == [(2, 1.0), (1, 0.5)]
    notes = ["[repair: 1 round; faults: 1, 0]", "[repair: 0 rounds; faults: 0]"]
    assert [r["reasoning"] for r in records(result)] == notes
    assert {score.metric: score.value for score in result.scores}["fidelity_faithful"] == 1.0
    assert all("labeler:(rulelabel|v:" in score.signature for score in result.scores)
