"""An LLM behind an OpenAI-compatible chat API, through the openai SDK."""

from __future__ import annotations

import asyncio
import ipaddress
import math
import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import openai
from openai.types.chat import ChatCompletion

from rrgbench.errors import LLMError, UsageError
from rrgbench.types import Completion, Message
from rrgbench_openai.prices import dollars

OPENAI_URL = "https://api.openai.com/v1"
# One spelling that every URL parser reads alike. It has no place for a user name, a password or a query, which would
# be recorded in the run folder.
_URL = re.compile(r"https?://(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?P<port>:\d{1,5})?(/[\w./~-]*)?", re.ASCII)


class OpenAIChat:
    """A chat model of OpenAI, or of any server that speaks its chat completions API.

    The key comes from the environment variable OPENAI_API_KEY and from nowhere else. It is not kept on this object.
    ``base_url`` defaults to the environment variable OPENAI_BASE_URL, as in the SDK, and then to OpenAI's own.
    ``host`` is None for a server on the loopback interface. ``temperature=null`` and ``seed=null`` send none: some
    models refuse them. ``timeout`` is in seconds, for one whole call.
    """

    version = "1"
    neutral = ("timeout", "concurrency")

    def __init__(
        self,
        *,
        model: str,
        base_url: str | None = None,
        temperature: float | None = 0.0,
        seed: int | None = 0,
        max_tokens: int = 1024,
        timeout: float = 120.0,
        concurrency: int = 8,
    ) -> None:
        if not model.strip():
            raise UsageError("The option 'model' is empty: name a model of the server, as in openai:model=gpt-4o.")
        for name, value in (("max_tokens", max_tokens), ("timeout", timeout), ("concurrency", concurrency)):
            if not value > 0:
                raise UsageError(f"The option {name!r} must be greater than 0, not {value}.")
        address = base_url or os.environ.get("OPENAI_BASE_URL")
        if not _key() and not address:
            raise UsageError(
                "The environment variable OPENAI_API_KEY is not set. Set it, or name an OpenAI-compatible server of"
                " your own with base_url=http://127.0.0.1:8000/v1. To run with neither: --llm local (a small model on"
                " this machine) or --llm template (no model at all)."
            )
        self.model = model
        self.temperature = temperature
        self.seed = seed
        self.max_tokens = max_tokens
        self.timeout = timeout
        self.concurrency = concurrency
        self._url = address or OPENAI_URL
        host, self._server = _host_and_port(self._url)
        self.host = None if _is_loopback(host) else host
        # An option is in the signature anyway; an environment variable is not.
        self.signature = f"server:{self._url}" if address and not base_url else ""
        self._client: openai.AsyncOpenAI | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def complete(self, messages: Sequence[Message], schema: Mapping[str, Any] | None = None) -> Completion:
        """One reply. Raises ``LLMError``; nothing is tried twice here, that is the caller's to decide."""
        client = self._connected()
        try:
            async with asyncio.timeout(self.timeout):
                reply = await client.chat.completions.create(**self._request(messages, schema))
        except (openai.APITimeoutError, TimeoutError):
            raise LLMError("timeout", f"{self._server}: no reply within {self.timeout:g} s", retry=True) from None
        except openai.APIStatusError as error:
            raise self._status_error(error) from None
        except openai.APIConnectionError as error:
            reason = _one_line(str(error.__cause__)) or type(error.__cause__).__name__
            raise LLMError("connection", f"no connection to {self._server}: {reason}", retry=True) from None
        except (openai.APIError, ValueError) as error:  # a body that is no JSON
            raise LLMError("server", f"{self._server}: unreadable reply ({type(error).__name__})", retry=True) from None
        return self._completion(reply)

    async def aclose(self) -> None:
        """Close the connections. A later ``complete`` opens new ones."""
        client, self._client = self._client, None
        if client and self._loop is asyncio.get_running_loop():
            await client.close()

    def _connected(self) -> openai.AsyncOpenAI:
        # Connections belong to the event loop that opened them.
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._loop = loop
            self._client = openai.AsyncOpenAI(
                api_key=_key() or "none",
                base_url=self._url,
                max_retries=0,
                timeout=None,
                # A redirect could carry the text to a host that nobody agreed to; a proxy has no business between
                # this machine and itself.
                http_client=openai.DefaultAsyncHttpxClient(follow_redirects=False, trust_env=self.host is not None),
            )
        return self._client

    def _request(self, messages: Sequence[Message], schema: Mapping[str, Any] | None) -> dict[str, Any]:
        # OpenAI's newer models refuse the old name of the limit; other servers may not know the new one.
        limit = "max_completion_tokens" if self._is_openai() else "max_tokens"
        request: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            limit: self.max_tokens,
        }
        if self.temperature is not None:
            request["temperature"] = self.temperature
        if self.seed is not None:
            request["seed"] = self.seed
        if schema is not None:
            json_schema = {"name": "reply", "schema": dict(schema)}
            request["response_format"] = {"type": "json_schema", "json_schema": json_schema}
        return request

    def _completion(self, reply: object) -> Completion:
        # The SDK checks no types: what a server leaves out is absent or None here.
        choices = getattr(reply, "choices", None) or [None]
        message = getattr(choices[0], "message", None)
        if not isinstance(reply, ChatCompletion) or message is None:
            hint = "the reply is not a chat completion (base_url usually ends in /v1)"
            raise LLMError("server", f"{self._server}: {hint}", retry=True)
        finish_reason = getattr(choices[0], "finish_reason", None)
        if message.refusal:
            raise LLMError("refused", f"{self.model} refused: {_one_line(str(message.refusal))}")
        if finish_reason == "content_filter":
            raise LLMError("refused", f"{self._server}: the content filter held the reply back")
        if finish_reason == "length":
            raise LLMError("truncated", f"the reply of {self.model} was cut at max_tokens={self.max_tokens}; raise it")
        text = message.content
        if not isinstance(text, str) or not text.strip():
            raise LLMError("empty", f"the reply of {self.model} is empty")
        model = getattr(reply, "model", None) or self.model
        prompt = getattr(reply.usage, "prompt_tokens", None)
        completion = getattr(reply.usage, "completion_tokens", None)
        return Completion(text, model, prompt, completion, self._cost(model, prompt, completion))

    def _cost(self, model: str, prompt: int | None, completion: int | None) -> float | None:
        if self.host is None:
            return 0.0  # a server on this machine charges nothing
        if not self._is_openai() or prompt is None or completion is None:
            return None
        return dollars(model, prompt, completion)

    def _is_openai(self) -> bool:
        return self.host is not None and (self.host == "api.openai.com" or self.host.endswith(".api.openai.com"))

    def _status_error(self, error: openai.APIStatusError) -> LLMError:
        status, response = error.status_code, error.response
        says = f"{self._server} answers {status}"
        words = error.body.get("message") if isinstance(error.body, dict) else None
        detail = f"{says}: {_one_line(str(words or error.message))}"
        if 300 <= status < 400:
            to = urlsplit(response.headers.get("location", "")).hostname or "another address"
            return LLMError("redirect", f"{says}, a redirect to {_one_line(to)}, which is not followed; mend base_url")
        if status in (401, 403):  # its text is left out: it may repeat the key
            return LLMError("auth", f"{says}: the key in OPENAI_API_KEY is missing, wrong or not allowed {self.model}")
        if status == 404:
            return LLMError("model", f"{detail} (is the model {self.model!r} there, and does base_url end in /v1?)")
        if error.code in ("content_filter", "content_policy_violation"):
            return LLMError("refused", detail)
        if error.code == "insufficient_quota":
            return LLMError("quota", detail)
        if status == 429:
            return LLMError("rate limit", detail, retry=True, wait=_retry_after(response.headers))
        if status in (408, 409) or status >= 500:
            return LLMError("server", detail, retry=True, wait=_retry_after(response.headers))
        return LLMError("request", detail)


