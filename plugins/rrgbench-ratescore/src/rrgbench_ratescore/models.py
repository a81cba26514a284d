"""RaTEScore's two models: one finds typed entities in a sentence, the other gives an entity's text a vector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rrgbench import torchvision_ops
from rrgbench.errors import UsageError
from rrgbench_ratescore.arithmetic import Entity
from rrgbench_ratescore.weights import TYPES

torchvision_ops.declare_missing()

from transformers import AutoModel, AutoModelForTokenClassification, AutoTokenizer  # noqa: E402

SENTENCE_TOKENS = 512  # score.py of RaTEScore, as the next
ENTITY_TOKENS = 30


class Tagger:
    """A token classifier with labels such as ``B-DISEASE``, ``I-DISEASE`` and ``O``."""

    def __init__(self, folder: Path, device: str) -> None:
        self._tokenizer, self._model = _loaded(folder, AutoModelForTokenClassification, device)
        named: dict[int, str] = self._model.config.id2label
        self._labels = [named[at].upper() for at in range(len(named))]
        if strange := [x for x in self._labels if x != "O" and (x[:2] not in ("B-", "I-") or x[2:] not in TYPES)]:
            raise UsageError(
                f"{folder}: its label {strange[0]!r} is none of RaTEScore's: O, and B- and I- with {', '.join(TYPES)}."
            )

    @torch.inference_mode()
    def entities(self, sentences: Sequence[str], batch: int) -> dict[str, list[Entity]]:
        """The entities of each different sentence, in the order of its words."""
        out = {}
        for texts in _batches(sentences, batch):
            encoded = _encoded(self._tokenizer, texts, SENTENCE_TOKENS)
            special = encoded.pop("special_tokens_mask").bool()
            found = self._model(**encoded.to(self._model.device)).logits.argmax(dim=2).cpu()
            for at, text in enumerate(texts):
                kept = ~special[at]
                labels = [self._labels[label] for label in found[at][kept].tolist()]
                tokens = self._tokenizer.convert_ids_to_tokens(encoded["input_ids"][at].cpu()[kept].tolist())
                words = self._tokenizer.convert_tokens_to_string
                out[text] = [
                    Entity(words(tokens[begin:end]).strip(), labels[begin][2:]) for begin, end in spans(labels)
                ]
        return out


class Encoder:
    """An encoder of short texts: the last hidden state of the first token."""

    def __init__(self, folder: Path, device: str) -> None:
        self._tokenizer, self._model = _loaded(folder, AutoModel, device)

    @torch.inference_mode()
    def vectors(self, texts: Sequence[str], batch: int) -> dict[str, npt.NDArray[np.float64]]:
        """The vector of each different text."""
        out: dict[str, npt.NDArray[np.float64]] = {}
        for some in _batches(texts, batch):
            encoded = _encoded(self._tokenizer, some, ENTITY_TOKENS)
            encoded.pop("special_tokens_mask")
            first = self._model(**encoded.to(self._model.device)).last_hidden_state[:, 0]
            out |= dict(zip(some, first.double().cpu().numpy(), strict=True))
        return out


@lru_cache(maxsize=1)
def tagger(folder: Path, device: str) -> Tagger:
    """The tagger of a folder, loaded once."""
    return Tagger(folder, device)


@lru_cache(maxsize=1)
def encoder(folder: Path, device: str) -> Encoder:
    """The encoder of a folder, loaded once."""
    return Encoder(folder, device)


def spans(labels: Sequence[str]) -> list[tuple[int, int]]:
    """Where entities begin and end: B- and the I- that follow it. An I- that follows nothing is none.

    As post_process in utils.py of RaTEScore, which drops a last entity where the model labels even the sentence's end.
    """
    out = []
    begin: int | None = None
    for at, label in enumerate([*labels, "O"]):
        if begin is not None and not label.startswith("I-"):
            out.append((begin, at))
            begin = None
        if label.startswith("B-"):
            begin = at
    return out


def _loaded(folder: Path, kind: Any, device: str) -> tuple[Any, Any]:
    """The tokenizer and the model of a folder, ready to read texts."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = kind.from_pretrained(folder, local_files_only=True)
        at = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        return tokenizer, model.float().eval().to(at)
    except (OSError, ValueError, RuntimeError, ImportError, KeyError, AssertionError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UsageError(f"{folder}: can't be loaded as RaTEScore's model on {device}: {reason}") from error


def _encoded(tokenizer: Any, texts: Sequence[str], longest: int) -> Any:
    return tokenizer(
        list(texts),
        max_length=longest,
        padding=True,
        truncation=True,
        return_special_tokens_mask=True,
        return_tensors="pt",
    )


def _batches(texts: Sequence[str], batch: int) -> Iterator[list[str]]:
    """The different texts, those of about the same length together."""
    by_length = sorted(set(texts), key=lambda text: (len(text), text))
    for start in range(0, len(by_length), batch):
        yield by_length[start : start + batch]
