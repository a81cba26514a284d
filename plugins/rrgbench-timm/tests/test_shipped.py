from __future__ import annotations

import numpy as np
import pytest
from rrgbench_timm import fitting
from rrgbench_timm.encoder import TimmEncoder
from rrgbench_timm.presets import PRESETS, WEIGHTS

from rrgbench.datasets.phantom import Phantom
from rrgbench.labels import CHEXPERT
from rrgbench.types import Context


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_shipped_weights_are_small_and_say_what_they_are(preset: str) -> None:
    assert (WEIGHTS / f"{preset}.safetensors").stat().st_size <= 4_000_000
    encoder = TimmEncoder(preset=preset)
    card = encoder.card
    assert encoder.vocabulary is CHEXPERT
    assert None not in card.thresholds.values()
    architecture = PRESETS[preset]
    assert (card.model, card.size, card.model_args) == (architecture.model, architecture.size, architecture.model_args)
    assert (card.terms, card.licence) == ("open", "Apache-2.0")
    assert "phantom" in str(card.training["provenance"])
    assert card.training["validate"]["auroc_macro"] >= 0.8


def test_shipped_weights_reach_on_new_drawings_what_is_recorded() -> None:
    # Patients of another seed than the training's. 420 studies: the macro AUROC has a standard error of about .01.
    studies = list(Phantom(n=600, seed=7).load("train"))
    truth = fitting.gather(studies, 32, CHEXPERT, "train", None).target
    contexts = [Context(study.study_id, study.images) for study in studies]
    for preset in PRESETS:
        encoder = TimmEncoder(preset=preset)
        probability = np.array([[finding.probability for finding in found] for found in encoder.encode(contexts)])
        reached = np.nanmean(fitting.aurocs(truth, probability))
        assert reached == pytest.approx(encoder.card.training["validate"]["auroc_macro"], abs=0.05), preset
