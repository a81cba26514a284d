"""A causal language model of Hugging Face that runs in this process.

A reply depends on the model, the options and the prompt; on what shares its batch only as far as the rounding of sums
goes. Prompts are padded on the left and masked, and each row draws its own random numbers.
"""

from __future__ import annotations

import asyncio
import importlib.util
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import Any

from rrgbench import torchvision_ops

torchvision_ops.declare_missing()
import torch  # noqa: E402

from rrgbench.cache import file_digest  # noqa: E402
from rrgbench.devices import pick_device  # noqa: E402
from rrgbench.errors import LLMError, UsageError  # noqa: E402
from rrgbench.types import Completion, Message  # noqa: E402
from rrgbench_transformers import folders, loading  # noqa: E402
from rrgbench_transformers.chat import Chat  # noqa: E402
from rrgbench_transformers.choosing import Abandoned, Chooser, generator  # noqa: E402
from rrgbench_transformers.gathering import Gatherer  # noqa: E402

Asked = tuple[list[int], int]  # the tokens of a prompt, and the number of the sample


class CausalLM:
    """A model with a chat template, from a folder or by its name on the hub. Nothing leaves this machine.

    ``temperature`` 0 takes the likeliest token; ``seed=null`` draws anew in each call. ``batch`` prompts are generated
    together. ``dtype=auto`` is the one that the weights are in. ``device_map`` ("auto", "balanced", ...) spreads the
    weights over several devices; ``quantise`` loads them in 8 bits (then one prompt at a time) or in 4 through
    bitsandbytes. Of the model's own generation_config.json only the end tokens are used: what decides about a reply
    stands in the options. The weights are loaded at the first ``complete``.
    """

    version = "1"
    host: str | None = None
    neutral = ("batch", "device", "device_map")

    def __init__(
        self,
        *,
        model: Path,
        template: Path | None = None,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int | None = 0,
        max_tokens: int = 512,
        logprobs: bool = False,
        batch: int = 8,
        device: str = "auto",
        device_map: str | None = None,
        dtype: loading.Dtype = "auto",
        quantise: loading.Quantise | None = None,
    ) -> None:
        if not 0 <= temperature < float("inf"):
            raise UsageError(f"The option 'temperature' must be 0 or more, not {temperature}.")
        if not 0 < top_p <= 1:
            raise UsageError(f"The option 'top_p' must be above 0 and at most 1, not {top_p}.")
        for name, value in (("max_tokens", max_tokens), ("batch", batch)):
            if value < 1:
                raise UsageError(f"The option {name!r} must be 1 or more, not {value}.")
        if device_map is not None and device != "auto":
            raise UsageError("The options 'device' and 'device_map' both say where the model goes: give one of them.")
        if quantise and importlib.util.find_spec("bitsandbytes") is None:
            raise UsageError(f"quantise={quantise} needs the package bitsandbytes: pip install bitsandbytes.")
        if quantise == "8bit":  # LLM.int8 picks the columns that it keeps in 16 bits over all rows of a batch
            batch = 1
        self.name = model.name
        self.max_tokens = max_tokens
        self.concurrency = batch
        self._folder = folders.find(model)
        self._place = device_map or {"": pick_device(device)}
        self._config = loading.config_of(self._folder)
        self._chat = Chat(self._folder, template)
        self._template = template
        self._sampling = temperature, top_p, seed
        self._logprobs = logprobs
        self._dtype: loading.Dtype = dtype
        self._quantise = quantise
        self._room = batch  # how many prompts the memory takes at once
        self._model: Any = None
        self._lock = threading.Lock()
        self._gatherer: Gatherer[Asked, Completion] = Gatherer(batch, self._replies)

    @property
    def signature(self) -> str:
        """Which weights and which template these are, and the version of what computes with them."""
        libraries = ["transformers", *(["bitsandbytes"] if self._quantise else [])]
        pieces = [f"weights:{folders.identity(self._folder)}"]
        if self._template:
            pieces.append(f"template@{file_digest(self._template)[:8]}")
        return "|".join([*pieces, *(f"{name}:{distribution_version(name)}" for name in libraries)])

    async def complete(
        self, messages: Sequence[Message], schema: Mapping[str, Any] | None = None, sample: int = 0
    ) -> Completion:
        """One reply. A ``schema`` is put in words, and binds nothing. Raises ``LLMError``."""
        prompt = self._chat.ids(messages, schema)
        context = getattr(self._config.get_text_config(), "max_position_embeddings", None)
        if isinstance(context, int) and len(prompt) + self.max_tokens > context:
            raise LLMError(
                "request",
                f"the prompt has {len(prompt)} tokens, which with max_tokens={self.max_tokens} is more than the context"
                f" of {self.name} ({context})",
            )
        return await self._gatherer.ask((prompt, sample))

    async def aclose(self) -> None:
        """Free the model's memory. A later ``complete`` loads it again."""
        await self._gatherer.aclose()
        await asyncio.to_thread(self._unload)

    # --- in the working thread ----------------------------------------------------------------------------------------

    def _replies(self, asked: Sequence[Asked], abandoned: Callable[[], bool]) -> list[Completion | Exception]:
        """A reply for each prompt, by as many at once as the memory takes."""
        done: list[Completion | Exception] = []
        with self._lock, loading.quiet():
            if self._model is None:
                self._model = self._load()
            while len(done) < len(asked):
                group = asked[len(done) : len(done) + self._room]
                replies = self._generated(group, abandoned)
                if replies is not None:
                    done += replies
                elif len(group) > 1:
                    self._room = len(group) // 2
                else:
                    done.append(
                        LLMError(
                            "request", f"no memory for a prompt of {len(group[0][0])} tokens, alone; {loading.SMALLER}"
                        )
                    )
        return done

    def _generated(self, asked: Sequence[Asked], abandoned: Callable[[], bool]) -> list[Completion | Exception] | None:
        """The replies of one batch; None where the memory is too small for it."""
        temperature, top_p, seed = self._sampling
        prompts = [prompt for prompt, _ in asked]
        rows = [generator(seed, prompt, sample) for prompt, sample in asked] if temperature > 0 else None
        chooser = Chooser(temperature, top_p, rows, self._logprobs)
        width = max(len(prompt) for prompt in prompts)
        pad = self._model.generation_config.pad_token_id
        ids = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        try:
            written = self._model.generate(
                input_ids=ids.to(self._model.device),
                attention_mask=mask.to(self._model.device),
                logits_processor=[chooser],
                stopping_criteria=[Abandoned(abandoned)],
            )
        except (RuntimeError, MemoryError) as error:
            if not loading.is_memory(error):
                raise
            written = None
        if written is None:  # out of the handler, which holds the failed step's tensors
            loading.free()
            return None
        return [
            self._completion(len(prompt), row[width:], chooser, at)
            for at, (prompt, row) in enumerate(zip(prompts, written.tolist(), strict=True))
        ]

    def _completion(self, prompt: int, written: list[int], chooser: Chooser, row: int) -> Completion | LLMError:
        ends = self._model.generation_config.eos_token_id
        length = next((at for at, token in enumerate(written) if token in ends), None)
        tokens = written[:length]
        if chooser.broken(row):
            return LLMError("llm", f"{self.name} computed no numbers but NaN or infinity; try dtype=bf16 or dtype=fp32")
        text = self._chat.text(tokens)
        logprob = chooser.logprob(row, len(tokens))
        reply = Completion(text, self.name, prompt, len(tokens), cost=0.0, logprob=logprob)
        if length is None:
            says = f"the reply of {self.name} was cut at max_tokens={self.max_tokens}; raise it"
            return LLMError("truncated", says, paid=reply)
        if not text.strip():
            return LLMError("empty", f"the reply of {self.name} is empty", paid=reply)
        return reply

    def _load(self) -> Any:
        model = loading.load(self._folder, self._place, self._dtype, self._quantise)
        model.generation_config = loading.generation(model.generation_config, self._chat.tokenizer, self.max_tokens)
        return model

    def _unload(self) -> None:
        with self._lock:
            self._model = None
            loading.free()
