"""`rrgbench matrix` and `rrgbench train --folds`: trained here, tested there; each patient predicted by a stranger."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import rrgbench.harness
from rrgbench import matrix_page
from rrgbench.crossvalidation import crossvalidate, fold_of
from rrgbench.errors import UsageError
from rrgbench.matrix import Matrix, matrix
from rrgbench.training import train
from tests.conftest import Done

TINY = "cnn:model=test_resnet,size=64,checkpoint=none"
HERE, THERE = "phantom:n=160,size=64", "phantom:n=160,size=64,exposure=0.3"
RECIPE = {"epochs": 1, "batch": 16}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Matrix:
    folder = tmp_path_factory.mktemp("matrix")
    return matrix(
        {
            "encoder": TINY,
            "train": [HERE, THERE],
            "recipe": RECIPE,
            "by": ["sex"],
            "models": folder / "models",
            "out": folder / "runs",
            "resamples": 50,
        }
    )


def test_every_training_meets_every_test_set(done: Matrix) -> None:
    assert [(cell.trained_on, cell.tested_on) for cell in done.cells] == [
        (HERE, HERE),
        (HERE, THERE),
        (THERE, HERE),
        (THERE, THERE),
    ]
    values = [cell.overall.value for cell in done.cells]
    assert len(set(values)) == 4  # other weights and other pictures give other numbers
    frame = done.frame()
    assert set(frame["by"]) == {"all", "sex"} and set(frame["slice"]) == {"all", "male", "female"}
    whole = frame[frame["by"] == "all"]
    assert (whole["low"] <= whole["auroc_macro"]).all() and (whole["auroc_macro"] <= whole["high"]).all()


def test_its_numbers_are_those_of_the_runs(done: Matrix) -> None:
    for cell in done.cells:
        (score,) = (score for score in cell.run.scores if score.metric == "auroc_macro")
        assert cell.overall.value == pytest.approx(score.value) and cell.overall.n == score.n


def test_what_is_there_is_not_made_again(done: Matrix) -> None:
    folder = done.cells[0].run.folder
    assert folder is not None
    root = folder.parents[2]
    before = {file: file.stat().st_mtime_ns for file in (root / "models").rglob("*.safetensors")}
    again = train({"encoder": TINY, "dataset": HERE, "recipe": RECIPE, "out": root / "models"})
    assert {file: file.stat().st_mtime_ns for file in (root / "models").rglob("*.safetensors")} == before
    assert again.record["dataset"] == HERE and Path(again.checkpoint.path).is_file()


def test_the_page_shades_home_and_draws_slices_and_reliability(done: Matrix) -> None:
    html = matrix_page.page(done, "Travel")
    assert html.count('class="home"') == 2
    for words in ("Sex", "Reliability", "Synthetic", HERE, "exposure=0.3"):
        assert words in html
    assert "<script" not in html and str(done.cells[0].run.folder) not in html


def test_encoders_with_weights_are_tested_as_they_are(rrgbench: Callable[..., Done], tmp_path: Path) -> None:
    command = ("matrix", "--encoder", "cnn", "--encoder", "oracle", "--test", HERE, "--by", "view", "--resamples", "20")
    said = rrgbench(*command, "--json")
    assert said.code == 0, said.err
    rows = json.loads(said.out)["rows"]
    whole = {row["encoder"]: row for row in rows if row["by"] == "all"}
    assert whole["oracle"]["auroc_macro"] == 1 and whole["oracle"]["trained_on"] is None
    assert whole["cnn"]["trained_on"] == "phantom:n=80000,seed=0"
    assert {row["slice"] for row in rows} == {"all", "PA", "AP"}


def test_a_matrix_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--test SPEC"):
        matrix({"encoder": "vit", "out": tmp_path})


def test_measuring_on_what_was_learned_is_said(tmp_path: Path) -> None:
    done = train({"encoder": TINY, "dataset": HERE, "recipe": RECIPE, "out": tmp_path})
    for split, warned in (("train", True), ("test", False)):
        result = rrgbench.harness.run(
            dataset=HERE, split=split, encoder=str(done.spec), metric=["classification"], out=tmp_path / "runs", limit=8
        )
        warnings = result.runs[0].manifest["warnings"]
        assert any("was trained on" in warning for warning in warnings) == warned


def test_each_patient_is_predicted_by_a_training_that_never_saw_them(tmp_path: Path) -> None:
    crossed = crossvalidate({"encoder": TINY, "dataset": HERE, "recipe": RECIPE, "folds": 3, "out": tmp_path})
    frame = pd.read_csv(crossed.predictions, dtype={"study_id": str, "patient_id": str})
    assert len(crossed.trained) == 3 and not crossed.failures
    assert (frame["fold"] == [fold_of(patient, 3) for patient in frame["patient_id"]]).all()
    sizes = frame["fold"].value_counts()
    for number, trained in enumerate(crossed.trained):
        counted = trained.record["studies"]
        assert counted["train"] + counted["validate"] + sizes[number] == len(frame)
    result = rrgbench.harness.run(
        dataset=HERE,
        split="train",
        encoder=f"findings:path={crossed.predictions},prefix=prob_",
        metric=["classification"],
        out=tmp_path / "runs",
        resamples=20,
    )
    assert result.runs[0].complete


def test_folds_need_patients(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="too few patients"):
        crossvalidate({"encoder": TINY, "dataset": "phantom:n=4,size=64", "folds": 5, "out": tmp_path})
