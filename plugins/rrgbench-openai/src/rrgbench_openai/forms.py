"""The two forms of the API, chat completions and responses: what is sent, and what a reply says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rrgbench.types import Message

Form = Literal["chat", "responses"]
PATHS: dict[Form, str] = {"chat": "/chat/completions", "responses": "/responses"}


@dataclass(frozen=True)
class Options:
    """What is asked of a model with every request. None: not sent."""

    model: str
    max_tokens: int
    temperature: float | None
    top_p: float | None
    seed: int | None
    logprobs: bool


@dataclass(frozen=True)
class Reply:
    """What a reply says. ``ended`` is "length" or "filter" where it was cut or held back."""

    text: str
    refusal: str
    ended: str
    model: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int
    logprob: float | None


def at(value: Any, *path: str | int) -> Any:
    """What stands at a path inside JSON; None where there is nothing."""
    for step in path:
        if isinstance(step, str) and isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, list) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def chat_request(
    options: Options, messages: Sequence[Message], schema: Mapping[str, Any] | None, limit: str
) -> dict[str, Any]:
    """The body of a chat completion. ``limit`` is the name under which the server knows the most tokens of a reply."""
    request: dict[str, Any] = {
        "model": options.model,
        "messages": _messages(messages),
        limit: options.max_tokens,
        **_given(temperature=options.temperature, top_p=options.top_p, seed=options.seed),
    }
    if options.logprobs:
        request["logprobs"] = True
    if schema is not None:
        json_schema = {"name": "reply", "schema": dict(schema)}
        request["response_format"] = {"type": "json_schema", "json_schema": json_schema}
    return request


def responses_request(
    options: Options, messages: Sequence[Message], schema: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The body of a response. It takes no seed, and is stored by the server unless that is declined."""
    request: dict[str, Any] = {
        "model": options.model,
        "input": _messages(messages),
        "max_output_tokens": options.max_tokens,
        "store": False,
        **_given(temperature=options.temperature, top_p=options.top_p),
    }
    if options.logprobs:
        request["include"] = ["message.output_text.logprobs"]
    if schema is not None:
        request["text"] = {"format": {"type": "json_schema", "name": "reply", "schema": dict(schema)}}
    return request


def read_chat(body: Any) -> Reply | None:
    """What a chat completion says; None where it is none."""
    message = at(body, "choices", 0, "message")
    if not isinstance(message, Mapping):
        return None
    content = message.get("content")
    return Reply(
        text=content if isinstance(content, str) else "",
        refusal=str(message.get("refusal") or ""),
        ended={"length": "length", "content_filter": "filter"}.get(at(body, "choices", 0, "finish_reason") or "", ""),
        model=at(body, "model"),
        prompt_tokens=at(body, "usage", "prompt_tokens"),
        completion_tokens=at(body, "usage", "completion_tokens"),
        cached_tokens=at(body, "usage", "prompt_tokens_details", "cached_tokens") or 0,
        logprob=_sum(at(body, "choices", 0, "logprobs", "content")),
    )


def read_response(body: Any) -> Reply | None:
    """What a response says; None where it is none."""
    if not isinstance(at(body, "output"), list):
        return None
    parts = [
        part for item in body["output"] if at(item, "type") == "message" for part in at(item, "content") or [] if part
    ]
    texts = [part for part in parts if at(part, "type") == "output_text"]
    reason = at(body, "incomplete_details", "reason") or ""
    logprobs = [at(part, "logprobs") or [] for part in texts]
    return Reply(
        text="".join(str(at(part, "text") or "") for part in texts),
        refusal=" ".join(str(at(part, "refusal")) for part in parts if at(part, "type") == "refusal"),
        ended={"max_output_tokens": "length", "content_filter": "filter"}.get(reason, ""),
        model=at(body, "model"),
        prompt_tokens=at(body, "usage", "input_tokens"),
        completion_tokens=at(body, "usage", "output_tokens"),
        cached_tokens=at(body, "usage", "input_tokens_details", "cached_tokens") or 0,
        logprob=_sum([each for some in logprobs for each in some]),
    )


def _messages(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _sum(tokens: Any) -> float | None:
    """The sum of the tokens' logarithms of probability; None where there are none."""
    if not isinstance(tokens, list) or not tokens:
        return None
    return sum(float(at(token, "logprob") or 0.0) for token in tokens)
