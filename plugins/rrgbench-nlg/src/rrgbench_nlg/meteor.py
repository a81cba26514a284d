"""METEOR as NLTK computes it, which is not METEOR 1.5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import nltk  # type: ignore[import-untyped]
import pandas as pd
from nltk.translate.meteor_score import single_meteor_score  # type: ignore[import-untyped]

from rrgbench.errors import UsageError
from rrgbench.stats import Array, mean, unit_weights
from rrgbench.types import Case

# NLTK's defaults (nltk/translate/meteor_score.py), those of Lavie & Agarwal, WMT 2007, but with a matcher of its own.
_ALPHA, _BETA, _GAMMA = 0.9, 3.0, 0.5


class MeteorNltk:
    """``meteor_nltk``, 0 to 1, higher is better: mean of the reports' ``nltk.translate.meteor_score``.

    Words match exactly, by Porter stem or as WordNet synonyms; there are no paraphrases and no function words, and the
    score of a corpus is the mean of its reports'. ``meteor`` is the metric that R2Gen and its descendants print, this
    the one of those who call Hugging Face's ``evaluate`` (Libra, MAIRA-1). ``tokenizer`` is "nltk" (``word_tokenize``,
    as ``evaluate`` does) or "none" (white space).
    """

    version = "1"
    needs = ("report", "reference")
    higher_is_better: Mapping[str, bool] = {"meteor_nltk": True}

    def __init__(self, tokenizer: Literal["nltk", "none"] = "nltk") -> None:
        wanted: dict[str, tuple[str, ...]] = {"wordnet": ("corpora/wordnet", "corpora/wordnet.zip")}
        if tokenizer == "nltk":
            wanted["punkt_tab"] = ("tokenizers/punkt_tab/english/",)
        if lacking := [name for name, places in wanted.items() if not any(map(_found, places))]:
            raise UsageError(
                f"The metric 'meteor_nltk' needs NLTK's data, and {' and '.join(lacking)} can't be found: get it once "
                f"with `python -m nltk.downloader {' '.join(lacking)}`, or say in NLTK_DATA where it is."
            )
        self._words = nltk.word_tokenize if tokenizer == "nltk" else str.split

    @property
    def signature(self) -> str:
        """NLTK's version and the three parameters."""
        return f"nltk:{nltk.__version__}|alpha:{_ALPHA}|beta:{_BETA}|gamma:{_GAMMA}"

    def rows(self, cases: Sequence[Case]) -> pd.DataFrame:
        """The score of each report."""
        scores = [self._score(case.candidate or "", case.reference or "") for case in cases]
        index = pd.Index([case.study.study_id for case in cases], name="study_id")
        return pd.DataFrame({"meteor_nltk": pd.Series(scores, dtype=float).to_numpy()}, index=index)

    def reduce(self, rows: pd.DataFrame, weights: Array | None = None) -> Mapping[str, float] | Mapping[str, Array]:
        """The weighted mean. NaN where no row was drawn."""
        score = mean(rows["meteor_nltk"], unit_weights(weights, len(rows)))
        return {"meteor_nltk": score} if weights is not None else {"meteor_nltk": float(score[0])}

    def _score(self, candidate: str, reference: str) -> float:
        words = self._words(reference), self._words(candidate)
        return float(single_meteor_score(*words, alpha=_ALPHA, beta=_BETA, gamma=_GAMMA))


def _found(resource: str) -> bool:
    try:
        nltk.data.find(resource)
    except LookupError:
        return False
    return True
