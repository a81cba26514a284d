"""Clinical precision, recall and F1: what a labeler reads in the report against what it reads in the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from rrgbench import stats, tables
from rrgbench.cache import file_digest
from rrgbench.errors import UsageError
from rrgbench.interfaces import Labeler
from rrgbench.labels import CHEXPERT, any_of, counterparts, snake
from rrgbench.metrics import counts, label_sets
from rrgbench.parts import build
from rrgbench.plugins import catalogue
from rrgbench.types import Case, Findings, Status, Vocabulary

# As CheXbert numbers its classes (Smit et al., EMNLP 2020).
CODES = {Status.NOT_MENTIONED: 0.0, Status.PRESENT: 1.0, Status.ABSENT: 2.0, Status.UNCERTAIN: 3.0}
POLICIES = {"": (1.0,), "_upos": (1.0, 3.0)}  # uncertain as negative, and as positive
AVERAGES: tuple[counts.Average, ...] = ("micro", "macro", "weighted", "samples")
GROUPS = ("14", "13", "5", "all")


class ClinicalF1:
    """Every cell of the clinical F1 that papers print, from one pass over the texts. Higher is better, 0 to 1.

    ``<labeler>_{micro,macro,weighted,samples}_{precision,recall,f1}_{14,13,5}``, ``<labeler>_exact_match_{14,13,5}``
    (the share of the reports with all labels right) and ``<labeler>_f1_<label>``. 13 is 14 without No Finding; samples
    is the mean over reports of each one's own ("example-based"). docs/clinical.md says who used which cell.

    The reference is the labels that the same labeler reads in the reference text; where the dataset has no reference
    text, its own labels (the signature says which). Present is positive; uncertain counts as negative, and as positive
    in the scores that end in ``_upos``. Not mentioned is negative. Another vocabulary than CheXpert's 14 is compared on
    the labels that both have, and its scores end in ``_all``. 0/0 is 0, as scikit-learn's ``zero_division=0``.

    ``report_labels`` and ``reference_labels`` are CSV files with labels made elsewhere: ``study_id`` and the label
    names, 1, 0, -1 or blank.
    """

    version = "2"
    neutral = ("report_labels",)  # what a system's reports were found to say is a result of that system, not a rule

    def __init__(
        self, labeler: Labeler, report_labels: Path | None = None, reference_labels: Path | None = None
    ) -> None:
        self._set(labeler.name, labeler.vocabulary, labeler, report_labels, reference_labels)

    def _set(
        self,
        name: str,
        vocabulary: Vocabulary,
        labeler: Labeler | None,  # None where both sides have a file
        report_labels: Path | None,
        reference_labels: Path | None,
    ) -> None:
        self._name, self._vocabulary, self._labeler = name, vocabulary, labeler
        self._report_labels = _read(report_labels, vocabulary) if report_labels else None
        self._reference_labels = _read(reference_labels, vocabulary) if reference_labels else None
        self.needs = ("report",) if reference_labels else ("report", "reference|labels")
        digest = f"reference-labels:{file_digest(reference_labels)[:12]}|" if reference_labels else ""
        self.signature = digest + ("report-labels:file|" if report_labels else "") + "zero-division:0"

    @property
    def higher_is_better(self) -> Mapping[str, bool]:
        """All of them."""
        suffixes = [f"{group}{policy}" for group in GROUPS for policy in POLICIES]
        exact = [f"{self._name}_exact_match_{suffix}" for suffix in suffixes]
        labels = [f"{self._name}_f1_{snake(label)}" for label in self._vocabulary.labels]
        return dict.fromkeys([*counts.average_names(self._name, suffixes, AVERAGES), *exact, *labels], True)

    def rows(self, cases: Sequence[Case]) -> pd.DataFrame:
        """``reference_<label>`` and ``report_<label>``: 0 blank, 1 present, 2 absent, 3 uncertain (CheXbert's)."""
        ids = [case.study.study_id for case in cases]
        own = self._vocabulary
        made = self._labels(self._report_labels, ids, [case.candidate or "" for case in cases])
        if self._reference_labels is not None or cases[0].reference is not None:
            shared = own
            truth = self._labels(self._reference_labels, ids, [case.reference or "" for case in cases])
        else:
            findings = [_findings(case) for case in cases]
            shared = label_sets.comparable(findings[0].vocabulary, own)
            truth = pd.DataFrame([_codes(f, shared) for f in findings], columns=list(shared.labels), index=ids)
            made = _translated(made, own, shared)
        if not len(shared):
            raise UsageError(f"the dataset's labels have no counterpart among those of {self._name}")
        sides = [(truth, "reference"), (made, "report")]
        rows = pd.concat(
            [f[list(shared.labels)].set_axis(counts.columns(side, shared.labels), axis=1) for f, side in sides], axis=1
        )
        return rows.where(rows.notna().all(axis=1))  # a study that one of the files lacks has no row at all

    def reduce(self, rows: pd.DataFrame, weights: stats.Array | None = None) -> Mapping[str, stats.Array]:
        """The scores, averages first."""
        labels = _labels(rows)
        w = stats.unit_weights(weights, len(rows))
        out: dict[str, stats.Array] = {}
        by_label: dict[str, stats.Array] = {}
        for policy, positive in POLICIES.items():
            truth, called = (_positive(rows[[f"{s}_{x}" for x in labels]], positive) for s in ("reference", "report"))
            for group, at in label_sets.clinical(labels).items():
                pair, suffix = (truth[:, at], called[:, at]), group + policy
                out |= counts.averages(self._name, suffix, *pair, w, AVERAGES)
                out[f"{self._name}_exact_match_{suffix}"] = counts.exact_match(*pair, w)
            if not policy:
                tp, fp, fn = counts.counts(truth, called, w)
                by_label = {
                    f"{self._name}_f1_{label}": counts.f1(tp[:, i], fp[:, i], fn[:, i])
                    for i, label in enumerate(labels)
                }
        out |= by_label
        return out if weights is not None else {name: value[0] for name, value in out.items()}

    def describe(self, rows: pd.DataFrame) -> str:
        """The labels compared."""
        return label_sets.described(_labels(rows))

    def _labels(self, given: pd.DataFrame | None, ids: Sequence[str], texts: Sequence[str]) -> pd.DataFrame:
        """The codes of each study, from a file or by the labeler. A study that a file lacks is NaN: a failure."""
        if given is not None:
            return given.reindex(list(ids))
        assert self._labeler is not None
        labels = self._labeler.label(texts)
        return labels.map(lambda status: CODES[Status(status)]).set_axis(list(ids))


class ChexbertF1(ClinicalF1):
    """``chexbert``: the same by CheXbert's labels (Smit et al., EMNLP 2020).

    The labeler ``chexbert`` is a plugin's. With both ``report_labels`` and ``reference_labels`` it is not looked for:
    neither the plugin nor its weights need to be here.
    """

    def __init__(
        self, labeler: Labeler | None = None, report_labels: Path | None = None, reference_labels: Path | None = None
    ) -> None:
        said = ""
        if labeler is None and not (report_labels and reference_labels):
            try:
                part = build(catalogue(), "labeler", "chexbert")
            except UsageError as error:
                raise UsageError(f"{error} {_WITHOUT}") from error
            labeler, said = part.obj, f"labeler:({part.signature})|"
        name, vocabulary = (labeler.name, labeler.vocabulary) if labeler else ("chexbert", CHEXPERT)
        self._set(name, vocabulary, labeler, report_labels, reference_labels)
        self.signature = said + self.signature


_WITHOUT = (
    "Without rrgbench-chexbert and its weights, give labels made elsewhere:"
    " chexbert:report_labels=A.csv,reference_labels=B.csv."
)


def _labels(rows: pd.DataFrame) -> list[str]:
    return [str(c).removeprefix("reference_") for c in rows.columns if str(c).startswith("reference_")]


def _positive(codes: pd.DataFrame, positive: Sequence[float]) -> stats.Array:
    values = codes.to_numpy(float)
    return np.where(np.isnan(values), np.nan, np.isin(values, positive).astype(float))


def _findings(case: Case) -> Findings:
    assert case.study.labels is not None  # the core passes only cases that have them
    return case.study.labels


def _codes(findings: Findings, shared: Vocabulary) -> list[float]:
    table = counterparts(findings.vocabulary, shared)
    return [CODES[any_of(findings.status(source) for source in table[label])] for label in shared.labels]


def _translated(made: pd.DataFrame, own: Vocabulary, shared: Vocabulary) -> pd.DataFrame:
    """A labeler's codes in the vocabulary of the comparison."""
    statuses = {code: status for status, code in CODES.items()}
    table = counterparts(own, shared)
    return pd.DataFrame(
        {
            label: [CODES[any_of(statuses[code] for code in row)] for row in made[list(table[label])].to_numpy()]
            for label in shared.labels
        },
        index=made.index,
    )


def _read(path: Path, vocabulary: Vocabulary) -> pd.DataFrame:
    """A file of labels as codes, indexed by study_id."""
    frame = tables.by_id(tables.read_table(path), str(path), "study_id")
    spelt = {snake(str(column)): str(column) for column in frame.columns}
    # MIMIC-CXR's radiologist-labelled test set says Airspace Opacity for Lung Opacity.
    if vocabulary == CHEXPERT and "lung_opacity" not in spelt and "airspace_opacity" in spelt:
        spelt["lung_opacity"] = spelt["airspace_opacity"]
    if lacking := [label for label in vocabulary.labels if snake(label) not in spelt]:
        raise UsageError(f"{path}: there is no column for the label {', '.join(lacking)}.")
    out = {}
    for label in vocabulary.labels:
        column = spelt[snake(label)]
        statuses = [tables.label_cell(cell, str(path), at, column) for at, cell in enumerate(frame[column], 1)]
        out[label] = [CODES[status] for status in statuses]
    return pd.DataFrame(out, index=frame.index)
