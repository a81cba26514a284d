"""Twenty attempts, numbered, to get credentialed text off this machine, and what else the gate promises.

Each attempt is made while every proxy variable points at a trap, a real server that counts what reaches it and answers
like a language model: text that leaves by any remote URL arrives there. ``test_the_trap_…`` proves that it would.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import re
import socketserver
import stat
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pandas as pd
import pytest
import yaml

import rrgbench
from rrgbench import attestation as attestations
from rrgbench import cli, governance, harness, hookimpl, hookspecs, leaderboard, planning, plugins
from rrgbench.config import RunConfig, check
from rrgbench.errors import RunError, UsageError
from rrgbench.interfaces import LLM, Ask, Dataset, Labeler, Metric
from rrgbench.labels import CHEXPERT
from rrgbench.types import Case, Completion, Context, Judged, Message, Report, Study
from tests.conftest import REPOSITORY
from tests.misbehaving import Length, folder_of

HERE = "tests.test_governance"
CANARY = "quetzalcoatl"  # a word of the reports that is nowhere else
KEY = "sk-a-key-that-must-not-be-written-0123456789"
REMOTE = "llm.example.com"


# --- the trap ---------------------------------------------------------------------------------------------------------


class Trap(socketserver.ThreadingTCPServer):
    """A server on 127.0.0.1 that keeps what it gets; it answers as a chat API does, or with a redirect."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, redirect: str | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.redirect = redirect
        self.connections = 0
        self.got = b""
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class _Answering(socketserver.StreamRequestHandler):
    server: Trap
    timeout = 5

    def handle(self) -> None:
        self.server.connections += 1
        head = b""
        while (line := self.rfile.readline()).strip():
            head += line
        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        self.server.got += head + self.rfile.read(int(length[1]) if length else 0)
        choice = {"index": 0, "message": {"role": "assistant", "content": "No edema."}, "finish_reason": "stop"}
        reply = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        body = json.dumps(reply).encode()
        status = f"307 Moved\r\nLocation: {self.server.redirect}" if self.server.redirect else "200 OK"
        top = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self.wfile.write(f"{top}Connection: close\r\n\r\n".encode() + body)