def _key() -> str:
    """The key in the environment; an empty string where there is none."""
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    if key and not re.fullmatch("[!-~]+", key):
        raise UsageError("OPENAI_API_KEY holds a blank or a character outside ASCII, which no key has. Set it again.")
    return key


def _host_and_port(url: str) -> tuple[str, str]:
    """The host of a base URL, and the host with the port. The URL itself is in no message: it may hold a secret."""
    match = _URL.fullmatch(url)
    if not match:
        raise UsageError(
            "base_url (or OPENAI_BASE_URL) must look like http://127.0.0.1:8000/v1, with no user name, password, query"
            " or blank in it. A key belongs in the environment variable OPENAI_API_KEY."
        )
    host = match["host"].lower()
    return host.strip("[]"), host + (match["port"] or "")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait (Retry-After-Ms; Retry-After in seconds or as a date), or None."""
    milliseconds, after = headers.get("retry-after-ms"), headers.get("retry-after", "")
    try:
        wait = float(milliseconds) / 1000 if milliseconds else float(after)
    except ValueError:
        try:
            wait = (parsedate_to_datetime(after) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError):
            return None
    return max(wait, 0.0) if math.isfinite(wait) else None


def _one_line(text: str) -> str:
    """Words of a server, fit for a message: short, on one line, and without the key."""
    key = _key()
    text = " ".join((text.replace(key, "[key]") if key else text).split())
    return text if len(text) <= 300 else text[:299] + "…"
