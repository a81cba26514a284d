from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rrgbench_timm import frozen, linear_probe, models, probe_card, targets
from rrgbench_timm.encoder import TimmEncoder
from rrgbench_timm.frozen import HEAD, View
from rrgbench_timm.neighbours import shares
from rrgbench_timm.presets import WEIGHTS
from rrgbench_timm.probing import Probe, ProbeRecipe
from safetensors import safe_open
from safetensors.numpy import save_file

from rrgbench import interfaces
from rrgbench.datasets.phantom import Phantom
from rrgbench.errors import ImageError, UsageError
from rrgbench.labels import CHEXPERT
from rrgbench.planning import context
from rrgbench.stats import auroc
from rrgbench.thresholds import best_f1
from rrgbench.types import Context, Failure, Findings, Status

LABELS = ("Cardiomegaly", "Edema", "Pleural Effusion")  # what conftest's pictures show


class Blocks:
    """Four blocks of random features of a picture's 8 x 8 tiles; their class tokens get better with depth."""

    version = "1"
    needs = ("images",)

    def __init__(self, seed: int = 0, deepest: int = 4, signature: str = "blocks") -> None:
        rng = np.random.default_rng(seed)
        self._weights = [rng.normal(0, 3, (24, 64)) for _ in range(4)]
        self._deepest, self.signature = deepest, signature

    def encode(self, contexts: Sequence[Context]) -> list[Findings | Failure]:
        raise AssertionError("a probe looks at features only")

    def features(self, contexts: Sequence[Context], blocks: int = 1, average: bool = False) -> list:
        if blocks > self._deepest:
            raise UsageError(f"This network has {self._deepest} blocks.")
        return [self._of(seen, blocks, average) for seen in contexts]

    def _of(self, seen: Context, blocks: int, average: bool):
        try:
            pixels = seen.images[0].read()
        except ImageError as error:
            return Failure("image", str(error))
        side = len(pixels) // 8
        tiles = pixels.reshape(8, side, 8, side).mean(axis=(1, 3)).ravel()
        noise = np.random.default_rng(int(pixels.sum() * 1e3)).normal(size=(4, 24))
        tokens = [np.tanh(w @ tiles) + (3 - i) * noise[i] for i, w in enumerate(self._weights)]
        parts = tokens[4 - blocks :] + ([np.tanh(self._weights[3] @ tiles**2)] if average else [])
        return np.concatenate(parts).astype(np.float32)


