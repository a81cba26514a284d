from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rrgbench_timm import fitting
from rrgbench_timm.encoder import TimmEncoder
from rrgbench_timm.fitting import augmented, masked_loss

from rrgbench.errors import UsageError
from rrgbench.labels import CHEXPERT, snake
from rrgbench.types import Finding, Findings, Status, Study


def trace(result) -> list[tuple[float, float]]:
    return [(row["train_loss"], row["auroc_macro"]) for row in result.history]


def test_a_cnn_learns_what_can_be_seen(trained: SimpleNamespace) -> None:
    assert trained.result.scores["auroc_macro"] > 0.9
    assert trained.result.scores["f1_macro"] > 0.8


def test_a_vit_learns_what_can_be_seen(made: SimpleNamespace, tmp_path: Path) -> None:
    encoder = TimmEncoder(model="test_vit", checkpoint=None, size=64)
    result = encoder.fit(made.studies(512, 1), made.studies(64, 2), tmp_path, epochs=8, batch=32, augment=False)
    assert result.scores["auroc_macro"] > 0.9


def test_nothing_is_learned_from_labels_that_fit_no_image(made: SimpleNamespace, tmp_path: Path) -> None:
    encoder = TimmEncoder(preset="cnn", model="test_resnet", checkpoint=None, size=64)
    result = encoder.fit(
        made.studies(192, 1, shuffled=True), made.studies(400, 2, shuffled=True), tmp_path, epochs=2, batch=16, lr=3e-3
    )
    assert 0.4 < result.scores["auroc_macro"] < 0.6


def test_the_same_seed_gives_the_same_checkpoint_and_another_does_not(made: SimpleNamespace, tmp_path: Path) -> None:
    def fit(seed: int, folder: str):
        torch.rand(seed + 1)  # what was drawn before must not matter
        encoder = TimmEncoder(model="test_vit", checkpoint=None, size=64, seed=seed, model_args={"drop_rate": 0.1})
        return encoder.fit(made.studies(64, 1), made.studies(32, 2), tmp_path / folder, epochs=2, batch=16)

    one, two, other = fit(0, "one"), fit(0, "two"), fit(1, "other")
    assert trace(one) == trace(two)
    assert Path(one.path).read_bytes() == Path(two.path).read_bytes()
    assert trace(one) != trace(other)


def test_the_checkpoint_says_how_it_was_made(trained: SimpleNamespace) -> None:
    card = TimmEncoder(checkpoint=trained.path).card
    assert (card.model, card.size, card.in_chans, card.labels) == ("test_resnet", 64, 1, list(CHEXPERT.labels))
    assert (card.terms, card.licence) == ("open", "CC0-1.0")
    training = card.training
    assert training["provenance"] == {"dataset": "squares", "terms": "open"}
    assert training["recipe"]["epochs"] == 6
    assert training["studies"] == {"train": 192, "validate": 64}
    assert training["versions"]["torch"] == torch.__version__
    assert training["validate"] == trained.result.scores
    assert training["epoch"] == max(trained.result.history, key=lambda row: row["auroc_macro"])["epoch"]


def test_thresholds_give_the_best_f1_on_validation(trained: SimpleNamespace, made: SimpleNamespace) -> None:
    validate = made.studies(64, 2)
    found = trained.encoder.encode(made.contexts(validate))
    for label in ("Cardiomegaly", "Edema", "Pleural Effusion"):
        truth = np.array([study.labels.status(label) is Status.PRESENT for study in validate])
        probability = np.array([f.by_label[label].probability for f in found])

        def f1(threshold: float, truth: np.ndarray = truth, probability: np.ndarray = probability) -> float:
            called = probability >= threshold
            return 2 * (truth & called).sum() / (truth.sum() + called.sum())

        chosen = f1(trained.encoder.card.thresholds[label])
        assert chosen == pytest.approx(trained.result.scores[f"f1_{snake(label)}"])
        assert chosen == max(f1(p) for p in probability)


def test_history_is_written_and_logged(trained: SimpleNamespace) -> None:
    with (trained.folder / "history.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4, 5, 6]
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])
    assert [entry["stage"] for entry in trained.log] == ["read", "read", *["epoch"] * 6]


def test_studies_that_can_not_be_used_are_counted(made: SimpleNamespace, tmp_path: Path) -> None:
    good = made.studies(12, 1)
    unclear = Findings(CHEXPERT, {"Edema": Finding("Edema", Status.UNCERTAIN)})
    bad = [
        replace(good[0], study_id="unreadable", images=(made.image(made.unreadable),)),
        replace(good[0], study_id="no image", images=()),
        replace(good[0], study_id="no labels", labels=None),
        replace(good[0], study_id="only uncertain", labels=unclear),
    ]
    log: list[dict] = []
    encoder = TimmEncoder(model="test_vit", checkpoint=None, size=64)
    encoder.fit([*good, *bad], good, tmp_path, epochs=1, batch=4, log=log.append)
    assert log[0]["studies"] == 12
    assert [line.split(":")[0] for line in log[0]["skipped"]] == [study.study_id for study in bad]
    assert encoder.card.training["skipped"] == {"train": 4, "validate": 0}


