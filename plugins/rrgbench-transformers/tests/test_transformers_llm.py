"""The LLM `transformers` on tiny random models: replies, batches, seeds, limits, failures."""

from __future__ import annotations

import asyncio
import importlib.util
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from rrgbench_transformers import loading
from rrgbench_transformers.model import CausalLM
from safetensors.torch import load_file, save_file

from rrgbench.errors import LLMError, UsageError
from rrgbench.interfaces import LLM
from rrgbench.types import Completion, Message

FINDINGS = ["edema", "left effusion", "a large right pneumothorax with a shift", "none", "cardiomegaly", "rib fracture"]
PROMPTS = [[Message("system", "Write a report."), Message("user", f"Findings: {finding}.")] for finding in FINDINGS]
WRITTEN = 24
Outcome = Completion | LLMError


def llm(model: Path, **options: Any) -> CausalLM:
    return CausalLM(model=model, **{"device": "cpu", "max_tokens": 60, **options})


def replies(made: CausalLM, prompts: Sequence[list[Message]] = PROMPTS) -> list[Outcome]:
    async def ask() -> list[Any]:
        return await asyncio.gather(*(made.complete(each) for each in prompts), return_exceptions=True)

    out = asyncio.run(ask())
    assert all(isinstance(each, Completion | LLMError) for each in out), out
    return out


def texts(outcomes: Sequence[Outcome]) -> list[str]:
    """What was written, cut replies included."""
    found = [each if isinstance(each, Completion) else each.paid for each in outcomes]
    return [each.text for each in found if each]


def failure(made: CausalLM, prompt: list[Message] = PROMPTS[0]) -> LLMError:
    [outcome] = replies(made, [prompt])
    assert isinstance(outcome, LLMError) and not outcome.retry
    return outcome


def hooked(monkeypatch: pytest.MonkeyPatch, called: Callable[[int, int], None]) -> None:
    """Call something before each step of the models that are loaded from now on, with the shape of the tokens."""
    load = loading.load

    def hooked_load(*given: Any) -> Any:
        model = load(*given)
        hook = lambda _, args, options: called(*options["input_ids"].shape)  # noqa: E731
        model.register_forward_pre_hook(hook, with_kwargs=True)
        return model

    monkeypatch.setattr(loading, "load", hooked_load)


def prompt_ids(folder: Path, prompt: list[Message]) -> list[int]:
    """The prompt's tokens, by transformers alone."""
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
    turns = [{"role": message.role, "content": message.content} for message in prompt]
    return list(tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False))


def greedy(folder: Path, prompt: list[Message]) -> list[int]:
    """The likeliest reply without its end, token by token, with neither a cache nor a batch nor a padding."""
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = prompt_ids(folder, prompt)
    written: list[int] = []
    with torch.inference_mode():
        while len(written) < WRITTEN:
            token = int(model(torch.tensor([ids + written])).logits[0, -1].argmax())
            if token in model.generation_config.eos_token_id:
                break
            written.append(token)
    return written


def test_a_reply_comes_from_this_machine_at_no_cost(tiny: Path) -> None:
    made = llm(tiny, batch=4)
    assert isinstance(made, LLM)
    assert (made.host, made.concurrency) == (None, 4)
    reply = next(each for each in replies(made) if isinstance(each, Completion))
    assert reply.model == "llama" and reply.cost == 0 and reply.logprob is None
    assert reply.prompt_tokens and reply.prompt_tokens > 40 and reply.completion_tokens


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt2"])
def test_a_greedy_reply_is_the_likeliest_whatever_shares_its_batch(folders: dict[str, Path], kind: str) -> None:
    """Of prompts of several lengths, in batches of 1, and of 4 and 2; by the model alone, with none of its
    generation_config.json's repetition penalty."""
    folder = folders[kind]
    runs = [replies(llm(folder, dtype="fp32", batch=batch, max_tokens=WRITTEN)) for batch in (1, 4)]
    assert texts(runs[0]) == texts(runs[1])
    assert len(set(texts(runs[0]))) > 2, "the replies depend on the prompt"
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
    for prompt, text in zip(PROMPTS[:3], texts(runs[1]), strict=False):
        assert text == tokenizer.decode(greedy(folder, prompt), skip_special_tokens=True)


