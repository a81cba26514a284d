from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rrgbench_timm import pixels
from rrgbench_timm.encoder import TimmEncoder
from rrgbench_timm.recipe import Recipe
from safetensors import safe_open

from rrgbench.errors import UsageError
from rrgbench.normalisation import PRESETS, PresetName, normalise
from rrgbench.types import Context


@pytest.fixture(scope="module")
def maira(made: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that was trained with a preset."""
    encoder = TimmEncoder(model="test_resnet", checkpoint=None, size=64, normalise="maira")
    result = encoder.fit(
        made.studies(64, 1), made.studies(32, 2), tmp_path_factory.mktemp("maira"), Recipe(epochs=2, batch=16, lr=3e-3)
    )
    return Path(result.path)


def header(path: Path) -> dict:
    with safe_open(path, framework="np") as opened:
        return json.loads(opened.metadata()["rrgbench"])


@pytest.mark.parametrize("preset", PRESETS)
def test_a_network_gets_what_the_preset_gives(made: SimpleNamespace, preset: PresetName) -> None:
    levels = np.random.default_rng(0).integers(40, 200, (64, 64))
    picture = (levels / 255).astype(np.float32)
    grey = pixels.read(made.image(lambda: picture), 64, PRESETS[preset].adjust)
    mean, std = PRESETS[preset].mean or (0.0,), PRESETS[preset].std or (1.0,)
    given = pixels.as_input(torch.from_numpy(grey)[None, None] / 255.0, mean, std)
    np.testing.assert_allclose(given[0].numpy(), normalise(picture, preset), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("preset", "mean", "std"),
    [
        ("imagenet", [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ("xrv", [0.5], [1 / 2048]),
        ("maira", [0.5307] * 3, [0.2583] * 3),
    ],
)
def test_the_checkpoint_keeps_the_preset(
    made: SimpleNamespace, tmp_path: Path, preset: PresetName, mean: list[float], std: list[float]
) -> None:
    encoder = TimmEncoder(model="test_vit", checkpoint=None, size=64, normalise=preset)
    path = Path(encoder.fit(made.studies(8, 1), made.studies(8, 2), tmp_path, Recipe(epochs=1, batch=4)).path)
    card = TimmEncoder(checkpoint=path).card
    assert (card.normalise, card.in_chans, card.mean, card.std) == (preset, len(mean), mean, std)
    seen = made.contexts(made.studies(4, 3))
    assert TimmEncoder(checkpoint=path, normalise=preset).encode(seen) == encoder.encode(seen)


def test_a_preset_without_a_mean_takes_the_adjusted_data_s(made: SimpleNamespace, tmp_path: Path) -> None:
    encoder = TimmEncoder(model="test_vit", checkpoint=None, size=64, normalise="mimic-jpg")
    encoder.fit(made.studies(8, 1), made.studies(8, 2), tmp_path, Recipe(epochs=1, batch=4))
    assert encoder.card.in_chans == 1
    assert encoder.card.mean == pytest.approx([0.5], abs=0.01)  # an even histogram's
    assert encoder.card.std == pytest.approx([12**-0.5], abs=0.01)


def test_the_signature_names_the_preset(trained: SimpleNamespace, maira: Path) -> None:
    assert TimmEncoder(checkpoint=maira).signature.startswith("normalise:maira|checkpoint:")
    assert TimmEncoder(checkpoint=maira, normalise="maira").signature == TimmEncoder(checkpoint=maira).signature
    assert "normalise" not in trained.encoder.signature


def test_another_preset_than_the_checkpoint_s_is_refused(maira: Path) -> None:
    with pytest.raises(UsageError, match="normalise=xrv, but it was trained with maira"):
        TimmEncoder(checkpoint=maira, normalise="xrv")


def test_images_are_adjusted_before_they_are_encoded(
    trained: SimpleNamespace, made: SimpleNamespace, maira: Path
) -> None:
    picture = made.picture(7, (True, False, True))
    seen = [
        Context(name, images=(made.image(lambda p=p: p, name),))
        for name, p in (("as it is", picture), ("dimmed", picture * np.float32(0.25)))
    ]

    def change(encoder: TimmEncoder) -> float:
        first, second = ([finding.probability for finding in found] for found in encoder.encode(seen))
        return float(np.abs(np.subtract(first, second)).max())

    assert change(TimmEncoder(checkpoint=maira)) < 0.01
    assert change(trained.encoder) > 0.1


def test_without_a_preset_a_checkpoint_is_what_it_was_before_there_were_any(
    trained: SimpleNamespace, maira: Path
) -> None:
    assert "normalise" not in header(trained.path)
    assert header(maira)["normalise"] == "maira"
