"""Whether the options of an encoder go with the checkpoint that they are given beside."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rrgbench.errors import UsageError
from rrgbench_timm.checkpoint import Card


def check_agreement(path: Path, card: Card, asked: Mapping[str, Any], *, pretrained: bool, start: bool) -> None:
    """Raise UsageError where options (``asked``: model, model_args, labels, normalise) contradict the checkpoint."""
    model, labels, normalise = asked["model"], asked["labels"], asked["normalise"]
    wrong = None
    if model is not None and _plain(model) != card.model:
        wrong = f"model={model}, but it holds {card.model}"
    elif asked["model_args"] is not None and asked["model_args"] != card.model_args:
        wrong = f"model_args={asked['model_args']}, but it was made with {card.model_args}"
    elif labels is not None and set(labels) != set(card.labels):
        wrong = f"other labels than it has ({', '.join(card.labels)})"
    elif normalise is not None and normalise != card.normalise:
        wrong = f"normalise={normalise}, but it was trained with {card.normalise or 'no preset'}"
    elif pretrained or start:
        wrong = f"{'pretrained hub weights' if pretrained else 'the weights of start'} as well"
    if wrong:
        raise UsageError(
            f"The checkpoint {path} does not go with the options: they ask for {wrong}. Leave that option out, or add"
            " checkpoint=none to train a new model."
        )


def _plain(model: str) -> str:
    if not model.startswith("hf:"):
        return model
    from rrgbench_timm.backbones import plain_name

    return plain_name(model)
