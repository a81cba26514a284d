from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from rrgbench_timm import judging, schedules
from rrgbench_timm.encoder import TimmEncoder
from rrgbench_timm.probe_grid import ProbeRecipe
from rrgbench_timm.probing import Probe
from rrgbench_timm.recipe import Recipe

from rrgbench.errors import RunError, UsageError
from rrgbench.labels import CHEXPERT, snake
from rrgbench.types import Checkpoint, Context, Failure, Finding, Findings, Status, Study, Vocabulary

SQUARES = ("Cardiomegaly", "Edema", "Pleural Effusion")  # the labels that the drawn studies have


def trace(result: Checkpoint) -> list[tuple[float, float]]:
    return [(row["train_loss"], row["auroc_macro"]) for row in result.history]


def vit(**options: Any) -> TimmEncoder:
    return TimmEncoder(model="test_vit", size=64, **{"checkpoint": None, **options})


def weights(encoder: TimmEncoder) -> dict[str, np.ndarray]:
    return encoder._origin.state


def test_a_cnn_learns_what_can_be_seen(trained: SimpleNamespace) -> None:
    assert trained.result.scores["auroc_macro"] > 0.9
    assert trained.result.scores["f1_macro"] > 0.8


def test_a_vit_learns_what_can_be_seen(made: SimpleNamespace, tmp_path: Path) -> None:
    recipe = Recipe(epochs=8, batch=32, augment=False)
    assert vit().fit(made.studies(512, 1), made.studies(64, 2), tmp_path, recipe).scores["auroc_macro"] > 0.9


def test_nothing_is_learned_from_labels_that_fit_no_image(made: SimpleNamespace, tmp_path: Path) -> None:
    encoder = TimmEncoder(preset="cnn", model="test_resnet", checkpoint=None, size=64)
    learn, validate = made.studies(192, 1, shuffled=True), made.studies(400, 2, shuffled=True)
    result = encoder.fit(learn, validate, tmp_path, Recipe(epochs=2, batch=16, lr=3e-3))
    assert 0.4 < result.scores["auroc_macro"] < 0.6


def test_the_same_seed_gives_the_same_checkpoint_and_another_does_not(made: SimpleNamespace, tmp_path: Path) -> None:
    def fit(seed: int, folder: str) -> Checkpoint:
        torch.rand(seed + 1)  # what was drawn before must not matter
        recipe = Recipe(epochs=2, batch=16, dropout=0.1, drop_path=0.1)
        return vit(seed=seed).fit(made.studies(64, 1), made.studies(32, 2), tmp_path / folder, recipe)

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


def truth_and_probability(trained: SimpleNamespace, studies: list[Study], label: str) -> tuple[np.ndarray, np.ndarray]:
    found = trained.encoder.encode([Context(study.study_id, images=study.images) for study in studies])
    truth = np.array([study.labels.status(label) is Status.PRESENT for study in studies])
    return truth, np.array([f.by_label[label].probability for f in found])


def test_thresholds_give_the_best_f1_on_validation(trained: SimpleNamespace, made: SimpleNamespace) -> None:
    for label in SQUARES:
        truth, probability = truth_and_probability(trained, made.studies(64, 2), label)

        def f1(threshold: float, truth: np.ndarray = truth, probability: np.ndarray = probability) -> float:
            called = probability >= threshold
            return 2 * (truth & called).sum() / (truth.sum() + called.sum())

        chosen = f1(trained.encoder.card.thresholds[label])
        assert chosen == pytest.approx(trained.result.scores[f"f1_{snake(label)}"])
        assert chosen == max(f1(p) for p in probability)


