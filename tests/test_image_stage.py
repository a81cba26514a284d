"""The image stage as configs/image-stage.yaml trains it, against the figures that docs/results.md records."""

from __future__ import annotations

from pathlib import Path

import pytest

import rrgbench.harness
from rrgbench.config import MatrixConfig, load
from rrgbench.matrix import Matrix, matrix
from rrgbench.training import train
from tests.conftest import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

# docs/results.md, "The image stage": macro AUROC and its interval, trained and tested at the usual hospital.
RECORDED = {"cnn": (0.699, 0.681, 0.718), "vit": (0.664, 0.645, 0.686)}
USUAL = "phantom:n=4000"
SHIFTED = "phantom:n=4000,exposure=0.25,prevalence=1.5"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("image-stage")


@pytest.fixture(scope="module")
def done(folder: Path) -> Matrix:
    config = load(MatrixConfig, REPOSITORY / "configs" / "image-stage.yaml", models=folder / "models")
    return matrix(config.model_copy(update={"out": folder / "runs", "resamples": 200}))


def auroc(done: Matrix, encoder: str, trained_on: str, tested_on: str) -> float:
    (cell,) = (
        cell
        for cell in done.cells
        if (cell.encoder.split(":")[0], cell.trained_on, cell.tested_on) == (encoder, trained_on, tested_on)
    )
    assert cell.overall.value is not None
    return cell.overall.value


def measured(encoder: str, folder: Path, dataset: str = USUAL) -> float:
    result = rrgbench.harness.run(
        dataset=dataset, encoder=encoder, metric=["classification"], out=folder / "runs", resamples=0
    )
    (score,) = (score for score in result.runs[0].scores if score.metric == "auroc_macro")
    assert score.value is not None
    return score.value


def checkpoint(done: Matrix, encoder: str) -> str:
    (cell,) = (c for c in done.cells if (c.encoder.split(":")[0], c.trained_on, c.tested_on) == (encoder, USUAL, USUAL))
    return str(cell.run.manifest["parts"]["encoder"])


@pytest.mark.parametrize("encoder", RECORDED)
def test_it_reaches_the_recorded_figure_within_its_interval(done: Matrix, encoder: str) -> None:
    _, low, high = RECORDED[encoder]
    assert low <= auroc(done, encoder, USUAL, USUAL) <= high


@pytest.mark.parametrize("encoder", RECORDED)
def test_another_hospital_costs_what_training_there_wins_back(done: Matrix, encoder: str) -> None:
    assert auroc(done, encoder, USUAL, SHIFTED) < auroc(done, encoder, SHIFTED, SHIFTED)
    assert auroc(done, encoder, SHIFTED, USUAL) < auroc(done, encoder, USUAL, USUAL)


def test_the_ensemble_is_not_worse_than_the_mean_member(done: Matrix, folder: Path) -> None:
    members = [checkpoint(done, encoder) for encoder in RECORDED]
    together = measured(f'ensemble:members=["{members[0]}","{members[1]}"]', folder)
    assert together >= sum(auroc(done, encoder, USUAL, USUAL) for encoder in RECORDED) / 2


def test_fine_tuning_at_the_other_hospital_beats_the_start(folder: Path) -> None:
    start = measured("cnn", folder, SHIFTED)
    recipe = {"epochs": 1, "batch": 32, "lr": 3e-4, "augment": False, "freeze": ["conv1"]}
    done = train({"encoder": "cnn", "dataset": SHIFTED, "recipe": recipe, "out": folder / "tuned"})
    assert measured(str(done.spec), folder, SHIFTED) > start
