"""The label sets, and the metrics on labels from files: no model, no torch."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rrgbench_srrbert.labels import LABELS
from rrgbench_srrbert.radeval import RadEval
from rrgbench_srrbert.structeval import StructEval, overlap
from sklearn.metrics import classification_report, precision_recall_fscore_support

from rrgbench.errors import UsageError
from rrgbench.types import Case

CasesOf = Callable[[Iterable[tuple[str, str]]], list[Case]]
File = Callable[[object], Path]


def test_the_label_sets_have_the_published_sizes_and_places() -> None:
    assert {level: len(labels) for level, labels in LABELS.items()} == {
        "leaves": 55,
        "upper": 25,
        "leaves_with_statuses": 163,
        "upper_with_statuses": 73,
    }
    assert all(len(set(labels)) == len(labels) for labels in LABELS.values())
    statuses = LABELS["leaves_with_statuses"]
    places = {0: "Lung Lesion (Present)", 54: "Lung Lesion (Uncertain)", 108: "Lung Lesion (Absent)", 162: "No Finding"}
    assert {at: statuses[at] for at in places} == places


def radeval(file: File, cases_of: CasesOf, pairs: list[tuple[list[str], list[str]]]) -> dict[str, float]:
    made, truth = ({f"s{n}": pair[side] for n, pair in enumerate(pairs)} for side in (0, 1))
    metric = RadEval(report_labels=file(made), reference_labels=file(truth))
    return dict(metric.reduce(metric.rows(cases_of([("a", "b")] * len(pairs)))))


P = [f"{x} (Present)" for x in ("Edema", "Cardiomegaly", "Simple pleural effusion", "Atelectasis")]
EDEMA, HEART, EFFUSION, ATELECTASIS = P
PNEUMOTHORAX, NO_PNEUMOTHORAX = (f"Simple pneumothorax ({x})" for x in ("Present", "Absent"))


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [  # tests/test_srr_bert.py of RadEval, as the labels that its texts have
        ([([EFFUSION], [EFFUSION]), ([HEART], [HEART])], (1.0, 1.0, 1.0)),
        ([([EFFUSION], ["No Finding"]), ([EDEMA], ["No Finding"])], (0.0, 0.0, 0.0)),
        (
            [
                ([HEART, EFFUSION], [HEART, EFFUSION, EDEMA]),
                ([ATELECTASIS, PNEUMOTHORAX], [ATELECTASIS, NO_PNEUMOTHORAX]),
            ],
            (0.6, 0.6, 0.6),
        ),
        (
            [
                ([EDEMA, EFFUSION], [EDEMA]),
                ([HEART, EFFUSION], [HEART, EFFUSION, ATELECTASIS]),
                (["No Finding"], ["No Finding"]),
            ],
            (0.7, 0.8, 0.7333),
        ),
        ([([], [])], (0.0, 0.0, 0.0)),
        ([([EDEMA], [])], (0.0, 0.0, 0.0)),
    ],
)
def test_radevals_golden_values(
    pairs: list[tuple[list[str], list[str]]], expected: tuple[float, ...], file: File, cases_of: CasesOf
) -> None:
    scores = radeval(file, cases_of, pairs)
    names = [f"srr_bert_radeval_weighted_{value}_leaves_with_statuses" for value in ("precision", "recall", "f1")]
    assert list(scores) == names
    assert tuple(scores.values()) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_radeval_equals_scikit_learn(seed: int, file: File, cases_of: CasesOf) -> None:
    labels = np.array(LABELS["leaves_with_statuses"])
    rng = np.random.default_rng(seed)
    truth, called = rng.random((2, 40, len(labels))) < 0.03
    scores = radeval(
        file, cases_of, [(labels[a].tolist(), labels[b].tolist()) for a, b in zip(called, truth, strict=True)]
    )
    expected = precision_recall_fscore_support(truth, called, average="weighted", zero_division=0)[:3]
    assert list(scores.values()) == pytest.approx(expected, abs=1e-12)


SECTIONS = ("Pleura", "Cardiovascular", "Abdominal", "Other")
LEAVES = LABELS["leaves"][:6]
_REPORT = st.dictionaries(st.sampled_from(SECTIONS), st.sets(st.sampled_from(LEAVES)), max_size=4)


@settings(max_examples=40)
@given(st.lists(st.tuples(_REPORT, _REPORT), min_size=1, max_size=8))
def test_structeval_equals_its_loop_over_scikit_learn(
    tmp_path_factory: pytest.TempPathFactory, cases_of: CasesOf, pairs: list[tuple[dict[str, set[str]], ...]]
) -> None:
    folder = tmp_path_factory.mktemp("sections")
    for name, side in (("made", 0), ("truth", 1)):
        said = {f"s{n}": {h: sorted(x) for h, x in pair[side].items()} for n, pair in enumerate(pairs)}
        (folder / name).with_suffix(".json").write_text(json.dumps(said), encoding="utf-8")
    metric = StructEval(report_labels=folder / "made.json", reference_labels=folder / "truth.json")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = metric.rows(cases_of([("a", "b")] * len(pairs)))
    scores = metric.reduce(rows)

    def binary(found: Iterable[str], known: Iterable[str]) -> list[int]:
        return [int(each in set(found)) for each in known]

    instances = []
    for made, truth in pairs:
        for header in {*made, *truth}:
            row = (0.0, 0.0, 0.0)
            if header in made and header in truth:
                report = classification_report(
                    np.array([binary(truth[header], LEAVES)]),
                    np.array([binary(made[header], LEAVES)]),
                    output_dict=True,
                    zero_division=0,
                )["samples avg"]
                row = (report["precision"], report["recall"], report["f1-score"])
            instances.append(row)
    found = [scores[f"srr_bert_structeval_samples_{value}_leaves"] for value in ("precision", "recall", "f1")]
    expected = np.mean(instances, axis=0) if instances else [np.nan] * 3
    assert found == pytest.approx(list(expected), abs=1e-12, nan_ok=True)
    headers = precision_recall_fscore_support(
        np.array([binary(truth, SECTIONS) for _, truth in pairs]),
        np.array([binary(made, SECTIONS) for made, _ in pairs]),
        average="samples",
        zero_division=0,
    )[:3]
    found = [scores[f"srr_bert_structeval_headers_{value}"] for value in ("precision", "recall", "f1")]
    assert found == pytest.approx(headers, abs=1e-12)


def test_a_resample_is_a_score_of_the_reports_drawn(file: File, cases_of: CasesOf) -> None:
    truth = {
        "s0": {"Pleura": ["Edema"], "Other": ["Hernia"]},
        "s1": {"Pleura": ["Fibrosis"]},
        "s2": {"Other": ["LVAD"]},
    }
    made = {"s0": {"Pleura": ["Edema"]}, "s1": {"Pleura": ["Edema"]}, "s2": {"Other": ["LVAD", "Hernia"]}}
    metric = StructEval(report_labels=file(made), reference_labels=file(truth))
    rows = metric.rows(cases_of([("a", "b")] * 3))
    drawn = [[2, 0, 1], [0, 3, 0]]
    found = metric.reduce(rows, np.array(drawn, dtype=float))
    for at, times in enumerate(drawn):
        again = metric.reduce(rows.iloc[np.repeat(np.arange(3), times)])
        assert {name: value[at] for name, value in found.items()} == pytest.approx(dict(again))


def test_two_empty_sets_score_zero() -> None:
    assert overlap(frozenset(), frozenset()) == (0.0, 0.0, 0.0)
    assert overlap(frozenset("ab"), frozenset("bc")) == (0.5, 0.5, 0.5)


def test_a_study_that_a_file_lacks_is_a_failure(file: File, cases_of: CasesOf) -> None:
    cases = cases_of([("a", "b"), ("c", "d"), ("", "e")])
    metric = RadEval(
        report_labels=file({"s0": [EDEMA]}), reference_labels=file({"s0": [EDEMA], "s1": [], "s2": [EDEMA]})
    )
    with pytest.warns(UserWarning, match="no entry for 1 texts, of: s1"):
        rows = metric.rows(cases)
    assert rows.isna().all(axis=1).tolist() == [False, True, False]
    assert metric.reduce(rows)["srr_bert_radeval_weighted_recall_leaves_with_statuses"] == 0.5
    sections = {"Pleura": ["Edema"]}
    other = StructEval(
        report_labels=file({"s0": sections}), reference_labels=file(dict.fromkeys(["s0", "s1", "s2"], sections))
    )
    with pytest.warns(UserWarning, match="no entry for 1 texts, of: s1"):
        rows = other.rows(cases)
    assert rows.isna().all(axis=1).tolist() == [False, True, False]
    assert other.reduce(rows)["srr_bert_structeval_samples_f1_leaves"] == 0.5


@pytest.mark.parametrize(
    ("metric", "content", "fault"),
    [
        (RadEval, {"s0": ["Edema"]}, r"'Edema' is none of the 163 leaves_with_statuses. Did you mean 'Edema \("),
        (RadEval, {"s0": {"Pleura": []}}, r"must be \["),
        (StructEval, {"s0": ["Edema"]}, "must be {"),
        (StructEval, {"s0": {"Pleurra": []}}, "no section of a structured report. Did you mean 'Pleura'"),
        (StructEval, {"s0": {"Pleura": ["Oedema"]}}, "none of the 55 leaves. Did you mean 'Edema'"),
    ],
)
def test_a_file_of_another_form_is_refused(
    metric: type[RadEval] | type[StructEval], content: object, fault: str, file: File
) -> None:
    with pytest.raises(UsageError, match=fault):
        metric(report_labels=file(content), reference_labels=file(content))


@pytest.mark.parametrize("metric", [RadEval, StructEval])
def test_without_model_and_files_it_says_how_to_get_them(metric: type[RadEval] | type[StructEval]) -> None:
    pytest.importorskip("huggingface_hub")
    with pytest.raises(UsageError, match="hf download nobody/has-this.*report_labels="):
        metric(model="nobody/has-this")


def test_the_two_forms_share_no_score_and_no_signature(file: File) -> None:
    a = StructEval(report_labels=file({"s0": {}}), reference_labels=file({"s0": {}}))
    b = RadEval(level="leaves", report_labels=file({"s0": []}), reference_labels=file({"s0": []}))
    assert not {*a.higher_is_better} & {*b.higher_is_better}
    assert a.signature.startswith("structeval|") and b.signature.startswith("radeval|")
