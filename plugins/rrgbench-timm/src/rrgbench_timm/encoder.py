"""``vit`` and ``cnn``: studies' frontal images to probabilities of labels, by any timm model."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from rrgbench.cache import file_digest
from rrgbench.errors import ImageError, UsageError
from rrgbench.labels import CHEXPERT, VOCABULARIES, snake
from rrgbench.normalisation import PRESETS as NORMALISATIONS
from rrgbench.normalisation import Preset, PresetName
from rrgbench.thresholds import best_f1
from rrgbench.types import Checkpoint, Context, Failure, Finding, Findings, Status, Study, Vocabulary
from rrgbench_timm import checkpoint as checkpoints
from rrgbench_timm.presets import PRESETS, WEIGHTS

if TYPE_CHECKING:
    import torch

    from rrgbench_timm.fitting import Normalisation


class TimmEncoder:
    """Findings by an image classifier: a probability a label, present where it reaches the label's threshold.

    ``checkpoint`` is a file that ``fit`` wrote, ``shipped`` (the preset's weights, trained on drawn radiographs) or
    ``none``: random weights, for training. ``model`` (with ``model_args`` and ``size``, pixels) is any timm model, for
    training from scratch or, with ``pretrained``, from hub weights; a checkpoint knows its own. ``labels`` are
    CheXpert's 14 unless others are named. A label that the training data never showed both ways is not assessed.
    ``normalise`` is the preset (``rrgbench.normalisation``) to train with, which the checkpoint keeps; without one, or
    where it has no mean, pixels are scaled by the hub weights' mean and deviation or, from scratch, by the data's.
    """

    version = "1"
    needs = ("images",)
    # Options that don't change what a checkpoint's findings are; ``normalise`` does, but ``signature`` names it.
    neutral = ("batch", "device", "normalise", "seed")

    def __init__(
        self,
        *,
        preset: Literal["vit", "cnn"] = "vit",
        model: str | None = None,
        checkpoint: Path | None = Path("shipped"),
        size: int | None = None,
        labels: list[str] | None = None,
        batch: int = 32,
        device: str = "auto",
        model_args: dict[str, Any] | None = None,
        pretrained: bool = False,
        normalise: PresetName | None = None,
        seed: int = 0,
    ) -> None:
        if batch < 1:
            raise UsageError(f"The batch must be at least 1, not {batch}.")
        self.batch, self._device_name, self._seed, self._pretrained = batch, device, seed, pretrained
        self._card: checkpoints.Card | None = None
        self._state: checkpoints.State = {}
        self._path = _resolve(checkpoint, preset)
        self._digest: str | None = None
        if self._path is None:
            architecture = PRESETS[preset]
            own = model is None
            self._model_name = model or architecture.model
            self._model_args = {**(architecture.model_args if own else {}), **(model_args or {})}
            self._size = size or (architecture.size if own else None)
            self._normalise = normalise
            self.vocabulary = _vocabulary(labels or CHEXPERT.labels)
        else:
            self._card, self._state = checkpoints.load(self._path)
            self._digest = file_digest(self._path)[:12]
            _check_agreement(self._path, self._card, model, model_args, labels, pretrained, normalise)
            self._model_name, self._model_args = self._card.model, self._card.model_args
            self._size = size or self._card.size
            self._normalise = self._card.normalise
            self.vocabulary = _vocabulary(self._card.labels)
        self._preset = NORMALISATIONS[self._normalise] if self._normalise else Preset()

    @property
    def signature(self) -> str:
        """The preset that images are normalised by and the digest of the checkpoint's file, where there are any."""
        pieces = {"normalise": self._normalise, "checkpoint": self._digest}
        return "|".join(f"{name}:{value}" for name, value in pieces.items() if value)

    @property
    def card(self) -> checkpoints.Card | None:
        """What the checkpoint says of itself: model, labels, thresholds, training; None while there is none."""
        return self._card

    def encode(self, contexts: Sequence[Context]) -> list[Findings | Failure]:
        """Findings of each context's first frontal image (of its first image, where all are lateral).

        An image that can't be read, or none at all, is that study's failure. Raises UsageError without weights.
        """
        if self._card is None:
            raise UsageError(
                f"The encoder {self._model_name} has no trained weights (checkpoint=none): its findings would be"
                " random. Train it with `rrgbench train` and give checkpoint=FILE, or leave checkpoint out to use the"
                " shipped weights."
            )
        out: list[Findings | Failure] = []
        for start in range(0, len(contexts), self.batch):
            out += self._encode_batch(contexts[start : start + self.batch], self._card)
        return out

    def fit(
        self,
        train: Iterable[Study],
        validate: Iterable[Study],
        folder: Path,
        *,
        epochs: int = 12,
        batch: int = 64,
        lr: float = 1e-3,
        weight_decay: float = 0.05,
        warmup: float = 1.0,
        augment: bool = True,
        limit: int | None = None,
        precision: Literal["fp16", "fp32"] = "fp32",
        licence: str | None = None,
        provenance: Mapping[str, Any] | None = None,
        log: Callable[[dict[str, Any]], None] | None = None,
    ) -> Checkpoint:
        """Train on ``train``; keep the epoch with the best macro AUROC on ``validate``, and choose thresholds there.

        Uncertain and not mentioned labels are not learned from. Starts from the checkpoint where there is one.
        ``warmup`` is in epochs; ``limit`` takes the first studies of each split only; ``precision`` is that of the
        stored matrices; ``licence`` that of the weights; ``provenance`` (dataset, digest, terms, ...) is written into
        the checkpoint as given. ``log`` gets a mapping after each stage and epoch. Afterwards this encoder encodes
        with the new weights. Writes checkpoint.safetensors and history.csv under ``folder``.
        """
        from rrgbench_timm import fitting

        say = log or (lambda _: None)
        recipe = fitting.Recipe(epochs, batch, lr, weight_decay, warmup, augment, precision)
        model, labels = self._model, self.vocabulary.labels
        splits = {}
        for name, studies in (("train", train), ("validate", validate)):
            split = splits[name] = fitting.gather(
                studies, self._pixels, self.vocabulary, name, limit, self._preset.adjust
            )
            say({"stage": "read", "split": name, "studies": len(split.grey), "skipped": list(split.skipped)})
        learn, check = splits["train"], splits["validate"]
        scale = self._normalisation(learn.grey)
        fitted = fitting.train(
            model, learn, check, scale, labels, recipe, device=self._device, seed=self._seed, log=say
        )
        probability = fitting.predict(model, check.grey, scale, self._device, batch)
        learned = fitting.both_seen(learn.target)
        auroc = fitting.aurocs(check.target, probability)
        thresholds, scores = _judge(labels, learned, check.target, probability, auroc)
        given = dict(provenance or {})
        card = checkpoints.Card(
            format=1,
            model=self._model_name,
            model_args=self._model_args,
            size=self._pixels,
            in_chans=self._channels,
            mean=list(scale.mean),
            std=list(scale.std),
            labels=list(labels),
            thresholds=thresholds,
            training={
                "provenance": given,
                "started_from": self._digest or ("hub weights" if self._pretrained else "random weights"),
                "recipe": {**asdict(recipe), "limit": limit},
                "seed": self._seed,
                "epoch": fitted.epoch,
                "studies": {name: len(split.grey) for name, split in splits.items()},
                "skipped": {name: len(split.skipped) for name, split in splits.items()},
                "versions": {name: version(name) for name in ("torch", "timm")},
                "validate": scores,
            },
            terms=str(given.get("terms", "unknown")),
            licence=licence,
            normalise=self._normalise,
        )
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "checkpoint.safetensors"
        checkpoints.write(path, card, fitted.state)
        with (folder / "history.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(fitted.history[0]))
            writer.writeheader()
            writer.writerows(fitted.history)
        self._path, self._card, self._state, self._digest = path, card, fitted.state, file_digest(path)[:12]
        return Checkpoint(str(path), scores, fitted.history)

    def _encode_batch(self, contexts: Sequence[Context], card: checkpoints.Card) -> list[Findings | Failure]:
        from rrgbench_timm import fitting, pixels

        out: list[Findings | Failure | None] = []
        readable = []
        for context in contexts:
            image = pixels.frontal(context.images)
            if image is None:
                out.append(Failure("image", f"The study {context.study_id} has no image."))
                continue
            try:
                readable.append(pixels.read(image, self._pixels, self._preset.adjust))
                out.append(None)
            except ImageError as error:
                out.append(Failure("image", str(error)))
        if not readable:
            return [value for value in out if value is not None]
        scale = fitting.Normalisation(tuple(card.mean), tuple(card.std))
        rows = iter(fitting.predict(self._model, np.stack(readable), scale, self._device, self.batch))
        return [self._findings(next(rows), card) if value is None else value for value in out]

    def _findings(self, probability: npt.NDArray[np.float64], card: checkpoints.Card) -> Findings:
        found = {}
        for label, p in zip(card.labels, probability.tolist(), strict=True):
            threshold = card.thresholds[label]
            if threshold is not None:
                found[label] = Finding(label, Status.PRESENT if p >= threshold else Status.ABSENT, probability=p)
        return Findings(self.vocabulary, found)

    @cached_property
    def _device(self) -> torch.device:
        from rrgbench.devices import pick_device

        return pick_device(self._device_name)

    @cached_property
    def _pixels(self) -> int:
        if self._size is None:
            from rrgbench_timm.models import default_size

            return default_size(self._model_name)
        return self._size

    @property
    def _channels(self) -> Literal[1, 3]:
        if self._card is not None:
            return self._card.in_chans
        if self._preset.mean:
            return 3 if len(self._preset.mean) == 3 else 1
        return 3 if self._pretrained else 1  # hub weights saw three channels; a radiograph has one

    def _normalisation(self, grey: npt.NDArray[np.uint8]) -> Normalisation:
        from rrgbench_timm.fitting import Normalisation
        from rrgbench_timm.models import pretrained_normalisation

        if self._card is not None:
            return Normalisation(tuple(self._card.mean), tuple(self._card.std))
        if self._preset.mean:
            return Normalisation(self._preset.mean, self._preset.std)
        if self._pretrained:
            return Normalisation(*pretrained_normalisation(self._model_name))
        levels = np.bincount(grey.ravel(), minlength=256) / grey.size
        mean = float(levels @ np.arange(256)) / 255
        spread = float(levels @ (np.arange(256) / 255 - mean) ** 2) ** 0.5
        return Normalisation((mean,), (max(spread, 1e-3),))

    @cached_property
    def _model(self) -> torch.nn.Module:
        from rrgbench_timm import fitting, models

        model = models.create(
            self._model_name,
            self._model_args,
            size=self._pixels,
            in_chans=self._channels,
            classes=len(self.vocabulary),
            seed=self._seed,
            pretrained=self._pretrained,
        )
        if self._card is not None:
            try:
                fitting.set_state(model, self._state)
            except RuntimeError as error:
                raise UsageError(
                    f"The weights of the checkpoint {self._path} do not fit {self._model_name} with"
                    f" {len(self.vocabulary)} labels at {self._pixels} px (it was made for {self._card.size} px):"
                    f" {' '.join(str(error).split())[:300]}"
                ) from error
        return model.to(self._device)


def _resolve(checkpoint: Path | None, preset: str) -> Path | None:
    if checkpoint is None or str(checkpoint) == "none":
        return None
    if str(checkpoint) == "shipped":
        return WEIGHTS / f"{preset}.safetensors"
    return Path(checkpoint)


def _vocabulary(labels: Sequence[str]) -> Vocabulary:
    if len(set(labels)) != len(labels) or not labels:
        raise UsageError(f"The labels of an encoder are distinct names, at least one; given: {', '.join(labels)}.")
    known = (vocabulary for vocabulary in VOCABULARIES.values() if vocabulary.labels == tuple(labels))
    return next(known, Vocabulary("custom", tuple(labels)))


def _check_agreement(
    path: Path,
    card: checkpoints.Card,
    model: str | None,
    model_args: Mapping[str, Any] | None,
    labels: Sequence[str] | None,
    pretrained: bool,
    normalise: PresetName | None,
) -> None:
    """Raise UsageError where options ask for something else than the checkpoint holds."""
    wrong = None
    if model is not None and model != card.model:
        wrong = f"model={model}, but it holds {card.model}"
    elif model_args is not None and model_args != card.model_args:
        wrong = f"model_args={model_args}, but it was made with {card.model_args}"
    elif labels is not None and set(labels) != set(card.labels):
        wrong = f"other labels than it has ({', '.join(card.labels)})"
    elif normalise is not None and normalise != card.normalise:
        wrong = f"normalise={normalise}, but it was trained with {card.normalise or 'no preset'}"
    elif pretrained:
        wrong = "pretrained hub weights as well"
    if wrong:
        raise UsageError(
            f"The checkpoint {path} does not go with the options: they ask for {wrong}. Leave that option out, or add"
            " checkpoint=none to train a new model."
        )


def _judge(
    labels: Sequence[str],
    learned: npt.NDArray[np.bool_],
    target: npt.NDArray[np.float32],
    probability: npt.NDArray[np.float64],
    auroc: npt.NDArray[np.float64],
) -> tuple[dict[str, float | None], dict[str, float]]:
    """Each label's threshold, and the scores on validation at them.

    None for a label that was not learned; .5 for one that validation never shows present.
    """
    thresholds: dict[str, float | None] = {}
    scores: dict[str, float] = {}
    for i, label in enumerate(labels):
        thresholds[label] = None
        if not learned[i]:
            continue
        known = ~np.isnan(target[:, i])
        truth, p = target[known, i] == 1, probability[known, i]
        thresholds[label] = threshold = best_f1(truth, p) if truth.any() else 0.5
        if np.isfinite(auroc[i]):
            called = p >= threshold
            scores[f"auroc_{snake(label)}"] = float(auroc[i])
            scores[f"f1_{snake(label)}"] = float(2 * (truth & called).sum() / (truth.sum() + called.sum()))
    for kind in ("auroc", "f1"):
        values = [value for name, value in scores.items() if name.startswith(f"{kind}_")]
        scores[f"{kind}_macro"] = float(np.mean(values))
    return thresholds, scores
