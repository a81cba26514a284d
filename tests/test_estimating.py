"""What a run will ask and cost, before the first call."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from rrgbench import planning, plugins
from rrgbench.config import RunConfig, load
from rrgbench.estimating import Estimate, estimate, example
from rrgbench.planning import Plan
from tests import misbehaving
from tests.conftest import Done
from tests.misbehaving import CountingEncoder, Scripted


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Plan]:
    there = plugins.load([misbehaving.Plugin()])  # type: ignore[list-item]
    monkeypatch.setattr(plugins, "catalogue", lambda: there)
    CountingEncoder.calls.clear()
    Scripted.calls.clear()

    def make(**given: Any) -> Plan:
        default = {
            "encoder": "counting",
            "renderer": "names",
            "prompt": "plain",
            "llm": "scripted",
            "metric": ["length"],
        }
        (only,) = planning.plan(load(RunConfig, None, **{**default, **given}), there)
        return only

    return make


def guess(plan: Plan) -> Estimate:
    found = estimate(plan)
    assert found
    return found


def test_calls_and_tokens_are_those_of_the_prompts_and_none_leaves(
    plan: Callable[..., Plan], table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def price(self: Scripted, prompt_tokens: int, completion_tokens: int) -> float:
        return prompt_tokens * 0.001 + completion_tokens * 0.002

    monkeypatch.setattr(Scripted, "price", price, raising=False)
    once, twice = guess(plan(dataset=table)), guess(plan(dataset=table, prompt="plain:samples=2"))
    assert (once.calls, twice.calls) == (8, 16) and twice.prompt_tokens == 2 * once.prompt_tokens
    # "s0: Cardiomegaly" has 16 characters, "s1: No Finding" 14, and so on: four a token, rounded up.
    assert 8 * 3 <= once.prompt_tokens <= 8 * 9
    assert once.usd == pytest.approx(once.prompt_tokens * 0.001 + once.completion_tokens * 0.002)
    assert Scripted.calls == [] == CountingEncoder.calls
    assert "8 of 8 studies by their labels" in once.how


def test_many_studies_are_estimated_from_some_of_each_kind(plan: Callable[..., Plan]) -> None:
    whole = guess(
        plan(dataset="phantom:n=2000", split="train", encoder="oracle", renderer="sentences", prompt="stepwise")
    )
    assert "64 of 1" in whole.how
    exact = 0
    for study in plan(dataset="phantom:n=2000", split="train").studies:
        assert study.labels
        exact += sum(f.status in ("present", "uncertain") and f.label != "No Finding" for f in study.labels)
    assert whole.calls == pytest.approx(exact, rel=0.25)


def test_without_labels_the_encoder_sees_a_few_studies(plan: Callable[..., Plan], table: str) -> None:
    found = guess(plan(dataset=table.replace(",labels=labels", "")))
    assert len(CountingEncoder.calls) == 8 and "by the encoder" in found.how and found.calls == 8


def test_a_price_that_isn_t_known_is_none_and_a_writer_has_no_estimate(plan: Callable[..., Plan], table: str) -> None:
    assert guess(plan(dataset=table)).usd == 0.0  # in this process
    assert guess(plan(dataset=table, llm="remote")).usd is None
    assert estimate(plan(dataset=table, llm="template")) is None


@pytest.mark.parametrize(
    ("schema", "holds"),
    [
        ({"type": "object", "properties": {"a": {"type": "string", "maxLength": 5}}}, lambda v: len(v["a"]) == 5),
        ({"type": "string", "minLength": 300}, lambda v: len(v) == 300),
        ({"type": "array", "items": {"enum": ["x", "y"]}, "minItems": 2}, lambda v: v == ["x", "x"]),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, lambda v: v is None),
        ({"type": ["integer", "null"], "minimum": 3}, lambda v: v == 3),
        ({"properties": {"b": {"type": "boolean"}, "c": {"const": 7}}}, lambda v: v == {"b": True, "c": 7}),
    ],
)
def test_a_made_up_reply_fits_the_schema(schema: Mapping[str, Any], holds: Callable[[Any], bool]) -> None:
    assert holds(example(schema))


def test_dry_run_prints_it_before_any_call(rrgbench: Callable[..., Done], table: str) -> None:
    command = ["run", "--dataset", table, "--encoder", "oracle", "--metric", "rouge_l", "--dry-run"]
    llm = ["--llm", "openai:model=gpt-4o"]
    key = {"OPENAI_API_KEY": "sk-none", "OPENAI_BASE_URL": ""}
    said = rrgbench(*command, *llm, "--json", env=key)
    assert said.code == 0, said.err
    (record,) = said.json()
    assert record["studies"] == 8 and record["estimate"]["calls"] == 8
    tokens, usd = record["estimate"]["prompt_tokens"], record["estimate"]["usd"]
    assert usd == pytest.approx((tokens * 2.5 + record["estimate"]["completion_tokens"] * 10) / 1e6, abs=1e-4)
    printed = rrgbench(*command, *llm, "--llm", "template", env=key).out
    assert "estimate   calls 8" in printed and "prompt_tokens" in printed and "no call of a language model" in printed
    refused = rrgbench(*command, "--llm", "openai:model=mine,base_url=https://llm.example.org/v1", "--budget", 5)
    assert refused.code == 2 and "its price isn't known" in refused.err
    assert json.loads(said.out)[0]["sent to"] == ["api.openai.com"]
