"""``srr_bert_radeval``: F1-SRR-BERT of free text, as RadEval computes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from rrgbench import stats
from rrgbench.metrics import counts
from rrgbench.types import Case
from rrgbench_srrbert.labelling import Labelling, Said
from rrgbench_srrbert.labels import LABELS, TOKENIZER, Level
from rrgbench_srrbert.sentences import sentences


class RadEval:
    """``srr_bert_radeval_weighted_{precision,recall,f1}_<level>``, 0 to 1, higher is better.

    A report has the labels that SRR-BERT gives any of its sentences. Precision, recall and F1 of each label over all
    reports; the score is their mean over the labels, weighted by how many references have the label (scikit-learn's
    "weighted avg", 0/0 is 0): labels that only reports have cost nothing.

    ``report_labels`` and ``reference_labels``: JSON, study_id to a list of labels. What isn't given is made by
    ``model`` (default: that of the level): a folder, or a name in the local hub cache. An empty text is the sentence
    "." to the model, as upstream.
    """

    version = "1"
    neutral = ("report_labels", "model", "tokenizer", "device", "batch")

    def __init__(
        self,
        level: Level = "leaves_with_statuses",
        report_labels: Path | None = None,
        reference_labels: Path | None = None,
        model: str | None = None,
        tokenizer: str = TOKENIZER,
        device: str = "auto",
        batch: int = 32,
    ) -> None:
        self._level = level
        self._labels = Labelling(
            "srr_bert_radeval",
            level,
            report_labels,
            reference_labels,
            model,
            tokenizer,
            device,
            batch,
            split=lambda text: {"": sentences(text)},
            blank={"": frozenset()},
        )
        self.needs, self.signature = self._labels.needs, f"radeval|{self._labels.signature}"
        names = counts.average_names("srr_bert_radeval", [level], ["weighted"])
        self.higher_is_better: Mapping[str, bool] = dict.fromkeys(names, True)

    def rows(self, cases: Sequence[Case]) -> pd.DataFrame:
        """``report_<label>`` and ``reference_<label>``: 1 where the text has the label, else 0."""
        labels = LABELS[self._level]
        report, reference = (_matrix(side, labels) for side in self._labels.sides(cases))
        values = np.hstack([report, reference])
        values[np.isnan(values).any(axis=1)] = np.nan  # a study that one of the files lacks has no row at all
        columns = [*counts.columns("report", labels), *counts.columns("reference", labels)]
        return pd.DataFrame(values, columns=columns, index=[case.study.study_id for case in cases])

    def reduce(self, rows: pd.DataFrame, weights: stats.Array | None = None) -> Mapping[str, stats.Array]:
        """The weighted averages."""
        values = rows.to_numpy(float)
        called, truth = np.hsplit(values, 2)
        w = stats.unit_weights(weights, len(rows))
        out = counts.averages("srr_bert_radeval", self._level, truth, called, w, ["weighted"])
        return out if weights is not None else {name: value[0] for name, value in out.items()}


def _matrix(side: Sequence[Said | None], labels: Sequence[str]) -> stats.Array:
    """1 or 0 for each text and label, NaN for a text of which nothing is known."""
    return np.array([[np.nan if said is None else float(label in said[""]) for label in labels] for said in side])
