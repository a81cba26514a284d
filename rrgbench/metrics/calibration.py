"""``calibration`` and ``brier``: whether an encoder's probabilities mean what they say."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from rrgbench import stats
from rrgbench.errors import UsageError
from rrgbench.labels import VOCABULARIES, snake
from rrgbench.metrics import counts, encoder_rows, label_sets
from rrgbench.types import Case

BINS = 15
KINDS = ("truth", "probability")
_Z = 1.959963984540054  # the normal's 97.5 % quantile


class Calibration:
    """Expected calibration error a label, and its mean over the labels, 0..1. Lower is better.

    The studies are put into ``bins`` of equal width by their probability; in each the mean probability is compared with
    the share of studies that have the label, and the differences, without their sign, are averaged with the bins'
    shares of the studies as weights (Naeini, Cooper & Hauskrecht, AAAI 2015, for two classes; 15 bins as in Guo et al.,
    ICML 2017). A bin holds its upper end. The labels and the truth are ``classification``'s.

    It is above 0 by chance alone (``by_chance`` says by how much), and further above on a resample, so that no interval
    by resampling holds it: docs/metrics.md has the figures. Compare it on equal studies only.
    """

    version = "1"
    needs = ("findings", "labels")
    signature = encoder_rows.TRUTH
    resamplable = False

    def __init__(self, bins: int = BINS) -> None:
        if bins < 1:
            raise UsageError(f"There must be at least 1 bin, not {bins}.")
        self.bins = bins
        self._labels = _known_labels()

    @property
    def higher_is_better(self) -> Mapping[str, bool]:
        """None of them, labels of a dataset's own included once they were scored."""
        return dict.fromkeys((f"ece_{label}" for label in ("macro", *sorted(self._labels))), False)

    def rows(self, cases: Sequence[Case]) -> pd.DataFrame:
        """``truth_<label>`` (1, 0, NaN) and ``probability_<label>`` (0..1, NaN)."""
        return encoder_rows.rows(cases, KINDS)

    def reduce(self, rows: pd.DataFrame, weights: stats.Array | None = None) -> Mapping[str, stats.Array]:
        """The scores, the average first; a label without any probability is undefined."""
        w = stats.unit_weights(weights, len(rows))
        of_label = {}
        for label, y, p in _columns(rows):
            known = ~(np.isnan(y) | np.isnan(p))
            in_bin = _in_bins(np.where(known, p, 0.0), np.where(known, p - y, 0.0), self.bins)
            drawn = w @ np.column_stack([in_bin, known])
            # (mean p - share of positives) x the bin's share of the studies is the sum of (p - y) over all studies.
            of_label[label] = stats.divide(np.abs(drawn[:, :-1]).sum(axis=1), drawn[:, -1])
        self._labels |= set(of_label)
        return _named("ece", of_label, weights)

    def describe(self, rows: pd.DataFrame) -> str:
        """The labels compared."""
        return label_sets.described(encoder_rows.labels(rows))


class Brier:
    """Brier score a label, the mean of (probability - truth) squared (Brier 1950), and its mean over the labels.

    0..1, lower is better; .25 for an encoder that always says .5. It rewards probabilities that tell studies apart as
    well as ones that mean what they say. The labels and the truth are ``classification``'s.
    """

    version = "1"
    needs = ("findings", "labels")
    signature = encoder_rows.TRUTH

    def __init__(self) -> None:
        self._labels = _known_labels()

    @property
    def higher_is_better(self) -> Mapping[str, bool]:
        """None of them, labels of a dataset's own included once they were scored."""
        return dict.fromkeys((f"brier_{label}" for label in ("macro", *sorted(self._labels))), False)

    def rows(self, cases: Sequence[Case]) -> pd.DataFrame:
        """``truth_<label>`` (1, 0, NaN) and ``probability_<label>`` (0..1, NaN)."""
        return encoder_rows.rows(cases, KINDS)

    def reduce(self, rows: pd.DataFrame, weights: stats.Array | None = None) -> Mapping[str, stats.Array]:
        """The scores, the average first; a label without any probability is undefined."""
        w = stats.unit_weights(weights, len(rows))
        of_label = {label: stats.mean((p - y) ** 2, w) for label, y, p in _columns(rows)}
        self._labels |= set(of_label)
        return _named("brier", of_label, weights)

    def describe(self, rows: pd.DataFrame) -> str:
        """The labels compared."""
        return label_sets.described(encoder_rows.labels(rows))


