"""``vit`` and ``cnn``: studies' frontal images to probabilities of labels, by a model of timm or of transformers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from rrgbench import calibration
from rrgbench.cache import file_digest
from rrgbench.errors import UsageError
from rrgbench.normalisation import PresetName
from rrgbench.types import Checkpoint, Context, Failure, Finding, Findings, Image, Status, Study
from rrgbench_timm import networks
from rrgbench_timm.checkpoint import Card, State, strictest
from rrgbench_timm.recipe import Recipe

if TYPE_CHECKING:
    import torch

    from rrgbench_timm.predicting import Forward, Outputs

Map = npt.NDArray[np.float32]


class TimmEncoder:
    """Findings by an image classifier: a probability a label, present where it reaches the label's threshold.

    ``checkpoint`` is a file that ``fit`` wrote, ``shipped`` (the preset's weights, trained on drawn radiographs) or
    ``none``: random weights, for training. ``model`` (with ``model_args`` and ``size``, pixels) is any timm model, for
    training from scratch or, with ``pretrained``, from hub weights; ``hf:`` and a folder or a hub repository is a
    vision backbone of transformers (DINOv2, RAD-DINO, SigLIP). ``start`` is a file of foreign weights to begin training
    with, or ``shipped``: all but the head. A checkpoint knows its own model. ``labels`` are CheXpert's 14 unless others
    are named. A label that the training data never showed both ways is not assessed.
    ``normalise`` is the preset (``rrgbench.normalisation``) to train with, which the checkpoint keeps; without one, or
    where it has no mean, pixels are scaled by the hub weights' mean and deviation or, from scratch, by the data's.
    ``batch`` is how many images the network sees at once (``auto``: what fits), ``workers`` how many threads read them,
    ``precision`` the arithmetic, ``compile`` whether torch.compile makes the network faster first.
    """

    version = "1"
    needs = ("images",)
    recipe = Recipe
    # Options that don't change what a checkpoint's findings are; ``normalise`` does, but ``signature`` names it.
    neutral = ("batch", "compile", "device", "normalise", "seed", "start", "workers")

    def __init__(
        self,
        *,
        preset: Literal["vit", "cnn"] = "vit",
        model: str | None = None,
        checkpoint: Path | None = Path("shipped"),
        start: Path | None = None,
        size: int | None = None,
        labels: list[str] | None = None,
        batch: int | Literal["auto"] = "auto",
        workers: int | None = None,
        device: str = "auto",
        precision: Literal["fp32", "bf16"] = "fp32",
        compile: bool = False,
        model_args: dict[str, Any] | None = None,
        pretrained: bool = False,
        normalise: PresetName | None = None,
        seed: int = 0,
    ) -> None:
        for name, value in (("batch", batch), ("workers", workers), ("size", size)):
            if isinstance(value, int) and value < 1:
                raise UsageError(f"The option {name!r} must be at least 1, not {value}.")
        self._asked_batch, self._workers, self._device_name = batch, workers, device
        self._precision: Literal["fp32", "bf16"] = precision
        self._compiled = compile
        self._origin = networks.chosen(
            preset,
            checkpoint,
            model=model,
            model_args=model_args,
            size=size,
            labels=labels,
            pretrained=pretrained,
            start=start,
            normalise=normalise,
            seed=seed,
        )
        self.vocabulary = self._origin.vocabulary

    @property
    def signature(self) -> str:
        """The preset that images are normalised by and the digests of the files of weights, where there are any."""
        origin = self._origin
        start = file_digest(origin.start)[:12] if origin.start else None
        pieces = {"normalise": origin.normalise, "checkpoint": origin.digest, "start": start}
        return "|".join(f"{name}:{value}" for name, value in pieces.items() if value)

    @property
    def card(self) -> Card | None:
        """What the checkpoint says of itself: model, labels, thresholds, training; None while there is none."""
        return self._origin.card

    @property
    def thresholds(self) -> Mapping[str, float]:
        """The probability from which each assessed label is present; empty without a checkpoint."""
        known = self.card.thresholds if self.card else {}
        return {label: threshold for label, threshold in known.items() if threshold is not None}

    @property
    def trained_on(self) -> str | None:
        """The spec of the dataset that the weights were trained on, where the checkpoint says it."""
        said = self.card.training["provenance"].get("dataset") if self.card else None
        return str(said) if said else None

    def encode(self, contexts: Sequence[Context]) -> list[Findings | Failure]:
        """Findings of each context, in order; see ``stream``."""
        return list(chain.from_iterable(self.stream(contexts)))

    def stream(self, contexts: Iterable[Context]) -> Iterator[list[Findings | Failure]]:
        """Findings of each context's first frontal image (of its first image, where all are lateral), by the batch.

        Images are read ahead of the network. One that can't be read, or none at all, is that study's failure. Raises
        UsageError without weights.
        """
        card = self._trained()
        for outputs in self._outputs(contexts, self._forward):
            yield [each if isinstance(each, Failure) else self._findings(each, card) for each in outputs]

    def features(
        self, contexts: Sequence[Context], blocks: int = 1, average: bool = False
    ) -> list[npt.NDArray[np.float32] | Failure]:
        """What the head sees of each context's image, shape (d,), or the layers that ``models.pooled`` names.

        Raises UsageError where the weights would be random.
        """
        from rrgbench_timm import models, predicting

        origin = self._origin
        if origin.card is None and not origin.pretrained and origin.start is None:
            raise UsageError(
                f"The features of {origin.name} would be random: give checkpoint=FILE, start=FILE or pretrained=true."
            )
        scale = origin.scale
        if scale is None:
            raise UsageError("How pixels are scaled isn't known: give normalise=imagenet, or another preset.")
        network = models.Pooled(self._network, blocks, average)
        forward = predicting.network(network, *scale, precision=self._precision)
        found = chain.from_iterable(self._outputs(contexts, forward))
        return [each if isinstance(each, Failure) else each.astype(np.float32) for each in found]

    def saliency(
        self, contexts: Sequence[Context], labels: Sequence[str], method: str = "grad-cam"
    ) -> list[dict[str, Map] | Failure]:
        """Where the network looks for each label: ``rrgbench_timm.saliency.of_contexts``."""
        from rrgbench_timm import saliency

        card = self._trained()
        return saliency.of_contexts(
            self._network, contexts, labels, method, card=card, size=self._origin.size, adjust=self._origin.adjust
        )

    def averaged(self, others: Sequence[TimmEncoder]) -> TimmEncoder:
        """An encoder whose weights, and thresholds, are the mean of this one's and of others' of the same network.

        It is of use where all were fine-tuned from the same start (Wortsman et al., ICML 2022, "Model soups"). Their
        calibrations do not carry over. Raises UsageError where they differ in more than their weights.
        """
        if alien := next((other for other in others if not isinstance(other, TimmEncoder)), None):
            raise UsageError(
                f"The mean of weights needs checkpoints of one network, and {type(alien).__name__} has none. Use"
                " mean=probabilities."
            )
        members = [self, *others]
        cards = [member._trained() for member in members]
        same = ("model", "model_args", "size", "in_chans", "mean", "std", "labels", "normalise")
        for card in cards[1:]:
            if differing := next((name for name in same if getattr(card, name) != getattr(cards[0], name)), None):
                raise UsageError(
                    f"The mean of weights needs checkpoints of one network; these differ in {differing}:"
                    f" {getattr(cards[0], differing)} and {getattr(card, differing)}. Use mean=probabilities."
                )
        states = [member._origin.state for member in members]
        arrays = {name: [state[name] for state in states] for name in states[0]}
        state = {name: np.mean(each, axis=0, dtype=np.float64).astype(each[0].dtype) for name, each in arrays.items()}
        of_label = {label: [card.thresholds[label] for card in cards] for label in cards[0].labels}
        means = {
            label: None if None in values else float(np.mean([value for value in values if value is not None]))
            for label, values in of_label.items()
        }
        terms = strictest([card.terms for card in cards])
        card = cards[0].model_copy(update={"thresholds": means, "calibration": None, "terms": terms})
        out = copy.copy(self)
        out._adopt(None, card, state, "+".join(str(member._origin.digest) for member in members))
        return out

    def fit(
        self,
        train: Iterable[Study],
        validate: Iterable[Study],
        folder: Path,
        recipe: Recipe | None = None,
        *,
        provenance: Mapping[str, Any] | None = None,
        log: Callable[[dict[str, Any]], None] | None = None,
    ) -> Checkpoint:
        """Train on ``train``; keep the epoch with the best macro AUROC on ``validate``, and choose thresholds there.

        It starts from the checkpoint where there is one. ``provenance`` (dataset, digest, terms, ...) is written into
        the checkpoint as given. ``log`` gets a mapping after each stage and epoch. Afterwards this encoder encodes with
        the new weights. ``fitting.fit`` says what is written under ``folder``.
        """
        from rrgbench_timm import fitting

        done = fitting.fit(
            self._origin,
            train,
            validate,
            folder,
            recipe or Recipe(),
            device=self._device_name,
            provenance=provenance or {},
            log=log or (lambda _: None),
        )
        self._adopt(done.path, done.card, done.state, file_digest(done.path)[:12])
        return Checkpoint(str(done.path), done.scores, done.history)

    def _adopt(self, path: Path | None, card: Card, state: State, digest: str) -> None:
        """Work with other weights from now on."""
        self._origin = self._origin.with_weights(path, card, state, digest)
        for stale in ("_network", "_forward"):
            self.__dict__.pop(stale, None)

    def _trained(self) -> Card:
        if self.card is None:
            raise UsageError(
                f"The encoder {self._origin.name} has no trained weights (checkpoint=none): its findings would be"
                " random. Train it with `rrgbench train` and give checkpoint=FILE, or leave checkpoint out to use the"
                " shipped weights."
            )
        return self.card

    def _outputs(self, contexts: Iterable[Context], forward: Forward) -> Iterator[list[Outputs]]:
        from rrgbench_timm import pixels, predicting

        def read(image: Image) -> npt.NDArray[np.uint8]:
            return pixels.read(image, self._origin.size, self._origin.adjust)

        images = map(predicting.looked_at, contexts)
        return predicting.batches(images, read, forward, device=self._device, batch=self._batch, workers=self._workers)

    def _findings(self, logits: npt.NDArray[np.float64], card: Card) -> Findings:
        found = {}
        for label, logit in zip(card.labels, logits, strict=True):
            threshold = card.thresholds[label]
            if threshold is not None:
                line = (card.calibration or {}).get(label, (1.0, 0.0))
                p = float(calibration.apply(logit, *line))
                found[label] = Finding(label, Status.PRESENT if p >= threshold else Status.ABSENT, probability=p)
        return Findings(self.vocabulary, found)

    @cached_property
    def _batch(self) -> int:
        from rrgbench_timm import predicting

        if self._asked_batch == "auto":
            return predicting.find_batch(self._forward, self._origin.size, self._device)
        return self._asked_batch

    @cached_property
    def _device(self) -> torch.device:
        from rrgbench.devices import pick_device

        return pick_device(self._device_name)

    @cached_property
    def _network(self) -> torch.nn.Module:
        return self._origin.made().to(self._device)

    @cached_property
    def _forward(self) -> Forward:
        from rrgbench_timm import predicting

        scale = self._origin.scale
        assert scale is not None  # a checkpoint has one
        return predicting.network(self._network, *scale, precision=self._precision, compiled=self._compiled)
