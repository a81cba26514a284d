"""Corpus BLEU as sacreBLEU computes it (Post, WMT 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from sacrebleu.metrics.bleu import BLEU

from rrgbench.stats import Array, divide, unit_weights
from rrgbench.types import Case

_ORDERS = (1, 2, 3, 4)
_CORRECT = [f"sacrebleu_correct_{n}" for n in _ORDERS]
_TOTAL = [f"sacrebleu_total_{n}" for n in _ORDERS]
# In the order of BLEU._compute_segment_statistics (sacrebleu/metrics/bleu.py).
_COLUMNS = ["sacrebleu_candidate_words", "sacrebleu_reference_words", *_CORRECT, *_TOTAL]


class SacreBleu:
    """``sacrebleu``, 0 to 100, higher is better: BLEU-4 of the corpus, its counts summed over reports.

    sacreBLEU's defaults: order 4 whatever a text's length, an order without a match smoothed ("exp"). ``tokenize`` is
    one of sacreBLEU's tokenizers. Its own signature is part of this metric's.
    """

    version = "1"
    needs = ("report", "reference")
    higher_is_better: Mapping[str, bool] = {"sacrebleu": True}

    def __init__(self, tokenize: Literal["13a", "intl", "char", "none"] = "13a", lowercase: bool = False) -> None:
        # force silences a warning about tokenized text; no score depends on it.
        self._bleu = BLEU(tokenize=tokenize, lowercase=lowercase, force=True)
        self._bleu.num_refs = 1

    @property
    def signature(self) -> str:
        """sacreBLEU's signature."""
        return str(self._bleu.get_signature())

    def rows(self, cases: Sequence[Case]) -> pd.DataFrame:
        """sacreBLEU's statistics of each report: words on both sides, matched and proposed n-grams of each order."""
        made, truth = [case.candidate or "" for case in cases], [case.reference or "" for case in cases]
        counts = self._bleu._extract_corpus_statistics(made, [truth])
        index = pd.Index([case.study.study_id for case in cases], name="study_id")
        return pd.DataFrame(np.asarray(counts, float).reshape(-1, len(_COLUMNS)), index=index, columns=_COLUMNS)

    def reduce(self, rows: pd.DataFrame, weights: Array | None = None) -> Mapping[str, float] | Mapping[str, Array]:
        """BLEU of the summed statistics. NaN where no row was drawn."""
        drawn = unit_weights(weights, len(rows))
        score = bleu(drawn @ rows[_COLUMNS].to_numpy(float))
        score = np.where(drawn.sum(axis=1) > 0, score, np.nan)
        return {"sacrebleu": score} if weights is not None else {"sacrebleu": float(score[0])}


def bleu(total: Array) -> Array:
    """``BLEU.compute_bleu`` with smoothing "exp" for every row of summed statistics, shape (resamples, 10)."""
    made, truth, correct, proposed = total[:, 0], total[:, 1], total[:, 2:6], total[:, 6:]
    penalty = np.where(made < truth, np.exp(1 - divide(truth, made, empty=np.inf)), 1.0)
    halvings = 2.0 ** np.cumsum(correct == 0, axis=1)
    precision = 100 * divide(np.where(correct == 0, 1 / halvings, correct), proposed)
    with np.errstate(divide="ignore"):
        score = penalty * np.exp(np.log(precision).mean(axis=1))
    # Without a match, or without an n-gram of some order, it is 0.
    return np.where((correct.sum(axis=1) == 0) | (proposed == 0).any(axis=1), 0.0, score)