@pytest.fixture
def trap(monkeypatch: pytest.MonkeyPatch) -> Iterator[Trap]:
    """Where everything goes that leaves this machine by HTTP."""
    for name in [name for name in os.environ if name.startswith("OPENAI_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    with Trap() as server:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, server.url)
            monkeypatch.setenv(name.upper(), server.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        yield server
        server.shutdown()


# --- parts that send --------------------------------------------------------------------------------------------------


def post(host: str, text: str) -> str:
    """Send a text to a host, as a plugin's SDK would, through the proxy that the environment names."""
    opener = urllib.request.build_opener()  # urlopen would keep the proxy of the first test
    with opener.open(f"http://{host}/", text.encode(), timeout=5) as reply:
        return str(json.load(reply)["choices"][0]["message"]["content"])


class Sending:
    """A language model that says where it sends to, and may change its mind after ``calls`` calls."""

    version = "1"

    def __init__(
        self,
        host: str | None = REMOTE,
        then: str | None = None,
        calls: int = 0,
        api_key: str | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        self.host = host
        self._then, self._calls = then, calls

    async def complete(self, messages: Sequence[Message], schema: Any = None) -> Completion:
        if self.host:
            post(self.host, " ".join(message.content for message in messages))
        if self._then:
            self._calls -= 1
            self.host = self._then if self._calls < 1 else self.host
        return Completion("No edema.", "m")


class Silent:
    """A language model that doesn't say where it sends to."""

    version = "1"

    async def complete(self, messages: Sequence[Message], schema: Any = None) -> Completion:
        return Completion(post(REMOTE, messages[-1].content), "m")


class Lying(Silent):
    """One that calls its host by no name."""

    host = ""


class Judge(Length):
    """A metric that shows every report and reference to a language model."""

    def __init__(self, judge: LLM) -> None:
        super().__init__()
        self._judge = judge

    def rows(self, cases: Sequence[Any]) -> Any:
        for case in cases:
            asyncio.run(self._judge.complete([Message("user", f"{case.candidate} {case.reference}")]))
        return super().rows(cases)


class Asking:
    """A judge: it shows every report and reference to a language model through the core's ``ask``."""

    version = "1"
    needs = ("report", "reference")
    higher_is_better: ClassVar[dict[str, bool]] = {"asking": True}

    def __init__(self, judge: LLM) -> None:
        pass

    async def row(self, case: Case, ask: Ask) -> dict[str, float]:
        return {"asking": float(len((await ask([Message("user", f"{case.candidate} {case.reference}")])).text))}

    def reduce(self, rows: pd.DataFrame, weights: Any = None) -> Any:
        return {"asking": float(rows["asking"].mean())}

    def judged(self, rows: pd.DataFrame) -> dict[str, Judged]:
        return {"asking": Judged(len(rows.dropna()), len(rows) - len(rows.dropna()), float("nan"), float("nan"))}


class Panel(Length):
    """A metric made of metrics."""

    def __init__(self, members: list[Metric]) -> None:
        super().__init__()


class HostedLabeler:
    """A labeler behind an API."""

    version = "1"
    name = "hosted"
    vocabulary = CHEXPERT
    host = REMOTE

    def label(self, texts: Sequence[str]) -> pd.DataFrame:
        return pd.DataFrame([post(self.host, text) for text in texts])


class Labeled(Length):
    """A metric with a labeler."""

    def __init__(self, labeler: Labeler) -> None:
        super().__init__()


class HostedSystem:
    """A vision-language model behind an API."""

    version = "1"
    needs = ("images", "sections")
    host = REMOTE

    def generate(self, contexts: Sequence[Context]) -> Iterator[Report]:
        for context in contexts:
            yield Report(post(self.host, str(context)))


class HostedEncoder:
    """A classifier that is trained and asked behind an API."""

    version = "1"
    recipe = dict
    needs = ("images",)
    host = REMOTE

    def encode(self, contexts: Sequence[Context]) -> Any:
        return [post(self.host, str(context)) for context in contexts]

    def fit(self, train: Iterable[Study], validate: Iterable[Study], folder: Path) -> Any:
        post(self.host, str(list(train)))


class Wrapped:
    """A dataset around another, which calls itself open."""

    version = "1"
    terms = "open"
    vocabulary = CHEXPERT

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self.splits = dataset.splits

    def load(self, split: str | None) -> Any:
        return self._dataset.load(split)


class Stumbling(Length):
    """A metric that quotes a report in its error."""

    def rows(self, cases: Sequence[Any]) -> Any:
        raise ValueError(f"can't read {cases[0].reference}")


class DefaultJudge(Judge):
    """A judge that needs no option, so that a run without --metric would take it."""

    higher_is_better = {"default-judge": True}

    def __init__(self) -> None:
        super().__init__(Sending())
        self.host = REMOTE


class Plugin:
    name = value = "governance"
    dist = None

    def load(self) -> object:
        return self

    @hookimpl
    def rrgbench_register_datasets(self, register: hookspecs.Register) -> None:
        register("wrapped", f"{HERE}:Wrapped")

    @hookimpl
    def rrgbench_register_encoders(self, register: hookspecs.Register) -> None:
        register("hosted", f"{HERE}:HostedEncoder")

    @hookimpl
    def rrgbench_register_llms(self, register: hookspecs.Register) -> None:
        register("sending", f"{HERE}:Sending")
        register("silent", f"{HERE}:Silent")
        register("lying", f"{HERE}:Lying")

    @hookimpl
    def rrgbench_register_systems(self, register: hookspecs.Register) -> None:
        register("hosted", f"{HERE}:HostedSystem")

    @hookimpl
    def rrgbench_register_labelers(self, register: hookspecs.Register) -> None:
        register("hosted", f"{HERE}:HostedLabeler")

    @hookimpl
    def rrgbench_register_metrics(self, register: hookspecs.Register) -> None:
        register("length", "tests.misbehaving:Length")
        for name in ("Judge", "Asking", "Panel", "Labeled", "Stumbling"):
            register(name.lower(), f"{HERE}:{name}")


class WithDefaultJudge(Plugin):
    @hookimpl
    def rrgbench_register_metrics(self, register: hookspecs.Register) -> None:
        register("length", "tests.misbehaving:Length")
        register("default-judge", f"{HERE}:DefaultJudge")


def use(monkeypatch: pytest.MonkeyPatch, plugin: object) -> None:
    openai = [point for point in entry_points(group="rrgbench") if point.name == "openai"]
    there = plugins.load([*openai, plugin])  # type: ignore[list-item]
    assert [each.problem for each in there.plugins] == [None] * len(there.plugins)
    monkeypatch.setattr(plugins, "catalogue", lambda: there)


@pytest.fixture(autouse=True)
def _parts(monkeypatch: pytest.MonkeyPatch, trap: Trap) -> None:
    use(monkeypatch, Plugin())


# --- the world of an attempt ------------------------------------------------------------------------------------------


class Outcome(NamedTuple):
    code: int
    said: str


class World:
    """A credentialed table, and the command line in this process."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._capsys, self._monkeypatch = capsys, monkeypatch
        monkeypatch.chdir(folder)
        report = f"FINDINGS: The heart of this {CANARY} is enlarged. IMPRESSION: Cardiomegaly."
        lines = ["study_id,patient_id,split,labels,report"]
        for number in range(6):
            split, label = "test" if number < 3 else "train", ("Edema", "Pneumonia", "Fracture")[number % 3]
            lines.append(f's5000000{number},p1000000{number},{split},{label},"{report}"')  # no two prompts are alike
        (folder / "studies.csv").write_text("\n".join(lines) + "\n")
        (folder / "reports.csv").write_text(f"study_id,report\ns50000000,The {CANARY} is well.\n")

    def dataset(self, terms: str = "credentialed") -> str:
        return f"table:path=studies.csv,patient=patient_id,split=split,labels=labels,report=report,terms={terms}"

    def __call__(self, *arguments: object) -> Outcome:
        """`rrgbench …`; all that it says."""
        self._monkeypatch.setattr(sys, "argv", ["rrgbench", *map(str, arguments)])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return Outcome(int(stop.value.code or 0), "".join(self._capsys.readouterr()))

    def run(self, *arguments: object, dataset: str | None = None, metric: str = "length") -> Outcome:
        """`rrgbench run` of the labels as findings on the credentialed table."""
        data = ("--dataset", dataset or self.dataset(), "--encoder", "oracle", "--resamples", 0)
        return self("run", *data, "--metric", metric, *arguments)

    def file(self, name: str, value: Any) -> Path:
        (self.folder / name).write_text(value if isinstance(value, str) else yaml.safe_dump(value))
        return self.folder / name

    def attestation(self, **changed: Any) -> Path:
        return self.file("attestation.yaml", attestation(**changed))


def attestation(**changed: Any) -> dict[str, Any]:
    value = {
        "dataset": "table",
        "host": REMOTE,
        "zero_retention": True,
        "no_training": True,
        "no_human_review": True,
        "person": "A. Researcher",
        "date": datetime.date.today(),
        **changed,
    }
    return {key: each for key, each in value.items() if each is not None}


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, capsys, monkeypatch)


def test_the_trap_gets_what_open_data_sends_so_an_attempt_that_succeeded_would_be_seen(
    world: World, trap: Trap
) -> None:
    open_data = world.dataset("open")
    done = world.run("--llm", "sending", "--prompt", "icil:k=1", dataset=open_data)
    assert done.code == 0, done.said
    assert CANARY.encode() in trap.got and REMOTE.encode() in trap.got
    assert world.run("--llm", "openai:model=m,base_url=http://192.0.2.1/v1", dataset=open_data).code == 0
    assert b"192.0.2.1" in trap.got and KEY.encode() in trap.got


# --- attempts that are refused while the run is planned ---------------------------------------------------------------

GATE = "sends what is derived from it to"
URL = "must look like"


def remote(url: str) -> list[str]:
    return ["--llm", f"openai:model=m,base_url={url}"]


OPENAI: dict[str, tuple[list[str], str]] = {
    "01 an LLM at a remote base_url": (remote("https://llm.example.com/v1"), f"{GATE} llm.example.com"),
    "02 OpenAI's own": (["--llm", "gpt4"], f"{GATE} api.openai.com"),
    "03 a name that begins like this machine's": (remote("http://localhost.evil.example/v1"), GATE),
    "03 a name that begins like its address": (remote("http://127.0.0.1.evil.example/v1"), GATE),
    "03 a name that ends like its": (remote("http://evil.localhost/v1"), GATE),
    "04 this machine as the user name": (remote("http://127.0.0.1@evil.example/v1"), URL),
    "04 this machine before a backslash": (remote("http://evil.example\\@127.0.0.1/v1"), URL),
    "05 IPv4 inside IPv6": (remote("http://[::ffff:192.0.2.1]/v1"), GATE),
    "05 any address of IPv6": (remote("http://[::]/v1"), GATE),
    "05 a host behind the bracket": (remote("http://[::1].evil.example/v1"), URL),
    "06 any address": (remote("http://0.0.0.0:8000/v1"), GATE),
    "07 a decimal address": (remote("http://3221225985/v1"), GATE),
    "07 an octal address": (remote("http://0177.0.0.1/v1"), GATE),
    "07 a hexadecimal address": (remote("http://0xc0000201/v1"), GATE),
    "07 a fullwidth digit": (remote("http://１27.0.0.1/v1"), URL),
}

PARTS: dict[str, tuple[list[str], str]] = {
    "08 a judge": (["--metric", "judge:judge=sending"], f"judge.*{GATE} {REMOTE}"),
    "08 a judge that asks through the core": (["--metric", "asking:judge=sending"], f"asking.*{GATE} {REMOTE}"),
    "08 one by its own file": (["--metric", "asking:judge='openai:model=m,base_url=https://x.example/v1'"], GATE),
    "08 one that doesn't say where it sends to": (["--metric", "asking:judge=silent"], "host that it does not declare"),
    "09 a judge inside a panel of metrics": (["--metric", "panel:members=['judge:judge=sending']"], f"panel.*{GATE}"),
    "09 a judge behind another one": (
        ["--metric", "panel:members=[length, {panel: {members: ['judge:judge=sending']}}]"],
        f"panel.*{GATE}",
    ),
    "10 a labeler behind an API": (["--metric", "labeled:labeler=hosted"], f"labeled.*{GATE}"),
    "11 exemplars from the training split": (["--prompt", "icil:k=2", "--llm", "sending"], f"sending.*{GATE}"),
    "12 a system behind an API": (["--system", "hosted"], f"hosted.*{GATE}"),
    "12 an encoder behind an API": (["--encoder", "hosted"], f"hosted.*{GATE}"),
    "13 an LLM that doesn't say where it sends to": (["--llm", "silent"], "a host that it does not declare"),
    "13 one that calls it by no name": (["--llm", "lying"], "a host that it does not declare"),
    "13 one that is attested by that": (["--llm", "silent", "--attestation", "undeclared.yaml"], "declare its host"),
}


@pytest.mark.parametrize("attempt", [*OPENAI, *PARTS])
def test_attempt(world: World, trap: Trap, attempt: str) -> None:
    if attempt in OPENAI:
        pytest.importorskip("rrgbench_openai.chat")
    arguments, says = (OPENAI | PARTS)[attempt]
    world.file("undeclared.yaml", attestation(host=governance.UNDECLARED))
    for dataset in (world.dataset(), world.dataset("private")):
        done = world.run(*arguments, dataset=dataset)
        assert done.code == 2 and re.search(says, done.said), done.said
        assert CANARY not in done.said and KEY not in done.said
        if says != URL:
            assert "zero data retention" in done.said and "--llm local" in done.said
    assert (trap.connections, trap.got) == (0, b"")
    assert not (world.folder / "runs").exists()


def test_attempt_02_a_base_url_from_the_environment(world: World, trap: Trap, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rrgbench_openai.chat")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://llm.example.com/v1")
    assert world.run("--llm", "openai:model=m").code == 2
    assert trap.connections == 0


def test_attempt_12_training_behind_an_api(world: World, trap: Trap) -> None:
    done = world("train", "--encoder", "hosted", "--dataset", world.dataset())
    assert done.code == 2 and GATE in done.said
    assert trap.connections == 0 and not (world.folder / "models").exists()


# --- attempts that are made while the run is under way ----------------------------------------------------------------


def test_attempt_14_an_llm_that_changes_its_host_after_planning(world: World, trap: Trap) -> None:
    done = world.run("--llm", f"sending:host=null,then={REMOTE},calls=1")
    assert done.code == 1 and f"would send to {REMOTE}, which was not checked" in done.said
    assert CANARY not in done.said
    assert trap.connections == 0
    judges = {"dataset": world.dataset(), "encoder": "oracle", "metric": ["judge:judge='sending:host=null'"]}
    (plan,) = planning.plan(check(RunConfig, judges), plugins.catalogue())
    plan.metrics[0].nested[0].obj.host = REMOTE
    with pytest.raises(RunError, match=f"judge.*would send to {REMOTE}"):
        harness.run_one(plan, plugins.catalogue())
    assert trap.connections == 0
    # A judge is looked at before each call, as a writer is.
    done = world.run("--out", "judged", metric=f"asking:judge='sending:host=null,then={REMOTE},calls=2'")
    assert done.code == 1 and "the metric asking" in done.said and CANARY not in done.said, done.said
    (score,) = json.loads((folder_of(world.folder / "judged") / "scores.json").read_text())["scores"]
    assert score["value"] is None and trap.connections == 0


def test_attempt_14_a_judge_by_batch_whose_requests_a_server_would_keep(world: World, trap: Trap) -> None:
    pytest.importorskip("rrgbench_openai.chat")
    judge = "openai:model=m,base_url=https://llm.example.com/v1,batch=true"
    done = world.run(metric=f"asking:judge='{judge}'")
    assert done.code == 2 and GATE in done.said
    attested = ("--attestation", world.attestation())
    done = world.run(*attested, metric=f"asking:judge='{judge}'")
    assert done.code == 2 and "a batch is kept by the server" in done.said
    assert trap.connections == 0


def test_attempt_15_a_redirect_to_elsewhere(world: World, trap: Trap) -> None:
    pytest.importorskip("rrgbench_openai.chat")
    with Trap() as elsewhere:
        for to in (elsewhere.url + "/v1/chat/completions", f"http://{REMOTE}/v1/chat/completions"):
            with Trap(redirect=to) as here:
                done = world.run(*remote(here.url + "/v1"), "--prompt", "icil:k=1", "--timeout", 5)
                assert done.code == 1 and "3 redirect" in done.said, done.said
                assert here.connections == 3 and CANARY.encode() in here.got
                here.shutdown()
        assert (elsewhere.connections, trap.connections) == (0, 0)
        elsewhere.shutdown()


def test_attempt_16_a_proxy_between_this_machine_and_itself(world: World, trap: Trap) -> None:
    pytest.importorskip("rrgbench_openai.chat")
    with Trap() as here:
        done = world.run(*remote(here.url + "/v1"), "--prompt", "icil:k=1")
        assert done.code == 0 and CANARY.encode() in here.got, done.said
        here.shutdown()
    assert trap.connections == 0


# --- attempts by configuration, files and folders ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        {"dataset": {"wrapped": {"dataset": "DATASET"}}},
        {"dataset": {"wrapped": {"dataset": {"wrapped": {"dataset": "DATASET"}}}}},
        {"dataset": ["DATASET", "phantom:n=40"]},
        {"dataset": ["phantom:n=40", "DATASET"], "llm": ["template", "sending"]},
        {"dataset": "phantom:n=40", "system": {"reports": {"path": "reports.csv"}}, "metric": "judge:judge=sending"},
    ],
    ids=["wrapped", "twice wrapped", "first of a grid", "last of a grid", "a reports file"],
)
def test_attempt_17_a_config_that_looks_open(world: World, trap: Trap, config: dict[str, Any]) -> None:
    text = yaml.safe_dump({"encoder": "oracle", "llm": "sending", "metric": "length", **config})
    file = world.file("run.yaml", text.replace("DATASET", world.dataset()))
    done = world("run", "--config", file)
    assert done.code == 2 and re.search(f"Data of this run is (credentialed|private).*{GATE}", done.said), done.said
    assert trap.connections == 0 and not (world.folder / "runs").exists()


@pytest.mark.parametrize("name", ["mimic_cxr", "chexpert", "chexpert_plus", "r2gen"])
def test_attempt_17_terms_that_are_not_the_user_s_to_set(world: World, name: str) -> None:
    pytest.importorskip(f"rrgbench.datasets.{name}")
    done = world.run("--llm", "sending", dataset=f"{name.replace('_', '-')}:terms=open")
    assert done.code == 2 and "has no option 'terms'" in done.said


@pytest.mark.parametrize("judge", ["judge", "asking"])
def test_attempt_18_files_of_the_user_s_own_are_private_until_he_says_otherwise(
    world: World, trap: Trap, judge: str
) -> None:
    files = ["score", "--reports", "reports.csv", "--references", "studies.csv", "--resamples", 0]
    judged = [*files, "--metric", f"{judge}:judge=sending"]
    for more in ([], ["--terms", "private"], ["--terms", "credentialed"]):
        done = world(*judged, *more)
        assert done.code == 2 and GATE in done.said
    assert world(*judged, "--terms", "opne").code == 2
    texts = {"s50000000": f"The {CANARY} is well."}
    with pytest.raises(UsageError, match=GATE):
        rrgbench.score(texts, texts, metrics=[f"{judge}:judge=sending"])
    with pytest.raises(UsageError, match=GATE):  # the reports are free, the dataset isn't
        rrgbench.score(texts, dataset=world.dataset(), metrics=[f"{judge}:judge=sending"], terms="open")
    assert trap.connections == 0
    assert world(*judged, "--terms", "open").code == 1  # two references have no report
    assert rrgbench.score(texts, texts, metrics=[f"{judge}:judge=sending"], terms="open").summary["terms"] == "open"
    assert trap.connections == 2


@pytest.mark.parametrize("judge", ["judge", "asking"])
def test_attempt_19_scoring_a_credentialed_run_again_with_a_judge(world: World, trap: Trap, judge: str) -> None:
    assert world.run("--llm", "template").code == 0
    folder = folder_of(world.folder / "runs")
    done = world("score", folder, "--metric", f"{judge}:judge=sending")
    assert done.code == 2 and GATE in done.said
    # Reports that are private stay so where the dataset is open.
    given = ["--dataset", world.dataset("open"), "--reports", "reports.csv", "--resamples", 0, "--out", "others"]
    world("score", *given, "--metric", "length")
    done = world("score", folder_of(world.folder / "others"), "--metric", f"{judge}:judge=sending")
    assert done.code == 2 and "Data of this run is private" in done.said
    assert trap.connections == 0


def test_attempt_20_a_metric_that_nobody_asked_for(world: World, trap: Trap, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, WithDefaultJudge())
    (result,) = rrgbench.run(dataset=world.dataset(), encoder="oracle", resamples=0, out=world.folder / "runs").runs
    reasons = {score.metric: score.reason for score in result.scores if score.value is None}
    assert f"sends text to {REMOTE}" in str(reasons["default-judge"])
    assert any(score.metric == "length" and score.value for score in result.scores)
    assert trap.connections == 0


# --- the one way past -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("judge", ["judge", "asking"])
def test_an_attestation_opens_the_way_to_its_host_and_is_kept(world: World, trap: Trap, judge: str) -> None:
    done = world.run("--llm", "sending", "--prompt", "icil:k=1", "--attestation", world.attestation())
    assert done.code == 0 and CANARY.encode() in trap.got, done.said
    folder = folder_of(world.folder / "runs")
    kept = attestation(date=datetime.date.today().isoformat())
    manifest = json.loads((folder / "manifest.json").read_text())
    assert [{k: v for k, v in each.items() if v is not None} for each in manifest["attestations"]] == [kept]
    # It is not kept for the next command, but in the record it stays.
    assert world("score", folder, "--metric", f"{judge}:judge=sending").code == 2
    assert world("score", folder, "--metric", "length").code == 0
    other = world.file("two.yaml", [attestation(person="B"), attestation(host="other.example.com", person="C")])
    judged = ["score", folder, "--metric", f"{judge}:judge=sending", "--attestation", other]
    assert world(*judged).code == 0
    manifest = json.loads((folder / "manifest.json").read_text())
    assert [each["person"] for each in manifest["attestations"]] == ["A. Researcher", "B"]


def test_the_attestation_that_the_documentation_shows_is_one(world: World) -> None:
    page = (REPOSITORY / "docs" / "governance.md").read_text()
    (shown,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (read,) = attestations.read(world.file("shown.yaml", shown))
    assert (read.dataset, read.person) == ("mimic-cxr", "A. Researcher")


def days_ago(days: int) -> datetime.date:
    return datetime.date.today() - datetime.timedelta(days=days)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"dataset": "mimic-cxr"}, "There is one for the dataset mimic-cxr and the host llm.example.com"),
        ({"dataset": "Table"}, GATE),
        ({"host": "example.com"}, "There is one for the dataset table and the host example.com"),
        ({"host": "*"}, GATE),
        ({"host": "llm.example.com."}, GATE),
        ({"date": days_ago(91)}, "held for 90 days.*date it anew"),
        ({"date": days_ago(-1)}, "in the future"),
        ({"date": "2026-01-31"}, "date:"),
        ({"zero_retention": False}, "zero_retention: must be true.*zero data retention"),
        ({"no_training": False}, "no_training: must be true"),
        ({"no_human_review": False}, "no_human_review: must be true"),
        ({"zero_retention": 1}, "zero_retention:"),
        ({"zero_retention": "true"}, "zero_retention:"),
        ({"no_human_review": None}, "no_human_review: Field required.*An attestation holds"),
        ({"person": "  "}, "person: must not be empty"),
        ({"person": None}, "person: Field required"),
        ({"approved": True}, "approved: Extra inputs are not permitted"),
    ],
)
def test_an_attestation_that_does_not_hold(world: World, trap: Trap, changed: dict[str, Any], says: str) -> None:
    done = world.run("--llm", "sending", "--attestation", world.attestation(**changed))
    assert done.code == 2 and re.search(says, done.said), done.said
    assert trap.connections == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [(None, "can't be read"), ("- 3", "not a mapping"), ("a: [", "not YAML"), ("date: 2026-02-31", "not YAML")],
)
def test_an_attestation_that_is_none(world: World, trap: Trap, text: str | None, says: str) -> None:
    file = world.file("odd.yaml", text) if text else world.folder / "none.yaml"
    done = world.run("--llm", "sending", "--attestation", file)
    assert done.code == 2 and says in done.said
    assert trap.connections == 0


@pytest.mark.parametrize("host", ["api.openai.com", "eu.api.openai.com", "API.OpenAI.com."])
def test_openai_s_own_api_needs_a_word_on_its_zero_retention(world: World, trap: Trap, host: str) -> None:
    llm = ("--llm", f"sending:host={host}")
    done = world.run(*llm, "--attestation", world.attestation(host=host))
    assert done.code == 2 and "zero_retention_statement" in done.said
    assert trap.connections == 0
    word = "Zero data retention agreed for our organisation in writing."
    assert world.run(*llm, "--attestation", world.attestation(host=host, zero_retention_statement=word)).code == 0
    assert word in (folder_of(world.folder / "runs") / "manifest.json").read_text()


def test_an_attestation_of_90_days_holds_today(world: World) -> None:
    assert world.run("--llm", "sending", "--attestation", world.attestation(date=days_ago(90))).code == 0


def test_what_is_attested_is_one_host_and_an_llm_may_not_go_on_to_another(world: World, trap: Trap) -> None:
    llm = ("--llm", "sending:then=other.example.com,calls=1")
    done = world.run(*llm, "--attestation", world.attestation())
    assert done.code == 1 and "would send to other.example.com" in done.said
    assert trap.connections == 1 and b"other.example.com" not in trap.got


# --- what the folders let others read ---------------------------------------------------------------------------------


def modes(folder: Path) -> dict[str, int]:
    files = [folder, *folder.rglob("*")]
    return {str(file.relative_to(folder)): stat.S_IMODE(file.stat().st_mode) for file in files}


@pytest.mark.parametrize("terms", ["private", "credentialed"])
def test_cache_and_run_folders_are_their_owner_s_alone(
    world: World, monkeypatch: pytest.MonkeyPatch, terms: str
) -> None:
    """Whatever the umask is, and where a folder, a file or a cache was there before with wider permissions."""
    old = os.umask(0)
    try:
        runs = world.folder / "runs"
        assert world.run("--llm", "template", dataset=world.dataset(terms)).code == 0
        folder = folder_of(runs)
        for file in (runs / ".cache.sqlite", runs / "table", folder, *folder.iterdir()):
            file.chmod(0o777)
        for name in (".cache.sqlite-wal", ".cache.sqlite-shm"):
            (runs / name).touch(0o666)
        seen: dict[str, int] = {}
        use(monkeypatch, Watching(runs, seen))
        assert world.run("--llm", "template", dataset=world.dataset(terms)).code == 0
        assert world("score", folder, "--metric", "length").code == 0
    finally:
        os.umask(old)
    for found in (seen, modes(runs)):
        assert found.pop(".") & 0o700
        assert {mode for name, mode in found.items() if (runs / name).is_dir()} == {0o700}
        assert {mode for name, mode in found.items() if not (runs / name).is_dir()} == {0o600}
    assert {".cache.sqlite", ".cache.sqlite-wal", ".cache.sqlite-shm"} <= seen.keys()


class Watching(Plugin):
    """Looks at the folder while the run is under way."""

    def __init__(self, runs: Path, seen: dict[str, int]) -> None:
        self._runs, self._seen = runs, seen

    @hookimpl
    def rrgbench_register_metrics(self, register: hookspecs.Register) -> None:
        register("length", f"{HERE}:Looking")
        Looking.look = lambda: self._seen.update(modes(self._runs))


class Looking(Length):
    look: Callable[[], None]

    def rows(self, cases: Sequence[Any]) -> Any:
        type(self).look()
        return super().rows(cases)


def test_a_run_that_becomes_private_closes_what_it_wrote_before(world: World) -> None:
    reports = ["--reports", "reports.csv", "--dataset", world.dataset("open"), "--resamples", 0, "--metric", "length"]
    world("score", *reports, "--terms", "open")
    folder = folder_of(world.folder / "runs")
    assert modes(folder)["reports.jsonl"] & 0o044
    world("score", *reports)
    assert set(modes(folder).values()) == {0o600, 0o700}


# --- what is published ------------------------------------------------------------------------------------------------


def finished(world: World) -> tuple[Path, dict[str, Any]]:
    """A credentialed run, and its scores.json to be tampered with."""
    assert world.run("--llm", "template").code == 0
    file = folder_of(world.folder / "runs") / "scores.json"
    return file, json.loads(file.read_text())


def test_a_page_of_credentialed_runs_holds_aggregates_only(world: World) -> None:
    finished(world)
    assert world("leaderboard", "build").code == 0
    page = (world.folder / "leaderboards" / "leaderboard.html").read_text()
    assert "oracle+template" in page and "credentialed" in page
    assert CANARY not in page and not re.search(r"[sp]?[15]000000\d", page) and governance.scan(page) == []


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"system": "vit-s50414267"}, r"system holds a MIMIC-CXR study_id \(s5\*\*\*\*\*\*\*\)"),
        ({"dataset_spec": "table:path=p10000032.csv"}, r"dataset_spec holds a MIMIC subject_id \(p1\*+\)"),
        ({"baseline_notes": ["seen in 50414267"]}, r"baseline_notes\[0\] holds what may be a MIMIC id \(50\*+\)"),
        ({"failures": {"s50414267": 1}}, "a key holds a MIMIC-CXR study_id"),
        ({"split": "The ___ is enlarged."}, r"holds a de-identification mark \(___\)"),
        ({"rows": [{"length": 3}]}, "holds 'rows', which is no aggregate"),
        ({"reports": {"a": "The heart is large."}}, "holds 'reports', which is no aggregate"),
        ({"costs": {"calls": 1, "by_study": [1, 2]}}, "holds 'costs, by_study', which is no aggregate"),
        ({"terms": "not stated", "system": "s50414267"}, "a MIMIC-CXR study_id"),
    ],
)
def test_a_page_is_refused_where_a_run_would_bring_more(world: World, changed: dict[str, Any], says: str) -> None:
    file, record = finished(world)
    file.write_text(json.dumps(record | changed))
    done = world("leaderboard", "build")
    assert done.code == 2 and re.search(says, done.said) and str(file.name) in done.said, done.said
    assert not re.search(r"s50414267|p10000032|\b50414267", done.said)
    assert not (world.folder / "leaderboards").exists()


def test_scores_of_single_studies_and_ids_in_a_title_or_a_path_are_refused_too(world: World) -> None:
    file, record = finished(world)
    done = world("leaderboard", "build", "--title", "Study s50414267")
    assert done.code == 2 and "The page" in done.said and "s50414267" not in done.said
    other = file.parent.with_name("s50414267") / "scores.json"
    other.parent.mkdir()
    other.write_text("{}")  # it would be named among what was left out
    assert world("leaderboard", "build").code == 2
    other.unlink()
    record["scores"][0]["rows"] = [0.1, 0.2]
    file.write_text(json.dumps(record))
    assert "holds 'scores, rows'" in world("leaderboard", "build").said
    assert not (world.folder / "leaderboards").exists()


@pytest.mark.parametrize(
    "text",
    [
        "findings|file:50414267abcd|v:1",
        "text:whitespace@50414267",
        "seed:12345678,resamples=1000",
        "loss 0.50414267 after 1.0000000 s",
        "created 2026-11-21T23:41:00+00:00",
        "550e8400-e29b-41d4-a716-446655440000",
        "n = 504142670 and 5041426",
        "ys50414267 and s504142671",
        "__init__",
    ],
)
def test_the_scan_takes_no_hash_or_number_for_an_id(text: str) -> None:
    assert governance.scan(text) == []


def test_the_scan_finds_ids_however_they_stand() -> None:
    for text in (
        "files/p10/p10000032/s50414267.txt",
        "study_s50414267_a",
        "S50414267",
        "(50414267)",
        "study 50414267.",
    ):
        assert governance.scan(text), text
    assert governance.scan("02aa804e-bde0afdd-112c0b34-7bc16630-4e384014")
    assert governance.scan("On ___ the patient. s50414267, s50414267") == [
        "a MIMIC-CXR study_id (s5*******)",
        "a de-identification mark (___)",
    ]


def test_a_page_of_open_data_is_nobody_s_business(world: World) -> None:
    data = world.dataset("open")
    assert world.run("--llm", "template", dataset=data).code == 0
    assert leaderboard.build([world.folder / "runs"], world.folder / "p.html", title="s50414267").n_runs == 1


# --- logs and keys ----------------------------------------------------------------------------------------------------


def test_a_log_holds_no_report(world: World) -> None:
    done = world.run("--llm", "template", metric="stumbling")
    assert done.code == 1 and "ValueError" in done.said and CANARY not in done.said
    manifest = json.loads((folder_of(world.folder / "runs") / "manifest.json").read_text())
    assert CANARY in manifest["faults"][0]  # it can be read up where only the owner can


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"llm": {"sending": {"api_key": KEY}}}, "can't be given 'api_key'"),
        ({"llm": f"sending:api_key={KEY}"}, "can't be given 'api_key'"),
        ({"llm": {"sending": {"extra": {"headers": {"Authorization": f"Bearer {KEY}"}}}}}, "given 'Authorization'"),
        ({"metric": f"judge:judge='sending:api_key={KEY}'"}, "can't be given 'api_key'"),
        ({"dataset": {"phantom": {"hf_token": KEY}}}, "can't be given 'hf_token'"),
        ({"api_key": KEY}, "unknown key 'api_key'"),
        ({"llm": "sending:then=${OPENAI_API_KEY}"}, "by its name holds a key"),
        ({"llm": {"sending": {"then": "${MY_SECRET}"}}}, "by its name holds a key"),
        ({"out": "runs/${DB_PASSWORD}"}, "by its name holds a key"),
    ],
)
def test_a_key_in_a_configuration_is_refused_and_not_repeated(
    world: World, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], says: str
) -> None:
    for name in ("MY_SECRET", "DB_PASSWORD"):
        monkeypatch.setenv(name, KEY)
    done = world("run", "--config", world.file("run.yaml", {"encoder": "oracle", "llm": "sending"} | config))
    assert done.code == 2 and says in done.said, done.said
    assert KEY not in done.said and "Bearer" not in done.said
    assert not (world.folder / "runs").exists()


def test_a_key_of_the_environment_is_in_no_file_of_a_run(world: World) -> None:
    pytest.importorskip("rrgbench_openai.chat")
    with Trap() as here:
        assert world.run(*remote(here.url + "/v1")).code == 0
        assert KEY.encode() in here.got
        here.shutdown()
    files = [file for file in (world.folder / "runs").rglob("*") if file.is_file()]
    assert len(files) > 5 and not [file for file in files if KEY.encode() in file.read_bytes()]
