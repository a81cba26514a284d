from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from rrgbench_timm.encoder import TimmEncoder
from rrgbench_timm.recipe import Recipe

from rrgbench.errors import ImageError
from rrgbench.labels import CHEXPERT
from rrgbench.types import Context, Finding, Findings, Image, Status, Study

SIZE = 64
SQUARES = {"Cardiomegaly": (16, 8), "Edema": (16, 40), "Pleural Effusion": (44, 24)}  # y, x of the upper left corner


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


def picture(seed: int, present: tuple[bool, ...]) -> npt.NDArray[np.float32]:
    """Grey noise with a bright square for each label of SQUARES that is present."""
    out = np.random.default_rng(seed).normal(0.4, 0.05, (SIZE, SIZE))
    for (y, x), there in zip(SQUARES.values(), present, strict=True):
        if there:
            out[y : y + 12, x : x + 12] += 0.35
    return np.clip(out, 0, 1).astype(np.float32)


def unreadable() -> npt.NDArray[np.float32]:
    raise ImageError("scan.png is truncated")


def image(read: Callable[[], npt.NDArray[np.float32]], name: str = "i", view: str | None = "PA") -> Image:
    return Image(name, read, lambda: hashlib.sha256(name.encode()).hexdigest(), view)


def findings(present: tuple[bool, ...]) -> Findings:
    statuses = (Status.PRESENT if there else Status.ABSENT for there in present)
    return Findings(CHEXPERT, {label: Finding(label, status) for label, status in zip(SQUARES, statuses, strict=True)})


def studies(n: int, seed: int, shuffled: bool = False) -> list[Study]:
    """Studies whose three labels can be seen in the image or, shuffled, can't."""
    rng = np.random.default_rng(seed)
    out = []
    for i in range(n):
        shown = tuple(bool(v) for v in rng.random(3) < 0.5)
        told = tuple(bool(v) for v in rng.random(3) < 0.5) if shuffled else shown
        where = image(partial(picture, seed * 10_000 + i, shown), f"i{seed}-{i}")
        out.append(Study(f"s{i}", f"p{i}", images=(where,), labels=findings(told)))
    return out


def contexts(of: Iterable[Study]) -> list[Context]:
    return [Context(study.study_id, images=study.images) for study in of]


@pytest.fixture(scope="session")
def made() -> SimpleNamespace:
    """What tests make studies with."""
    return SimpleNamespace(
        studies=studies, contexts=contexts, image=image, picture=picture, unreadable=unreadable, findings=findings
    )


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A test_resnet that has learned the squares: the encoder, its folder, what fit gave, and what it logged."""
    folder = tmp_path_factory.mktemp("trained")
    encoder = TimmEncoder(preset="cnn", model="test_resnet", checkpoint=None, size=SIZE)
    log: list[dict[str, object]] = []
    result = encoder.fit(
        studies(192, 1),
        studies(64, 2),
        folder,
        Recipe(epochs=6, augment=False, batch=16, lr=3e-3, stored="fp16", licence="CC0-1.0"),
        provenance={"dataset": "squares", "terms": "open"},
        log=log.append,
    )
    return SimpleNamespace(encoder=encoder, folder=folder, path=Path(result.path), result=result, log=log)