def reliability(rows: pd.DataFrame, bins: int = BINS) -> pd.DataFrame:
    """The reliability curve of each label, from the metric's rows: a row for each bin that holds studies.

    Columns: label (snake case), bin (0 the lowest), low and high (its ends), n (studies in it), predicted (their mean
    probability), observed (the share of them that have the label), ci_low and ci_high (95 % of Wilson 1927 for that
    share; it takes the studies for independent, so where patients have many it is too narrow).
    """
    ends = _ends(bins)
    out = []
    for label, truth, probability in _columns(rows):
        known = ~(np.isnan(truth) | np.isnan(probability))
        y, p = truth[known], probability[known]
        of_study = _bin(p, bins)
        for number in np.unique(of_study):
            inside = of_study == number
            n, positive = int(inside.sum()), int(y[inside].sum())
            ends_of_bin = float(ends[number]), float(ends[number + 1])
            mean = float(p[inside].mean())
            out.append([label, int(number), *ends_of_bin, n, mean, positive / n, *wilson(positive, n)])
    names = ["label", "bin", "low", "high", "n", "predicted", "observed", "ci_low", "ci_high"]
    return pd.DataFrame(out, columns=names)


def by_chance(rows: pd.DataFrame, bins: int = BINS, draws: int = 200) -> dict[str, float]:
    """The calibration error that each label (snake case) would show on these studies if its probabilities were true.

    The mean over truths that are drawn by the probabilities (consistency resampling, Broecker & Smith, Weather and
    Forecasting 2007), always the same ones. NaN of a label without any probability.
    """
    rng = np.random.default_rng(0)
    out = {}
    for label, y, p in _columns(rows):
        p = p[~(np.isnan(y) | np.isnan(p))]
        errors = [np.abs(_in_bins(p, p - (rng.random(len(p)) < p), bins).sum(axis=0)).sum() for _ in range(draws)]
        out[label] = float(np.mean(errors) / len(p)) if len(p) else math.nan
    return out


def wilson(hits: int, n: int) -> stats.Interval:
    """The 95 % score interval of a share (Wilson, Journal of the American Statistical Association 1927)."""
    share, z2 = hits / n, _Z**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    reach = _Z * math.sqrt(share * (1 - share) / n + z2 / (4 * n**2)) / (1 + z2 / n)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def _known_labels() -> set[str]:
    return {snake(label) for vocabulary in VOCABULARIES.values() for label in vocabulary.labels}


def _columns(rows: pd.DataFrame) -> Iterator[tuple[str, stats.Array, stats.Array]]:
    """Each label with its truth and its probabilities."""
    for label in encoder_rows.labels(rows):
        yield label, rows[f"truth_{label}"].to_numpy(float), rows[f"probability_{label}"].to_numpy(float)


def _named(name: str, of_label: Mapping[str, stats.Array], weights: stats.Array | None) -> Mapping[str, stats.Array]:
    """The scores by name, the mean over the labels first."""
    macro = counts.mean_of_defined(np.stack(list(of_label.values()), axis=1))
    out = {f"{name}_macro": macro} | {f"{name}_{label}": value for label, value in of_label.items()}
    return out if weights is not None else {score: value[0] for score, value in out.items()}


def _in_bins(probability: stats.Array, value: stats.Array, bins: int) -> stats.Array:
    """Each study's value in the column of its bin, shape (studies, bins); 0 elsewhere."""
    out = np.zeros((len(probability), bins))
    out[np.arange(len(probability)), _bin(probability, bins)] = value
    return out


def _ends(bins: int) -> stats.Array:
    """The ends of the bins, from 0 to 1."""
    return np.linspace(0.0, 1.0, bins + 1)


def _bin(probability: stats.Array, bins: int) -> npt.NDArray[np.intp]:
    """The bin of each probability, 0 to bins - 1; one at the end of two belongs to the lower."""
    return np.searchsorted(_ends(bins)[1:-1], probability)