def test_a_sampled_reply_depends_on_the_seed_and_not_on_its_batch(tiny: Path) -> None:
    warm = {"temperature": 1.0, "top_p": 0.95, "dtype": "fp32", "max_tokens": WRITTEN}
    alone = texts(replies(llm(tiny, batch=1, seed=1, **warm)))
    assert alone == texts(replies(llm(tiny, batch=6, seed=1, **warm)))
    assert alone == texts(replies(llm(tiny, batch=6, seed=1, **warm), PROMPTS[::-1]))[::-1]
    assert alone != texts(replies(llm(tiny, batch=6, seed=2, **warm)))
    fresh = texts(replies(llm(tiny, batch=6, seed=None, **warm), [PROMPTS[2]] * 6))
    assert len(set(fresh)) > 1, "without a seed each call is another sample"
    assert len(set(texts(replies(llm(tiny, batch=6, seed=1, **warm), [PROMPTS[2]] * 6)))) == 1


def test_logprobs_are_those_of_the_texts_tokens(tiny: Path) -> None:
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    outcomes = replies(llm(tiny, logprobs=True, dtype="fp32", batch=6, max_tokens=WRITTEN))
    done = [(p, each) for p, each in zip(PROMPTS, outcomes, strict=True) if isinstance(each, Completion)]
    assert done
    for prompt, reply in done:
        ids, written = prompt_ids(tiny, prompt), greedy(tiny, prompt)
        assert reply.prompt_tokens == len(ids) and reply.completion_tokens == len(written)
        with torch.inference_mode():
            logs = model(torch.tensor([ids + written])).logits[0].log_softmax(-1)
        expected = sum(float(logs[len(ids) + at - 1, token]) for at, token in enumerate(written))
        assert reply.logprob == pytest.approx(expected, rel=1e-4)