@pytest.fixture(scope="module")
def probes(made: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A probe of each kind that has learned conftest's squares."""
    out = {}
    for kind in ("linear", "knn", "ml-knn"):
        probe, folder, log = Probe(encoder=Blocks()), tmp_path_factory.mktemp(kind), []
        recipe = ProbeRecipe(kind=kind, epochs=30, batch=32, k=[5, 20, 50])
        result = probe.fit(
            made.studies(150, 1),
            made.studies(80, 2),
            folder,
            recipe,
            provenance={"dataset": "squares", "terms": "credentialed"},
            log=log.append,
        )
        out[kind] = SimpleNamespace(probe=probe, folder=folder, path=Path(result.path), result=result, log=log)
    return SimpleNamespace(**{kind.replace("-", "_"): fitted for kind, fitted in out.items()}, all=out.values())


def scored(probe: Probe, studies, contexts) -> float:
    """The macro AUROC of a probe on studies of conftest's."""
    found = probe.encode(contexts)
    areas = []
    for label in LABELS:
        truth = [study.labels.status(label) is Status.PRESENT for study in studies]
        areas.append(auroc(truth, [findings.by_label[label].probability for findings in found]).item())
    return float(np.mean(areas))


@pytest.mark.parametrize("kind", ["linear", "knn", "ml_knn"])
def test_each_kind_learns_what_can_be_seen(kind: str, probes: SimpleNamespace, made: SimpleNamespace) -> None:
    fitted = getattr(probes, kind)
    test = made.studies(200, 3)
    assert isinstance(fitted.probe, interfaces.TrainableEncoder)
    assert scored(fitted.probe, test, made.contexts(test)) > 0.85
    assert fitted.result.scores["auroc_macro"] > 0.85
    assert 0.5 < fitted.result.scores["f1_macro"] <= 1


def test_nothing_is_learned_from_labels_that_fit_no_image(made: SimpleNamespace, tmp_path: Path) -> None:
    probe = Probe(encoder=Blocks())
    shuffled = made.studies(150, 1, shuffled=True), made.studies(80, 2, shuffled=True)
    probe.fit(*shuffled, tmp_path, ProbeRecipe(kind="ml-knn", k=[20]))
    test = made.studies(300, 3)
    assert 0.4 < scored(probe, test, made.contexts(test)) < 0.6


def test_the_whole_grid_is_kept_and_its_best_point_chosen(probes: SimpleNamespace) -> None:
    for fitted, points in zip(probes.all, (16, 3, 3), strict=True):
        history = fitted.result.history
        assert len(history) == points == len({tuple(row.items()) for row in history})
        best = max(history, key=lambda row: row["auroc_macro"])
        assert fitted.result.scores["auroc_macro"] == best["auroc_macro"]
        card = fitted.probe.card
        assert (card.blocks, card.average, card.k) == (best["blocks"], best["average"], best.get("k"))
        assert card.training["grid"] == history
        with (fitted.folder / "history.csv").open() as file:
            assert [float(row["auroc_macro"]) for row in csv.DictReader(file)] == [r["auroc_macro"] for r in history]
        assert [event["stage"] for event in fitted.log] == ["read", "read", *["grid"] * points, "refit"]
    grid = probes.linear.result.history
    assert {row["lr"] for row in grid} == {1e-3, 5e-3, 1e-2, 5e-2}
    assert {(row["blocks"], row["average"]) for row in grid} == {(1, 0), (1, 1), (4, 0), (4, 1)}


def test_the_chosen_point_is_trained_again_on_both_splits(probes: SimpleNamespace, made: SimpleNamespace) -> None:
    with safe_open(probes.ml_knn.path, framework="np") as file:
        features, stored = file.get_tensor("features"), file.get_tensor("targets")
    both = [*made.studies(150, 1), *made.studies(80, 2)]
    assert np.array_equal(features, np.stack(Blocks().features(made.contexts(both))))
    expected = targets.of_studies(both, CHEXPERT, "U-Ignore", "ignore")
    assert np.array_equal(stored, np.where(np.isnan(expected), -1, expected))


def test_thresholds_are_those_of_before_it_was_trained_again(made: SimpleNamespace, tmp_path: Path) -> None:
    train, validate = made.studies(150, 1), made.studies(80, 2)
    probe = Probe(encoder=Blocks())
    probe.fit(train, validate, tmp_path, ProbeRecipe(kind="knn", k=[9]))
    x, y = (np.stack(Blocks().features(made.contexts(split))) for split in (train, validate))
    before = shares(y, x, targets.of_studies(train, CHEXPERT, "U-Ignore", "ignore"), [9])[..., 0]
    for label in LABELS:
        truth = [study.labels.status(label) is Status.PRESENT for study in validate]
        assert probe.thresholds[label] == best_f1(truth, before[:, CHEXPERT.labels.index(label)])


def test_a_checkpoint_says_the_same_again(probes: SimpleNamespace, made: SimpleNamespace) -> None:
    contexts = made.contexts(made.studies(12, 3))
    for fitted in probes.all:
        again = Probe(encoder=Blocks(), checkpoint=fitted.path)
        found = again.encode(contexts)
        assert found == fitted.probe.encode(contexts)
        for findings, (alone,) in zip(found, ([*again.encode([seen])] for seen in contexts), strict=True):
            for finding in findings:  # whatever the batch
                assert alone.by_label[finding.label].probability == pytest.approx(finding.probability, abs=1e-12)
        assert again.signature == fitted.probe.signature != ""
        assert again.trained_on == "squares"
        assert set(found[0].by_label) == set(again.thresholds) == set(LABELS)
        for finding in found[0]:
            assert (finding.status is Status.PRESENT) == (finding.probability >= again.thresholds[finding.label])


def test_the_same_recipe_gives_the_same_file(probes: SimpleNamespace, made: SimpleNamespace, tmp_path: Path) -> None:
    for fitted in probes.all:
        torch.rand(1)  # what was drawn before must not matter
        again = Probe(encoder=Blocks()).fit(
            made.studies(150, 1),
            made.studies(80, 2),
            tmp_path,
            ProbeRecipe(kind=fitted.probe.card.kind, epochs=30, batch=32, k=[5, 20, 50]),
            provenance={"dataset": "squares", "terms": "credentialed"},
        )
        assert Path(again.path).read_bytes() == fitted.path.read_bytes()


def test_what_holds_features_of_studies_has_their_terms(probes: SimpleNamespace) -> None:
    assert probes.knn.probe.terms == probes.ml_knn.probe.terms == "credentialed"
    assert probes.linear.probe.terms == "open"  # weights only; the card says on what they were trained
    assert probes.linear.probe.card.terms == "credentialed"
    assert not list(probes.linear.folder.glob("features-*"))


@pytest.mark.parametrize("other", [Blocks(signature="other"), Blocks(seed=1)], ids=["signature", "weights"])
def test_another_backbone_is_refused_by_name(other: Blocks, probes: SimpleNamespace, made: SimpleNamespace) -> None:
    for fitted in probes.all:
        with pytest.raises(UsageError, match=r"features of Blocks \(blocks\), and this encoder is Blocks"):
            Probe(encoder=other, checkpoint=fitted.path).encode(made.contexts(made.studies(1, 3)))


def test_a_bad_image_costs_its_own_study_only(made: SimpleNamespace, tmp_path: Path) -> None:
    train, validate, test = made.studies(60, 1), made.studies(40, 2), made.studies(4, 3)
    train[7] = replace(train[7], images=(made.image(made.unreadable),))
    train[9] = replace(train[9], labels=None)
    log: list[dict] = []
    probe = Probe(encoder=Blocks())
    probe.fit(train, validate, tmp_path, ProbeRecipe(kind="knn", k=[5]), log=log.append)
    assert log[0]["studies"] == 58
    assert log[0]["skipped"] == ["s7: scan.png is truncated", "s9: it has no label that is known"]
    assert probe.card.training["skipped"] == {"train": 2, "validate": 0}
    test[2] = train[7]
    found = probe.encode(made.contexts(test))
    assert [isinstance(each, Failure) for each in found] == [False, False, True, False]
    assert "truncated" in found[2].message


def test_an_encoder_that_raises_or_gives_no_numbers_costs_that_study_only(made: SimpleNamespace) -> None:
    class Fragile(Blocks):
        def features(self, contexts, blocks=1, average=False):
            if any(seen.study_id == "s1" for seen in contexts):
                raise RuntimeError("a tensor is wrong")
            found = super().features(contexts, blocks, average)
            return [one * np.nan if seen.study_id == "s2" else one for seen, one in zip(contexts, found, strict=True)]

    found = frozen.features(Fragile(), made.contexts(made.studies(4, 1)), HEAD)
    assert [isinstance(one, Failure) for one in found] == [False, True, True, False]
    assert "a tensor is wrong" in found[1].message
    assert "finite" in found[2].message


def test_every_view_is_the_encoders_own_and_an_image_is_read_once(made: SimpleNamespace, tmp_path: Path) -> None:
    reads: list[str] = []
    studies = made.studies(40, 1)

    def counted(study):
        (image,) = study.images
        read = image.read
        return replace(study, images=(replace(image, read=lambda: reads.append(image.image_id) or read()),))

    views = [View(blocks, average) for blocks in (1, 2, 4) for average in (False, True)]
    data = frozen.gather(
        Blocks(),
        {"train": [counted(study) for study in studies]},
        lambda some: targets.of_studies(some, CHEXPERT, "U-Ignore", "ignore"),
        views,
        tmp_path,
        limit=None,
        log=lambda _: None,
    )
    assert sorted(reads) == sorted(study.images[0].image_id for study in studies)
    for view in views:
        expected = np.stack(Blocks().features(made.contexts(studies), *view))
        assert np.array_equal(data.of(view, "train"), expected)


def test_an_encoder_without_more_blocks_gets_a_smaller_grid(made: SimpleNamespace, tmp_path: Path) -> None:
    log: list[dict] = []
    studies = made.studies(60, 1), made.studies(40, 2)
    result = Probe(encoder=Blocks(deepest=1)).fit(*studies, tmp_path, ProbeRecipe(epochs=1), log=log.append)
    assert len(result.history) == 4
    assert log[0] == {"stage": "grid", "left_out": "blocks and average", "why": "This network has 1 blocks."}
    with pytest.raises(UsageError, match="has 1 blocks"):
        Probe(encoder=Blocks(deepest=1)).fit(*studies, tmp_path, ProbeRecipe(blocks=[2]))


def test_a_label_that_train_never_shows_both_ways_is_not_assessed(made: SimpleNamespace, tmp_path: Path) -> None:
    train = made.studies(60, 1)
    absent = Status.ABSENT
    told = [
        {label: replace(f, status=absent) if label == "Edema" else f for label, f in study.labels.by_label.items()}
        for study in train
    ]
    train = [replace(s, labels=replace(s.labels, by_label=by)) for s, by in zip(train, told, strict=True)]
    probe = Probe(encoder=Blocks(), labels=["Edema", "Cardiomegaly"])
    probe.fit(train, made.studies(40, 2), tmp_path, ProbeRecipe(kind="ml-knn", k=[5]))
    (found,) = probe.encode(made.contexts(made.studies(1, 3)))
    assert found.not_assessed() == ("Edema",)
    assert probe.card.thresholds["Edema"] is None


def test_one_step_of_the_linear_probe_by_hand() -> None:
    """The gradient of the mean cross-entropy over known labels, times lr x batch / 256; the unknown one stays."""
    x = np.array([[1.0, -2.0, 0.5]], dtype=np.float32)
    y = np.array([[1.0, 0.0, np.nan]], dtype=np.float32)
    settings = {"epochs": 1, "batch": 8, "seed": 3, "device": torch.device("cpu")}
    still, moved = linear_probe.train(x, y, [0.0, 2.0], **settings)
    assert (still.bias == 0).all()
    assert 0 < np.abs(still.weight).max() < 0.05
    p = linear_probe.probabilities(still, x)[0]
    slope = np.array([p[0] - 1, p[1], 0.0]) / 2 * (2.0 * 1 / 256)  # a batch of the one study there is
    assert moved.bias == pytest.approx(-slope, abs=1e-7)
    assert moved.weight == pytest.approx(still.weight - slope[:, None] * x, abs=1e-7)


def test_heads_of_a_grid_do_not_touch_each_other() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 6)).astype(np.float32), rng.integers(0, 2, (50, 2)).astype(np.float32)
    settings = {"epochs": 3, "batch": 16, "seed": 0, "device": torch.device("cpu")}
    together = linear_probe.train(x, y, [0.1, 5.0], **settings)
    (alone,) = linear_probe.train(x, y, [5.0], **settings)
    assert np.array_equal(together[1].weight, alone.weight)


