"""How a system words its reports: exact matches, length, and how many different words and reports it writes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from rrgbench import stats
from rrgbench.types import Case

_WORD = re.compile(r"\w+")


class Wording:
    """Figures that unmask a system which writes one report for everybody.

    ``exact_match``, 0 to 1, higher is better: the share of reports that are their reference, letter for letter as the
    protocol prepares both. ``length_error``, lower is better: |log2| of the words of all reports over those of all
    references, so that 0 is as long as the radiologists' and 1 is twice or half as long. ``distinct_reports``, 0 to 1:
    different reports over reports; ``distinct_words``: different words over words, of all reports together (the
    type-token ratio: it falls as the corpus grows, so compare only equal studies). Higher is called better for these
    two, but nonsense is diverse, too. Words are runs of letters and digits, in lower case.
    """

    version = "1"
    needs = ("report", "reference")
    signature = "words:lower"
    higher_is_better: Mapping[str, bool] = {
        "exact_match": True,
        "length_error": False,
        "distinct_reports": True,
        "distinct_words": True,
    }

    def rows(self, cases: Sequence[Case]) -> pd.DataFrame:
        """Of each report: whether it is the reference, words on both sides, and the text's words as one string."""
        out = []
        for case in cases:
            made, truth = words(case.candidate or ""), words(case.reference or "")
            out.append([float(case.candidate == case.reference), len(made), len(truth), " ".join(made)])
        columns = ["exact_match", "words_report", "words_reference", "words_text"]
        return pd.DataFrame(out, columns=columns, index=[case.study.study_id for case in cases])

    def reduce(self, rows: pd.DataFrame, weights: stats.Array | None = None) -> Mapping[str, stats.Array]:
        """The figures of the reports drawn."""
        w = stats.unit_weights(weights, len(rows))
        made = w @ rows["words_report"].to_numpy(float)
        texts = [text.split() for text in rows["words_text"]]
        out = {
            "exact_match": stats.mean(rows["exact_match"], w),
            "length_error": np.abs(_log2(stats.divide(made, w @ rows["words_reference"].to_numpy(float)))),
            "distinct_reports": stats.divide(_distinct([[text] for text in rows["words_text"]], w), w.sum(axis=1)),
            "distinct_words": stats.divide(_distinct(texts, w), made),
        }
        return out if weights is not None else {name: value[0] for name, value in out.items()}


def words(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return _WORD.findall(text.lower())


def _log2(ratio: stats.Array) -> stats.Array:
    """NaN where the ratio is 0 or undefined."""
    return np.log2(np.where(ratio > 0, ratio, np.nan))


def _distinct(items: Sequence[Sequence[str]], weights: stats.Array) -> stats.Array:
    """How many different items the rows drawn hold, shape (resamples,)."""
    rows_of: dict[str, list[int]] = {}
    for row, of_row in enumerate(items):
        for item in set(of_row):
            rows_of.setdefault(item, []).append(row)
    drawn = weights > 0
    out = np.zeros(len(weights))
    for rows in rows_of.values():
        out += drawn[:, rows].any(axis=1)
    return out
