"""Pictures that are held in memory or read ahead by worker processes: the training must not know the difference."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from rrgbench_timm import data
from rrgbench_timm.data import Pictures
from rrgbench_timm.encoder import TimmEncoder
from rrgbench_timm.recipe import Recipe

from rrgbench.errors import RunError, UsageError
from rrgbench.normalisation import unchanged
from rrgbench.types import Checkpoint, Image, Study


@pytest.fixture
def streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little memory to hold any picture."""
    monkeypatch.setattr(data, "HELD", 0)


def fit(learn: list[Study], validate: list[Study], folder: Path, log: Any = None, **recipe: Any) -> Checkpoint:
    encoder = TimmEncoder(model="test_vit", checkpoint=None, size=64)
    return encoder.fit(learn, validate, folder, Recipe(**{"epochs": 2, "batch": 8, **recipe}), log=log)


def test_the_weights_are_the_same_held_or_streamed(
    made: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn, validate = made.studies(30, 1), made.studies(16, 2)
    held = fit(learn, validate, tmp_path / "held", workers=2)
    monkeypatch.setattr(data, "HELD", 0)
    streamed = fit(learn, validate, tmp_path / "streamed", workers=2)
    assert Path(held.path).read_bytes() == Path(streamed.path).read_bytes()


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_image_costs_its_own_study_when_it_is_streamed(
    workers: int, made: SimpleNamespace, tmp_path: Path, streamed: None
) -> None:
    def broken() -> npt.NDArray[np.float32]:
        raise KeyError("a reader's own fault")

    learn, validate = made.studies(20, 1), made.studies(16, 2)
    learn[3] = replace(learn[3], images=(made.image(made.unreadable),))
    validate[5] = replace(validate[5], images=(made.image(broken, "scan"),))
    log: list[dict[str, Any]] = []
    encoder = TimmEncoder(model="test_vit", checkpoint=None, size=64)
    encoder.fit(learn, validate, tmp_path, Recipe(epochs=3, batch=8, workers=workers), log=log.append)
    told = [(event["split"], event["skipped"]) for event in log if event["stage"] == "unreadable"]
    assert told == [
        ("train", ["s3: scan.png is truncated"]),
        ("validate", ["s5: the image scan can't be read (KeyError: \"a reader's own fault\")"]),
    ]
    assert encoder.card.training["studies"] == {"train": 19, "validate": 15}
    assert encoder.card.training["skipped"] == {"train": 1, "validate": 1}


def test_what_was_not_read_is_not_learned(made: SimpleNamespace, tmp_path: Path, streamed: None) -> None:
    learn, validate = made.studies(16, 1), made.studies(16, 2)
    present, absent = made.findings((True,) * 3), made.findings((False,) * 3)
    losses = []
    for labels in (present, absent):
        learn[3] = replace(learn[3], images=(made.image(made.unreadable),), labels=labels)
        folder = tmp_path / str(len(losses))
        losses.append([row["train_loss"] for row in fit(learn, validate, folder, workers=0).history])
    assert losses[0] == losses[1]


def test_two_studies_at_least_must_be_readable(made: SimpleNamespace, tmp_path: Path, streamed: None) -> None:
    learn, validate = made.studies(8, 1), made.studies(8, 2)
    bad = [replace(study, images=(made.image(made.unreadable),)) for study in validate[1:]]
    with pytest.raises(UsageError, match=r"validate split has 1 studies.*s1: scan.png is truncated"):
        fit(learn, [validate[0], *bad], tmp_path, workers=0)
    bad = [replace(study, images=(made.image(made.unreadable),)) for study in learn]
    with pytest.raises(UsageError, match=r"None of 8 images could be read.*s0: scan.png is truncated"):
        fit(bad, validate, tmp_path, workers=0)


def test_no_more_is_read_than_is_asked_for(made: SimpleNamespace, streamed: None) -> None:
    read = 0

    def one() -> npt.NDArray[np.float32]:
        nonlocal read
        read += 1
        return np.full((8, 8), 0.5, np.float32)

    pictures = of(made.image, one, 100)
    assert pictures.streamed
    batches = pictures.batches([np.arange(start, start + 4) for start in range(0, 100, 4)])
    rows, grey, readable = next(batches)
    assert (rows.tolist(), grey.shape, readable.all(), read) == ([0, 1, 2, 3], (4, 8, 8), True, 4)


def test_a_worker_that_dies_is_said_in_words(made: SimpleNamespace, streamed: None) -> None:
    pictures = of(made.image, lambda: os._exit(1), 4, workers=1)
    with pytest.raises(RunError, match=r"process that reads images has died.*workers="):
        next(pictures.batches([np.arange(4)]))


def test_grey_levels_are_those_of_all_pictures(made: SimpleNamespace) -> None:
    values = iter([0.0, 1.0, 1.0, 1.0] * 2)
    pictures = of(made.image, lambda: np.full((8, 8), next(values), np.float32), 8)
    assert not pictures.streamed
    pictures.hold(lambda _: None)
    assert pictures.levels()[[0, 255]].tolist() == [0.25, 0.75]


def test_grey_levels_of_many_pictures_are_those_of_an_even_sample(
    made: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, streamed: None
) -> None:
    monkeypatch.setattr(data, "SAMPLE", 3)
    values = iter([0.0, 1.0, 1.0, 1.0])
    levels = of(made.image, lambda: np.full((8, 8), next(values), np.float32), 10).levels()
    np.testing.assert_allclose(levels[[0, 255]], [1 / 3, 2 / 3])


def of(image: Callable[..., Image], read: Callable[[], Any], n: int, workers: int = 0) -> Pictures:
    images = [image(read, f"i{row}") for row in range(n)]
    return Pictures([f"s{row}" for row in range(n)], images, 8, unchanged, workers)
