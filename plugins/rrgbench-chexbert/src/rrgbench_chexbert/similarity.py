"""``chexbert_similarity``: how near CheXbert's vectors of report and reference are, whatever labels they lead to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from rrgbench import stats
from rrgbench.errors import UsageError
from rrgbench.interfaces import Labeler
from rrgbench.types import Case
from rrgbench_chexbert.labeler import Chexbert


class ChexbertSimilarity:
    """``chexbert_similarity``, -1 to 1, higher is better: mean over reports of the cosine of the two [CLS] vectors.

    The SembScore that RadCliQ is made of (Yu et al., Patterns 2023; ``add_semb_col`` in CXRMetric/run_eval.py of
    rajpurkarlab/CXR-Report-Metric). An empty text has a vector, too, so that it scores neither 0 nor nothing.
    """

    version = "1"
    needs = ("report", "reference")
    higher_is_better: Mapping[str, bool] = {"chexbert_similarity": True}

    def __init__(self, labeler: Labeler) -> None:
        if not isinstance(labeler, Chexbert):
            raise UsageError(
                f"chexbert_similarity needs CheXbert's vectors, which {labeler.name} has not: leave labeler out, or"
                ' write labeler="chexbert:checkpoint=FILE".'
            )
        self._chexbert = labeler

    def rows(self, cases: Sequence[Case]) -> pd.DataFrame:
        """The cosine of each report and its reference."""
        made = self._chexbert.vectors([case.candidate or "" for case in cases]).astype(float)
        truth = self._chexbert.vectors([case.reference or "" for case in cases]).astype(float)
        lengths = np.linalg.norm(made, axis=1) * np.linalg.norm(truth, axis=1)
        cosines = stats.divide((made * truth).sum(axis=1), lengths)
        return pd.DataFrame({"chexbert_similarity": cosines}, index=[case.study.study_id for case in cases])

    def reduce(self, rows: pd.DataFrame, weights: stats.Array | None = None) -> Mapping[str, stats.Array]:
        """The mean over the reports."""
        value = stats.mean(rows["chexbert_similarity"], stats.unit_weights(weights, len(rows)))
        return {"chexbert_similarity": value if weights is not None else value[0]}
