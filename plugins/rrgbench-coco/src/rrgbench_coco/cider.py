"""CIDEr (Vedantam et al., CVPR 2015) as pycocoevalcap computes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata

import numpy as np
import numpy.typing as npt
import pandas as pd
from pycocoevalcap.cider.cider_scorer import CiderScorer  # type: ignore[import-untyped]

from rrgbench.stats import mean, unit_weights
from rrgbench.types import Case
from rrgbench_coco import text
from rrgbench_coco.frames import frame, unwrap


class Cider:
    """``cider``, 0 to 10, higher is better: mean of the reports' tf-idf weighted n-gram similarities, times ten.

    pycocoevalcap's is CIDEr-D (clipped counts, Gaussian length penalty with sigma 6). **A report's score depends on the
    corpus**: document frequencies are counted over the references of all cases given to ``rows``, so a lone report
    scores 0, and other studies or another number of them give other scores. Resampling draws reports; the document
    frequencies stay those of the whole corpus.
    """

    version = "1"
    needs = ("report", "reference")
    higher_is_better: Mapping[str, bool] = {"cider": True}

    def __init__(self, tokenizer: text.Tokenizer = "ptb") -> None:
        text.check("cider", tokenizer)
        self.tokenizer: text.Tokenizer = tokenizer

    @property
    def signature(self) -> str:
        """The library's version, the variant's constants, and where document frequencies come from."""
        return f"pycocoevalcap:{metadata.version('pycocoevalcap')}|n:4|sigma:6|scale:10|df:scored-references"

    def rows(self, cases: Sequence[Case]) -> pd.DataFrame:
        """The score of each report, given the document frequencies of all of the references."""
        scorer = CiderScorer(n=4, sigma=6.0)
        pairs = text.pairs(cases, self.tokenizer)
        scored = [place for place, pair in enumerate(pairs) if pair is not None]
        for candidate, reference in filter(None, pairs):
            scorer += (candidate, [reference])
        scorer.compute_doc_freq()
        scores = np.full((len(cases), 1), np.nan)
        scores[scored, 0] = scorer.compute_cider() if scored else []
        return frame(cases, scores, ["cider"])

    def reduce(
        self, rows: pd.DataFrame, weights: npt.NDArray[np.float64] | None = None
    ) -> Mapping[str, float] | Mapping[str, npt.NDArray[np.float64]]:
        """The weighted mean. NaN where no row was drawn."""
        return unwrap({"cider": mean(rows["cider"], unit_weights(weights, len(rows)))}, weights)
