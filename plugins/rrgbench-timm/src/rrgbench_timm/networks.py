"""A network before it is made: what it is called, what it takes, and the weights that it has or begins with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rrgbench.cache import file_digest
from rrgbench.errors import UsageError
from rrgbench.labels import CHEXPERT
from rrgbench.normalisation import PRESETS as NORMALISATIONS
from rrgbench.normalisation import Adjust, Preset, PresetName
from rrgbench.types import Vocabulary
from rrgbench_timm import checkpoint as checkpoints
from rrgbench_timm import vocabularies
from rrgbench_timm.agreement import check_agreement
from rrgbench_timm.presets import PRESETS, WEIGHTS

if TYPE_CHECKING:
    import torch

Scale = tuple[tuple[float, ...], tuple[float, ...]]
"""The mean and the standard deviation that grey levels 0..1 are scaled by, a number for each channel of the network."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """What is trained or used.

    ``name`` and ``model_args`` are what ``models.create`` takes; ``asked_size``, pixels, may be left to the model.
    ``card`` and ``state`` are a checkpoint's (``path``; ``digest`` says which), or there is none; then the weights are
    the hub's (``pretrained``), those of the file ``start`` but for the head, or random. ``seed`` is that of all draws.
    """

    name: str
    model_args: Mapping[str, Any]
    vocabulary: Vocabulary
    asked_size: int | None
    normalise: PresetName | None
    seed: int
    pretrained: bool = False
    start: Path | None = None
    path: Path | None = None
    card: checkpoints.Card | None = None
    state: checkpoints.State = field(default_factory=dict, repr=False)
    digest: str | None = None

    def with_weights(self, path: Path | None, card: checkpoints.Card, state: checkpoints.State, digest: str) -> Network:
        """The same network with the weights of a checkpoint."""
        return replace(self, path=path, card=card, state=state, digest=digest, pretrained=False, start=None)

    @property
    def adjust(self) -> Adjust:
        """What is done to a whole image before it is scaled to the network's size."""
        return self._preset.adjust

    @cached_property
    def size(self) -> int:
        """The side of the pictures, in pixels."""
        if self.asked_size is None:
            from rrgbench_timm.models import default_size

            return default_size(self.name)
        return self.asked_size

    @property
    def channels(self) -> Literal[1, 3]:
        """How many the network takes."""
        if self.card is not None:
            return self.card.in_chans
        if self._preset.mean:
            return 3 if len(self._preset.mean) == 3 else 1
        return 3 if self.pretrained else 1  # hub weights saw three channels; a radiograph has one

    @property
    def scale(self) -> Scale | None:
        """How grey levels are scaled; None where the training data are to say it."""
        if self.card is not None:
            return tuple(self.card.mean), tuple(self.card.std)
        if self._preset.mean:
            return self._preset.mean, self._preset.std
        if self.pretrained:
            from rrgbench_timm.models import pretrained_normalisation

            return pretrained_normalisation(self.name)
        return None

    @property
    def started_from(self) -> str:
        """What the weights are before a training, in a word."""
        if self.start is not None:
            return f"{self.start.name} ({file_digest(self.start)[:12]})"
        return self.digest or ("hub weights" if self.pretrained else "random weights")

    def create(self, *, classes: int, dropout: float = 0.0, drop_path: float = 0.0) -> torch.nn.Module:
        """The network with whatever weights it begins with, but a checkpoint's. Raises UsageError."""
        from rrgbench_timm import foreign, models

        model = models.create(
            self.name,
            self.model_args,
            size=self.size,
            in_chans=self.channels,
            classes=classes,
            seed=self.seed,
            pretrained=self.pretrained,
            dropout=dropout,
            drop_path=drop_path,
        )
        if self.start is not None:
            foreign.fit_into(model, foreign.weights(self.start))
        return model

    def made(self) -> torch.nn.Module:
        """The network with a checkpoint's weights where there is one. Raises UsageError where they don't fit."""
        from rrgbench_timm import models

        model = self.create(classes=len(self.vocabulary))
        if self.card is not None:
            try:
                models.set_state(model, self.state)
            except UsageError as error:
                raise UsageError(
                    f"The weights of the checkpoint {self.path} do not fit {self.name} with {len(self.vocabulary)}"
                    f" labels at {self.size} px (it was made for {self.card.size} px): {error}"
                ) from error
        return model

    @property
    def _preset(self) -> Preset:
        return NORMALISATIONS[self.normalise] if self.normalise else Preset()


def chosen(
    preset: Literal["vit", "cnn"],
    checkpoint: Path | None,
    *,
    model: str | None,
    model_args: Mapping[str, Any] | None,
    size: int | None,
    labels: list[str] | None,
    pretrained: bool,
    start: Path | None,
    normalise: PresetName | None,
    seed: int,
) -> Network:
    """The network that an encoder's options ask for, which a checkpoint knows by itself. Raises UsageError."""
    path = None if str(checkpoint) == "none" else _weights(checkpoint, preset)
    if path is None:
        architecture, own = PRESETS[preset], model is None
        return Network(
            name=model or architecture.model,
            model_args={**(architecture.model_args if own else {}), **(model_args or {})},
            vocabulary=vocabularies.of_labels(labels or CHEXPERT.labels),
            asked_size=size or (architecture.size if own else None),
            normalise=normalise,
            seed=seed,
            pretrained=pretrained,
            start=_weights(start, preset),
        )
    card, state = checkpoints.load(path)
    asked = {"model": model, "model_args": model_args, "labels": labels, "normalise": normalise}
    check_agreement(path, card, asked, pretrained=pretrained, start=start is not None)
    return Network(
        name=card.model,
        model_args=card.model_args,
        vocabulary=vocabularies.of_labels(card.labels),
        asked_size=size or card.size,
        normalise=card.normalise,
        seed=seed,
        path=path,
        card=card,
        state=state,
        digest=file_digest(path)[:12],
    )


def _weights(given: Path | None, preset: str) -> Path | None:
    return WEIGHTS / f"{preset}.safetensors" if str(given) == "shipped" else given