@pytest.mark.parametrize(
    "wrong", [{"k": [0]}, {"k": []}, {"lr": [-1.0]}, {"blocks": [0]}, {"average": []}, {"smoothing": 0.0}, {"limit": 1}]
)
def test_a_recipe_that_can_not_work_is_refused(wrong: dict) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        ProbeRecipe(**wrong)


def test_what_can_not_be_probed_is_refused(made: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="SimpleNamespace has none"):
        Probe(encoder=SimpleNamespace(version="1", needs=("images",)))
    with pytest.raises(UsageError, match="not trained yet"):
        Probe(encoder=Blocks()).encode(made.contexts(made.studies(1, 1)))
    alike = [replace(study, labels=made.findings((False,) * 3)) for study in made.studies(8, 1)]
    with pytest.raises(UsageError, match="both present and absent"):
        Probe(encoder=Blocks()).fit(alike, alike, tmp_path, ProbeRecipe(kind="knn"))
    with pytest.raises(UsageError, match="train split has 0 studies.*s0: it has no label"):
        nothing = [replace(study, labels=None) for study in alike]
        Probe(encoder=Blocks()).fit(nothing, alike, tmp_path, ProbeRecipe(kind="knn"))


def test_a_damaged_checkpoint_is_refused(probes: SimpleNamespace, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"

    def refused(says: str) -> None:
        with pytest.raises(UsageError, match=says):
            Probe(encoder=Blocks(), checkpoint=path)

    refused("is not there")
    path.write_bytes(probes.linear.path.read_bytes()[:-100])
    refused("no whole safetensors file")
    path.write_bytes((WEIGHTS / "vit.safetensors").read_bytes())
    refused("is no probe")
    card, tensors = probe_card.load(probes.linear.path)
    header = {probe_card.KEY: card.model_dump_json()}
    save_file({**tensors, "bias": tensors["bias"][:-1]}, path, header)
    refused("tensors of shapes")
    save_file({**tensors, "bias": tensors["bias"] * np.nan}, path, header)
    refused("NaN or infinite numbers, first in 'bias'")
    save_file(tensors, path, {probe_card.KEY: json.dumps({**card.model_dump(), "k": 5})})
    refused("do not go with linear")
    with pytest.raises(UsageError, match="other labels"):
        Probe(encoder=Blocks(), checkpoint=probes.linear.path, labels=["Edema"])


def test_a_vits_views_are_parts_of_its_deepest() -> None:
    """What ``Frozen.of`` relies on, of a real network."""
    model = models.create("test_vit", {}, size=64, in_chans=1, classes=3, seed=0)
    x = torch.rand(5, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        deepest = {View(3, True): models.pooled(model, x, 3, True).numpy()}
        data = frozen.Frozen(deepest, np.zeros((5, 1), np.float32), {}, {})
        for view in (View(1, True), View(2, False), View(2, True), View(3, False)):
            assert np.allclose(data.of(view), models.pooled(model, x, *view).numpy(), atol=1e-6)


def test_ml_knn_on_the_shipped_networks_features(tmp_path: Path) -> None:
    data = Phantom(n=600)
    train, validate, test = (list(data.load(split)) for split in ("train", "validate", "test"))
    probe = Probe(encoder=TimmEncoder(preset="cnn", device="cpu"))
    probe.fit(train[:250], validate[:60], tmp_path, ProbeRecipe(kind="ml-knn", k=[20, 50]))
    again = Probe(encoder=TimmEncoder(preset="cnn", device="cpu"), checkpoint=tmp_path / "checkpoint.safetensors")
    found = again.encode([context(study, again.needs) for study in test])
    areas = []
    for label in again.thresholds:
        truth = [study.labels.status(label) is Status.PRESENT for study in test]
        areas.append(auroc(truth, [findings.by_label[label].probability for findings in found]).item())
    assert np.nanmean(areas) > 0.75
    with pytest.raises(UsageError, match="fitted on the features of TimmEncoder.* and this encoder is TimmEncoder"):
        Probe(encoder=TimmEncoder(preset="vit", device="cpu"), checkpoint=tmp_path / "checkpoint.safetensors").encode(
            [context(test[0], again.needs)]
        )
