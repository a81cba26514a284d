"""``classification``: how well an encoder's findings match the dataset's labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from rrgbench import stats
from rrgbench.labels import VOCABULARIES, snake
from rrgbench.metrics import counts, encoder_rows, label_sets
from rrgbench.types import Case


class Classification:
    """AUROC, average precision, precision, recall and F1 a label, and their averages. Higher is better.

    The labels are those that the dataset and the encoder both have. An uncertain truth is left out, a truth that is
    not mentioned counts as absent (CheXpert's blank, as in R2Gen's compute_ce.py); an uncertain finding counts as
    not called. Micro and macro precision, recall and F1 as scikit-learn's with 0/0 = 0; AUROC and AP macro are the
    mean over the labels that have both classes.
    """

    version = "1"
    needs = ("findings", "labels")
    signature = f"{encoder_rows.TRUTH}|zero-division:0"

    @property
    def higher_is_better(self) -> Mapping[str, bool]:
        """All of them."""
        labels = {snake(label) for vocabulary in VOCABULARIES.values() for label in vocabulary.labels}
        names = [
            f"{value}_{label}" for label in sorted(labels) for value in ("auroc", "ap", "precision", "recall", "f1")
        ]
        averages = counts.average_names("classification", ("14", "5", "all"))
        return dict.fromkeys(["auroc_macro", "ap_macro", *averages, *names], True)

    def rows(self, cases: Sequence[Case]) -> pd.DataFrame:
        """``truth_<label>`` and ``called_<label>`` (1, 0, NaN), ``probability_<label>``."""
        return encoder_rows.rows(cases, ("truth", "called", "probability"))

    def reduce(self, rows: pd.DataFrame, weights: stats.Array | None = None) -> Mapping[str, stats.Array]:
        """The scores, averages first."""
        labels = encoder_rows.labels(rows)
        truth, called, probability = (encoder_rows.matrix(rows, kind) for kind in ("truth", "called", "probability"))
        w = stats.unit_weights(weights, len(rows))
        out: dict[str, stats.Array] = {}
        areas: dict[str, dict[str, stats.Array]] = {"auroc": {}, "ap": {}}
        for at, label in enumerate(labels):
            known = ~np.isnan(truth[:, at]) & ~np.isnan(probability[:, at])
            y, p, drawn = truth[known, at] > 0.5, probability[known, at], w[:, known]
            areas["auroc"][label], areas["ap"][label] = stats.areas(y, p, drawn)
        for name, by_label in areas.items():
            out[f"{name}_macro"] = counts.mean_of_defined(np.array(list(by_label.values())).T)
        tp, fp, fn = counts.counts(truth, called, w)
        for suffix, at_labels in label_sets.averaged(labels).items():
            out |= counts.averages("classification", suffix, truth[:, at_labels], called[:, at_labels], w)
        for at, label in enumerate(labels):
            out[f"auroc_{label}"] = areas["auroc"][label]
            out[f"ap_{label}"] = areas["ap"][label]
            out[f"precision_{label}"] = stats.divide(tp[:, at], tp[:, at] + fp[:, at])
            out[f"recall_{label}"] = stats.divide(tp[:, at], tp[:, at] + fn[:, at])
            out[f"f1_{label}"] = counts.f1(tp[:, at], fp[:, at], fn[:, at])
        return out if weights is not None else {name: value[0] for name, value in out.items()}

    def exchangeable(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows with ranks for probabilities, which give the same scores.

        Where two systems' rows change places, their scales must be alike (Bandos, Rockette & Gur 2005 swap ranks, too).
        """
        columns = [c for c in rows.columns if str(c).startswith("probability_")]
        return rows.assign(**rows[columns].rank(pct=True))

    def describe(self, rows: pd.DataFrame) -> str:
        """The labels compared."""
        return label_sets.described(encoder_rows.labels(rows))