def test_fine_tuning_goes_on_from_a_checkpoint(trained: SimpleNamespace, made: SimpleNamespace, tmp_path: Path) -> None:
    encoder = TimmEncoder(checkpoint=trained.path)
    result = encoder.fit(made.studies(64, 1), made.studies(64, 2), tmp_path, epochs=1, lr=1e-4, batch=16)
    assert result.scores["auroc_macro"] > 0.9
    assert encoder.card.training["started_from"] == TimmEncoder(checkpoint=trained.path).signature[-12:]
    assert encoder.card.mean == trained.encoder.card.mean
    assert encoder.signature != trained.encoder.signature


def test_other_labels_and_limit(made: SimpleNamespace, tmp_path: Path) -> None:
    encoder = TimmEncoder(model="test_vit", checkpoint=None, size=64, labels=["Edema", "Pleural Effusion"])
    encoder.fit(made.studies(40, 1), made.studies(40, 2), tmp_path, epochs=1, batch=4, limit=16)
    assert encoder.card.training["studies"] == {"train": 16, "validate": 16}
    (found,) = encoder.encode(made.contexts(made.studies(1, 3)))
    assert found.vocabulary.labels == ("Edema", "Pleural Effusion")
    assert len(found.by_label) == 2


@pytest.mark.parametrize(
    ("recipe", "says"),
    [({"epochs": 0}, "epochs=0"), ({"lr": -1.0}, "lr=-1.0"), ({"batch": 1}, "batch=1"), ({"warmup": -1.0}, "warmup")],
)
def test_a_recipe_that_can_not_work_is_refused(recipe: dict, says: str, made: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=says):
        TimmEncoder(model="test_vit", checkpoint=None).fit(made.studies(4, 1), made.studies(4, 2), tmp_path, **recipe)


def test_splits_with_nothing_to_learn_are_refused(made: SimpleNamespace, tmp_path: Path) -> None:
    encoder = TimmEncoder(model="test_vit", checkpoint=None, size=64)
    normal = [replace(study, labels=made.findings((False,) * 3)) for study in made.studies(8, 1)]
    with pytest.raises(UsageError, match="nothing to learn"):
        encoder.fit(normal, normal, tmp_path, epochs=1)
    with pytest.raises(UsageError, match=r"validate split has 0 studies.*no image"):
        encoder.fit(made.studies(4, 1), [Study("s", "p")], tmp_path, epochs=1)


def test_unknown_targets_count_for_nothing() -> None:
    nan = float("nan")
    logits = torch.tensor([[0.0, 50.0], [2.0, -50.0]], requires_grad=True)
    loss = masked_loss(logits, torch.tensor([[1.0, nan], [0.0, nan]]))
    loss.backward()
    expected = (np.log(2) + np.log1p(np.exp(2.0))) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    assert logits.grad[:, 1].tolist() == [0.0, 0.0]
    assert masked_loss(logits, torch.full((2, 2), nan)).item() == 0.0


def test_uncertain_and_unmentioned_are_not_learned_from(made: SimpleNamespace) -> None:
    statuses = {"Edema": Status.UNCERTAIN, "Pneumonia": Status.NOT_MENTIONED, "Fracture": Status.PRESENT}
    labels = Findings(CHEXPERT, {label: Finding(label, status) for label, status in statuses.items()})
    studies = [replace(study, labels=labels) for study in made.studies(2, 1)]
    target = fitting.gather(studies, 64, CHEXPERT, "train", None).target[0]
    known = {label: value for label, value in zip(CHEXPERT.labels, target, strict=True) if not np.isnan(value)}
    assert known == {"Fracture": 1.0}


def test_augmentation_never_mirrors() -> None:
    left = torch.zeros(200, 1, 64, 64)
    left[:, :, 16:48, 4:24] = 1.0
    changed = augmented(left, torch.Generator().manual_seed(0))
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert not torch.equal(changed[0], changed[1])
    halves = changed.mean(dim=(1, 2))
    assert (halves[:, :32].mean(dim=1) > halves[:, 32:].mean(dim=1) + 0.1).all()


def test_augmentation_hangs_on_its_seed_alone() -> None:
    grey = torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(5))
    draw = [augmented(grey, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(draw[0], draw[1])
    assert not torch.equal(draw[0], draw[2])


def test_each_label_is_judged_on_what_is_known_of_it() -> None:
    nan = np.nan
    target = np.array([[1, nan, nan], [0, 1, nan], [nan, 1, nan], [1, 0, nan]], dtype=np.float32)
    probability = np.array([[0.9, 0.1, 0.5], [0.2, 0.3, 0.5], [0.1, 0.7, 0.5], [0.1, 0.5, 0.5]])
    values = fitting.aurocs(target, probability)
    np.testing.assert_allclose(values[:2], [0.5, 0.5])
    assert np.isnan(values[2])
