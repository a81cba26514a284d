from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rrgbench_timm.encoder import TimmEncoder
from rrgbench_timm.recipe import Recipe

from rrgbench.errors import UsageError
from rrgbench.labels import CHEXPERT
from rrgbench.types import Context, Failure, Findings, Status

TAUGHT = ("Cardiomegaly", "Edema", "Pleural Effusion")


def probabilities(results: list[Findings | Failure]) -> np.ndarray:
    return np.array([[finding.probability for finding in found] for found in results])


def test_findings_name_what_is_in_the_image(trained: SimpleNamespace, made: SimpleNamespace) -> None:
    for present in ((True, False, False), (False, True, True), (False, False, False)):
        image = made.image(lambda present=present: made.picture(77, present))
        (found,) = trained.encoder.encode([Context("s", images=(image,))])
        assert found.vocabulary is CHEXPERT
        assert {label: found.status(label) for label in TAUGHT} == {
            label: Status.PRESENT if there else Status.ABSENT for label, there in zip(TAUGHT, present, strict=True)
        }


def test_status_follows_the_threshold_of_the_checkpoint(trained: SimpleNamespace, made: SimpleNamespace) -> None:
    thresholds = trained.encoder.card.thresholds
    for found in trained.encoder.encode(made.contexts(made.studies(20, 5))):
        for finding in found:
            assert (finding.status is Status.PRESENT) == (finding.probability >= thresholds[finding.label])


def test_what_training_never_showed_is_not_assessed(trained: SimpleNamespace, made: SimpleNamespace) -> None:
    (found,) = trained.encoder.encode(made.contexts(made.studies(1, 5)))
    assert found.not_assessed() == tuple(label for label in CHEXPERT.labels if label not in TAUGHT)


def test_a_checkpoint_read_again_gives_the_same_findings(trained: SimpleNamespace, made: SimpleNamespace) -> None:
    seen = made.contexts(made.studies(20, 6))
    again = TimmEncoder(checkpoint=trained.path)
    assert again.encode(seen) == trained.encoder.encode(seen)
    assert again.signature == trained.encoder.signature
    assert len(again.signature.removeprefix("checkpoint:")) == 12


def test_encoding_never_draws(trained: SimpleNamespace, made: SimpleNamespace) -> None:
    seen = made.contexts(made.studies(8, 6))
    torch.manual_seed(1)
    once = trained.encoder.encode(seen)
    torch.manual_seed(2)
    assert trained.encoder.encode(seen) == once


def test_findings_do_not_depend_on_the_batch(trained: SimpleNamespace, made: SimpleNamespace) -> None:
    seen = made.contexts(made.studies(21, 7))
    together = probabilities(TimmEncoder(checkpoint=trained.path, batch=32).encode(seen))
    alone = probabilities(TimmEncoder(checkpoint=trained.path, batch=1).encode(seen))
    backwards = probabilities(TimmEncoder(checkpoint=trained.path, batch=4).encode(seen[::-1]))[::-1]
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(together, backwards, atol=1e-6)
    assert np.ptp(together) > 0.5


def test_an_unreadable_image_costs_its_own_study_only(trained: SimpleNamespace, made: SimpleNamespace) -> None:
    seen = made.contexts(made.studies(5, 8))
    whole = trained.encoder.encode(seen)
    broken = [*seen[:2], Context("bad", images=(made.image(made.unreadable),)), Context("none"), *seen[2:]]
    results = trained.encoder.encode(broken)
    assert results[2] == Failure("image", "scan.png is truncated")
    assert isinstance(results[3], Failure)
    assert results[3].kind == "image"
    assert "none" in results[3].message
    np.testing.assert_allclose(probabilities(results[:2] + results[4:]), probabilities(whole), atol=1e-6)
    assert [type(r) for r in trained.encoder.encode(broken[2:4])] == [Failure, Failure]
    assert trained.encoder.encode([]) == []


def test_pixels_that_are_no_numbers_cost_their_own_study(trained: SimpleNamespace, made: SimpleNamespace) -> None:
    nan = made.image(lambda: np.full((64, 64), np.nan, np.float32), "nan.png")
    (result,) = trained.encoder.encode([Context("s", images=(nan,))])
    assert isinstance(result, Failure)
    assert "nan.png" in result.message


def test_the_first_frontal_image_is_seen(trained: SimpleNamespace, made: SimpleNamespace) -> None:
    side = made.image(lambda: made.picture(1, (True, True, True)), "side", "LATERAL")
    front = made.image(lambda: made.picture(2, (False, False, True)), "front", "AP")
    both, alone, lateral_only = trained.encoder.encode(
        [Context(name, images=images) for name, images in (("a", (side, front)), ("b", (front,)), ("c", (side,)))]
    )
    np.testing.assert_allclose(probabilities([both]), probabilities([alone]), atol=1e-6)
    assert lateral_only.status("Cardiomegaly") is Status.PRESENT


def test_no_findings_without_trained_weights(made: SimpleNamespace) -> None:
    for none in (None, "none"):
        encoder = TimmEncoder(model="test_vit", checkpoint=none, size=64)
        with pytest.raises(UsageError, match=r"no trained weights.*rrgbench train.*checkpoint=FILE"):
            encoder.encode(made.contexts(made.studies(1, 1)))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"model": "resnet_fifty"}, "no model 'resnet_fifty'"),
        ({"model": "hf-hub:someone/something"}, "no model"),
        ({"model": "test_vit", "size": 100}, "can't take images of 100 px"),
        ({"model": "test_vit", "size": 64, "model_args": {"dept": 2}}, "dept"),
        ({"model": "test_vit", "model_args": {"checkpoint_path": "a.pt"}}, "can't hold checkpoint_path"),
        ({"model": "test_vit", "size": 64, "pretrained": True}, "hub weights of test_vit"),
        ({"model": "test_resnet", "size": 64, "device": "gpu"}, "device 'gpu'"),
    ],
)
def test_what_timm_can_not_make_is_refused_in_words(
    options: dict, says: str, made: SimpleNamespace, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match=says):
        TimmEncoder(checkpoint=None, **options).fit(made.studies(4, 1), made.studies(4, 2), tmp_path, Recipe(epochs=1))
    assert not list(tmp_path.iterdir())


def test_labels_must_be_distinct() -> None:
    with pytest.raises(UsageError, match="distinct"):
        TimmEncoder(checkpoint=None, labels=["Edema", "Edema"])
