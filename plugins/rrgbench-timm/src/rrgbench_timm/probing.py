"""``probe``: a linear layer, kNN or ML-kNN on the frozen features of another encoder.

The protocol is that of DINOv2's radiology benchmark (Baharoon et al., arXiv 2312.02366; MohammedSB/DINOv2ForRadiology):
every point of a grid is trained on train, the one with the best macro AUROC on validation is trained again on both, and
whoever runs the encoder tests it once. There the k of kNN was not chosen but every one tested, and a training study was
its own neighbour in ML-kNN; here k is chosen like the rest, and it is not, as Zhang & Zhou have it.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rrgbench.cache import file_digest
from rrgbench.devices import pick_device
from rrgbench.errors import RunError, UsageError
from rrgbench.governance import strictest
from rrgbench.interfaces import Encoder
from rrgbench.labels import CHEXPERT
from rrgbench.types import Checkpoint, Context, Failure, Finding, Findings, Status, Study
from rrgbench_timm import frozen, judging, linear_probe, neighbours, probe_card, probe_grid, targets
from rrgbench_timm.frozen import HEAD, View
from rrgbench_timm.probe_grid import ProbeRecipe
from rrgbench_timm.vocabularies import of_labels

_ALIKE = 0.999  # cosine: another machine's arithmetic stays above it, other weights do not


class Probe:
    """Findings by a probe on another encoder's frozen features: train it, then give its ``checkpoint``.

    ``encoder`` is any encoder with features, as in ``probe:encoder='vit:checkpoint=a.safetensors'``; a checkpoint is
    refused with another than its own. ``labels`` are CheXpert's 14 unless others are named; a checkpoint knows its own.
    A label that train does not show both present and absent is not assessed.

    The checkpoint of ``knn`` and ``ml-knn`` holds the features of training studies: a run with it has their terms.
    """

    version = "1"
    neutral = ("device",)
    recipe = ProbeRecipe

    def __init__(
        self,
        *,
        encoder: Encoder,
        checkpoint: Path | None = None,
        labels: list[str] | None = None,
        device: str = "auto",
    ) -> None:
        if not hasattr(encoder, "features"):
            raise UsageError(f"A probe needs an encoder with features, as vit and cnn have: {_name(encoder)} has none.")
        self._encoder: Any = encoder
        self._device_name = device
        self.needs = encoder.needs
        self._card: probe_card.ProbeCard | None = None
        self._tensors: probe_card.Tensors = {}
        self.signature = ""
        self._recognised = False
        if checkpoint is not None and str(checkpoint) != "none":
            self._card, self._tensors = probe_card.load(checkpoint)
            self.signature = f"checkpoint:{file_digest(checkpoint)[:12]}"
            if labels is not None and set(labels) != set(self._card.labels):
                raise UsageError(f"The checkpoint {checkpoint} has other labels: {', '.join(self._card.labels)}.")
            labels = self._card.labels
        self.vocabulary = of_labels(labels or CHEXPERT.labels)

    @property
    def card(self) -> probe_card.ProbeCard | None:
        """What the checkpoint says of itself; None while there is none."""
        return self._card

    @property
    def terms(self) -> str:
        """Those of the training studies whose features it holds."""
        return "open" if self._card is None or self._card.kind == "linear" else self._card.terms

    @property
    def thresholds(self) -> dict[str, float]:
        """The probability from which on each learned label is called present."""
        return {k: t for k, t in self._card.thresholds.items() if t is not None} if self._card else {}

    @property
    def trained_on(self) -> str | None:
        """The dataset's spec."""
        return self._card.training["provenance"].get("dataset") if self._card else None

    def encode(self, contexts: Sequence[Context]) -> list[Findings | Failure]:
        """Findings of each context; a failure where the encoder has no features of it. Raises UsageError."""
        card = self._card
        if card is None:
            raise UsageError("The probe was not trained yet: train it with `rrgbench train`, and give checkpoint=FILE.")
        self._recognise(card)
        found = frozen.features(self._encoder, contexts, View(card.blocks, card.average))
        usable = [each for each in found if not isinstance(each, Failure)]
        rows = iter(self._judge(card, np.stack(usable).astype(np.float32)) if usable else ())
        return [each if isinstance(each, Failure) else self._findings(card, next(rows)) for each in found]

    def fit(
        self,
        train: Iterable[Study],
        validate: Iterable[Study],
        folder: Path,
        recipe: ProbeRecipe,
        *,
        provenance: Mapping[str, Any] | None = None,
        log: frozen.Log | None = None,
    ) -> Checkpoint:
        """Train every point of the grid on ``train``, choose on ``validate``, train the best again on both.

        The choice is the highest macro AUROC. Thresholds have the best F1 by what the chosen point gave on validation
        before it was trained again, since afterwards no study is left that it has not seen; the scores are those, too.
        Writes checkpoint.safetensors and history.csv (the grid) under ``folder``; ``provenance`` as given into the
        checkpoint. Afterwards this encoder encodes with the new probe.
        """
        say = log or (lambda _: None)
        folder.mkdir(parents=True, exist_ok=True)
        views = self._views(recipe, say)
        labels = list(self.vocabulary.labels)

        def of_studies(studies: Sequence[Study]) -> npt.NDArray[np.float32]:
            return targets.of_studies(studies, self.vocabulary, recipe.uncertain, recipe.blank)

        splits = {"train": train, "validate": validate}
        with TemporaryDirectory(prefix="features-", dir=folder) as features:
            data = frozen.gather(self._encoder, splits, of_studies, views, Path(features), limit=recipe.limit, log=say)
            learn, check = (data.targets[data.rows[split]] for split in ("train", "validate"))
            learned = judging.varied(learn)
            judged = learned & judging.varied(check)
            if not judged.any():
                raise UsageError("No label stands both present and absent in both splits, train and validate.")
            best, reached, history = None, -math.inf, []
            for point in probe_grid.points(recipe, data, views, self._device):
                row = probe_grid.figures(point, labels, check, judged)
                history.append(row)
                say({"stage": "grid", "point": len(history), **row})
                if row["auroc_macro"] > reached:  # of equal ones the first; never one that is not a number
                    best, reached = point, row["auroc_macro"]
                    scores = {name: value for name, value in row.items() if name.startswith("auroc_")}
            if best is None:
                raise RunError("No point of the probe's grid gave finite probabilities. Try a smaller lr.")
            say({"stage": "refit", "studies": len(data.targets), "auroc_macro": reached})
            tensors = probe_grid.refit(recipe, best, data, self._device)
            thresholds, f1 = probe_grid.thresholds_and_f1(best, labels, check, learned)
            scores |= f1
        tensors["reference"] = frozen.reference(self._encoder, best.view).astype(np.float32)
        given = dict(provenance or {})
        card = probe_card.ProbeCard(
            format=1,
            kind=recipe.kind,
            backbone=_name(self._encoder),
            signature=_signature(self._encoder),
            blocks=best.view.blocks,
            average=best.view.average,
            width=len(tensors["reference"]),
            k=best.k,
            temperature=recipe.temperature if recipe.kind == "knn" else None,
            smoothing=recipe.smoothing if recipe.kind == "ml-knn" else None,
            labels=labels,
            thresholds=thresholds,
            training={
                "provenance": given,
                "recipe": asdict(recipe),
                "grid": history,
                "studies": {split: rows.stop - rows.start for split, rows in data.rows.items()},
                "skipped": {split: len(why) for split, why in data.skipped.items()},
                "versions": {name: version(name) for name in ("numpy", "torch")},
                "validate": scores,
            },
            terms=self._terms(given.get("terms", "private")),  # private: data that nobody has called open
            licence=recipe.licence,
        )
        path = folder / "checkpoint.safetensors"
        probe_card.write(path, card, tensors)
        with (folder / "history.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(history[0]))
            writer.writeheader()
            writer.writerows(history)
        self._card, self._tensors, self._recognised = card, tensors, True
        self.signature = f"checkpoint:{file_digest(path)[:12]}"
        return Checkpoint(str(path), scores, history)

    @cached_property
    def _device(self) -> torch.device:
        return pick_device(self._device_name)

    def _terms(self, of_data: str) -> Any:
        """The strictest of the data's terms and of those that bind the features' encoder."""
        own = getattr(getattr(self._encoder, "card", None), "terms", "open")
        return strictest([of_data, "private" if own == "unknown" else own])

    def _views(self, recipe: ProbeRecipe, say: frozen.Log) -> list[View]:
        """The views of the grid, which the encoder can give."""
        if recipe.kind != "linear":
            frozen.reference(self._encoder, HEAD)
            return [HEAD]
        blocks = recipe.blocks or [1, 4]
        views = [View(number, average) for number in blocks for average in recipe.average]
        try:
            if set(views) - {HEAD}:
                frozen.reference(self._encoder, View(max(blocks), average=True))
        except UsageError as error:
            if recipe.blocks is not None:
                raise
            say({"stage": "grid", "left_out": "blocks and average", "why": str(error)})
            return [HEAD]
        return views

    def _recognise(self, card: probe_card.ProbeCard) -> None:
        """Raise UsageError unless the encoder gives the features that the probe was fitted on."""
        if self._recognised:
            return
        same = _signature(self._encoder) == card.signature
        if same:
            here = frozen.reference(self._encoder, View(card.blocks, card.average)).astype(float)
            then = self._tensors["reference"].astype(float)
            # |a| |b| is 0 only for features that say nothing.
            size = float(np.linalg.norm(here) * np.linalg.norm(then))
            same = here.shape == then.shape and float(here @ then) >= _ALIKE * size
        if not same:
            raise UsageError(
                f"The probe was fitted on the features of {card.backbone} ({card.signature or 'no signature'}), and"
                f" this encoder is {_name(self._encoder)} ({_signature(self._encoder) or 'no signature'}) with other"
                " features. Give the encoder that it was trained with, or train the probe again."
            )
        self._recognised = True

    def _judge(self, card: probe_card.ProbeCard, rows: frozen.Features) -> npt.NDArray[np.float64]:
        """The probability of each label, shape (studies, labels)."""
        if card.kind == "linear":
            head = linear_probe.Head(self._tensors["weight"], self._tensors["bias"])
            return linear_probe.probabilities(head, rows)
        assert card.k is not None
        known = probe_grid.decoded(self._tensors["targets"])
        training = (self._tensors["features"], known, [card.k])
        if card.kind == "knn":
            assert card.temperature is not None
            return neighbours.shares(rows, *training, card.temperature, device=self._device)[..., 0]
        positive = neighbours.counts(rows, *training, device=self._device)[..., 0]
        return neighbours.looked_up(self._tensors["table"], positive)

    def _findings(self, card: probe_card.ProbeCard, probability: npt.NDArray[np.float64]) -> Findings:
        by_label = {}
        for label, p in zip(card.labels, probability.clip(0, 1).tolist(), strict=True):
            threshold = card.thresholds[label]
            if threshold is not None:
                by_label[label] = Finding(label, Status.PRESENT if p >= threshold else Status.ABSENT, p)
        return Findings(self.vocabulary, by_label)


def _name(encoder: Any) -> str:
    """An encoder in words, for messages."""
    model = getattr(getattr(encoder, "card", None), "model", None)
    return f"{type(encoder).__name__} with {model}" if model else type(encoder).__name__


def _signature(encoder: Any) -> str:
    return str(getattr(encoder, "signature", ""))
