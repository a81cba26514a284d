"""ROUGE-L (Lin, 2004) as pycocoevalcap computes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata

import numpy as np
import numpy.typing as npt
import pandas as pd

from rrgbench.stats import mean, unit_weights
from rrgbench.text.subsequence import lcs_length
from rrgbench.types import Case
from rrgbench_coco import text
from rrgbench_coco.frames import frame, unwrap

_BETA = 1.2  # rouge.py, Rouge.__init__: recall counts beta squared times what precision counts


class RougeL:
    """``rouge_l``, 0 to 1, higher is better: mean of the reports' F-scores on the longest common subsequence.

    The numbers of ``pycocoevalcap.rouge.rouge.Rouge``, with a subsequence that takes no quadratic memory. One
    difference: a report without a word scores 0 even if its reference has none either (there it scores 1).
    """

    version = "1"
    needs = ("report", "reference")
    higher_is_better: Mapping[str, bool] = {"rouge_l": True}

    def __init__(self, tokenizer: text.Tokenizer = "ptb") -> None:
        text.check("rouge_l", tokenizer)
        self.tokenizer: text.Tokenizer = tokenizer

    @property
    def signature(self) -> str:
        """The library's version and the F-score's beta."""
        return f"pycocoevalcap:{metadata.version('pycocoevalcap')}|beta:{_BETA}"

    def rows(self, cases: Sequence[Case]) -> pd.DataFrame:
        """The score of each report."""
        pairs = text.pairs(cases, self.tokenizer)
        return frame(cases, [[np.nan if pair is None else rouge_l(*pair)] for pair in pairs], ["rouge_l"])

    def reduce(
        self, rows: pd.DataFrame, weights: npt.NDArray[np.float64] | None = None
    ) -> Mapping[str, float] | Mapping[str, npt.NDArray[np.float64]]:
        """The weighted mean. NaN where no row was drawn."""
        return unwrap({"rouge_l": mean(rows["rouge_l"], unit_weights(weights, len(rows)))}, weights)


def rouge_l(candidate: str, reference: str) -> float:
    """ROUGE-L of two texts of space-separated words; 0 where either has none."""
    if not candidate or not reference:
        return 0.0
    proposed, wanted = candidate.split(" "), reference.split(" ")
    common = lcs_length(proposed, wanted)
    if common == 0:
        return 0.0
    precision, recall = common / len(proposed), common / len(wanted)
    return (1 + _BETA**2) * precision * recall / (recall + _BETA**2 * precision)
