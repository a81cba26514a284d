"""SRR-BERT: a sentence to its labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from rrgbench import torchvision_ops
from rrgbench.errors import UsageError
from rrgbench_srrbert.labels import LABELS, Level

torchvision_ops.declare_missing()

from transformers import BertForSequenceClassification, BertTokenizer  # noqa: E402

TOKENS = 512  # StructBert.py and srr_bert.py; longer sentences are cut
THRESHOLD = 0.5  # of the sigmoid, exclusive


class Classifier:
    """A BERT with one output a label, each independent of the others."""

    def __init__(self, folder: Path, tokenizer: Path, level: Level, device: str) -> None:
        self._labels = LABELS[level]
        try:
            self._tokenizer: Any = BertTokenizer.from_pretrained(tokenizer, local_files_only=True)
            model: Any = BertForSequenceClassification.from_pretrained(folder, local_files_only=True)
            at = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
            self._model = model.float().eval().to(at)
        except (OSError, ValueError, RuntimeError, ImportError, KeyError, AssertionError) as error:
            reason = " ".join(str(error).split())[:300]
            raise UsageError(f"{folder}: can't be loaded as SRR-BERT on {device}: {reason}") from error
        named: Mapping[int, str] = model.config.id2label
        if len(named) != len(self._labels):
            raise UsageError(
                f"{folder}: has {len(named)} outputs, but there are {len(self._labels)} {level}: another level's?"
            )
        given = [named[at] for at in range(len(named))]
        if not all(label.startswith("LABEL_") for label in given) and given != list(self._labels):
            raise UsageError(f"{folder}: its labels are not the {level} of SRR-BERT, in their order: {given[:3]} …")
        if len(self._tokenizer) > model.config.vocab_size:
            raise UsageError(
                f"{tokenizer}: has {len(self._tokenizer)} tokens, but {folder} knows {model.config.vocab_size}."
            )

    @torch.inference_mode()
    def labels(self, sentences: Sequence[str], batch: int) -> dict[str, frozenset[str]]:
        """The labels of each different sentence."""
        out = {}
        by_length = sorted(set(sentences), key=lambda sentence: (len(sentence), sentence))
        for start in range(0, len(by_length), batch):
            together = by_length[start : start + batch]
            encoded = self._tokenizer(together, max_length=TOKENS, padding=True, truncation=True, return_tensors="pt")
            found = self._model(**encoded.to(self._model.device)).logits.sigmoid() > THRESHOLD
            for sentence, row in zip(together, found.tolist(), strict=True):
                out[sentence] = frozenset(label for label, on in zip(self._labels, row, strict=True) if on)
        return out


@lru_cache(maxsize=2)
def classifier(folder: Path, tokenizer: Path, level: Level, device: str) -> Classifier:
    """The classifier of a folder, loaded once for both metrics."""
    return Classifier(folder, tokenizer, level, device)
