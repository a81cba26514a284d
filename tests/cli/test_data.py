"""`rrgbench data`: what is printed where, and the exit codes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Done

Call = Callable[..., Done]


@pytest.mark.parametrize("command", [["data"], ["data", "check"], ["data", "info"], ["data", "make"]])
def test_help_imports_nothing_heavy(command: list[str]) -> None:
    code = (
        "import sys\n"
        f"sys.argv = ['rrgbench', *{command!r}, '--help']\n"
        "from rrgbench.cli import main\n"
        "try:\n    main()\n"
        "finally:\n"
        "    heavy = {'numpy', 'pandas', 'torch', 'yaml', 'pyarrow'} & set(sys.modules)\n"
        "    print('heavy:', sorted(heavy), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "Usage" in done.stdout and "heavy: []" in done.stderr


def test_a_sound_table_is_fine(rrgbench: Call, table: str) -> None:
    done = rrgbench("data", "check", table)
    assert done.code == 0, done.out
    assert done.out.splitlines()[-1] == "no problems; 8 images read"
    assert done.out.splitlines()[4].split() == ["all", "8", "6", "8", "8", "8", "8", "0", "0"]


def test_problems_are_listed_with_what_to_do_and_the_exit_code_is_1(
    rrgbench: Call, table: str, radiographs: Path
) -> None:
    (radiographs.parent / "1.png").unlink()
    (radiographs.parent / "2.png").write_bytes(b"\x89PNG but cut short")
    done = rrgbench("data", "check", table, "--images", "all")
    assert done.code == 1
    assert "problem: Missing images, of 8 that were read: 1, such as 1.png" in done.out
    assert "\n  Put the files where the data say they are." in done.out
    assert "problem: Unreadable images, of 8 that were read: 1, such as 2.png" in done.out
    found = rrgbench("data", "check", table, "--json")
    assert found.code == 1
    record = found.json()
    assert set(record["missing_images"]) == {"1.png"} and set(record["unreadable_images"]) == {"2.png"}
    assert record["total"]["studies"] == 8 and record["total"]["patients"] == 6 and "people" not in record["total"]
    assert record["counts"][0]["sections"] == {"findings": 8, "impression": 8}
    assert all(problem["what"] and problem["do"] for problem in record["problems"])
    assert rrgbench("data", "check", table, "--images", "none").code == 0


def test_what_the_official_counts_are_stands_beside_what_was_found(rrgbench: Call, tmp_path: Path) -> None:
    rrgbench("data", "make", "mimic-cxr", "tree", "--studies", "12")
    (tmp_path / "tree" / "SYNTHETIC.txt").unlink()  # now it passes for the real one
    done = rrgbench("data", "check", "mimic-cxr:root=tree", "--images", "none")
    assert done.code == 1
    assert " of 3,269 " in done.out and "officially 227,835" in done.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["check", "TABLE", "--images", "some"], "a number, all or none; not 'some'"),
        (["check", "TABLE", "--images", "-1"], "not '-1'"),
        (["check", "tabel:path=x"], "Did you mean 'table'?"),
        (["info", "TABLE", "--split", "test"], "has no splits"),
        (["info", "TABLE", "--protocol", "r2gn"], "Did you mean 'r2gen'?"),
        (["check", "mimic-cxr:root=gone,labels=radiolgist"], "can't be 'radiolgist'"),
        (["make", "phantom", "tree"], "These can: "),
        (["make", "mimic-cxr", "radiographs"], "empty folder"),
    ],
)
def test_a_wrong_request_exits_2(rrgbench: Call, table: str, arguments: list[str], says: str) -> None:
    done = rrgbench("data", *[argument.replace("TABLE", table) for argument in arguments])
    assert done.code == 2 and says in done.err and not done.out


def test_a_root_that_is_not_there_is_a_problem(rrgbench: Call) -> None:
    done = rrgbench("data", "check", "mimic-cxr:root=gone")
    assert done.code == 1 and "problem: gone: " in done.out
    assert rrgbench("data", "check", "mimic-cxr:root=gone", "--json").json()["total"] is None


def test_info_prints_labels_and_what_each_protocol_leaves(rrgbench: Call, table: str) -> None:
    done = rrgbench("data", "info", table, "--protocol", "findings", "--protocol", "r2gen")
    assert done.code == 0, done.err
    assert "terms: open" in done.out and "vocabulary: chexpert" in done.out
    lines = [line.split() for line in done.out.splitlines()]
    assert ["dataset", "Cardiomegaly", "2", "6", "0", "0"] in lines
    assert ["findings", "study", "in", "the", "split", "8", "8", "6"] in lines
    assert ["r2gen", "image", "in", "the", "split", "8", "8", "6"] in lines
    assert "\n  limits: at most 99 words; <unk> for words seen fewer than 10 times in training\n" in done.out
    warned = rrgbench("data", "info", table, "--protocol", "maira2").out
    assert "\n  warning: maira2 counts frontal images, and the data don't say which are: all count\n" in warned
    record = rrgbench("data", "info", table, "--json").json()
    assert record["splits"] == [{"name": "all", "studies": 8, "images": 8, "patients": 6}]
    assert {"full-text", "r2gen"} <= {each["name"] for each in record["protocols"]}


def test_what_is_made_can_be_run_as_printed(rrgbench: Call) -> None:
    done = rrgbench("data", "make", "mimic-cxr", "my tree", "--studies", "12", "--seed", "1")
    assert done.code == 0, done.err
    (line,) = [line.strip() for line in done.out.splitlines() if line.startswith("  rrgbench run")]
    assert line == """rrgbench run --dataset 'mimic-cxr:root=my tree' --encoder vit"""
    ran = rrgbench("run", "--dataset", "mimic-cxr:root=my tree", "--system", "constant", "--metric", "rulelabel")
    assert ran.code == 0, ran.err
    iu = rrgbench("data", "make", "iu-xray", "iu", "--studies", "12").out.split("--dataset ")[1].split()[0]
    assert iu == "iu-xray:root=iu,split=iu/r2gen_split.csv"
    ran = rrgbench("run", "--dataset", iu, "--system", "constant", "--metric", "rulelabel", "--json")
    assert ran.code == 0 and ran.json()["split"] == "test", ran.err
    (spec,) = rrgbench("data", "make", "mimic-cxr", "other", "--studies", "3", "--json").json()["datasets"]
    assert spec == "mimic-cxr:root=other"
