"""OpenAIChat against real HTTP servers on 127.0.0.1: one that misbehaves on demand, and llama.cpp's own."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest
from rrgbench_openai.chat import OpenAIChat

from rrgbench.errors import LLMError, UsageError
from rrgbench.interfaces import LLM
from rrgbench.types import Completion, Message

from .serving import KEY, Answer, Server, chat, error

ASK = [Message("system", "You are a radiologist."), Message("user", "Small left effusion.")]
SCHEMA = {"type": "object", "properties": {"report": {"type": "string", "maxLength": 40}}, "required": ["report"]}


def complete(llm: OpenAIChat, schema: dict[str, Any] | None = None) -> Completion:
    async def once() -> Completion:
        try:
            return await llm.complete(ASK, schema)
        finally:
            await llm.aclose()

    return asyncio.run(once())


def failure(server: Server, answer: Answer, **options: Any) -> LLMError:
    server.answer = lambda body: answer
    with pytest.raises(LLMError) as caught:
        complete(OpenAIChat(model="gpt-4", base_url=server.url, **options))
    assert len(server.asked) == 1, "a retry is the core's to make"
    assert KEY not in str(caught.value)
    return caught.value


def test_a_reply_carries_the_servers_model_and_the_tokens(server: Server) -> None:
    llm = OpenAIChat(model="gpt-4", base_url=server.url)
    assert isinstance(llm, LLM)
    assert complete(llm) == Completion("A small left effusion.", "served-model", 20, 6, cost=0.0)
    headers, body = server.asked[0]
    assert headers["authorization"] == f"Bearer {KEY}"
    assert body == {
        "model": "gpt-4",
        "messages": [
            {"role": "system", "content": "You are a radiologist."},
            {"role": "user", "content": "Small left effusion."},
        ],
        "max_tokens": 1024,
        "temperature": 0.0,
        "seed": 0,
    }


def test_options_reach_the_server_and_none_leaves_one_out(server: Server) -> None:
    complete(OpenAIChat(model="m", base_url=server.url, temperature=None, seed=None, max_tokens=7, top_p=0.9))
    body = server.asked[0][1]
    assert body["max_tokens"] == 7 and body["top_p"] == 0.9
    assert "temperature" not in body and "seed" not in body


def test_each_sample_of_the_same_prompt_has_a_seed_of_its_own(server: Server) -> None:
    async def samples(llm: OpenAIChat) -> None:
        for sample in range(3):
            await llm.complete(ASK, sample=sample)
        await llm.aclose()

    asyncio.run(samples(OpenAIChat(model="m", base_url=server.url, seed=7)))
    asyncio.run(samples(OpenAIChat(model="m", base_url=server.url, seed=None)))
    assert [body.get("seed") for _, body in server.asked] == [7, 8, 9, None, None, None]


def test_logprobs_are_asked_for_and_summed(server: Server) -> None:
    said = chat("Normal.")
    said["choices"][0]["logprobs"] = {"content": [{"token": "Normal", "logprob": -0.25}, {"token": ".", "logprob": -1}]}
    server.answer = lambda body: (200, {}, said)
    assert complete(OpenAIChat(model="m", base_url=server.url, logprobs=True)).logprob == pytest.approx(-1.25)
    assert server.asked[0][1]["logprobs"] is True


def test_a_schema_is_sent_as_response_format(server: Server) -> None:
    complete(OpenAIChat(model="m", base_url=server.url), SCHEMA)
    form = server.asked[0][1]["response_format"]
    assert form == {"type": "json_schema", "json_schema": {"name": "reply", "schema": SCHEMA}}


def test_a_reply_without_usage_is_a_reply(server: Server) -> None:
    server.answer = lambda body: (200, {}, chat("Normal.", usage=None))
    reply = complete(OpenAIChat(model="m", base_url=server.url))
    assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == ("Normal.", None, None)


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0.25"}, 0.25),
        ({"Retry-After-Ms": "1500", "Retry-After": "9"}, 1.5),
        ({"Retry-After": "-3"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "inf"}, None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1s"}, 1.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, 360.0),
        ({"x-ratelimit-remaining-tokens": "9000", "x-ratelimit-reset-tokens": "6m0s"}, None),
        ({"Retry-After": "2", "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, 2.0),
    ],
)
def test_429_may_be_tried_again_after_what_the_server_asks(
    server: Server, headers: dict[str, str], wait: float | None
) -> None:
    raised = failure(server, (429, headers, error("slow down")))
    assert (raised.kind, raised.retry) == ("rate limit", True)
    assert raised.wait == (None if wait is None else pytest.approx(wait))
    assert "slow down" in str(raised)


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({}, 0.0),
        ({"x-ratelimit-remaining-requests": "59", "x-ratelimit-reset-requests": "1s"}, 0.0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "120ms"}, 0.12),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1h2m3.5s"}, 3723.5),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "2"}, 2.0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "soon"}, 0.0),
        # The next call may use 20 tokens for its prompt and 1024 for its reply.
        ({"x-ratelimit-remaining-tokens": "1043", "x-ratelimit-reset-tokens": "3s"}, 3.0),
        ({"x-ratelimit-remaining-tokens": "1044", "x-ratelimit-reset-tokens": "3s"}, 0.0),
    ],
)
def test_a_good_reply_says_when_its_limits_are_nearly_spent(
    server: Server, headers: dict[str, str], pause: float
) -> None:
    server.answer = lambda body: (200, headers, chat("Normal."))
    assert complete(OpenAIChat(model="m", base_url=server.url)).pause == pytest.approx(pause)


@pytest.mark.parametrize(("ahead", "wait"), [(3600, 3600.0), (-3600, 0.0)])
def test_429_may_name_the_time_of_day(server: Server, ahead: float, wait: float) -> None:
    headers = {"Retry-After": formatdate(time.time() + ahead, usegmt=True)}
    assert failure(server, (429, headers, error("slow down"))).wait == pytest.approx(wait, abs=60)


@pytest.mark.parametrize(
    ("status", "body", "kind", "retry"),
    [
        (400, error("context length exceeded"), "request", False),
        (422, error("bad field"), "request", False),
        (400, error("blocked", code="content_filter"), "refused", False),
        (401, error(f"Incorrect API key provided: {KEY}"), "auth", False),
        (403, error("country not supported"), "auth", False),
        (404, error("no such model"), "model", False),
        (403, error("this project may not use it", code="model_not_found"), "model", False),
        (429, error("Request too large for gpt-4 on tokens per min (TPM): Limit 10, Requested 20"), "request", False),
        (408, error("slow"), "server", True),
        (429, error("you ran out of credit", code="insufficient_quota"), "quota", False),
        (500, b"<html>oops</html>", "server", True),
        (503, error("overloaded"), "server", True),
    ],
)
def test_an_http_error_says_what_happened_and_whether_to_try_again(
    server: Server, status: int, body: bytes | dict[str, Any], kind: str, retry: bool
) -> None:
    raised = failure(server, (status, {}, body))
    assert (raised.kind, raised.retry) == (kind, retry)
    assert f"127.0.0.1:{server.http.server_port} answers {status}" in str(raised)


def test_a_server_that_echoes_the_key_does_not_get_it_into_a_message(server: Server) -> None:
    raised = failure(server, (400, {}, error(f"bad header 'Bearer {KEY}'\nin request " + "x" * 5000)))
    assert "[key]" in str(raised)
    assert "\n" not in str(raised) and len(str(raised)) < 400


@pytest.mark.parametrize(
    ("body", "kind", "retry"),
    [
        (chat(None), "empty", False),
        (chat(" \n"), "empty", False),
        (chat(None, refusal="I can't help with that."), "refused", False),
        (chat("half a", finish_reason="content_filter"), "refused", False),
        (chat("The heart is", finish_reason="length"), "truncated", False),
        (b"{not json", "server", True),
        (b"", "server", True),
        ([], "server", True),
        ({}, "server", True),
        ({"choices": []}, "server", True),
        ({"choices": [{}]}, "server", True),
        ({"choices": [{"message": {}}]}, "empty", False),
    ],
)
def test_a_reply_that_is_no_report_is_a_failure(server: Server, body: Any, kind: str, retry: bool) -> None:
    raised = failure(server, (200, {}, body))
    assert (raised.kind, raised.retry) == (kind, retry)


def test_what_a_reply_that_is_no_report_cost_is_known(server: Server) -> None:
    for body in (
        chat("The heart is", finish_reason="length"),
        chat(None, refusal="No."),
        chat(""),
        chat("x", "content_filter"),
    ):
        server.asked.clear()
        paid = failure(server, (200, {}, body)).paid
        assert paid and (paid.prompt_tokens, paid.completion_tokens) == (20, 6)


def test_a_body_that_is_cut_may_be_tried_again(server: Server) -> None:
    raised = failure(server, (200, {"cut": "40"}, chat("A small left effusion.")))
    assert (raised.kind, raised.retry) == ("connection", True)


def test_a_web_page_in_place_of_a_reply_hints_at_base_url(server: Server) -> None:
    raised = failure(server, (200, {"content-type": "text/html"}, b"<html>welcome</html>"))
    assert raised.kind == "server" and "/v1" in str(raised)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_and_only_its_host_is_named(
    server: Server, start: Callable[[], Server], status: int
) -> None:
    other = start()
    where = f"http://user:hunter2@localhost:{other.http.server_port}/v1/chat/completions?token=abc"
    raised = failure(server, (status, {"Location": where}, b""))
    assert (raised.kind, raised.retry) == ("redirect", False)
    assert "localhost" in str(raised)
    assert not any(secret in str(raised) for secret in ("hunter2", "token", "abc"))
    assert other.asked == []


@pytest.mark.parametrize("delay", ["hangs", "trickles"])
def test_a_server_that_is_too_slow_is_a_timeout(server: Server, delay: str) -> None:
    def slow(body: dict[str, Any]) -> Answer:
        if delay == "hangs":
            time.sleep(1.0)
        return 200, {"pause": "0.05"}, chat("late")

    server.answer = slow
    started = time.monotonic()
    with pytest.raises(LLMError, match=r"no reply within 0\.2 s") as caught:
        complete(OpenAIChat(model="m", base_url=server.url, timeout=0.2))
    assert (caught.value.kind, caught.value.retry) == ("timeout", True)
    assert time.monotonic() - started < 0.9


def test_no_server_at_all_may_be_tried_again(server: Server) -> None:
    url = server.url
    server.close()
    with pytest.raises(LLMError, match=r"no connection to 127\.0\.0\.1:\d+") as caught:
        complete(OpenAIChat(model="m", base_url=url, timeout=5))
    assert (caught.value.kind, caught.value.retry) == ("connection", True)


def test_the_key_is_nowhere_on_the_part(server: Server) -> None:
    llm = OpenAIChat(model="m", base_url=server.url)
    assert KEY not in repr(llm) + repr(vars(llm)) + llm.signature


def test_without_key_and_server_one_message_says_what_to_set_and_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(UsageError) as caught:
        OpenAIChat(model="gpt-4")
    for words in ("OPENAI_API_KEY", "base_url=http://127.0.0.1:8000/v1", "--llm local", "--llm template"):
        assert words in str(caught.value)


def test_a_server_of_ones_own_needs_no_key(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    complete(OpenAIChat(model="m", base_url=server.url))
    assert server.asked[0][0]["authorization"] == "Bearer none"


def test_a_broken_key_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-first\nsk-second")
    with pytest.raises(UsageError, match="OPENAI_API_KEY") as caught:
        OpenAIChat(model="gpt-4")
    assert "sk-" not in str(caught.value)


@pytest.mark.parametrize(
    ("base_url", "host"),
    [
        (None, "api.openai.com"),
        ("https://llm.example.org/v1", "llm.example.org"),
        ("http://LLM.example.org:8080/v1/", "llm.example.org"),
        ("http://10.1.2.3:8000/v1", "10.1.2.3"),
        ("http://127.0.0.1:8000/v1", None),
        ("http://127.9.9.9/v1", None),
        ("http://[::1]:8000/v1", None),
        ("http://localhost:8000", None),
        ("http://127.0.0.1.example.org/v1", "127.0.0.1.example.org"),
        ("http://localhost.example.org/v1", "localhost.example.org"),
        ("http://0.0.0.0:8000/v1", "0.0.0.0"),
    ],
)
def test_host_is_where_the_text_goes_and_none_on_this_machine(base_url: str | None, host: str | None) -> None:
    assert OpenAIChat(model="m", base_url=base_url).host == host


def test_the_sdks_own_variable_moves_host_and_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    assert OpenAIChat(model="m").signature == ""
    monkeypatch.setenv("OPENAI_BASE_URL", "https://llm.example.org/v1")
    llm = OpenAIChat(model="m")
    assert llm.host == "llm.example.org"
    assert "https://llm.example.org/v1" in llm.signature
    assert OpenAIChat(model="m", base_url="http://127.0.0.1:1/v1").host is None


@pytest.mark.parametrize(
    "base_url",
    [
        "http://user:hunter2@127.0.0.1:8000/v1",
        "http://hunter2@127.0.0.1/v1",
        "http://127.0.0.1:8000/v1?key=hunter2",
        "http://127.0.0.1\\@hunter2.example.org/v1",
        "http://127.0.0.1#@hunter2.example.org/v1",
        "http://127.0.0.1\thunter2/v1",
        "ftp://hunter2/v1",
        "hunter2:8000/v1",
        "http:///hunter2",
        "http://hunter2.example.org/v1\n",
    ],
)
def test_an_address_with_a_secret_or_a_trick_in_it_is_refused_and_not_shown(base_url: str) -> None:
    with pytest.raises(UsageError, match="base_url") as caught:
        OpenAIChat(model="m", base_url=base_url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("options", [{"model": " "}, {"max_tokens": 0}, {"timeout": -1.0}, {"concurrency": 0}])
def test_an_option_out_of_range_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        OpenAIChat(**{"model": "m", **options})


def test_a_proxy_gets_nothing_that_is_meant_for_this_machine(
    server: Server, start: Callable[[], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = start()
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url.removesuffix("/v1"))
    complete(OpenAIChat(model="m", base_url=server.url))
    assert len(server.asked) == 1 and proxy.asked == []


def test_calls_run_at_once_in_one_event_loop_after_another(server: Server) -> None:
    llm = OpenAIChat(model="m", base_url=server.url, concurrency=4)
    assert llm.concurrency == 4
    waiting = threading.Barrier(4, timeout=5)

    def together(body: dict[str, Any]) -> Answer:
        waiting.wait()  # passes only when four calls are here at once
        return 200, {}, chat("ok")

    async def four(close: bool) -> list[str]:
        replies = await asyncio.gather(*(llm.complete(ASK) for _ in range(4)))
        if close:
            await llm.aclose()
        return [reply.text for reply in replies]

    server.answer = together
    assert asyncio.run(four(close=False)) == ["ok"] * 4  # its connections end with its loop
    assert asyncio.run(four(close=True)) == ["ok"] * 4
    assert asyncio.run(four(close=True)) == ["ok"] * 4
    gc.collect()  # what is not closed well complains here


def test_openais_own_host_gets_the_new_name_of_the_limit_and_a_price(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: resolve("127.0.0.1", *rest, **more))
    server.answer = lambda body: (200, {}, chat("Normal.", model="gpt-4-0613"))
    llm = OpenAIChat(model="gpt-4", base_url=f"http://api.openai.com:{server.http.server_port}/v1")
    assert llm.host == "api.openai.com"
    assert complete(llm).cost == pytest.approx((20 * 30 + 6 * 60) / 1e6)
    assert server.asked[0][1]["max_completion_tokens"] == 1024 and "max_tokens" not in server.asked[0][1]
    elsewhere = OpenAIChat(model="gpt-4", base_url=f"http://llm.example.org:{server.http.server_port}/v1")
    assert complete(elsewhere).cost is None


def test_the_plugin_registers_names_and_imports_no_sdk() -> None:
    code = """
