"""The Batch API: requests as a file of JSON lines, replies as another, within a day. (OpenAI, "Batch API" guide.)"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import count
from typing import Any

import openai

from rrgbench.errors import LLMError

RETRIES = 3  # the SDK's own; never for the creation of a batch, which would make two
LOOKED_AT = 1000  # batches, the newest first, among which one of a given name is looked for
_ENDED = ("completed", "expired", "cancelled")


async def submit(client: openai.AsyncOpenAI, endpoint: str, name: str, bodies: Mapping[str, Mapping[str, Any]]) -> str:
    """Upload requests by id and make a batch of them; its id."""
    lines = (
        json.dumps({"custom_id": each, "method": "POST", "url": endpoint, "body": body})
        for each, body in bodies.items()
    )
    content = "\n".join(lines).encode()
    try:
        file = await client.with_options(max_retries=RETRIES).files.create(
            file=(f"{name}.jsonl", content), purpose="batch"
        )
        made: Any = await client.batches.create(
            input_file_id=file.id,
            endpoint=endpoint,  # type: ignore[arg-type]
            completion_window="24h",
            metadata={"rrgbench": name},
        )
    except openai.NotFoundError:
        raise LLMError("request", "the server has no Batch API at this address: leave batch=true out") from None
    return str(made.id)


async def find(client: openai.AsyncOpenAI, name: str) -> str | None:
    """The id of the batch that was made under a name."""
    seen = count(1)
    async for batch in client.with_options(max_retries=RETRIES).batches.list(limit=100):
        if (batch.metadata or {}).get("rrgbench") == name:
            return batch.id
        if next(seen) >= LOOKED_AT:
            return None
    return None


async def collect(client: openai.AsyncOpenAI, batch: str) -> list[dict[str, Any]] | None:
    """The lines of what came back, errors among them; None while it is under way. Raises LLMError where it failed."""
    client = client.with_options(max_retries=RETRIES)
    try:
        state = await client.batches.retrieve(batch)
        if state.status == "failed":
            problems = (state.errors.data if state.errors else None) or []
            says = "; ".join(f"{each.code}: {each.message}" for each in problems) or "for no reason that it names"
            wrong_model = any(each.code == "model_not_found" for each in problems)
            raise LLMError("model" if wrong_model else "request", says)
        if state.status not in _ENDED:
            return None
        files = [file for file in (state.output_file_id, state.error_file_id) if file]
        contents = [(await client.files.content(file)).content for file in files]
    except openai.NotFoundError:
        raise LLMError("request", "the server doesn't know it, or no longer has its files") from None
    return [json.loads(line) for content in contents for line in content.split(b"\n") if line.strip()]
