"""The Batch API, against a server that has one: files of JSON lines up and down, batches, a day in between."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rrgbench_openai.chat import OpenAIChat

from rrgbench import harness
from rrgbench.errors import LLMError, RunError
from rrgbench.types import Completion, Message

from .serving import KEY, Answer, Server, chat, error

REQUESTS = {f"key-{n}": ([Message("user", f"Effusion {n}.")], None) for n in range(4)}


class BatchServer(Server):
    """It has files and batches; ``finish`` answers the requests of all batches that are under way."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        super().__init__()

    def respond(self, method: str, path: str, headers: dict[str, str], data: bytes) -> Answer:
        path = path.split("?")[0].removeprefix("/v1")
        if (method, path) == ("POST", "/files"):
            name = f"file-{len(self.files)}"
            assert b'name="purpose"\r\n\r\nbatch' in data
            content = re.search(rb'filename="[^"]+\.jsonl"\r\n.*?\r\n\r\n(.*?)\r\n--', data, re.DOTALL)
            assert content
            self.files[name] = content[1]
            return 200, {}, {"id": name, "object": "file", "purpose": "batch", "filename": "x", "bytes": 1}
        if (method, path) == ("POST", "/batches"):
            name = f"batch-{len(self.batches)}"
            self.batches[name] = {"id": name, "object": "batch", "status": "validating", **json.loads(data)}
            return 200, {}, self.batches[name]
        if path == "/batches":
            newest = list(reversed(self.batches.values()))
            return 200, {}, {"object": "list", "data": newest, "has_more": False}
        if path.startswith("/batches/"):
            found = self.batches.get(path.removeprefix("/batches/"))
            return (200, {}, found) if found else (404, {}, error("no such batch"))
        if path.startswith("/files/"):
            return 200, {"content-type": "application/octet-stream"}, self.files[path.split("/")[2]]
        return super().respond(method, path, headers, data)

    def requests(self, batch: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.files[self.batches[batch]["input_file_id"]].splitlines()]

    def finish(self, status: str = "completed", **special: dict[str, Any]) -> None:
        for name, batch in self.batches.items():
            if batch["status"] == "validating":
                lines = [special.get(each["custom_id"], good(each)) for each in self.requests(name)]
                fine = [line for line in lines if not line["error"]]
                for key, some in (("output_file_id", fine), ("error_file_id", [x for x in lines if x["error"]])):
                    if some:
                        self.files[f"{name}-{key}"] = "\n".join(
                            json.dumps(x, ensure_ascii=False) for x in some
                        ).encode()
                        batch[key] = f"{name}-{key}"
                batch["status"] = status


def good(request: dict[str, Any]) -> dict[str, Any]:
    if "input" in request["body"]:
        content = [{"type": "output_text", "text": "FINDINGS: Edema."}]
        body = {"status": "completed", "output": [{"type": "message", "content": content}]}
        return line(request["custom_id"], 200, body)
    # U+2028 ends a line for Python, not for JSON lines.
    return line(request["custom_id"], 200, chat(f"Said:\u2028 {request['body']['messages'][-1]['content']}"))


def line(key: str, status: int, body: dict[str, Any] | None, **problem: str) -> dict[str, Any]:
    response = {"status_code": status, "request_id": "r", "body": body} if body else None
    return {"id": "1", "custom_id": key, "response": response, "error": problem or None}


@pytest.fixture
def office(start: Callable[..., Server]) -> BatchServer:
    server = start(BatchServer)
    assert isinstance(server, BatchServer)
    return server


def call(llm: OpenAIChat, method: str, *arguments: Any) -> Any:
    async def once() -> Any:
        try:
            return await getattr(llm, method)(*arguments)
        finally:
            await llm.aclose()

    return asyncio.run(once())


def test_a_batch_is_submitted_and_collected_by_another_process(office: BatchServer) -> None:
    llm = OpenAIChat(model="gpt-4o", base_url=office.url, batch=True)
    batch = call(llm, "submit", "rrgbench-abc", REQUESTS)
    assert office.batches[batch]["endpoint"] == "/v1/chat/completions"
    assert office.batches[batch]["completion_window"] == "24h"
    assert office.requests(batch)[0] == {
        "custom_id": "key-0",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {
            "model": "gpt-4o",
            "messages": [{"role": "user", "content": "Effusion 0."}],
            "max_tokens": 1024,
            "temperature": 0.0,
            "seed": 0,
        },
    }
    again = OpenAIChat(model="gpt-4o", base_url=office.url, batch=True)
    assert call(again, "collect", batch) is None
    assert call(again, "submitted", "rrgbench-abc") == batch and call(again, "submitted", "rrgbench-x") is None
    office.finish()
    replies = call(again, "collect", batch)
    assert replies == {
        f"key-{n}": Completion(f"Said:\u2028 Effusion {n}.", "served-model", 20, 6, 0.0) for n in range(4)
    }


