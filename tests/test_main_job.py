"""The main job, end to end, with every part real: what a newcomer types, and what a researcher does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY, Done

Call = Callable[..., Done]


def records(out: Path) -> list[dict[str, Any]]:
    (file,) = out.rglob("reports.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_run_alone_runs_the_embedded_default(rrgbench: Call, tmp_path: Path) -> None:
    done = rrgbench("run", "--limit", "40")
    assert done.code == 0, done.err
    assert "vit+template on phantom (synthetic), n = 40" in done.out
    assert "rulelabel_micro_f1_14" in done.out and "auroc_macro" in done.out
    assert len(records(tmp_path / "runs")) == 40


def test_gpt4_without_a_key_exits_2_with_what_to_set_and_what_to_run_instead(rrgbench: Call) -> None:
    done = rrgbench("run", "--encoder", "vit", "--llm", "gpt4", env={"OPENAI_API_KEY": ""})
    assert done.code == 2
    assert len(done.err.strip().splitlines()) == 1
    for words in ("OPENAI_API_KEY", "base_url", "--llm local", "--llm template"):
        assert words in done.err


def test_gpt4_on_a_real_server_leaves_model_prompt_tokens_seconds_and_cost(
    rrgbench: Call, tmp_path: Path, llama: Any
) -> None:
    llm = f"gpt4:base_url={llama.base_url},max_tokens=200"
    command = [
        "run",
        "--dataset",
        "phantom:n=60",
        "--encoder",
        "vit",
        "--prompt",
        "stepwise",
        "--llm",
        llm,
        "--limit",
        "6",
    ]
    done = rrgbench(*command, "--json", env={"OPENAI_API_KEY": llama.key}, timeout=280)
    assert done.code == 0, done.err
    asked = [record for record in records(tmp_path / "runs") if record["calls"]]
    assert asked, "no study had a finding to write about"
    for record in asked:
        assert record["model"] and len(record["prompt_hash"]) == 64
        assert record["prompt_tokens"] > 0 and record["completion_tokens"] > 0
        assert record["write_seconds"] > 0 and record["encode_seconds"] > 0
        assert record["cost"] == 0.0  # one's own server
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or llama.key.encode() not in file.read_bytes(), file


def test_the_real_radiographs_by_chexnet_with_thresholds_fitted_out_of_sample(
    rrgbench: Call, shared: Path, tmp_path: Path
) -> None:
    config = REPOSITORY / "configs" / "nih-chexnet.yaml"
    env = {"RRGBENCH_NIH": str(shared / "nih")}
    done = rrgbench("run", "--config", config, "--llm", "template", "--out", tmp_path / "runs", "--json", env=env)
    assert done.code == 0, done.err
    chexnet, constant = done.json()
    scores = {score["metric"]: score for score in chexnet["scores"]}
    assert chexnet["n"] == 300 and chexnet["coverage"] == 1.0 and not chexnet["synthetic"]
    assert scores["auroc_cardiomegaly"]["value"] > 0.85
    assert 0.3 < scores["rulelabel_micro_f1_all"]["value"] < 0.6
    assert "reference:labels" in scores["rulelabel_micro_f1_all"]["signature"]
    assert "lung_lesion" in scores["rulelabel_micro_f1_all"]["signature"]
    normal = {score["metric"]: score["value"] for score in constant["scores"]}
    assert normal["rulelabel_micro_f1_all"] == 0.0
    assert str(shared) not in json.dumps([chexnet, constant])  # where the data lies is nobody else's affair


def test_the_real_radiographs_by_the_shipped_vit(rrgbench: Call, shared: Path, tmp_path: Path) -> None:
    config = REPOSITORY / "configs" / "nih-vit.yaml"
    command = ["run", "--config", config, "--encoder", "vit", "--llm", "template", "--out", tmp_path / "runs", "--json"]
    done = rrgbench(*command, env={"RRGBENCH_NIH": str(shared / "nih")}, timeout=280)
    assert done.code == 0, done.err
    score = next(score for score in done.json()["scores"] if score["metric"] == "auroc_macro")
    assert 0.3 < score["value"] < 0.8  # it was trained on drawings, and shows it


def test_a_grid_becomes_a_page_that_shows_what_each_stage_costs(rrgbench: Call, tmp_path: Path) -> None:
    grid = ["--encoder", "vit", "--encoder", "oracle", "--llm", "template", "--system", "classify-then-generate"]
    done = rrgbench("run", "--dataset", "phantom:n=200", *grid, "--system", "constant")
    assert done.code == 0, done.err
    built = rrgbench("leaderboard", "build", "runs", "--out", "board.html")
    assert built.code == 0 and "3 runs" in built.out
    page = (tmp_path / "board.html").read_text()
    for words in ("vit+template", "oracle+template", "constant", "Synthetic", "What each stage costs"):
        assert words in page
    assert "http://" not in page.replace("http://www.w3.org", "") and "https://" not in page


@pytest.mark.slow
def test_doctor_finds_nothing_broken(rrgbench: Call) -> None:
    done = rrgbench("doctor", "--json", timeout=280)
    assert [check for check in done.json() if check["state"] == "broken"] == []