def test_thresholds_can_keep_a_recall_and_probabilities_be_calibrated(made: SimpleNamespace, tmp_path: Path) -> None:
    learn, validate = made.studies(96, 1), made.studies(64, 2)
    encoders = {}
    for calibrate in ("none", "temperature", "platt"):
        encoder = encoders[calibrate] = vit()
        recipe = Recipe(epochs=1, batch=16, augment=False, thresholds="recall", recall=0.8, calibrate=calibrate)
        encoder.fit(learn, validate, tmp_path / calibrate, recipe)
        for label in SQUARES:
            truth, probability = truth_and_probability(SimpleNamespace(encoder=encoder), validate, label)
            called = probability >= encoder.card.thresholds[label]
            assert (truth & called).sum() == np.ceil(0.8 * truth.sum())
    assert encoders["none"].card.calibration is None
    assert set(encoders["platt"].card.calibration) == set(SQUARES)  # the others were not learned
    slopes = {tuple(line) for line in encoders["temperature"].card.calibration.values()}
    assert len(slopes) == 1
    assert all(np.array_equal(weights(encoders["none"])[k], weights(encoders["platt"])[k]) for k in weights(encoder))
    for label in SQUARES:  # Platt's scaling makes the mean probability the prevalence
        truth, probability = truth_and_probability(SimpleNamespace(encoder=encoders["platt"]), validate, label)
        assert probability.mean() == pytest.approx(truth.mean(), abs=0.02)


def test_history_is_written_and_logged(trained: SimpleNamespace) -> None:
    with (trained.folder / "history.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4, 5, 6]
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])
    assert list(rows[0]) == [
        *("epoch", "train_loss", "auroc_macro"),
        *(f"auroc_{snake(label)}" for label in CHEXPERT.labels if label in SQUARES),
        "seconds",
    ]
    assert [entry["stage"] for entry in trained.log] == ["read", "read", *["epoch"] * 6]


def test_history_is_written_for_tensorboard(trained: SimpleNamespace) -> None:
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = reading.EventAccumulator(str(trained.folder / "tensorboard"))
    events.Reload()
    written = [(event.step, event.value) for event in events.Scalars("auroc_macro")]
    assert written == [(12 * row["epoch"], pytest.approx(row["auroc_macro"])) for row in trained.result.history]
    assert len(events.Scalars("lr")) == 72


