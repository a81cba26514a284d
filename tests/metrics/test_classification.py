from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_fscore_support, roc_auc_score

from rrgbench import stats
from rrgbench.errors import UsageError
from rrgbench.labels import CHEXPERT, CHEXPERT_5, NIH, snake
from rrgbench.metrics.classification import Classification
from rrgbench.types import Case, Finding, Findings, Status, Study, Vocabulary

PRESENT, ABSENT, UNCERTAIN = Status.PRESENT, Status.ABSENT, Status.UNCERTAIN


def case(
    number: int, truth: dict[str, Status], found: dict[str, float], of: Vocabulary = CHEXPERT, by: Vocabulary = CHEXPERT
) -> Case:
    labels = Findings(of, {label: Finding(label, status) for label, status in truth.items()})
    findings = Findings(by, {x: Finding(x, PRESENT if p >= 0.5 else ABSENT, p) for x, p in found.items()})
    return Case(Study(f"s{number}", f"p{number}", labels=labels), findings, None, None, None)


def random_cases(seed: int, n: int) -> tuple[list[Case], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.random((n, 14)) < 0.3
    probability = np.round(rng.random((n, 14)), 2)
    cases = [
        case(
            i,
            {label: PRESENT if truth[i, j] else ABSENT for j, label in enumerate(CHEXPERT.labels)},
            {label: float(probability[i, j]) for j, label in enumerate(CHEXPERT.labels)},
        )
        for i in range(n)
    ]
    return cases, truth, probability


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 30))
def test_every_number_is_scikit_learn_s(seed: int, n: int) -> None:
    cases, truth, probability = random_cases(seed, n)
    metric = Classification()
    got = metric.reduce(metric.rows(cases))
    five = [CHEXPERT.labels.index(label) for label in CHEXPERT_5]
    for suffix, columns in {"14": list(range(14)), "5": five}.items():
        for average in ("micro", "macro"):
            p, r, f, _ = precision_recall_fscore_support(
                truth[:, columns], probability[:, columns] >= 0.5, average=average, zero_division=0
            )
            for name, value in {"precision": p, "recall": r, "f1": f}.items():
                assert got[f"classification_{average}_{name}_{suffix}"] == pytest.approx(value)
    for j, label in enumerate(map(snake, CHEXPERT.labels)):
        if 0 < truth[:, j].sum() < n:
            assert got[f"auroc_{label}"] == pytest.approx(roc_auc_score(truth[:, j], probability[:, j]))
            assert got[f"ap_{label}"] == pytest.approx(average_precision_score(truth[:, j], probability[:, j]))
        else:
            assert math.isnan(got[f"auroc_{label}"])


def test_the_three_labels_of_the_proposal_are_there_by_name() -> None:
    metric = Classification()
    got = metric.reduce(metric.rows(random_cases(0, 40)[0]))
    for label in ("atelectasis", "cardiomegaly", "pneumothorax"):
        for value in ("auroc", "ap", "precision", "recall", "f1"):
            assert 0 <= got[f"{value}_{label}"] <= 1


def test_weights_are_repeated_rows() -> None:
    metric = Classification()
    rows = metric.rows(random_cases(1, 25)[0])
    times = np.random.default_rng(2).integers(0, 3, 25)
    weighted = metric.reduce(rows, times[None].astype(float))
    repeated = metric.reduce(rows.iloc[np.repeat(np.arange(25), times)])
    for name, value in repeated.items():
        np.testing.assert_allclose(weighted[name][0], value, equal_nan=True)


def test_an_uncertain_truth_is_left_out_and_a_blank_is_absent() -> None:
    cases = [
        case(0, {"Edema": UNCERTAIN}, {"Edema": 0.9}),
        case(1, {"Edema": PRESENT}, {"Edema": 0.8}),
        case(2, {}, {"Edema": 0.1}),
    ]
    metric = Classification()
    got = metric.reduce(metric.rows(cases))
    assert (got["auroc_edema"], got["precision_edema"], got["recall_edema"]) == (1.0, 1.0, 1.0)


def test_a_chexpert_encoder_on_nih_s_labels_is_compared_on_what_both_have() -> None:
    truth = dict.fromkeys(NIH.labels, ABSENT)
    cases = [
        case(0, {**truth, "Nodule": PRESENT}, dict.fromkeys(CHEXPERT.labels, 0.9), of=NIH),
        case(1, truth, dict.fromkeys(CHEXPERT.labels, 0.1), of=NIH),
    ]
    metric = Classification()
    rows = metric.rows(cases)
    got = metric.reduce(rows)
    assert got["auroc_lung_lesion"] == 1.0
    assert "auroc_fracture" not in got and "classification_micro_f1_14" not in got
    assert "classification_micro_f1_all" in got
    described = metric.describe(rows)
    assert described.startswith("labels:") and "pleural_effusion" in described and "fracture" not in described


def test_a_perfect_encoder_reaches_one_and_chance_one_half() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(4000) < 0.5
    assert stats.auroc(truth, truth.astype(float))[0] == 1.0
    assert stats.auroc(truth, rng.random(4000))[0] == pytest.approx(0.5, abs=0.03)


def test_a_resample_without_a_label_s_positives_does_not_widen_a_perfect_system_s_interval() -> None:
    cases, truth, _ = random_cases(3, 30)
    perfect = [
        case(
            i,
            {f.label: f.status for f in c.study.labels or ()},
            {x: float(y) for x, y in zip(CHEXPERT.labels, row, strict=True)},
        )
        for i, (c, row) in enumerate(zip(cases, truth, strict=True))
    ]
    metric = Classification()
    rows = metric.rows(perfect)
    weights = stats.patient_weights([f"p{i}" for i in range(30)], 200, 0)
    weights[0] = 0.0
    weights[0, 0] = 30.0  # one study alone: most labels have no positive here
    macro = metric.reduce(rows, weights)["classification_macro_f1_14"]
    assert np.asarray(macro).min() == 1.0


def test_rows_made_exchangeable_give_the_same_scores_on_any_scale() -> None:
    cases, _, probability = random_cases(4, 30)
    shrunk = [
        case(i, {f.label: f.status for f in c.study.labels or ()}, dict(zip(CHEXPERT.labels, p / 100, strict=True)))
        for i, (c, p) in enumerate(zip(cases, probability, strict=True))
    ]
    metric = Classification()
    one, other = (metric.exchangeable(metric.rows(each)) for each in (cases, shrunk))
    ranks = [column for column in one if str(column).startswith("probability_")]
    np.testing.assert_array_equal(one[ranks], other[ranks])
    own, ranked = metric.reduce(metric.rows(cases)), metric.reduce(one)
    assert dict(ranked) == pytest.approx(dict(own), nan_ok=True)


def test_vocabularies_without_a_label_in_common_are_refused_in_words() -> None:
    strangers = Vocabulary("bones", ("Femur",))
    found = Findings(strangers, {"Femur": Finding("Femur", Status.PRESENT, 0.9)})
    known = Findings(CHEXPERT, {"Edema": Finding("Edema", Status.PRESENT)})
    pair = Case(Study("1", "1", labels=known), found, None, None, None)
    with pytest.raises(UsageError, match=r"no label of the dataset .* among the encoder's \(Femur\)"):
        Classification().rows([pair])
