"""An LLM behind an OpenAI-compatible API, through the openai SDK."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai

from rrgbench.errors import LLMError, UsageError
from rrgbench.types import Completion, Message
from rrgbench_openai import batches, forms, limits
from rrgbench_openai.addresses import OPENAI_URL, host_and_port, is_loopback, key, one_line
from rrgbench_openai.forms import Form, at
from rrgbench_openai.prices import PACKAGED, Prices

BATCH_SECONDS = 600.0  # for sending or fetching one file


class OpenAIChat:
    """A model of OpenAI, of Azure OpenAI, or of any server that speaks their chat completions or responses API.

    The key comes from the environment variable OPENAI_API_KEY (AZURE_OPENAI_API_KEY with ``azure``) and from nowhere
    else. It is not kept on this object. ``base_url`` defaults to the environment variable OPENAI_BASE_URL, as in the
    SDK, and then to OpenAI's own; with ``azure`` it is the resource's endpoint, by default AZURE_OPENAI_ENDPOINT.
    ``host`` is None for a server on the loopback interface. ``temperature=null`` and ``seed=null`` send none: some
    models refuse them. ``logprobs`` asks for those of the tokens. ``timeout`` is in seconds, for one whole call.
    ``batch`` asks through the Batch API. ``prices`` is a list of prices in the form of the packaged prices.yaml, for
    whatever host; without it OpenAI's list prices hold for OpenAI's host.
    """

    version = "1"
    neutral = ("timeout", "concurrency", "batch", "prices")
    batch_size = 10_000  # requests; the servers take 50,000 and 200 MB, and a prompt with exemplars has up to 20 kB

    def __init__(
        self,
        *,
        model: str,
        base_url: str | None = None,
        api: Form = "chat",
        azure: bool = False,
        api_version: str | None = None,
        temperature: float | None = 0.0,
        top_p: float | None = None,
        seed: int | None = 0,
        logprobs: bool = False,
        max_tokens: int = 1024,
        timeout: float = 120.0,
        concurrency: int = 8,
        batch: bool = False,
        prices: Path | None = None,
    ) -> None:
        if not model.strip():
            raise UsageError("The option 'model' is empty: name a model of the server, as in openai:model=gpt-4o.")
        for name, value in (("max_tokens", max_tokens), ("timeout", timeout), ("concurrency", concurrency)):
            if not value > 0:
                raise UsageError(f"The option {name!r} must be greater than 0, not {value}.")
        if api_version and not azure:
            raise UsageError("The option 'api_version' is Azure's: say azure=true, too.")
        self._key_variable = "AZURE_OPENAI_API_KEY" if azure else "OPENAI_API_KEY"
        variable = "AZURE_OPENAI_ENDPOINT" if azure else "OPENAI_BASE_URL"
        address = base_url or os.environ.get(variable)
        if azure and not address:
            raise UsageError(
                "Azure needs the resource's endpoint: set AZURE_OPENAI_ENDPOINT, or base_url=https://….openai.azure.com"
            )
        if not key(self._key_variable) and not address:
            raise UsageError(
                f"The environment variable {self._key_variable} is not set. Set it, or name an OpenAI-compatible server"
                " of your own with base_url=http://127.0.0.1:8000/v1. To run with neither: --llm local (a small model"
                " on this machine) or --llm template (no model at all)."
            )
        self.model = model
        self.api: Form = api
        self.timeout = timeout
        self.concurrency = concurrency
        self.batch = batch
        self._azure_version = api_version
        self._options = forms.Options(model, max_tokens, temperature, top_p, seed, logprobs)
        self._url = address or OPENAI_URL
        host, self._server = host_and_port(self._url, variable)
        self.host = None if is_loopback(host) else host
        self._azure = azure
        self._official = self.host is not None and (host == "api.openai.com" or host.endswith(".api.openai.com"))
        self._listed = prices is not None
        self._prices = Prices.read(prices or PACKAGED)
        # An option is in the signature anyway; an environment variable is not.
        self.signature = f"server:{self._url}" if address and not base_url else ""
        self._client: openai.AsyncOpenAI | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def complete(
        self, messages: Sequence[Message], schema: Mapping[str, Any] | None = None, sample: int = 0
    ) -> Completion:
        """One reply. Raises ``LLMError``; nothing is tried twice here, that is the caller's to decide."""
        client, body = self._connected(), self._request(messages, schema, sample)
        raw: Any
        with self._in_words(self.timeout):
            # The body goes as extra_body: else the SDK walks through all of it by type, a fifth of its time a call.
            async with asyncio.timeout(self.timeout):
                if self.api == "chat":
                    raw = await client.chat.completions.with_raw_response.create(
                        model=self.model, messages=[], extra_body=body
                    )
                else:
                    raw = await client.responses.with_raw_response.create(extra_body=body)
            return self._completion(json.loads(raw.content), raw.headers)

    def price(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        """What a reply costs in US dollars, by the list of prices; None where it isn't known."""
        return self._cost(self.model, prompt_tokens, completion_tokens)

    async def aclose(self) -> None:
        """Close the connections. A later ``complete`` opens new ones."""
        client, self._client = self._client, None
        if client and self._loop is asyncio.get_running_loop():
            await client.close()

    # --- batches ------------------------------------------------------------------------------------------------------

    async def submit(self, name: str, requests: Mapping[str, tuple[Any, ...]]) -> str:
        """Hand over requests (what ``complete`` takes) by id as a batch of this name; its id. Raises ``LLMError``."""
        with self._in_words(BATCH_SECONDS):
            async with asyncio.timeout(BATCH_SECONDS):
                bodies = {each: self._request(*request) for each, request in requests.items()}
                return await batches.submit(self._connected(), self._endpoint, name, bodies)

    async def submitted(self, name: str) -> str | None:
        """The id of the batch of this name, or None. Raises ``LLMError``."""
        with self._in_words(BATCH_SECONDS):
            async with asyncio.timeout(BATCH_SECONDS):
                return await batches.find(self._connected(), name)

    async def collect(self, batch: str) -> Mapping[str, Completion | LLMError] | None:
        """The replies of a batch by id, or why there is none; None while it is under way. Raises ``LLMError``."""
        with self._in_words(BATCH_SECONDS):
            async with asyncio.timeout(BATCH_SECONDS):
                lines = await batches.collect(self._connected(), batch)
        return None if lines is None else {str(at(line, "custom_id")): self._answer(line) for line in lines}

    def _answer(self, line: Mapping[str, Any]) -> Completion | LLMError:
        status, body = at(line, "response", "status_code"), at(line, "response", "body")
        try:
            if status == 200:
                return self._completion(body, {})
            error = at(line, "error") or at(body, "error")
            return self._error(status or 500, at(error, "code"), str(at(error, "message") or "no reply"), {})
        except LLMError as error:
            return error

    @property
    def _endpoint(self) -> str:
        path = forms.PATHS[self.api]
        return path if self._azure_version else f"/v1{path}"

    # ------------------------------------------------------------------------------------------------------------------

    def _connected(self) -> openai.AsyncOpenAI:
        # Connections belong to the event loop that opened them.
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._loop = loop
            common: dict[str, Any] = {
                "api_key": key(self._key_variable) or "none",
                "max_retries": 0,
                "timeout": None,
                # A redirect could carry the text to a host that nobody agreed to; a proxy has no business between
                # this machine and itself.
                "http_client": openai.DefaultAsyncHttpxClient(follow_redirects=False, trust_env=self.host is not None),
            }
            if self._azure_version:
                self._client = openai.AsyncAzureOpenAI(
                    azure_endpoint=self._url, api_version=self._azure_version, **common
                )
            else:
                whole = not self._azure or self._url.rstrip("/").endswith("/openai/v1")
                url = self._url if whole else f"{self._url.rstrip('/')}/openai/v1"
                self._client = openai.AsyncOpenAI(base_url=url, **common)
        return self._client

    def _request(
        self, messages: Sequence[Message], schema: Mapping[str, Any] | None, sample: int = 0
    ) -> dict[str, Any]:
        options = self._options
        if sample and options.seed is not None:
            options = replace(options, seed=options.seed + sample)
        if self.api == "responses":
            return forms.responses_request(options, messages, schema)
        # OpenAI's newer models refuse the old name of the limit; other servers may not know the new one.
        limit = "max_completion_tokens" if self._official or self._azure else "max_tokens"
        return forms.chat_request(options, messages, schema, limit)

    def _completion(self, body: Any, headers: Mapping[str, str]) -> Completion:
        reply = forms.read_chat(body) if self.api == "chat" else forms.read_response(body)
        if reply is None or at(body, "status") == "failed":
            said = at(body, "error", "message") or "the reply is not a completion (base_url usually ends in /v1)"
            raise LLMError("server", f"{self._server}: {one_line(str(said))}", retry=True)
        model, cut = str(reply.model or self.model), self._options.max_tokens
        cost = self._cost(model, reply.prompt_tokens, reply.completion_tokens, reply.cached_tokens)
        tokens = reply.prompt_tokens, reply.completion_tokens
        pause = limits.pause(headers, (reply.prompt_tokens or 0) + cut)
        completion = Completion(reply.text, model, *tokens, cost, reply.logprob, pause)
        if reply.refusal:
            raise LLMError("refused", f"{self.model} refused: {one_line(reply.refusal)}", paid=completion)
        if reply.ended == "filter":
            says = f"{self._server}: the content filter held the reply back"
            raise LLMError("refused", says, paid=completion)
        if reply.ended == "length":
            says = f"the reply of {self.model} was cut at max_tokens={cut}; raise it"
            raise LLMError("truncated", says, paid=completion)
        if not reply.text.strip():
            raise LLMError("empty", f"the reply of {self.model} is empty", paid=completion)
        return completion

    def _cost(self, model: str, prompt: int | None, completion: int | None, cached: int = 0) -> float | None:
        if self.host is None and not self._listed:
            return 0.0  # a server on this machine charges nothing
        if not (self._official or self._listed) or prompt is None or completion is None:
            return None
        found = (self._prices.dollars(each, prompt, completion, cached, self.batch) for each in (model, self.model))
        return next((cost for cost in found if cost is not None), None)

    # --- errors -------------------------------------------------------------------------------------------------------

    @contextmanager
    def _in_words(self, seconds: float) -> Iterator[None]:
        """Turn what the SDK raises into ``LLMError``."""
        try:
            yield
        except (openai.APITimeoutError, TimeoutError):
            raise LLMError("timeout", f"{self._server}: no reply within {seconds:g} s", retry=True) from None
        except openai.APIStatusError as error:
            words = error.body.get("message") if isinstance(error.body, dict) else None
            headers = error.response.headers
            raise self._error(error.status_code, error.code, str(words or error.message), headers) from None
        except openai.APIConnectionError as error:
            reason = one_line(str(error.__cause__)) or type(error.__cause__).__name__
            raise LLMError("connection", f"no connection to {self._server}: {reason}", retry=True) from None
        except (openai.APIError, ValueError) as error:  # a body that is no JSON
            says = f"unreadable reply ({type(error).__name__}; base_url usually ends in /v1)"
            raise LLMError("server", f"{self._server}: {says}", retry=True) from None

    def _error(self, status: int, code: Any, words: str, headers: Mapping[str, str]) -> LLMError:
        says = f"{self._server} answers {status}"
        detail = f"{says}: {one_line(words)}"
        if 300 <= status < 400:
            to = urlsplit(headers.get("location", "")).hostname or "another address"
            return LLMError("redirect", f"{says}, a redirect to {one_line(to)}, which is not followed; mend base_url")
        if status == 404 or code == "model_not_found":
            return LLMError("model", f"{detail} (is the model {self.model!r} there, and does base_url end in /v1?)")
        if status in (401, 403):  # its text is left out: it may repeat the key
            return LLMError(
                "auth", f"{says}: the key in {self._key_variable} is missing, wrong or not allowed {self.model}"
            )
        if code in ("content_filter", "content_policy_violation"):
            return LLMError("refused", detail)
        if code == "insufficient_quota":
            return LLMError("quota", detail)
        if status == 429 and words.startswith("Request too large"):  # for the whole of a minute's tokens: it never fits
            return LLMError("request", detail)
        if status == 429:
            return LLMError("rate limit", detail, retry=True, wait=limits.retry_after(headers))
        if status in (408, 409) or status >= 500:
            return LLMError("server", detail, retry=True, wait=limits.retry_after(headers))
        return LLMError("request", detail)
