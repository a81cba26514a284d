"""Corpus BLEU-1 to BLEU-4 (Papineni et al., ACL 2002) as pycocoevalcap computes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata

import numpy as np
import numpy.typing as npt
import pandas as pd
from pycocoevalcap.bleu.bleu_scorer import cook_refs, cook_test  # type: ignore[import-untyped]

from rrgbench.stats import unit_weights
from rrgbench.types import Case
from rrgbench_coco import text
from rrgbench_coco.frames import frame, unwrap

_ORDERS = (1, 2, 3, 4)
_COLUMNS = [f"bleu_{what}_{n}" for what in ("correct", "guess") for n in _ORDERS] + ["bleu_testlen", "bleu_reflen"]

# bleu_scorer.py, BleuScorer.compute_score: they keep empty counts from dividing by zero.
_SMALL = 1e-9
_TINY = 1e-15


class Bleu:
    """``bleu_1`` to ``bleu_4``, 0 to 1, higher is better: n-gram precision of the whole corpus with brevity penalty.

    Not the mean of the reports' BLEUs. The counts of a report are its rows; no smoothing but pycocoevalcap's constants.
    """

    version = "1"
    needs = ("report", "reference")
    higher_is_better: Mapping[str, bool] = {f"bleu_{n}": True for n in _ORDERS}

    def __init__(self, tokenizer: text.Tokenizer = "ptb") -> None:
        text.check("bleu", tokenizer)
        self.tokenizer: text.Tokenizer = tokenizer

    @property
    def signature(self) -> str:
        """The library's version, and the length that the brevity penalty compares with."""
        return f"pycocoevalcap:{metadata.version('pycocoevalcap')}|reflen:closest"

    def rows(self, cases: Sequence[Case]) -> pd.DataFrame:
        """Matched and proposed n-grams of each order, and the words of the candidate and of the reference."""
        return frame(cases, map(_counts, text.pairs(cases, self.tokenizer)), _COLUMNS)

    def reduce(
        self, rows: pd.DataFrame, weights: npt.NDArray[np.float64] | None = None
    ) -> Mapping[str, float] | Mapping[str, npt.NDArray[np.float64]]:
        """BLEU of the summed counts, by ``BleuScorer.compute_score``. NaN where no row was drawn."""
        known = rows[_COLUMNS].notna().all(axis=1).to_numpy()
        drawn = unit_weights(weights, len(rows))[:, known]
        total = dict(zip(_COLUMNS, (drawn @ rows.loc[known, _COLUMNS].to_numpy(float)).T, strict=True))
        ratio = (total["bleu_testlen"] + _TINY) / (total["bleu_reflen"] + _SMALL)
        penalty = np.where(drawn.sum(axis=1) > 0, np.exp(np.minimum(1 - 1 / ratio, 0)), np.nan)
        scores = {}
        product = np.ones(len(drawn))
        for n in _ORDERS:
            product = product * (total[f"bleu_correct_{n}"] + _TINY) / (total[f"bleu_guess_{n}"] + _SMALL)
            scores[f"bleu_{n}"] = product ** (1 / n) * penalty
        return unwrap(scores, weights)


def _counts(pair: text.Pair) -> list[float]:
    """The columns of one report; NaN where it has no words."""
    if pair is None:
        return [np.nan] * len(_COLUMNS)
    count = cook_test(pair[0], cook_refs([pair[1]]), eff="closest")
    return [*count["correct"], *count["guess"], count["testlen"], count["reflen"]]
