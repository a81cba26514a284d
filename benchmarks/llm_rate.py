"""The rate of LLM calls through rrgbench, and its memory: ``python benchmarks/llm_rate.py [CALLS] [CALLS_OF_MEMORY]``.

A server in a process of its own takes 64 calls at a time and answers each after 500 ms. A whole run (phantom, oracle,
zero-shot; fresh folders and cache) and a bare loop over the openai SDK's client ask it as often, in turns, after a run
that isn't counted. Printed are the calls a second of the run's write stage and of the bare loop, and the ratio of their
medians: the aim is .97 at least. The CPU time a call, which a busy machine disturbs less, stands beside it.

Then a run of many more calls, against the same server without its delay: its memory after a tenth of the reports and
after all of them.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import openai

from rrgbench import harness, runs

AT_ONCE, DELAY, TURNS, AIM = 64, 0.5, 5, 0.97
PARTS: dict[str, Any] = {
    "encoder": "oracle",
    "prompt": "zero-shot:indication=true",
    "metric": ["rouge_l"],
    "resamples": 0,
}
REPLY = (
    "FINDINGS: The heart is enlarged. There is a small left pleural effusion. IMPRESSION: Cardiomegaly and effusion."
)


# --- the server -------------------------------------------------------------------------------------------------------


async def serve(delay: float) -> None:
    """Chat completions over HTTP/1.1, so many at a time. The port goes to stdout, and how many calls there were."""
    body = json.dumps(
        {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": REPLY}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 200, "completion_tokens": 30, "total_tokens": 230},
        }
    ).encode()
    reply = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
    places = asyncio.Semaphore(AT_ONCE)

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(length)
            async with places:
                await asyncio.sleep(delay)
                writer.write(reply)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def server(delay: float) -> Iterator[str]:
    """A server; its base URL."""
    command = [sys.executable, __file__, "--serve", str(delay)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
        finally:
            process.kill()


# --- the two clients --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Took:
    """How many calls there were, and the seconds that they took on the wall and of this process's CPU time."""

    calls: int
    wall: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.calls / self.wall:.1f} a second, {self.cpu / self.calls * 1000:.2f} ms of CPU each"


def run(calls: int, url: str, out: Path) -> Took:
    """The write stage of a run over phantom studies. Two with one prompt are one call."""
    llm = f"openai:model=m,base_url={url},concurrency={AT_ONCE}"
    data = {"dataset": f"phantom:n={calls * 2}", "split": "train", "limit": round(calls * 1.25)}
    cpu, write = [], harness.write

    async def timed(*arguments: Any) -> None:
        started = time.process_time()
        await write(*arguments)
        cpu.append(time.process_time() - started)

    with mock.patch.object(harness, "write", timed):
        (result,) = harness.run(**PARTS, **data, llm=llm, out=out).runs
    assert result.folder and result.complete
    records = [json.loads(line) for line in (result.folder / "reports.jsonl").read_text().splitlines()]
    made = sum(record["calls"] - record["calls_from_cache"] for record in records)
    return Took(made, result.manifest["seconds"]["write"], cpu[0])


async def bare(prompts: list[list[dict[str, str]]], url: str) -> Took:
    """The SDK alone."""
    wall, cpu = time.monotonic(), time.process_time()
    client = openai.AsyncOpenAI(api_key="none", base_url=url, max_retries=0)
    queue, texts = iter(prompts), []

    async def worker() -> None:
        for messages in queue:
            reply = await client.chat.completions.create(
                model="m",
                messages=messages,  # type: ignore[arg-type]
                max_tokens=1024,
                temperature=0.0,
                seed=0,
            )
            texts.append(reply.choices[0].message.content)

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    await client.close()
    return Took(len(texts), time.monotonic() - wall, time.process_time() - cpu)


def rates(calls: int) -> bool:
    """Both rates and their ratio; whether it is what it should be."""
    prompt = "Findings:\n" + "There is no pleural effusion, pneumothorax or consolidation. " * 12
    prompts = [[{"role": role, "content": f"{n}: {prompt}"} for role in ("system", "user")] for n in range(2 * calls)]
    ours: list[Took] = []
    theirs: list[Took] = []
    with server(DELAY) as url, tempfile.TemporaryDirectory() as out:
        number = run(calls, url, Path(out, "first")).calls  # not counted: it imports what both need
        for turn in range(TURNS):
            for measured in (ours, theirs) if turn % 2 else (theirs, ours):
                fresh = Path(out, str(turn))
                measured.append(
                    run(calls, url, fresh) if measured is ours else asyncio.run(bare(prompts[:number], url))
                )
            print(f"{number} calls: rrgbench {ours[-1]}; bare SDK {theirs[-1]}", flush=True)
    rate, cpu = (
        statistics.median(value(took) for took in ours) / statistics.median(value(took) for took in theirs)
        for value in (lambda took: took.calls / took.wall, lambda took: took.cpu / took.calls)
    )
    print(f"{AT_ONCE} at a time, {DELAY:g} s each, so at most {AT_ONCE / DELAY:.0f} a second: ", end="")
    print(f"ratio of the rates {rate:.3f} (aim {AIM}), of the CPU time {cpu:.2f}")
    return rate >= AIM


def memory(calls: int) -> None:
    """The resident memory after a tenth of the reports and after all."""
    append, sizes = runs.RunFolder.append, []

    def counted(self: runs.RunFolder, record: Any) -> None:
        append(self, record)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        sizes.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)

    counting = mock.patch.object(runs.RunFolder, "append", counted)
    with counting, server(0.0) as url, tempfile.TemporaryDirectory() as out:
        took = run(calls, url, Path(out))
    tenth = len(sizes) // 10
    grown = (sizes[-1] - sizes[tenth]) * 1024 / (len(sizes) - tenth)
    print(f"{took.calls} calls, {took}; {sizes[tenth]:.0f} MiB after {tenth} reports, ", end="")
    print(f"{sizes[-1]:.0f} MiB after {len(sizes)}: {grown:.2f} KiB a report")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        asyncio.run(serve(float(sys.argv[2])))
    numbers = [int(each) for each in sys.argv[1:]] or [1280, 24_000]
    reached = rates(numbers[0])
    memory(numbers[-1])
    sys.exit(not reached)
