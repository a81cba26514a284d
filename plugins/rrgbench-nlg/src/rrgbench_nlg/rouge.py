"""ROUGE (Lin, 2004) as Google's rouge-score computes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata

import pandas as pd
from rouge_score import rouge_scorer, scoring, tokenizers  # type: ignore[import-untyped]

from rrgbench.stats import Array, mean, unit_weights
from rrgbench.text.subsequence import lcs_length
from rrgbench.types import Case

_COLUMNS = ["rouge_score_1", "rouge_score_2", "rouge_score_l"]


class RougeScore:
    """``rouge_score_1``, ``_2`` and ``_l``, 0 to 1, higher is better: means of the reports' F1 (``rouge1``, ...).

    The numbers of ``rouge_score.rouge_scorer.RougeScorer``: lower case, runs of a-z and 0-9 are words, whatever else
    is white space (other letters, too). With ``stemmer``, words of more than three letters are Porter-stemmed. The
    longest common subsequence is counted in little memory, so that a report of 100,000 characters is no matter.
    """

    version = "1"
    needs = ("report", "reference")
    higher_is_better: Mapping[str, bool] = dict.fromkeys(_COLUMNS, True)

    def __init__(self, stemmer: bool = False) -> None:
        self._words = tokenizers.DefaultTokenizer(stemmer).tokenize
        self._ngrams = rouge_scorer.RougeScorer(["rouge1", "rouge2"], tokenizer=_Tokenized())

    @property
    def signature(self) -> str:
        """The library's version."""
        return f"rouge-score:{metadata.version('rouge-score')}"

    def rows(self, cases: Sequence[Case]) -> pd.DataFrame:
        """The three scores of each report."""
        scores = [self._score(case.candidate or "", case.reference or "") for case in cases]
        index = pd.Index([case.study.study_id for case in cases], name="study_id")
        return pd.DataFrame(scores, columns=_COLUMNS, index=index, dtype=float)

    def reduce(self, rows: pd.DataFrame, weights: Array | None = None) -> Mapping[str, float] | Mapping[str, Array]:
        """The weighted means. NaN where no row was drawn."""
        drawn = unit_weights(weights, len(rows))
        scores = {name: mean(rows[name], drawn) for name in _COLUMNS}
        return scores if weights is not None else {name: float(value[0]) for name, value in scores.items()}

    def _score(self, candidate: str, reference: str) -> tuple[float, float, float]:
        made, truth = self._words(candidate), self._words(reference)
        ngrams = self._ngrams.score(truth, made)
        common = lcs_length(made, truth)
        lcs = scoring.fmeasure(common / len(made), common / len(truth)) if made and truth else 0.0
        return ngrams["rouge1"].fmeasure, ngrams["rouge2"].fmeasure, lcs


class _Tokenized:
    """What RougeScorer takes for a tokenizer: the texts that it is given are words already."""

    def tokenize(self, words: list[str]) -> list[str]:
        return words