import sys, rrgbench_openai
seen = {}
rrgbench_openai.rrgbench_register_llms(lambda name, target, **kw: seen.update({name: (target, kw.get("model"))}))
print(sorted((name, model) for name, (target, model) in seen.items()), "openai" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[('azure', None), ('gpt4', 'gpt-4'), ('gpt4o', 'gpt-4o'), ('openai', None)] False"


# A real server with a real, small model.


@pytest.fixture
def base_url(llama: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("OPENAI_API_KEY", llama.key)
    return str(llama.base_url)


def test_llama_cpp_serves_a_reply_and_a_schema(base_url: str) -> None:
    llm = OpenAIChat(model="smollm2", base_url=base_url, max_tokens=500)
    reply = complete(llm)
    assert reply.text.strip() and (reply.prompt_tokens or 0) > 10 and (reply.completion_tokens or 0) > 1
    assert isinstance(json.loads(complete(llm, SCHEMA).text)["report"], str)
    with pytest.raises(LLMError) as caught:
        complete(OpenAIChat(model="smollm2", base_url=base_url, max_tokens=1))
    assert caught.value.kind == "truncated"


def test_llama_cpp_serves_responses_and_logprobs(base_url: str) -> None:
    given: dict[str, Any] = {"model": "smollm2", "base_url": base_url, "max_tokens": 500}
    reply = complete(OpenAIChat(**given, api="responses", top_p=0.9))
    assert reply.text.strip() and (reply.prompt_tokens or 0) > 10 and reply.logprob is None
    logprob = complete(OpenAIChat(**given, logprobs=True)).logprob
    assert logprob is not None and logprob < 0


def test_llama_cpp_refuses_a_wrong_key_and_too_long_a_prompt(base_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    llm = OpenAIChat(model="smollm2", base_url=base_url)
    with pytest.raises(LLMError, match="exceeds the available context size") as caught:
        asyncio.run(llm.complete([Message("user", "word " * 3000)]))
    assert caught.value.kind == "request"
    monkeypatch.setenv("OPENAI_API_KEY", "wrong")
    with pytest.raises(LLMError) as caught:
        complete(OpenAIChat(model="smollm2", base_url=base_url))
    assert caught.value.kind == "auth"