def test_the_event_loop_is_free_while_a_batch_is_generated(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on, waited = threading.Event(), threading.Event(), []

    def step(rows: int, columns: int) -> None:
        begun.set()
        waited.append(go_on.wait(20))

    hooked(monkeypatch, step)

    async def ask() -> None:
        work = asyncio.gather(*(llm(tiny).complete(prompt) for prompt in PROMPTS[:1]), return_exceptions=True)
        while not begun.is_set():
            await asyncio.sleep(0.01)
        go_on.set()  # by the event loop, in the middle of a step
        await work

    asyncio.run(ask())
    assert waited and all(waited)


def test_a_call_that_nobody_waits_for_ends(changed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A time limit of the caller stops the generation, too: the next call doesn't wait for it."""
    steps: list[int] = []
    hooked(monkeypatch, lambda rows, columns: steps.append(columns))
    made = llm(changed(generation_config_json={"eos_token_id": 3}), max_tokens=1900)

    async def ask() -> None:
        calls = [asyncio.create_task(made.complete(prompt)) for prompt in PROMPTS]
        while len(steps) < 5:
            await asyncio.sleep(0.01)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await made.aclose()

    asyncio.run(ask())
    assert 5 <= len(steps) < 1000


# --- limits and failures ----------------------------------------------------------------------------------------------


def test_a_reply_that_is_cut_is_a_failure_that_was_paid(tiny: Path) -> None:
    raised = failure(llm(tiny, max_tokens=1))
    assert raised.kind == "truncated" and "max_tokens=1" in str(raised)
    assert raised.paid and raised.paid.completion_tokens == 1 and raised.paid.cost == 0


def test_an_empty_reply_is_a_failure(changed: Any) -> None:
    all_end = changed(generation_config_json={"eos_token_id": list(range(300))})
    outcomes = replies(llm(all_end), PROMPTS[:3])
    assert {each.kind for each in outcomes if isinstance(each, LLMError)} == {"empty"}


def test_a_prompt_longer_than_the_context_costs_its_own_call_only(tiny: Path) -> None:
    long = [Message("user", "effusion " * 2000)]
    outcomes = replies(llm(tiny, batch=2), [PROMPTS[0], long])
    assert isinstance(outcomes[1], LLMError) and outcomes[1].kind == "request"
    assert "max_tokens=60" in str(outcomes[1]) and "(2048)" in str(outcomes[1])
    assert texts(outcomes[:1])


@pytest.mark.parametrize("room", [4, 1, 0])
def test_a_batch_too_large_for_the_memory_is_halved(tiny: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    sizes: list[int] = []

    def check(rows: int, columns: int) -> None:
        sizes.extend([rows] * (columns > 1))  # the prompts; then comes one token at a time
        if rows > room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    expected = texts(replies(llm(tiny, dtype="fp32", batch=6, max_tokens=6)))
    hooked(monkeypatch, check)
    outcomes = replies(llm(tiny, dtype="fp32", batch=6, max_tokens=6))
    if room:
        assert texts(outcomes) == expected
        assert sizes == {4: [6, 3, 3], 1: [6, 3, 1, 1, 1, 1, 1, 1]}[room], "what the memory takes is remembered"
    else:
        assert {each.kind for each in outcomes if isinstance(each, LLMError)} == {"request"}
        assert len(outcomes) == 6 and "no memory for a prompt of" in str(outcomes[0])


def test_numbers_that_are_none_are_a_failure_and_no_text(changed: Any) -> None:
    folder = changed()
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors | {"lm_head.weight": tensors["lm_head.weight"] * torch.nan}, folder / "model.safetensors")
    raised = failure(llm(folder))
    assert raised.kind == "llm" and "NaN" in str(raised)


def test_weights_that_are_not_whole_stop_the_run(changed: Any) -> None:
    folder = changed()
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors")
    raised = failure(llm(folder))
    assert raised.kind == "model" and raised.fatal and "layers.1.mlp.up_proj" in str(raised)
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:5000])
    assert failure(llm(folder)).kind == "model"


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"max_tokens": 0},
        {"batch": 0},
        {"device_map": "auto"},  # beside device=cpu
        {"device": "no such device"},
    ],
)
def test_an_option_out_of_range_is_refused(tiny: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(options)).partition("_")[0]):
        llm(tiny, **options)


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is not None, reason="bitsandbytes is installed")
def test_quantising_without_bitsandbytes_says_what_to_install(tiny: Path) -> None:
    with pytest.raises(UsageError, match="pip install bitsandbytes"):
        llm(tiny, quantise="4bit")


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="needs bitsandbytes")
@pytest.mark.parametrize(("quantise", "at_once"), [("8bit", 1), ("4bit", 6)])
def test_quantised_weights_write_and_8_bits_one_prompt_at_a_time(
    tiny: Path, quantise: str, at_once: int, caplog: pytest.LogCaptureFixture
) -> None:
    made = llm(tiny, quantise=quantise, batch=6, logprobs=True)
    assert made.concurrency == at_once and "|bitsandbytes:" in made.signature
    found, plain = replies(made), replies(llm(tiny, logprobs=True))
    assert texts(found) and [each.logprob for each in found if isinstance(each, Completion)] != [
        each.logprob for each in plain if isinstance(each, Completion)
    ]
    assert not caplog.records


# --- precision and place ----------------------------------------------------------------------------------------------


def test_dtype_is_the_precision_that_is_computed_in(tiny: Path) -> None:
    def logprobs(dtype: str) -> list[float]:
        made = llm(tiny, dtype=dtype, logprobs=True, max_tokens=1)
        return [each.paid.logprob or 0.0 for each in replies(made) if isinstance(each, LLMError) and each.paid]

    whole, half, auto = logprobs("fp32"), logprobs("bf16"), logprobs("auto")
    assert auto == whole, "the precision of the weights' file"
    assert half != whole and half == pytest.approx(whole, abs=0.3)


def test_a_device_map_places_the_weights_and_changes_no_reply(tiny: Path) -> None:
    spread = CausalLM(model=tiny, max_tokens=60, device_map="auto", dtype="fp32")
    if not torch.cuda.is_available():
        assert texts(replies(spread)) == texts(replies(llm(tiny, dtype="fp32")))


def test_the_model_is_loaded_again_after_it_was_freed(tiny: Path) -> None:
    made = llm(tiny)
    before = texts(replies(made))
    asyncio.run(made.aclose())
    assert before == texts(replies(made)), "in another event loop, too"