@pytest.mark.parametrize("schedule", ["cosine", "one-cycle", "step"])
def test_the_learning_rates_are_those_of_the_closed_form(schedule: Any, made: SimpleNamespace, tmp_path: Path) -> None:
    recipe = Recipe(epochs=3, batch=4, lr=2e-3, schedule=schedule, decay_epochs=1, layer_decay=0.9)
    vit().fit(made.studies(18, 1), made.studies(8, 2), tmp_path, recipe)
    with (tmp_path / "schedule.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    share = schedules.factor(recipe, 4)  # 18 studies by 4
    assert [int(row["step"]) for row in rows] == list(range(12))
    assert [float(row["lr"]) for row in rows] == [2e-3 * share(step) for step in range(12)]


def test_on_a_plateau_the_learning_rate_falls(made: SimpleNamespace, tmp_path: Path) -> None:
    recipe = Recipe(epochs=4, batch=4, lr=1e-9, warmup=0, schedule="plateau", decay=0.5, decay_epochs=2)
    vit().fit(made.studies(8, 1), made.studies(8, 2), tmp_path, recipe)  # so slow that no epoch is better
    with (tmp_path / "schedule.csv").open(encoding="utf-8") as file:
        rates = [float(row["lr"]) for row in csv.DictReader(file)]
    assert rates == [1e-9] * 6 + [5e-10] * 2


def test_training_ends_early_where_nothing_gets_better(made: SimpleNamespace, tmp_path: Path) -> None:
    recipe = Recipe(epochs=9, batch=4, lr=1e-9, patience=2)
    result = vit().fit(made.studies(8, 1), made.studies(8, 2), tmp_path, recipe)
    assert [row["epoch"] for row in result.history] == [1, 2, 3]


def test_an_average_of_the_weights_changes_what_is_kept_and_not_the_training(
    made: SimpleNamespace, tmp_path: Path
) -> None:
    encoders, results = [], []
    for ema in (0.0, 0.9):
        encoders.append(vit())
        recipe = Recipe(epochs=2, batch=8, ema=ema)
        results.append(encoders[-1].fit(made.studies(32, 1), made.studies(16, 2), tmp_path / str(ema), recipe))
    plain, average = results
    assert [row["train_loss"] for row in plain.history] == [row["train_loss"] for row in average.history]
    assert not np.array_equal(weights(encoders[0])["norm.weight"], weights(encoders[1])["norm.weight"])


def test_passes_make_no_difference_to_a_step(made: SimpleNamespace, tmp_path: Path) -> None:
    """Unequal numbers of known labels in each, too: the loss is the mean over all that is known in the step."""
    learn = made.studies(32, 1)
    learn[::3] = [replace(study, labels=only(study, "Edema")) for study in learn[::3]]
    encoders, results = [], []
    for passes in (1, 3):
        encoders.append(vit())
        recipe = Recipe(epochs=2, batch=12, accumulate=passes, optimiser="sgd")
        results.append(encoders[-1].fit(learn, made.studies(16, 2), tmp_path / str(passes), recipe))
    one, three = results
    assert [row["train_loss"] for row in three.history] == pytest.approx([row["train_loss"] for row in one.history])
    for name, array in weights(encoders[0]).items():
        np.testing.assert_allclose(weights(encoders[1])[name], array, atol=1e-5)


def only(study: Study, label: str) -> Findings:
    return Findings(CHEXPERT, {label: study.labels.by_label[label]})


def test_where_memory_does_not_suffice_passes_get_smaller(
    made: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enough = vit().fit(made.studies(32, 1), made.studies(16, 2), tmp_path / "enough", Recipe(epochs=2, batch=16))
    from timm.models.vision_transformer import VisionTransformer  # not at the top: rrgbench_timm.models comes first

    forward = VisionTransformer.forward
    most = 5

    def small(self: VisionTransformer, x: torch.Tensor) -> torch.Tensor:
        if self.training and len(x) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.")
        return forward(self, x)

    monkeypatch.setattr(VisionTransformer, "forward", small)
    log: list[dict[str, Any]] = []
    recipe = Recipe(epochs=2, batch=16)
    result = vit().fit(made.studies(32, 1), made.studies(16, 2), tmp_path / "small", recipe, log=log.append)
    assert [row["train_loss"] for row in result.history] == pytest.approx([r["train_loss"] for r in enough.history])
    memory = [event for event in log if event["stage"] == "out of memory"]
    assert [event["studies at once"] for event in memory] == [8, 4]
    most = 0
    with pytest.raises(RunError, match="with as few at once as 1"):
        vit().fit(made.studies(32, 1), made.studies(16, 2), tmp_path / "none", recipe)


def test_a_training_that_diverges_says_so(made: SimpleNamespace, tmp_path: Path) -> None:
    recipe = Recipe(epochs=3, batch=4, lr=1e30, warmup=0, optimiser="sgd", clip=0)
    with pytest.raises(RunError, match=r"diverged in epoch \d: the loss is .*smaller lr"):
        vit().fit(made.studies(16, 1), made.studies(8, 2), tmp_path, recipe)
    assert not (tmp_path / "checkpoint.safetensors").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"optimiser": "sgd", "lr": 0.05},
        {"precision": "bf16"},
        {"balance": True, "mirror": True},
        {"loss": "focal"},
        {"loss": "weighted", "layer_decay": 0.8},
        {"lora": 4, "lr": 1e-2},
    ],
    ids=str,
)
def test_every_way_of_training_learns(
    changes: dict[str, Any], trained: SimpleNamespace, made: SimpleNamespace, tmp_path: Path
) -> None:
    recipe = Recipe(**{"epochs": 3, "batch": 16, "lr": 3e-3, "augment": False, **changes})
    encoder = TimmEncoder(preset="cnn", model="test_resnet", checkpoint=None, size=64)
    result = encoder.fit(made.studies(96, 1), made.studies(64, 2), tmp_path, recipe)
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]
    assert set(weights(encoder)) == set(weights(trained.encoder))
    assert encoder.encode(made.contexts(made.studies(1, 3)))[0].by_label


