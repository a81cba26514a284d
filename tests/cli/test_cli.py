"""The command line: what it prints where, its exit codes, and its answers to bad input."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Done

Call = Callable[..., Done]


@pytest.mark.parametrize("command", [[], ["run"], ["score"], ["list"], ["leaderboard", "build"], ["train"], ["doctor"]])
def test_help_imports_nothing_heavy(command: list[str]) -> None:
    heavy = {"numpy", "pandas", "torch", "yaml", "pyarrow"}
    if not command:
        heavy.add("pydantic")  # typer itself imports it for the help of a command with options
    code = (
        "import sys\n"
        f"sys.argv = ['rrgbench', *{command!r}, '--help']\n"
        "from rrgbench.cli import main\n"
        "try:\n    main()\n"
        "finally:\n"
        f"    heavy = {heavy!r} & set(sys.modules)\n"
        "    print('heavy:', sorted(heavy), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "Usage" in done.stdout
    assert "heavy: []" in done.stderr


def test_json_is_all_that_stands_on_stdout(rrgbench: Call, table: str) -> None:
    done = rrgbench("run", "--dataset", table, "--system", "constant", "--metric", "rulelabel", "--json")
    assert done.code == 0
    summary = done.json()
    assert summary["system"] == "constant" and summary["baseline"] is True
    assert "write: 8/8 reports" in done.err


def test_a_grid_prints_a_list(rrgbench: Call, table: str) -> None:
    systems = ["--system", "constant", "--system", "constant:text=Normal."]
    done = rrgbench("run", "--dataset", table, *systems, "--metric", "rulelabel", "--json")
    assert [summary["system"] for summary in done.json()] == ["constant", "constant"]


def test_dry_run_says_what_would_be_done_and_does_nothing(rrgbench: Call, table: str, tmp_path: Path) -> None:
    done = rrgbench("run", "--dataset", table, "--encoder", "oracle", "--dry-run")
    assert done.code == 0
    assert "studies    8" in done.out and "patients   6" in done.out and "stays on this machine" in done.out
    (plan,) = rrgbench("run", "--dataset", table, "--encoder", "oracle", "--dry-run", "--json").json()
    assert plan["studies"] == 8 and plan["parts"]["llm"] == "template"
    assert not (tmp_path / "runs").exists()


def test_list_and_info(rrgbench: Call) -> None:
    done = rrgbench("list", "encoders", "--json")
    assert done.code == 0 and {"oracle", "findings"} <= {part["name"] for part in done.json()}
    done = rrgbench("info", "findings")
    assert done.code == 0 and "threshold" in done.out and "cross-fitting" in done.out
    assert rrgbench("info", "oracl").err.startswith("rrgbench: There is no part 'oracl'. Did you mean 'oracle'?")


def test_version(rrgbench: Call) -> None:
    from rrgbench import __version__

    assert rrgbench("--version").out == f"rrgbench {__version__}\n"


# --- score ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "ours.csv").write_text(
        'study_id,report\n1,"Left pleural effusion."\n2,"No pneumothorax."\n3,"Cardiomegaly."\n'
    )
    (tmp_path / "theirs.jsonl").write_text(
        '{"study_id": "1", "report": "There is a left pleural effusion."}\n'
        '{"study_id": "2", "report": "No pneumothorax."}\n'
        '{"study_id": "3", "report": "The heart is enlarged."}\n'
    )
    return tmp_path


def test_reports_made_elsewhere_against_references(rrgbench: Call, files: Path) -> None:
    done = rrgbench("score", "--reports", "ours.csv", "--references", "theirs.jsonl", "--metric", "rulelabel", "--json")
    assert done.code == 0, done.err
    scores = {score["metric"]: score["value"] for score in done.json()["scores"]}
    assert scores["rulelabel_micro_f1_14"] == 1.0


def test_the_same_from_python() -> None:
    import rrgbench

    references = {"1": "There is a left pleural effusion.", "2": "No pneumothorax."}
    result = rrgbench.score(
        {"1": "Left pleural effusion.", "2": "Clear."}, references, metrics=["rulelabel"], resamples=20
    )
    frame = result.frame().set_index("metric")
    assert frame.loc["rulelabel_f1_pleural_effusion", "value"] == 1.0
    assert result.folder is None


def test_missing_and_empty_reports_are_counted_and_extra_ones_named(rrgbench: Call, files: Path) -> None:
    (files / "ours.csv").write_text('study_id,report\n1,"Left pleural effusion."\n2,\n9,"Stray."\n')
    done = rrgbench("score", "--reports", "ours.csv", "--references", "theirs.jsonl", "--metric", "rulelabel", "--json")
    assert done.code == 1
    summary = done.json()
    assert summary["failures"] == {"empty": 1, "missing": 1}
    assert summary["coverage"] == pytest.approx(1 / 3)
    assert (summary["scores"][0]["n"], summary["scores"][0]["n_failed"]) == (1, 2)
    manifest = json.loads(next((files / "runs").rglob("manifest.json")).read_text())
    assert "9" in manifest["warnings"][0]


def test_a_run_folder_is_scored_again(rrgbench: Call, table: str) -> None:
    rrgbench("run", "--dataset", table, "--system", "constant", "--metric", "rulelabel", "--out", "there")
    folder = next((Path(table.split("path=")[1].split(",")[0]).parents[1] / "there").rglob("manifest.json")).parent
    done = rrgbench("score", folder, "--metric", "rulelabel", "--protocol", "impression", "--json")
    assert done.code == 0, done.err
    assert {score["protocol"] for score in done.json()["scores"]} == {"full-text", "impression"}


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "--encoder", "vitt", "--dataset", "TABLE"], "There is no encoder 'vitt'"),
        (["run", "--encoder", "findings", "--dataset", "TABLE"], "needs the option 'path': write findings:path=…"),
        (["run", "--encoder", "oracle:x=1", "--dataset", "TABLE"], "has no option 'x'. It takes none."),
        (["run", "--encoder", "findings:path=gone.csv", "--dataset", "TABLE"], "gone.csv: there is no such file"),
        (["run", "--dataset", "TABLE,reprot=x"], "no option 'reprot'. Did you mean 'report'?"),
        (["run", "--dataset", "TABLE", "--encoder", "oracle", "--split", "test"], "has no splits"),
        (["run", "--config", "gone.yaml"], "gone.yaml can't be read"),
        (["run", "--dataset", "TABLE", "--system", "constant", "--protocol", "full"], "no protocol 'full'"),
        (["run", "--dataset", "TABLE", "--system", "constant", "--metric", "bleu5"], "There is no metric 'bleu5'"),
        (["score"], "Say what to score"),
        (["score", "nowhere"], "nowhere is not a run folder"),
        (["score", "--reports", "gone.csv", "--references", "gone.csv"], "there is no such file"),
        (["leaderboard", "build", "nowhere"], "nowhere"),
        (["train", "--encoder", "oracle", "--dataset", "TABLE"], "can't be trained"),
        (["list", "encodr"], "Did you mean 'encoder'?"),
    ],
)
def test_a_wrong_request_exits_2_with_one_message_and_no_traceback(
    rrgbench: Call, table: str, arguments: list[str], says: str
) -> None:
    done = rrgbench(*[argument.replace("TABLE", table) for argument in arguments])
    assert done.code == 2
    assert says in done.err
    assert "Traceback" not in done.err and len(done.err.strip().splitlines()) == 1


def test_a_traceback_only_with_debug(rrgbench: Call) -> None:
    assert "Traceback" in rrgbench("--debug", "run", "--config", "gone.yaml").err


def test_bad_rows_cost_themselves_and_nothing_else(rrgbench: Call, tmp_path: Path, radiographs: Path) -> None:
    lines = radiographs.read_text().splitlines()
    probabilities = ["study_id,p_Cardiomegaly", *[f"s{i},0.{i}" for i in range(6)], "s6,nan"]
    (tmp_path / "p.csv").write_text("\n".join(probabilities) + "\n")
    radiographs.write_text("\n".join(lines) + "\n")
    dataset = f"table:path={radiographs},image=image,patient=patient_id,labels=labels"
    done = rrgbench("run", "--dataset", dataset, "--encoder", "findings:path=p.csv,prefix=p_", "--json")
    assert done.code == 1
    summary = done.json()
    assert summary["failures"] == {"findings": 2}
    assert summary["n"] == 8 and summary["coverage"] == 0.75
    used = [score for score in summary["scores"] if not (score["reason"] or "").startswith("unavailable")]
    assert used and all(score["n_failed"] == 2 for score in used)
    records = next((tmp_path / "runs").rglob("reports.jsonl")).read_text()
    assert "row 7, column 'p_Cardiomegaly': 'nan' is not a probability" in records
    assert "no row for study s7" in records


def test_ten_megabytes_of_text_is_a_failure_and_stalls_nothing(rrgbench: Call, files: Path) -> None:
    (files / "ours.csv").write_text(
        f"study_id,report\n1,{'effusion ' * 1_200_000}\n2,No pneumothorax.\n3,Cardiomegaly.\n"
    )
    done = rrgbench("score", "--reports", "ours.csv", "--references", "theirs.jsonl", "--json", timeout=60)
    assert done.code == 1
    assert done.json()["failures"] == {"too long": 1}


def test_unicode_of_every_kind_is_kept(rrgbench: Call, tmp_path: Path) -> None:
    texts = {"1": "Erguß links\u2028zweite Zeile", "2": "肺野清晰 🫁", "3": "a\x00b |||\tc"}
    (tmp_path / "ours.json").write_text(json.dumps(texts))
    done = rrgbench("score", "--reports", "ours.json", "--references", "ours.json", "--metric", "rulelabel", "--json")
    assert done.code == 0, done.err
    records = [
        json.loads(line) for line in next((tmp_path / "runs").rglob("reports.jsonl")).read_text().split("\n") if line
    ]
    assert {record["study_id"]: record["text"] for record in records} == texts


def test_a_one_class_label_is_null_with_the_reason_and_warns_of_nothing(rrgbench: Call, table: str) -> None:
    done = rrgbench("run", "--dataset", table, "--encoder", "oracle", "--metric", "classification", "--json")
    assert done.code == 0
    score = next(s for s in done.json()["scores"] if s["metric"] == "auroc_fracture")
    assert score["value"] is None and "no positive or no negative" in score["reason"]
    assert "Warning" not in done.err


def test_real_reports_are_scored(rrgbench: Call, shared: Path, tmp_path: Path) -> None:
    """IU X-Ray: each report against the report of another patient, as a system that copies at random would give."""
    import tarfile
    import xml.etree.ElementTree as ET

    findings = {}
    with tarfile.open(shared / "iu-xray" / "NLMCXR_reports.tgz") as tar:
        for member in tar:
            if member.name.endswith(".xml") and len(findings) < 120 and (file := tar.extractfile(member)):
                text = ET.parse(file).findtext(".//AbstractText[@Label='FINDINGS']")
                if text:
                    findings[Path(member.name).stem] = text
    ids = list(findings)
    others = dict(zip(ids, np.roll(list(findings.values()), 1).tolist(), strict=True))
    (tmp_path / "theirs.json").write_text(json.dumps(findings))
    (tmp_path / "ours.json").write_text(json.dumps(others))
    done = rrgbench("score", "--reports", "ours.json", "--references", "theirs.json", "--metric", "rulelabel", "--json")
    assert done.code == 0, done.err
    scores = {score["metric"]: score for score in done.json()["scores"]}
    assert 0.05 < scores["rulelabel_micro_f1_14"]["value"] < 0.9
    low, high = scores["rulelabel_micro_f1_14"]["ci"]
    assert high - low > 0.02


def test_a_run_folder_takes_no_other_data(rrgbench: Call, table: str, tmp_path: Path) -> None:
    done = rrgbench("score", tmp_path, "--dataset", table, "--split", "test")
    assert done.code == 2 and "--dataset, --split" in done.err


def test_debug_keeps_the_exit_code(rrgbench: Call) -> None:
    assert rrgbench("--debug", "run", "--limit", "0").code == 2


def test_failures_are_told_on_stderr_with_json_too(rrgbench: Call, files: Path) -> None:
    (files / "ours.csv").write_text("study_id,report\n1,Effusion.\n")
    done = rrgbench("score", "--reports", "ours.csv", "--references", "theirs.jsonl", "--metric", "rulelabel", "--json")
    assert done.code == 1 and "2 of 3 reports could not be made (2 missing)" in done.err


def test_nested_json_is_no_report(rrgbench: Call, files: Path) -> None:
    (files / "ours.json").write_text('[{"study_id": "1", "report": {"findings": "no effusion"}}]')
    done = rrgbench("score", "--reports", "ours.json", "--references", "theirs.jsonl")
    assert done.code == 2 and "row 1, column 'report': a cell must be text or a number, not dict" in done.err
