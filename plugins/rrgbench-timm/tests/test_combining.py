"""An encoder beside others: the mean of weights, what it says of itself, features, foreign weights to start from."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rrgbench_timm.encoder import TimmEncoder
from rrgbench_timm.recipe import Recipe

from rrgbench.encoders.oracle import Oracle
from rrgbench.errors import UsageError
from rrgbench.types import Failure, Findings

TUNE = Recipe(epochs=1, batch=16, lr=1e-3, augment=False)


def tuned(made: SimpleNamespace, trained: SimpleNamespace, folder: Path, seed: int) -> TimmEncoder:
    encoder = TimmEncoder(preset="cnn", checkpoint=trained.path, seed=seed)
    encoder.fit(made.studies(64, seed), made.studies(64, 2), folder, TUNE)
    return encoder


def probabilities(encoder: TimmEncoder, made: SimpleNamespace, label: str = "Edema") -> list[float]:
    found = encoder.encode(made.contexts(made.studies(12, 7)))
    return [each.by_label[label].probability or 0.0 for each in found if isinstance(each, Findings)]


def test_the_mean_of_weights_is_one_network(made: SimpleNamespace, trained: SimpleNamespace, tmp_path: Path) -> None:
    a, b = (tuned(made, trained, tmp_path / str(seed), seed) for seed in (3, 4))
    soup = a.averaged([b])
    assert probabilities(soup, made) != probabilities(a, made)
    for label, threshold in soup.thresholds.items():
        assert threshold == pytest.approx((a.thresholds[label] + b.thresholds[label]) / 2)
    assert a.signature != soup.signature != b.signature
    same = a.averaged([a])
    assert probabilities(same, made) == pytest.approx(probabilities(a, made), abs=1e-6)


def test_the_mean_of_other_networks_is_refused(made: SimpleNamespace, trained: SimpleNamespace) -> None:
    with pytest.raises(UsageError, match="differ in model"):
        TimmEncoder(preset="cnn").averaged([TimmEncoder(preset="vit")])
    with pytest.raises(UsageError, match="Oracle has none"):
        TimmEncoder(preset="cnn").averaged([Oracle()])


def test_a_checkpoint_says_its_thresholds_and_what_it_was_trained_on(trained: SimpleNamespace) -> None:
    encoder = TimmEncoder(preset="cnn", checkpoint=trained.path)
    assert encoder.trained_on == "squares"
    assert set(encoder.thresholds) == {"Cardiomegaly", "Edema", "Pleural Effusion"}
    untrained = TimmEncoder(preset="cnn", checkpoint=None, model="test_resnet", size=64)
    assert untrained.trained_on is None and not untrained.thresholds


def test_features_are_a_vector_an_image_and_a_failure_where_there_is_none(
    made: SimpleNamespace, trained: SimpleNamespace
) -> None:
    encoder = TimmEncoder(preset="cnn", checkpoint=trained.path)
    contexts = made.contexts(made.studies(5, 7))
    bad = made.contexts(made.studies(1, 8))[0]
    bad = type(bad)("broken", images=(made.image(made.unreadable),))
    found = encoder.features([*contexts, bad])
    vectors = [each for each in found if isinstance(each, np.ndarray)]
    assert len(vectors) == 5 and {each.shape for each in vectors} == {vectors[0].shape}
    assert isinstance(found[-1], Failure) and not np.array_equal(vectors[0], vectors[1])


def test_features_of_random_weights_are_refused(made: SimpleNamespace) -> None:
    encoder = TimmEncoder(preset="cnn", checkpoint=None, model="test_resnet", size=64)
    with pytest.raises(UsageError, match="would be random"):
        encoder.features(made.contexts(made.studies(1, 1)))


def test_training_starts_from_foreign_weights_all_but_the_head(
    made: SimpleNamespace, trained: SimpleNamespace, tmp_path: Path
) -> None:
    labels = ["Edema", "Cardiomegaly"]
    options = {"preset": "cnn", "model": "test_resnet", "size": 64, "checkpoint": None, "labels": labels}
    started = TimmEncoder(**options, start=trained.path)
    scratch = TimmEncoder(**options)
    recipe = Recipe(epochs=2, batch=16, lr=3e-3, warmup=0, augment=False, freeze=["backbone"])
    scores = [
        each.fit(made.studies(96, 1), made.studies(64, 2), tmp_path / name, recipe).scores["auroc_macro"]
        for name, each in (("started", started), ("scratch", scratch))
    ]
    assert scores[0] > 0.9 > scores[1] + 0.1  # frozen random layers tell less
    assert started.card is not None and trained.path.name in started.card.training["started_from"]


@pytest.mark.parametrize("option", ["batch", "size", "workers"])
def test_less_than_one_at_once_is_refused(option: str) -> None:
    with pytest.raises(UsageError, match=f"'{option}' must be at least 1"):
        TimmEncoder(**{option: 0})