def test_frozen_layers_stay_as_they_are_to_the_bit(
    trained: SimpleNamespace, made: SimpleNamespace, tmp_path: Path
) -> None:
    encoder = TimmEncoder(checkpoint=trained.path)
    before = dict(weights(encoder))
    recipe = Recipe(epochs=1, batch=16, freeze=["backbone"], stored="fp16", ema=0.9, weight_decay=0.5)
    encoder.fit(made.studies(64, 1), made.studies(64, 2), tmp_path, recipe)
    changed = {name for name, array in weights(encoder).items() if not np.array_equal(array, before[name])}
    assert changed == {"fc.weight", "fc.bias"}


def with_uncertain(studies: list[Study]) -> list[Study]:
    """Every third study's Edema is uncertain."""
    unclear = Finding("Edema", Status.UNCERTAIN)
    return [
        replace(study, labels=Findings(CHEXPERT, {**study.labels.by_label, "Edema": unclear})) if i % 3 == 0 else study
        for i, study in enumerate(studies)
    ]


def test_a_third_class_for_uncertain_leaves_a_network_of_one_output_a_label(
    trained: SimpleNamespace, made: SimpleNamespace, tmp_path: Path
) -> None:
    log: list[dict[str, Any]] = []
    encoder = TimmEncoder(checkpoint=trained.path)
    recipe = Recipe(epochs=1, batch=16, uncertain="U-MultiClass", lr=1e-9, warmup=0)  # so slow that it stays as it was
    validate = made.studies(64, 2)
    result = encoder.fit(with_uncertain(made.studies(64, 1)), validate, tmp_path, recipe, log=log.append)
    assert result.scores["auroc_macro"] == pytest.approx(trained.result.scores["auroc_macro"], abs=0.02)
    assert {k: v.shape for k, v in weights(encoder).items()} == {
        k: v.shape for k, v in weights(trained.encoder).items()
    }


def test_self_training_teaches_itself_the_uncertain_labels(made: SimpleNamespace, tmp_path: Path) -> None:
    log: list[dict[str, Any]] = []
    encoder = TimmEncoder(preset="cnn", model="test_resnet", checkpoint=None, size=64)
    recipe = Recipe(epochs=3, batch=16, lr=3e-3, augment=False, uncertain="U-SelfTrained")
    learn = with_uncertain(made.studies(96, 1))
    result = encoder.fit(learn, made.studies(64, 2), tmp_path, recipe, log=log.append)
    epochs = [event.get("phase") for event in log if event["stage"] == "epoch"]
    assert epochs == ["U-Ignore"] * 3 + [None] * 3
    assert result.scores["auroc_edema"] > 0.8
    assert not list(tmp_path.rglob("*.part")) and not list(tmp_path.rglob("resume*"))


class Teacher:
    """Knows Edema of every study, and nothing of one."""

    version, needs, signature = "1", ("labels",), "who:knows"

    def __init__(self, unknown: str) -> None:
        self.unknown = unknown

    def encode(self, contexts: list[Context]) -> list[Findings | Failure]:
        if any(seen.study_id == self.unknown for seen in contexts):
            raise ValueError("never seen")
        return [self._findings(seen) for seen in contexts]

    def _findings(self, seen: Context) -> Findings:
        p = 0.9 if seen.labels.status("Edema") is Status.PRESENT else 0.1
        return Findings(CHEXPERT, {"Edema": Finding("Edema", Status.PRESENT, probability=p)})


