"""The responses API, and Azure's addresses and keys."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from rrgbench_openai.chat import OpenAIChat

from rrgbench.errors import LLMError, UsageError
from rrgbench.types import Completion, Message

from .serving import KEY, Server, chat

ASK = [Message("system", "You are a radiologist."), Message("user", "Small left effusion.")]
SCHEMA = {"type": "object", "properties": {"report": {"type": "string"}}, "required": ["report"]}
AZURE_KEY = "azure-key-0123456789abcdef"


def complete(llm: OpenAIChat, schema: dict[str, Any] | None = None) -> Completion:
    async def once() -> Completion:
        try:
            return await llm.complete(ASK, schema)
        finally:
            await llm.aclose()

    return asyncio.run(once())


def response(*content: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "status": "completed",
        "model": "served-model",
        "output": [
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "message", "role": "assistant", "status": "completed", "content": list(content)},
        ],
        "usage": {
            "input_tokens": 20,
            "output_tokens": 6,
            "total_tokens": 26,
            "input_tokens_details": {"cached_tokens": 8},
        },
        **more,
    }


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "output_text", "text": words, "annotations": [], **more}


# --- responses --------------------------------------------------------------------------------------------------------


def test_a_response_is_asked_for_and_read_and_not_stored(server: Server) -> None:
    logprobs = [{"token": "A", "logprob": -0.5}, {"token": "b", "logprob": -0.25}]
    server.answer = lambda body: (200, {}, response(text("A small left "), text("effusion.", logprobs=logprobs)))
    llm = OpenAIChat(model="m", base_url=server.url, api="responses", top_p=0.9, logprobs=True)
    assert complete(llm, SCHEMA) == Completion("A small left effusion.", "served-model", 20, 6, 0.0, -0.75)
    assert server.paths == ["/v1/responses"]
    assert server.asked[0][1] == {
        "model": "m",
        "input": [
            {"role": "system", "content": "You are a radiologist."},
            {"role": "user", "content": "Small left effusion."},
        ],
        "max_output_tokens": 1024,
        "store": False,
        "temperature": 0.0,
        "top_p": 0.9,
        "include": ["message.output_text.logprobs"],
        "text": {"format": {"type": "json_schema", "name": "reply", "schema": SCHEMA}},
    }


@pytest.mark.parametrize(
    ("body", "kind", "retry"),
    [
        (response({"type": "refusal", "refusal": "I can't help."}), "refused", False),
        (
            response(text("The he"), status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
            "truncated",
            False,
        ),
        (response(text(""), status="incomplete", incomplete_details={"reason": "content_filter"}), "refused", False),
        (response(), "empty", False),
        (response(status="failed", error={"code": "server_error", "message": "oops"}), "server", True),
        ({"output": None}, "server", True),
        (chat("a chat completion"), "server", True),
    ],
)
def test_a_response_that_is_no_report_is_a_failure(server: Server, body: Any, kind: str, retry: bool) -> None:
    server.answer = lambda _: (200, {}, body)
    with pytest.raises(LLMError) as caught:
        complete(OpenAIChat(model="m", base_url=server.url, api="responses"))
    assert (caught.value.kind, caught.value.retry) == (kind, retry)


# --- Azure ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def azure(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", AZURE_KEY)
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", server.url.removesuffix("/v1"))
    return server


def test_azure_with_an_api_version_is_asked_by_its_deployment(azure: Server) -> None:
    reply = complete(OpenAIChat(model="my-deployment", azure=True, api_version="2024-10-21"))
    assert reply.text == "A small left effusion."
    assert azure.paths == ["/openai/deployments/my-deployment/chat/completions?api-version=2024-10-21"]
    headers, body = azure.asked[0]
    assert headers["api-key"] == AZURE_KEY and KEY not in str(headers)
    assert body["max_completion_tokens"] == 1024


def test_azure_without_one_is_asked_by_its_v1_api(azure: Server) -> None:
    complete(OpenAIChat(model="my-deployment", azure=True))
    endpoint = azure.url.removesuffix("/v1")
    complete(OpenAIChat(model="my-deployment", azure=True, base_url=f"{endpoint}/openai/v1/"))
    assert azure.paths == ["/openai/v1/chat/completions"] * 2
    headers, body = azure.asked[0]
    assert headers["authorization"] == f"Bearer {AZURE_KEY}" and body["model"] == "my-deployment"


def test_azures_host_is_a_remote_one_and_its_price_is_nobodys_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", AZURE_KEY)
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://hospital.openai.azure.com")
    llm = OpenAIChat(model="gpt-4o", azure=True)
    assert llm.host == "hospital.openai.azure.com" and llm.price(10, 10) is None
    assert "https://hospital.openai.azure.com" in llm.signature
    assert AZURE_KEY not in repr(vars(llm)) + llm.signature


def test_azures_key_is_in_no_message(azure: Server) -> None:
    azure.answer = lambda body: (400, {}, {"error": {"message": f"bad header {AZURE_KEY}"}})
    with pytest.raises(LLMError) as caught:
        complete(OpenAIChat(model="m", azure=True))
    assert "[key]" in str(caught.value) and AZURE_KEY not in str(caught.value)
    azure.answer = lambda body: (401, {}, {"error": {"message": f"wrong key {AZURE_KEY}"}})
    with pytest.raises(LLMError, match="AZURE_OPENAI_API_KEY"):
        complete(OpenAIChat(model="m", azure=True))


def test_what_azure_lacks_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="AZURE_OPENAI_ENDPOINT"):
        OpenAIChat(model="m", azure=True)
    with pytest.raises(UsageError, match="azure=true"):
        OpenAIChat(model="m", api_version="2024-10-21")
