"""RadCliQ-v0 and v1 (Yu et al., Patterns 2023): a linear model of four metrics, fitted to radiologists' error counts.

The constants are those of the models that rajpurkarlab/CXR-Report-Metric publishes (normalizer.pkl and
composite_metric_model.pkl, radcliq-v1.pkl), read from the files' numbers without running them. How the features are
made is in its CXRMetric/run_eval.py.
"""

from __future__ import annotations

import math
import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd

from rrgbench import stats, tables
from rrgbench.errors import UsageError
from rrgbench.interfaces import Metric
from rrgbench.parts import Part, build
from rrgbench.plugins import catalogue
from rrgbench.types import Case

FEATURES = ("radgraph_combined", "bertscore", "semb", "bleu2")


@dataclass(frozen=True)
class Model:
    """Standardise each feature, multiply, add: an estimate of the errors a radiologist would count."""

    mean: tuple[float, float, float, float]
    scale: tuple[float, float, float, float]
    coefficients: tuple[float, float, float, float]
    intercept: float

    def predict(self, features: stats.Array) -> stats.Array:
        """RadCliQ of rows of ``FEATURES``, shape (rows, 4); lower is better."""
        standardised = (features - np.asarray(self.mean)) / np.asarray(self.scale)
        out: stats.Array = standardised @ np.asarray(self.coefficients) + self.intercept
        return out


# Fitted on 200 pairs of ReXVal. The coefficient of BLEU-2 has the wrong sign: a lower BLEU lowers (betters) the score.
V0 = Model(
    mean=(0.5398376019082272, 0.6312549595000001, 0.7716797866672277, 0.4607372064809605),
    scale=(0.3018344440559102, 0.22466950746141123, 0.24750333805236252, 0.30336670936092264),
    coefficients=(-0.4796252644863446, -0.6762170542369337, -0.46366575161751994, 0.2165861905287535),
    intercept=1.641666666666666,
)
# Fitted on 160 pairs, with the signs constrained: BLEU-2 has no weight to speak of.
V1 = Model(
    mean=(0.5379231241355762, 0.6175725628125001, 0.7647942121140658, 0.44738335396242174),
    scale=(0.3028258411486429, 0.22430938459304575, 0.2539439110169773, 0.2989271671041838),
    coefficients=(-0.37708368261038905, -0.37030009974480316, -0.25261621789593225, 4.315e-12),
    intercept=2.467e-10,
)


@dataclass(frozen=True)
class Source:
    """The metric that makes a feature: its default spec, the column of its rows, and the distribution it comes with."""

    spec: str
    column: str
    distribution: str


SOURCES = {
    "radgraph_combined": Source("radgraph:model_type=radgraph", "radgraph_combined", "rrgbench-radgraph"),
    "bertscore": Source(
        "bertscore:model=distilroberta-base,layer=5,rescale=yes,idf=no", "bertscore_f1", "rrgbench-bertscore"
    ),
    "semb": Source("chexbert_similarity", "chexbert_similarity", "rrgbench-chexbert"),
}


class RadCliQ:
    """What the two versions share: where the features come from, and the linear model.

    ``features`` is a CSV file with features made elsewhere: study_id, radgraph_combined, bertscore, semb, bleu2.
    Without it three other metrics make them, which may be given with their options (where weights lie): RadGraph's mean
    of entity and relation F1, BERTScore (distilroberta-base, layer 5, rescaled, no idf) and the cosine of CheXbert's
    vectors; BLEU-2 is counted here. A report that lacks one of the four gets a row of NaN.
    """

    version = "1"
    needs: tuple[str, ...] = ("report", "reference")
    neutral = ("features",)  # as with other files of what a system's reports gave; the signature says "file"
    name: str
    model: Model

    def __init__(
        self,
        features: Path | None = None,
        radgraph_combined: Metric | None = None,
        bertscore: Metric | None = None,
        semb: Metric | None = None,
    ) -> None:
        given = {"radgraph_combined": radgraph_combined, "bertscore": bertscore, "semb": semb}
        self._file = (str(features), _read(features)) if features else None
        if features:
            if any(given.values()):
                raise UsageError(f"{self.name} takes features from a file or from metrics, not both.")
            self.needs = ("report",)
            self.signature = "features:file"
            return
        built = {feature: _default(self.name, feature) for feature, metric in given.items() if metric is None}
        self._sources: dict[str, Metric] = {f: given[f] or built[f].obj for f in given}
        self.signature = "|".join([*(f"{f}:({part.signature})" for f, part in built.items()), "bleu2:fast_bleu"])

    def rows(self, cases: Sequence[Case]) -> pd.DataFrame:
        """RadCliQ and the four features of each report."""
        features = self._from_file(cases) if self._file else _computed(self._sources, cases)
        values = self.model.predict(features.to_numpy(float))
        features.insert(0, self.name, values)
        features.loc[np.isnan(values)] = np.nan
        return features

    def _from_file(self, cases: Sequence[Case]) -> pd.DataFrame:
        assert self._file
        source, table = self._file
        ids = [case.study.study_id for case in cases]
        texts: dict[str, str | None] = {}
        for study_id, case in zip(ids, cases, strict=True):
            if texts.setdefault(study_id, case.candidate) != case.candidate:
                raise UsageError(
                    f"{source}: the study {study_id} has several reports here (the protocol counts images), and the"
                    " file's rows can't say which they are of."
                )
        if lacking := [study_id for study_id in ids if study_id not in table.index]:
            warnings.warn(f"{source} has no row for {len(lacking)} reports: {', '.join(lacking[:5])}.", stacklevel=3)
        return table.reindex(ids)