def test_a_teacher_is_learned_from_and_named(made: SimpleNamespace, tmp_path: Path) -> None:
    encoder = TimmEncoder(preset="cnn", model="test_resnet", checkpoint=None, size=64)
    recipe = Recipe(epochs=4, batch=16, lr=3e-3, augment=False, teacher=Teacher("s7"), teacher_weight=1.0)
    log: list[dict[str, Any]] = []
    result = encoder.fit(made.studies(96, 1), made.studies(64, 2), tmp_path, recipe, log=log.append)
    assert log[0] == {"stage": "teach", "teacher": f"{__name__}:Teacher 1 who:knows", "taught": 95, "not taught": 1}
    assert encoder.card.training["recipe"]["teacher"] == log[0]["teacher"]
    assert encoder.card.training["taught"] == 95
    assert result.scores["auroc_edema"] > 0.8
    probability = [f.by_label["Edema"].probability for f in encoder.encode(made.contexts(made.studies(64, 2)))]
    assert max(probability) < 0.98  # a student doesn't become surer than its teacher


class Stranger:
    """Knows other labels than are learned, or fails."""

    version, needs, signature = "1", (), "nobody"

    def __init__(self, fails: bool) -> None:
        self.fails = fails

    def encode(self, contexts: list[Context]) -> list[Findings | Failure]:
        other = Findings(Vocabulary("zoo", ("Zebra",)), {"Zebra": Finding("Zebra", Status.PRESENT, probability=0.9)})
        return [Failure("findings", "no row of this study") if self.fails else other for _ in contexts]


@pytest.mark.parametrize(("fails", "says"), [(True, "no row of this study"), (False, "none of their labels")])
@pytest.mark.parametrize("uncertain", ["U-Ignore", "U-SelfTrained"])
def test_a_teacher_that_teaches_nothing_is_refused(
    fails: bool, says: str, uncertain: Any, made: SimpleNamespace, tmp_path: Path
) -> None:
    recipe = Recipe(epochs=1, batch=4, teacher=Stranger(fails), uncertain=uncertain)
    with pytest.raises(UsageError, match=f"Stranger.*none of the 8 studies.*{says}"):
        vit().fit(made.studies(8, 1), made.studies(8, 2), tmp_path, recipe)


def test_studies_that_can_not_be_used_are_counted(made: SimpleNamespace, tmp_path: Path) -> None:
    good = made.studies(12, 1)
    unclear = Findings(CHEXPERT, {"Edema": Finding("Edema", Status.UNCERTAIN)})
    bad = [
        replace(good[0], study_id="unreadable", images=(made.image(made.unreadable),)),
        replace(good[0], study_id="no image", images=()),
        replace(good[0], study_id="no labels", labels=None),
        replace(good[0], study_id="only uncertain", labels=unclear),
    ]
    log: list[dict[str, Any]] = []
    encoder = vit()
    encoder.fit([*good, *bad], good, tmp_path, Recipe(epochs=1, batch=4), log=log.append)
    assert log[0]["studies"] == 12
    assert [line.split(":")[0] for line in log[0]["skipped"]] == [study.study_id for study in bad]
    assert encoder.card.training["skipped"] == {"train": 4, "validate": 0}


def test_fine_tuning_goes_on_from_a_checkpoint(trained: SimpleNamespace, made: SimpleNamespace, tmp_path: Path) -> None:
    encoder = TimmEncoder(checkpoint=trained.path)
    recipe = Recipe(epochs=1, lr=1e-4, batch=16)
    result = encoder.fit(made.studies(64, 1), made.studies(64, 2), tmp_path, recipe)
    assert result.scores["auroc_macro"] > 0.9
    assert encoder.card.training["started_from"] == TimmEncoder(checkpoint=trained.path).signature[-12:]
    assert encoder.card.mean == trained.encoder.card.mean
    assert encoder.signature != trained.encoder.signature


