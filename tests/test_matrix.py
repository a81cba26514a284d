"""`rrgbench matrix` and `rrgbench train --folds`: trained here, tested there; each patient predicted by a stranger."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

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


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    specs = []
    for seed in (0, 1):
        asked = {"encoder": f"{TINY},seed={seed}", "dataset": HERE, "recipe": RECIPE, "out": tmp_path}
        specs.append(str(train(asked).spec))
    done = matrix({"encoder": [*specs, specs[0]], "test": HERE, "by": [], "out": tmp_path / "runs", "resamples": 20})
    assert [cell.encoder for cell in done.cells] == [
        "cnn:checkpoint=checkpoint.safetensors",
        "cnn:checkpoint=checkpoint.safetensors (2)",
    ]
    html = matrix_page.page(done, "Two")
    for cell in done.cells:
        assert cell.overall.value is not None and f"{cell.overall.value:.3f}".lstrip("0") in html


def test_a_test_set_that_nothing_is_measured_on_costs_its_own_cells_only(tmp_path: Path) -> None:
    table = tmp_path / "zoo.csv"
    table.write_text("study_id,image,l_Zebra\n" + "".join(f"s{i},i{i}.png,{i % 2}\n" for i in range(12)))
    for i in range(12):
        Image.new("L", (32, 32), 20 * i).save(tmp_path / f"i{i}.png")
    zoo = f"table:path={table},image=image,labels=l_,terms=open"
    asked = {"encoder": "cnn", "by": ["sex"], "out": tmp_path / "runs", "resamples": 20}
    done = matrix({**asked, "test": [zoo, HERE]})
    first, second = done.cells
    assert first.overall.value is None and first.overall.reason == "no label in common, or none known"
    assert second.overall.value is not None and second.cuts
    assert any("can't be measured on table:path=zoo.csv" in note for note in done.notes)
    assert "no label in common" in matrix_page.page(done, "Zoo")
    with pytest.raises(UsageError, match="can't be measured on table:path=zoo.csv"):
        matrix({**asked, "test": zoo})


def test_too_few_studies_for_a_score_say_so(tmp_path: Path) -> None:
    done = matrix({"encoder": "oracle", "test": HERE, "limit": 1, "out": tmp_path / "runs", "resamples": 20})
    (cell,) = done.cells
    assert cell.overall.value is None and cell.overall.reason and cell.overall.n == 1
    assert cell.overall.reason in matrix_page.page(done, "One")


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
        asked = {"encoder": str(done.spec), "test": HERE, "split": split, "by": [], "limit": 8, "resamples": 20}
        notes = matrix({**asked, "out": tmp_path / "runs"}).notes
        assert any("was trained on" in note for note in notes) == warned


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


def test_what_it_says_to_do_next_works(rrgbench: Callable[..., Done]) -> None:
    recipe = ("--recipe", "epochs=1,batch=16", "--out", "my models")
    said = rrgbench("train", "--folds", "3", "--encoder", TINY, "--dataset", HERE, *recipe)
    (command,) = (shlex.split(line) for line in said.out.splitlines() if line.startswith("score them: "))
    done = rrgbench(*command[3:], "--resamples", "20")
    assert done.code == 0 and "auroc_macro" in done.out, done.err


def test_folds_need_patients(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="too few patients"):
        crossvalidate({"encoder": TINY, "dataset": "phantom:n=4,size=64", "folds": 5, "out": tmp_path})
