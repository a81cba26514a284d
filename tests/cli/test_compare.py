"""`rrgbench compare`: what it prints, and its exit codes."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Done

Call = Callable[..., Done]

TRUTH = ["The heart is enlarged.", "There is a left pleural effusion.", "The lungs are clear.", "Right pneumothorax."]


@pytest.fixture
def folders(rrgbench: Call, tmp_path: Path) -> list[Path]:
    """Two scored runs of twelve studies: one repeats the reference, one says that all is normal."""
    truth = [TRUTH[at % 4] for at in range(12)]
    for name, texts in {"truth": truth, "good": truth, "normal": ["The lungs are clear."] * 12}.items():
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("study_id", "report"), *((f"s{at}", text) for at, text in enumerate(texts))])
    found = []
    for name in ("normal", "good"):
        options = ["--references", "truth.csv", "--metric", "rulelabel", "--metric", "wording", "--terms", "open"]
        done = rrgbench("score", "--reports", f"{name}.csv", *options, "--resamples", 20, "--out", name)
        assert done.code == 0, done.err
        found += [scores.parent for scores in (tmp_path / name).rglob("scores.json")]
    return found


def test_a_table_a_run_and_the_studies_that_moved_most(rrgbench: Call, folders: list[Path]) -> None:
    done = rrgbench("compare", *folders)
    assert done.code == 0 and not done.err
    head, _, table = done.out.partition("\nB: ")
    assert "split all" in head and "A: reports" in head
    (line,) = (line for line in table.splitlines() if line.startswith("rulelabel_micro_f1_14 "))
    assert line.split()[1:5] == ["full-text", "0.250", "1.000", "+0.750"] and line.endswith(" 12")
    assert "for B: s" in table and "for A: none" in table
    assert "Holm, BH: adjusted for the 2 tests shown" in table
    assert "effusion" not in done.out  # texts stay in the run folder


def test_json_is_all_that_stands_on_stdout(rrgbench: Call, folders: list[Path]) -> None:
    done = rrgbench("compare", *folders, "--metric", "exact_match", "--json")
    assert done.code == 0
    (comparison,) = done.json()["comparisons"]
    assert comparison["difference"] == 0.75 and comparison["better"] == 9 and comparison["same"] == 3
    assert comparison["p"] == pytest.approx(2 / 2**9, abs=2e-3)
    assert comparison["most_better"][0]["gain"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([0], "at least two run folders"),
        ([0, "nowhere"], "nowhere is not a run folder"),
        ([0, 1, "--metric", "exact"], "Did you mean 'exact_match'"),
    ],
)
def test_a_wrong_request(rrgbench: Call, folders: list[Path], arguments: list[object], said: str) -> None:
    done = rrgbench("compare", *(folders[each] if isinstance(each, int) else each for each in arguments))
    assert done.code == 2 and not done.out
    assert said in done.err and "Traceback" not in done.err