class RadCliQV0(RadCliQ):
    """``radcliq_v0``, about 5.5 to -0.24, lower is better: the mean over the reports.

    **It rewards a lower BLEU-2**, all else equal: that is how the published model was fitted. An estimate of errors, it
    still goes below 0: identical texts give -0.2421.
    """

    name = "radcliq_v0"
    model = V0
    higher_is_better: Mapping[str, bool] = {"radcliq_v0": False}

    def reduce(self, rows: pd.DataFrame, weights: stats.Array | None = None) -> Mapping[str, stats.Array]:
        """The mean over the reports."""
        value = stats.mean(rows["radcliq_v0"], stats.unit_weights(weights, len(rows)))
        return {"radcliq_v0": value if weights is not None else value[0]}


class RadCliQV1(RadCliQ):
    """``radcliq_v1``, about 2.45 to -1.44, lower is better: the mean over the reports. BLEU-2 has no weight in it.

    ``radcliq_v1_inverse``, higher is better, is 1 over that mean, which ReXrank ranks by (as 1/RadCliQ-v1). It has a
    pole: a mean that falls to 0 sends it to infinity, and identical texts lie beyond, at -1.4407. Where the mean is not
    above 0 it is undefined (null). Differences of it say little; compare ``radcliq_v1``.
    """

    name = "radcliq_v1"
    model = V1
    higher_is_better: Mapping[str, bool] = {"radcliq_v1": False, "radcliq_v1_inverse": True}

    def reduce(self, rows: pd.DataFrame, weights: stats.Array | None = None) -> Mapping[str, stats.Array]:
        """The mean over the reports, and 1 over it where it is above 0."""
        mean = stats.mean(rows["radcliq_v1"], stats.unit_weights(weights, len(rows)))
        out = {"radcliq_v1": mean, "radcliq_v1_inverse": 1 / np.where(mean > 0, mean, np.nan)}
        return out if weights is not None else {name: value[0] for name, value in out.items()}


def bleu2(candidate: str, reference: str) -> float:
    """BLEU-2 of one pair as fast_bleu gives it to RadCliQ: weights 1/2 and 1/2, NLTK's smoothing method 1.

    Words are what stands between spaces of the lower-cased text, a full stop being a word of its own. Without a common
    word, and where a side is empty, it is 0; without a common pair of words, a tenth of one counts as found.
    """
    made, truth = _words(candidate), _words(reference)
    precisions = []
    for n in (1, 2):
        grams, wanted = (Counter(zip(*(side[at:] for at in range(n)), strict=False)) for side in (made, truth))
        found = (grams & wanted).total()
        if n == 1 and not found:
            return 0.0
        precisions.append((found or 0.1) / max(1, grams.total()))
    brevity = 1.0 if len(made) > len(truth) else math.exp(1 - len(truth) / len(made))
    return brevity * math.sqrt(precisions[0] * precisions[1])


def _words(text: str) -> list[str]:
    return [word for word in text.lower().replace(".", " .").split(" ") if word]


def _computed(sources: Mapping[str, Metric], cases: Sequence[Case]) -> pd.DataFrame:
    """The four features of each report, NaN where a metric has none."""
    out = {feature: _feature(feature, metric, cases) for feature, metric in sources.items()}
    out["bleu2"] = np.array([bleu2(case.candidate or "", case.reference or "") for case in cases])
    return pd.DataFrame(out, index=[case.study.study_id for case in cases])


# What a metric gave last, with its texts: v0 and v1 of one run share their metrics, and these take minutes.
_LAST: WeakKeyDictionary[Metric, tuple[list[tuple[str, str]], stats.Array]] = WeakKeyDictionary()


def _feature(feature: str, metric: Metric, cases: Sequence[Case]) -> stats.Array:
    """One feature of each report."""
    texts = [(case.candidate or "", case.reference or "") for case in cases]
    if feature == "bertscore":  # run_eval.py gives it single spaces
        texts = [(re.sub(" +", " ", made), re.sub(" +", " ", truth)) for made, truth in texts]
    if metric not in _LAST or _LAST[metric][0] != texts:
        prepared = [replace(case, candidate=a, reference=b) for case, (a, b) in zip(cases, texts, strict=True)]
        _LAST[metric] = texts, metric.rows(prepared)[SOURCES[feature].column].to_numpy(float)
    return _LAST[metric][1]


@cache
def _shared(spec: str) -> Part:
    return build(catalogue(), "metric", spec)


def _default(name: str, feature: str) -> Part:
    """The metric that makes a feature, by name. Raises UsageError with what to do where it can't be used here."""
    source = SOURCES[feature]
    try:
        return _shared(source.spec)
    except UsageError as error:
        raise UsageError(
            f"{name} needs {feature} from {source.spec} of the plugin {source.distribution}, or all features from a"
            f" file: {name}:features=F.csv with study_id, {', '.join(FEATURES)}. {error}"
        ) from error


def _read(path: Path) -> pd.DataFrame:
    """A file of features, indexed by study_id; a blank cell is NaN."""
    frame = tables.by_id(tables.read_table(path), str(path), "study_id")
    if lacking := [feature for feature in FEATURES if feature not in frame.columns]:
        raise UsageError(f"{path}: there is no column {', '.join(lacking)}; RadCliQ needs {', '.join(FEATURES)}.")
    columns = {
        feature: [_number(cell, f"{path}, row {row}, column {feature!r}") for row, cell in enumerate(frame[feature], 1)]
        for feature in FEATURES
    }
    return pd.DataFrame(columns, index=frame.index)


def _number(cell: str, where: str) -> float:
    if not cell.strip():
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        raise UsageError(f"{where}: {cell[:40]!r} is not a number.") from None
    if not math.isfinite(value) or value > 1.001:  # a cosine in float32 may pass 1 by a little
        raise UsageError(f"{where}: {cell[:40]} is above 1 or not finite; features are fractions, not per cent.")
    return value