def test_each_line_is_a_reply_or_an_error_of_its_own_kind(office: BatchServer) -> None:
    llm = OpenAIChat(model="m", base_url=office.url, batch=True)
    batch = call(llm, "submit", "n", {f"key-{n}": REQUESTS["key-0"] for n in range(7)})
    office.finish(
        "expired",
        **{
            "key-1": line("key-1", 200, chat(None, refusal="No.")),
            "key-2": line("key-2", 0, None, code="batch_expired", message="too late"),
            "key-3": line("key-3", 500, error("oops"), code="x", message="y"),
            "key-4": line("key-4", 400, error("too long"), code="x", message="too long"),
            "key-5": line("key-5", 200, chat("The he", finish_reason="length")),
            "key-6": line("key-6", 404, error("no such model", code="model_not_found")),
        },
    )
    replies = call(llm, "collect", batch)
    assert isinstance(replies.pop("key-0"), Completion)
    assert {key: (reply.kind, reply.retry) for key, reply in replies.items()} == {
        "key-1": ("refused", False),
        "key-2": ("server", True),
        "key-3": ("server", True),
        "key-4": ("request", False),
        "key-5": ("truncated", False),
        "key-6": ("model", False),
    }


def test_a_batch_that_failed_says_why_and_one_that_is_gone_is_no_wrong_model(office: BatchServer) -> None:
    llm = OpenAIChat(model="m", base_url=office.url, batch=True)
    batch = call(llm, "submit", "n", REQUESTS)
    problem = {"code": "token_limit_exceeded", "message": "Enqueued token limit reached", "line": None, "param": None}
    office.batches[batch] |= {"status": "failed", "errors": {"object": "list", "data": [problem]}}
    with pytest.raises(LLMError, match="token_limit_exceeded: Enqueued") as caught:
        call(llm, "collect", batch)
    assert (caught.value.kind, caught.value.retry) == ("request", False)
    problem["code"] = "model_not_found"
    with pytest.raises(LLMError) as caught:
        call(llm, "collect", batch)
    assert caught.value.fatal
    with pytest.raises(LLMError, match="doesn't know it") as caught:
        call(llm, "collect", "batch-of-old")
    assert (caught.value.kind, caught.value.retry) == ("request", False)


def test_a_server_without_batches_says_so(server: Server) -> None:
    server.respond = lambda *request: (404, {}, error("not found"))  # type: ignore[method-assign]
    with pytest.raises(LLMError, match="no Batch API"):
        call(OpenAIChat(model="m", base_url=server.url, batch=True), "submit", "n", REQUESTS)


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_whole_run_ends_and_goes_on_days_later(office: BatchServer, tmp_path: Path, api: str) -> None:
    table = tmp_path / "t.csv"
    studies = [f"s{n},Edema,Edema is seen.,case {n}" for n in range(5)]
    table.write_text("\n".join(["study_id,labels,s_findings,s_indication", *studies]))

    def run() -> Any:
        (result,) = harness.run(
            dataset=f"table:path={table},labels=labels,sections=s_,terms=open",
            encoder="oracle",
            prompt="zero-shot:indication=true",
            llm=f"openai:model=m,base_url={office.url},batch=true,api={api}",
            metric=["rouge_l"],
            resamples=0,
            out=tmp_path / "runs",
        ).runs
        return result

    assert run().summary["failures"] == {"pending": 5}
    assert run().summary["failures"] == {"pending": 5} and len(office.batches) == 1
    assert {each["url"] for each in office.requests("batch-0")} == {
        f"/v1/{'chat/completions' if api == 'chat' else api}"
    }
    office.finish()
    assert run().complete and len(office.batches) == 1 and not office.asked
    files = [file for file in (tmp_path / "runs").rglob("*") if file.is_file()]
    assert not any(KEY.encode() in file.read_bytes() for file in files)


def test_a_wrong_key_ends_a_submission_in_words(server: Server, tmp_path: Path) -> None:
    server.respond = lambda *request: (401, {}, error(f"Incorrect API key: {KEY}"))  # type: ignore[method-assign]
    with pytest.raises(RunError, match="OPENAI_API_KEY is missing, wrong") as caught:
        harness.run(
            dataset="phantom:n=40",
            limit=2,
            encoder="oracle",
            llm=f"openai:model=m,base_url={server.url},batch=true",
            out=tmp_path,
        )
    assert KEY not in str(caught.value)
