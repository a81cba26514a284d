"""BERTScore (Zhang et al., ICLR 2020) as the authors' package bert-score computes it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from rrgbench.devices import pick_device
from rrgbench.errors import UsageError
from rrgbench.stats import Array, mean, unit_weights
from rrgbench.types import Case
from rrgbench_bertscore import weights as files

_COLUMNS = ["bertscore_precision", "bertscore_recall", "bertscore_f1"]
_PAIRS = 4000  # a call; bert-score keeps a vector a word piece of all texts of a call, 2 GB for so many reports


class BertScore:
    """``bertscore_precision``, ``_recall`` and ``_f1``, higher is better: means of the reports' BERTScores.

    ``model`` is a model of the hub, read from the hub's cache or from ``folder``; ``layer`` the layer whose vectors are
    compared, by default the one that bert-score's authors chose for the model. ``rescale`` maps their baseline for the
    model (the score of unrelated sentences) to 0 and a perfect match to 1, so that a score can be negative. With
    ``idf`` word pieces weigh by their rarity in the references of all cases given to ``rows``: a report's score then
    depends on the corpus, and is undefined where all its word pieces stand in every reference. Texts are cut at the
    model's longest input (512 word pieces), as bert-score does.
    """

    version = "1"
    needs = ("report", "reference")
    neutral = ("folder", "batch", "device")  # the signature has the digest of the weights
    higher_is_better: Mapping[str, bool] = dict.fromkeys(_COLUMNS, True)

    def __init__(
        self,
        model: str = "distilbert-base-uncased",
        layer: int | None = None,
        idf: bool = False,
        rescale: bool = True,
        folder: Path | None = None,
        batch: int = 64,
        device: str = "auto",
    ) -> None:
        self._folder = files.locate(model, folder)
        from rrgbench_bertscore import upstream  # torch, which whoever lacks the weights need not wait for

        self._layer = upstream.layer(model, self._folder, layer)
        self._baseline = upstream.baseline(model, self._layer) if rescale else None
        self._device = pick_device(device)
        self._idf, self._batch, self._say_layer = idf, batch, layer is None
        if batch < 1:
            raise UsageError(f"The option 'batch' of bertscore must be at least 1, not {batch}.")

    @cached_property
    def signature(self) -> str:
        """The layer where it was left open, the digest of the weights, and the versions of the libraries."""
        return "|".join(
            [
                *([f"layer:{self._layer}"] if self._say_layer else []),
                f"weights:{files.digest(self._folder)}",
                *(f"{name}:{metadata.version(name)}" for name in ("bert-score", "transformers")),
            ]
        )

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        from rrgbench_bertscore import upstream

        return upstream.load(self._folder, self._layer, self._device)

    def rows(self, cases: Sequence[Case]) -> pd.DataFrame:
        """Precision, recall and F1 of each report; NaN where they are undefined."""
        from rrgbench_bertscore import upstream

        made, truth = ([_without_surrogates(text) for text in texts] for texts in _sides(cases))
        tokenizer, network = self._loaded
        weights = upstream.idf(truth, tokenizer) if self._idf else upstream.no_idf(tokenizer)
        values: list[tuple[float, ...]] = []
        for at in range(0, len(cases), _PAIRS):
            pairs = made[at : at + _PAIRS], truth[at : at + _PAIRS]
            values += upstream.score(*pairs, tokenizer, network, weights, self._baseline, self._batch)
        index = pd.Index([case.study.study_id for case in cases], name="study_id")
        rows = pd.DataFrame(values, columns=_COLUMNS, index=index, dtype=float)
        undefined = rows.isna().any(axis=1)
        if undefined.any():
            rows[undefined] = float("nan")
            warnings.warn(f"BERTScore is undefined for: {', '.join(rows.index[undefined])}.", stacklevel=2)
        return rows

    def reduce(self, rows: pd.DataFrame, weights: Array | None = None) -> Mapping[str, float] | Mapping[str, Array]:
        """The weighted means. NaN where no row was drawn."""
        drawn = unit_weights(weights, len(rows))
        scores = {name: mean(rows[name], drawn) for name in _COLUMNS}
        return scores if weights is not None else {name: float(value[0]) for name, value in scores.items()}


def _sides(cases: Sequence[Case]) -> tuple[list[str], list[str]]:
    return [case.candidate or "" for case in cases], [case.reference or "" for case in cases]


def _without_surrogates(text: str) -> str:
    """The text with a question mark for what has no UTF-8, which tokenizers can't read."""
    return text.encode("utf-8", "replace").decode()
