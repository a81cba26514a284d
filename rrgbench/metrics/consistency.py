"""ICON's consistency (Hou et al., EMNLP 2024 Findings): are studies with the same findings described in the same words?

Formulas and constants: eval/eval_consistency.py of wjhou/ICon, of which two faults are not repeated: there several
images of one study can be each other's equivalents, and the list of candidates is cut before it is filtered.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from rrgbench import stats
from rrgbench.cache import file_digest
from rrgbench.errors import UsageError
from rrgbench.interfaces import Labeler
from rrgbench.labels import NO_FINDING
from rrgbench.types import Case, Status

SAME_FINDINGS = 0.75  # overlap of the references' findings from which two studies are candidates
SAME_WORDS = 0.5  # overlap of the references' words from which they are equivalent
TOP = 30  # attributes kept of each finding
_FOUND = (Status.PRESENT, Status.UNCERTAIN)


class Consistency:
    """``icon_con`` and ``icon_r_con``, 0 to 1, higher is better: CON and R-CON.

    CON of a study is the mean overlap of its report with the reports of its equivalent studies; R-CON is that times the
    overlap of its report with its own reference. The scores are the means over the studies that have an equivalent.
    Overlap of two sets is what they share over the smaller one, 0 where one is empty.

    **A study's score depends on the corpus**: on which other studies are scored. A resample draws studies; who is
    whose equivalent stays as in the whole corpus.

    ``attributes`` is a JSON file that maps ``<label>:Positive`` to words, the most frequent first (the authors' come
    from RadGraph on MIMIC-CXR): only these words count, of sentences in which ``labeler`` finds one of the 13 findings.
    """

    version = "1"
    needs = ("report", "reference")
    higher_is_better: Mapping[str, bool] = {"icon_con": True, "icon_r_con": True}

    def __init__(self, labeler: Labeler, attributes: Path) -> None:
        self._labeler = labeler
        self._labels = [label for label in labeler.vocabulary.labels if label != NO_FINDING]
        self._words = _read(attributes, self._labels)
        self.signature = f"attributes:{file_digest(attributes)[:12]}|findings>={SAME_FINDINGS}|words>={SAME_WORDS}"

    def rows(self, cases: Sequence[Case]) -> pd.DataFrame:
        """CON and R-CON of each study and how many equivalents it has; NaN for a study without any."""
        references = [case.reference or "" for case in cases]
        found = self._found(references)
        reports = self._described([case.candidate or "" for case in cases])
        truths = self._described(references)
        candidates = overlaps(found) >= SAME_FINDINGS
        studies = [case.study.study_id for case in cases]
        out = []
        for at, study in enumerate(studies):
            others = [
                other
                for other in np.flatnonzero(candidates[at])
                if studies[other] != study and overlap(truths[at], truths[other]) >= SAME_WORDS
            ]
            con = float(np.mean([overlap(reports[at], reports[j]) for j in others])) if others else np.nan
            out.append([con, con * overlap(reports[at], truths[at]), len(others)])
        return pd.DataFrame(out, columns=["icon_con", "icon_r_con", "icon_equivalents"], index=studies, dtype=float)

    def reduce(self, rows: pd.DataFrame, weights: stats.Array | None = None) -> Mapping[str, stats.Array]:
        """The means over the studies that have an equivalent."""
        w = stats.unit_weights(weights, len(rows))
        out = {name: stats.mean(rows[name], w) for name in self.higher_is_better}
        return out if weights is not None else {name: value[0] for name, value in out.items()}

    def _found(self, texts: Sequence[str]) -> stats.Array:
        """1 where a text has a finding, certain or not, of shape (texts, labels)."""
        labels = self._labeler.label([text.replace(" .", ".") for text in texts])
        return labels[self._labels].isin(_FOUND).to_numpy(float)

    def _described(self, texts: Sequence[str]) -> list[frozenset[str]]:
        """The words that count of each text: attributes, in sentences that have a finding."""
        sentences = [[s.strip() for s in text.split(".") if s.strip()] for text in texts]
        distinct = sorted({sentence for of_text in sentences for sentence in of_text})
        telling = {s for s, row in zip(distinct, self._found([f"{s}." for s in distinct]), strict=True) if row.any()}
        return [
            frozenset(word for s in of_text if s in telling for word in s.split() if word in self._words)
            for of_text in sentences
        ]


def overlap(one: Collection[str], other: Collection[str]) -> float:
    """What two sets share over the size of the smaller one; 0 where one is empty."""
    a, b = frozenset(one), frozenset(other)
    return len(a & b) / min(len(a), len(b)) if a and b else 0.0


def overlaps(sets: stats.Array) -> stats.Array:
    """The same for every pair of rows of a 0/1 matrix, of shape (rows, rows)."""
    sizes = sets.sum(axis=1)
    return stats.divide(sets @ sets.T, np.minimum.outer(sizes, sizes), empty=0.0)


def _read(path: Path, labels: Sequence[str]) -> frozenset[str]:
    """The attributes of all labels together."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        kept = [table.get(f"{label}:Positive", [])[:TOP] for label in labels]
        words = frozenset(word for of_label in kept for word in of_label)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise UsageError(f"{path}: must map <label>:Positive to a list of words ({error}).") from None
    if not words:
        raise UsageError(f"{path}: holds no attribute of any label; keys look like {labels[0]}:Positive.")
    return words
