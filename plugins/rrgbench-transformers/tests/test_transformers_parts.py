"""What the LLM is made of: calls gathered into batches, tokens chosen row by row; and how a run uses it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from rrgbench_transformers.choosing import Chooser, generator
from rrgbench_transformers.gathering import Gatherer

from rrgbench.config import RunConfig, load
from rrgbench.parts import build
from rrgbench.plugins import catalogue

REPOSITORY = Path(__file__).resolve().parents[3]


# --- gathering --------------------------------------------------------------------------------------------------------


def gathered(most: int, asked: Sequence[int]) -> tuple[list[list[int]], list[int | BaseException]]:
    """The batches that were worked on, and the outcomes; odd numbers fail."""
    batches: list[list[int]] = []

    def work(requests: Sequence[int], abandoned: Callable[[], bool]) -> list[int | Exception]:
        assert not abandoned()
        batches.append(list(requests))
        return [ValueError(f"{each} is odd") if each % 2 else each * 10 for each in requests]

    async def ask() -> list[int | BaseException]:
        gatherer: Gatherer[int, int] = Gatherer(most, work)
        return await asyncio.gather(*(gatherer.ask(each) for each in asked), return_exceptions=True)

    return batches, asyncio.run(ask())


def test_calls_in_flight_together_are_one_batch_and_each_gets_its_own_answer() -> None:
    batches, outcomes = gathered(4, [0, 1, 2, 4, 6, 8])
    assert batches == [[0, 1, 2, 4], [6, 8]]
    assert [each for each in outcomes if isinstance(each, int)] == [0, 20, 40, 60, 80]
    assert isinstance(outcomes[1], ValueError)
    assert gathered(1, [2, 4])[0] == [[2], [4]]


def test_a_fault_of_the_work_is_everyones_and_the_next_batch_works() -> None:
    def work(requests: Sequence[int], _: Callable[[], bool]) -> list[int]:
        if 0 in requests:
            raise RuntimeError("broken")
        return list(requests)

    async def ask() -> list[list[int | BaseException]]:
        gatherer: Gatherer[int, int] = Gatherer(2, work)
        return [
            await asyncio.gather(*(gatherer.ask(each) for each in pair), return_exceptions=True)
            for pair in ([0, 1], [2, 3])
        ]

    first, second = asyncio.run(ask())
    assert [str(each) for each in first] == ["broken", "broken"] and second == [2, 3]


def test_work_is_told_when_nobody_waits_for_it_any_more() -> None:
    seen: list[float] = []

    def work(requests: Sequence[int], abandoned: Callable[[], bool]) -> list[int]:
        started = time.monotonic()
        while not abandoned() and time.monotonic() - started < 5:
            time.sleep(0.005)
        seen.append(time.monotonic() - started)
        return list(requests)

    async def ask(close: bool) -> None:
        gatherer: Gatherer[int, int] = Gatherer(2, work)
        calls = [asyncio.create_task(gatherer.ask(each)) for each in range(2)]
        await asyncio.sleep(0.1)
        for call in [] if close else calls:
            call.cancel()
        if close:
            await gatherer.aclose()
        assert all(
            isinstance(each, asyncio.CancelledError) for each in await asyncio.gather(*calls, return_exceptions=True)
        )

    for close in (False, True):
        asyncio.run(ask(close))
    assert len(seen) == 2 and max(seen) < 1


# --- choosing ---------------------------------------------------------------------------------------------------------

ROWS = 4000
SCORES = torch.tensor([2.0, 1.0, 0.0, -1.0, -torch.inf])


def drawn(temperature: float, top_p: float) -> torch.Tensor:
    """How often each token was drawn, with another prompt for each draw."""
    chooser = Chooser(temperature, top_p, [generator(0, [row]) for row in range(ROWS)], logprobs=False)
    out = chooser(torch.zeros(ROWS, 1, dtype=torch.long), SCORES.repeat(ROWS, 1))
    assert (out == 0).sum(-1).eq(1).all() and (out[out != 0] == -torch.inf).all()
    return out.argmax(-1).bincount(minlength=5) / ROWS


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_drawn_as_often_as_they_are_likely(temperature: float) -> None:
    expected = (SCORES / temperature).softmax(-1)
    error = 4 * (expected * (1 - expected) / ROWS).sqrt() + 1e-9  # four standard errors
    assert ((drawn(temperature, 1.0) - expected).abs() <= error).all()


def test_top_p_leaves_the_likeliest_tokens_only() -> None:
    # The probabilities are .64, .24, .09, .03: .8 needs the first two, .5 the first.
    two = drawn(1.0, 0.8)
    assert two[:2].sum() == 1 and float(two[0]) == pytest.approx(float(SCORES[:2].softmax(-1)[0]), abs=0.03)
    assert drawn(1.0, 0.5)[0] == 1


def test_a_seed_gives_each_prompt_its_own_numbers() -> None:
    def first(seed: int | None, prompt: list[int]) -> float:
        return float(torch.rand(1, generator=generator(seed, prompt)))

    assert first(0, [1, 2]) == first(0, [1, 2])
    assert float(torch.rand(1, generator=generator(0, [1, 2], sample=1))) == first(1, [1, 2])
    assert len({first(0, [1, 2]), first(0, [12]), first(1, [1, 2]), first(None, [1, 2]), first(None, [1, 2])}) == 5


def test_logprobs_are_the_models_own_whatever_the_temperature() -> None:
    chooser = Chooser(2.0, 0.9, [generator(0, [row]) for row in range(8)], logprobs=True)
    steps = torch.stack([SCORES.repeat(8, 1), SCORES.flip(0).repeat(8, 1)])
    chosen = [chooser(torch.zeros(8, 1, dtype=torch.long), scores).argmax(-1) for scores in steps]
    logs = [scores.log_softmax(-1)[range(8), tokens] for scores, tokens in zip(steps, chosen, strict=True)]
    assert len(set(chosen[0].tolist())) > 1
    for row in range(8):
        assert chooser.logprob(row, 1) == pytest.approx(float(logs[0][row]))
        assert chooser.logprob(row, 2) == pytest.approx(float(logs[0][row] + logs[1][row]))
    assert chooser.logprob(0, 0) is None


# --- in a run ---------------------------------------------------------------------------------------------------------


def test_the_command_line_writes_reports_with_it(tiny: Path, tmp_path: Path) -> None:
    spec = f"transformers:model={tiny},batch=4,max_tokens=40,device=cpu,temperature=1.0"
    command = [
        *(sys.executable, "-m", "rrgbench", "run", "--dataset", "phantom:n=20", "--split", "train", "--limit", "4"),
        *("--encoder", "oracle", "--llm", spec, "--metric", "rulelabel", "--out", str(tmp_path)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=REPOSITORY)
    assert done.returncode in (0, 1), done.stderr
    assert "Loading weights" not in done.stderr, "no progress bar of another's"
    [file] = tmp_path.glob("*/*/reports.jsonl")
    reports = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(reports) == 4 and all(report["prompt_tokens"] > 100 for report in reports)
    assert {report["failure"]["kind"] for report in reports if report["failure"]} <= {"truncated", "empty"}
    manifest = json.loads((file.parent / "manifest.json").read_text())
    assert "weights:" in json.dumps(manifest) and "transformers" in json.dumps(manifest)


def test_the_plugin_registers_transformers_and_imports_no_torch() -> None:
    code = """
import sys, rrgbench_transformers
rrgbench_transformers.rrgbench_register_llms(lambda name, target, **more: print(name, target))
print("torch" in sys.modules or "transformers" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["transformers", "rrgbench_transformers.model:CausalLM", "False"]


def test_where_the_model_lies_is_on_no_page(tiny: Path) -> None:
    part = build(catalogue(), "llm", f"transformers:model={tiny},device=cpu,batch=2")
    assert str(tiny) in part.spec
    assert str(tiny.parent) not in part.public + part.signature
    assert "batch" not in part.signature and "model:llama" in part.signature and "temperature:0.0" in part.signature


def test_the_config_for_vllm_asks_a_server_on_this_machine() -> None:
    config = load(RunConfig, REPOSITORY / "configs" / "vllm.yaml")
    [spec] = config.llm
    part = build(catalogue(), "llm", spec)
    assert part.name == "openai" and part.hosts == ()
    assert part.obj.concurrency == 64