def test_other_labels_and_limit(made: SimpleNamespace, tmp_path: Path) -> None:
    encoder = vit(labels=["Edema", "Pleural Effusion"])
    encoder.fit(made.studies(40, 1), made.studies(40, 2), tmp_path, Recipe(epochs=1, batch=4, limit=16))
    assert encoder.card.training["studies"] == {"train": 16, "validate": 16}
    (found,) = encoder.encode(made.contexts(made.studies(1, 3)))
    assert found.vocabulary.labels == ("Edema", "Pleural Effusion")
    assert len(found.by_label) == 2


@pytest.mark.parametrize(
    ("recipe", "says"),
    [({"epochs": 0}, "epochs=0"), ({"lr": -1.0}, "lr=-1.0"), ({"batch": 1}, "batch=1"), ({"warmup": -1.0}, "warmup")]
    + [({name: math.inf}, f"{name}=inf: it is finite") for name in ("lr", "warmup", "gamma", "clip", "save_minutes")],
)
def test_a_recipe_that_can_not_work_is_refused(recipe: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Recipe(**recipe)


def test_terms_follow_the_weights_and_the_teacher(
    made: SimpleNamespace, trained: SimpleNamespace, tmp_path: Path
) -> None:
    def fitted(name: str, terms: str, encoder: TimmEncoder, teacher: TimmEncoder | None = None) -> TimmEncoder:
        recipe = Recipe(epochs=1, batch=8, teacher=teacher)
        encoder.fit(made.studies(16, 1), made.studies(16, 2), tmp_path / name, recipe, provenance={"terms": terms})
        return encoder

    bound = fitted("bound", "credentialed", TimmEncoder(preset="cnn", checkpoint=trained.path))
    assert bound.card.terms == "credentialed"
    path = tmp_path / "bound" / "checkpoint.safetensors"
    assert fitted("tuned", "open", TimmEncoder(preset="cnn", checkpoint=path)).card.terms == "credentialed"
    options = {"model": "test_resnet", "size": 64, "checkpoint": None}
    assert fitted("started", "open", TimmEncoder(**options, start=path)).card.terms == "credentialed"
    free = fitted("free", "open", TimmEncoder(preset="cnn", checkpoint=trained.path))
    assert free.card.terms == "open" and free.averaged([bound]).card.terms == "credentialed"
    taught = fitted("taught", "private", TimmEncoder(preset="cnn", checkpoint=trained.path), teacher=bound)
    assert taught.card.terms == "credentialed"
    probe = Probe(encoder=bound)
    probe.fit(made.studies(16, 1), made.studies(16, 2), tmp_path, ProbeRecipe(epochs=1), provenance={"terms": "open"})
    assert probe.card is not None and probe.card.terms == "credentialed"


def test_splits_with_nothing_to_learn_are_refused(made: SimpleNamespace, tmp_path: Path) -> None:
    normal = [replace(study, labels=made.findings((False,) * 3)) for study in made.studies(8, 1)]
    with pytest.raises(UsageError, match="nothing to learn"):
        vit().fit(normal, normal, tmp_path, Recipe(epochs=1))
    with pytest.raises(UsageError, match=r"validate split has 0 studies.*no image"):
        vit().fit(made.studies(4, 1), [Study("s", "p")], tmp_path, Recipe(epochs=1))


def test_each_label_is_judged_on_what_is_known_of_it() -> None:
    nan = np.nan
    target = np.array([[1, nan, nan], [0, 1, nan], [nan, 1, nan], [1, 0, nan]], dtype=np.float32)
    probability = np.array([[0.9, 0.1, 0.5], [0.2, 0.3, 0.5], [0.1, 0.7, 0.5], [0.1, 0.5, 0.5]])
    values = judging.aurocs(target, probability)
    np.testing.assert_allclose(values[:2], [0.5, 0.5])
    assert np.isnan(values[2])


def test_a_label_is_learned_if_its_targets_differ() -> None:
    nan = np.nan
    target = np.array([[1, 1, 0.2, 2, nan], [0, nan, 0.4, 1, nan]], dtype=np.float32)
    assert judging.varied(target).tolist() == [True, False, True, False, False]
