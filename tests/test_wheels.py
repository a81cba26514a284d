"""Third parties' packages, built as wheels and installed: one that works, and five that are broken."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY, Done

EXAMPLE = REPOSITORY / "tests" / "packages" / "rrgbench-example"

HOOK = "from rrgbench import hookimpl\n\n@hookimpl\ndef {name}(register):\n    {body}\n"
BROKEN = {
    "imports": (
        "import a_module_that_is_not_there\n",
        "ModuleNotFoundError: No module named 'a_module_that_is_not_there'",
    ),
    "raises": (
        HOOK.format(name="rrgbench_register_llms", body="raise ValueError('no licence file')"),
        "no licence file",
    ),
    "exits": ("import sys\nsys.exit(4)\n", "SystemExit: 4"),
    "misspelt": (HOOK.format(name="rrgbench_register_metric", body="pass"), "Did you mean 'rrgbench_register_metrics'"),
    "usurper": (
        HOOK.format(name="rrgbench_register_encoders", body="register('oracle', 'usurper.x:Y')"),
        "'oracle' is already taken by rrgbench",
    ),
}


def wheel(package: Path, into: Path) -> Path:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", into],
        cwd=package,
        check=True,
        capture_output=True,
    )
    (built,) = into.glob(f"{package.name.replace('-', '_')}-*.whl")
    return built


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all six are installed."""
    work = tmp_path_factory.mktemp("wheels")
    wheels = [wheel(Path(shutil.copytree(EXAMPLE, work / "rrgbench-example")), work)]
    for name, (code, _) in BROKEN.items():
        package = work / f"broken-{name}"
        module = f"broken_{name}"
        (package / module).mkdir(parents=True)
        (package / module / "__init__.py").write_text(code)
        (package / "pyproject.toml").write_text(
            '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
            f'[project]\nname = "broken-{name}"\nversion = "0.{len(name)}"\n'
            f'[project.entry-points.rrgbench]\n{name} = "{module}"\n'
        )
        wheels.append(wheel(package, work))
    site = work / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", site]
    subprocess.run([*pip, *wheels], check=True, capture_output=True)
    return site


@pytest.fixture
def third(rrgbench: Callable[..., Done], installed: Path) -> Callable[..., Done]:
    """The command line with the six packages installed."""

    def call(*arguments: object, **more: Any) -> Done:
        path = os.pathsep.join(filter(None, [str(installed), os.environ.get("PYTHONPATH", "")]))
        return rrgbench(*arguments, env={"PYTHONPATH": path}, **more)

    return call


def test_the_broken_ones_are_each_listed_with_the_reason(third: Callable[..., Done]) -> None:
    done = third("plugins", "list", "--json")
    assert done.code == 0
    problems = {plugin["distribution"]: plugin["problem"] for plugin in done.json()}
    for name, (_, reason) in BROKEN.items():
        assert reason in problems[f"broken-{name}"]
    assert problems["rrgbench"] is None and problems["rrgbench-example"] is None


def test_the_working_one_is_listed_beside_them(third: Callable[..., Done]) -> None:
    done = third("list", "--json")
    assert done.code == 0
    mine = {(part["kind"], part["name"]) for part in done.json() if part["distribution"] == "rrgbench-example"}
    assert mine == {("encoder", "brightness"), ("renderer", "terse"), ("llm", "parrot"), ("metric", "words")}
    assert third("info", "brightness").code == 0
    assert third("--help").code == 0


def test_run_uses_all_four_of_its_parts(third: Callable[..., Done], table: str) -> None:
    parts = ["--encoder", "brightness:threshold=0.4", "--renderer", "terse", "--llm", "parrot", "--metric", "words"]
    done = third("run", "--dataset", table, *parts, "--json")
    assert done.code == 0, done.err
    summary = done.json()
    assert summary["parts"]["encoder"] == "brightness" and summary["parts"]["llm"] == "parrot"
    (score,) = summary["scores"]
    assert score["metric"] == "words" and score["value"] > 0 and score["ci"]
    assert score["signature"].startswith("words|v:1|")


def test_kill_9_in_the_middle_costs_nothing(
    third: Callable[..., Done], installed: Path, tmp_path: Path, table: str
) -> None:
    command = [
        "run",
        "--dataset",
        table,
        "--encoder",
        "oracle",
        "--llm",
        "parrot:delay=0.4",
        "--metric",
        "rulelabel",
        "--out",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "rrgbench", *command, tmp_path / "killed"],
        env={**os.environ, "PYTHONPATH": str(installed)},
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None:
        written = list((tmp_path / "killed").rglob("reports.jsonl"))
        if written and written[0].read_bytes().count(b"\n") >= 3:
            break
    process.kill()
    process.wait()
    (file,) = (tmp_path / "killed").rglob("reports.jsonl")
    before = file.read_text()
    assert 3 <= before.count("\n") < 8, "it was not killed in the middle"

    resumed = third(*command, tmp_path / "killed", "--json")
    undisturbed = third(*command, tmp_path / "whole", "--json")
    assert resumed.code == undisturbed.code == 0
    after = file.read_text()
    assert after.startswith(before[: before.rfind("\n") + 1])  # no recorded report was made again
    studies = [json.loads(line)["study_id"] for line in after.splitlines()]
    assert sorted(studies) == [f"s{i}" for i in range(8)]  # none is missing, none is there twice
    assert resumed.json()["scores"] == undisturbed.json()["scores"]
