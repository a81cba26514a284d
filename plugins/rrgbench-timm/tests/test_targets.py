"""What is learned of labels that are certain, uncertain, blank or known to a teacher only."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rrgbench_timm.targets import distilled, of_studies, of_teacher, self_trained

from rrgbench.labels import CHEXPERT, NIH
from rrgbench.types import Failure, Finding, Findings, Status, Study, Vocabulary

NAN = float("nan")
FOUR = Vocabulary("chexpert-part", ("Edema", "Fracture", "Pneumonia", "Atelectasis"))


def study(labels: dict[str, Status] | None, vocabulary: Vocabulary = FOUR) -> Study:
    said = None if labels is None else {name: Finding(name, status) for name, status in labels.items()}
    return Study("s", "p", labels=None if said is None else Findings(vocabulary, said))


STUDY = study({"Edema": Status.PRESENT, "Fracture": Status.ABSENT, "Pneumonia": Status.UNCERTAIN})  # Atelectasis blank


@pytest.mark.parametrize(("blank", "becomes"), [("ignore", NAN), ("zero", 0)])
@pytest.mark.parametrize(
    ("policy", "uncertain"),
    [("U-Ignore", NAN), ("U-Zeros", 0), ("U-Ones", 1), ("U-MultiClass", 2), ("U-SelfTrained", 2)],
)
def test_every_policy(policy: str, uncertain: float, blank: str, becomes: float) -> None:
    found = of_studies([STUDY], FOUR, policy, blank)  # type: ignore[arg-type]
    np.testing.assert_array_equal(found, np.array([[1, 0, uncertain, becomes]], dtype=np.float32))
    assert found.dtype == np.float32


def test_what_was_not_assessed_is_never_a_negative() -> None:
    nih = study({"Effusion": Status.PRESENT, "Mass": Status.PRESENT}, NIH)
    found = dict(zip(CHEXPERT.labels, of_studies([nih], CHEXPERT, "U-Zeros", "zero")[0], strict=True))
    assert found["Pleural Effusion"] == 1
    assert found["Lung Lesion"] == 1  # Mass, though nothing is said of Nodule, which is the same label here
    assert found["Cardiomegaly"] == 0  # blank
    assert np.isnan(found["Fracture"])  # no word of NIH's
    assert np.isnan(of_studies([study(None)], FOUR, "U-Zeros", "zero")).all()
    assert of_studies([], FOUR, "U-Zeros", "zero").shape == (0, 4)


def test_the_teachers_probabilities_by_label() -> None:
    def says(**p: float | None) -> Findings:
        return Findings(NIH, {name: Finding(name, Status.PRESENT, probability=v) for name, v in p.items()})

    found = of_teacher(
        [says(Edema=0.25, Effusion=0.75, Pneumonia=None), Failure("image", "black")],
        Vocabulary("chexpert-part", ("Pleural Effusion", "Pneumonia", "Fracture", "Edema")),
    )
    np.testing.assert_array_equal(found, [[0.75, NAN, NAN, 0.25], [NAN] * 4])


def test_only_uncertain_labels_are_relabelled() -> None:
    target = np.array([[0, 1, NAN, 2, 2]], dtype=np.float32)
    found = self_trained(target, np.array([[0.9, 0.1, 0.5, 0.25, NAN]]))
    np.testing.assert_array_equal(found, np.array([[0, 1, NAN, 0.25, NAN]], dtype=np.float32))


def test_distillation_by_hand() -> None:
    target = np.array([[0, 1, NAN, 2, 1, NAN]], dtype=np.float32)
    found = distilled(target, np.array([[0.5, 0.5, 0.5, 0.5, NAN, NAN]]), 0.25)
    np.testing.assert_array_equal(found, np.array([[0.125, 0.875, 0.5, 2, 1, NAN]], dtype=np.float32))


TARGETS = arrays(np.float32, (6, 3), elements=st.sampled_from(np.float32([0, 1, 2, NAN]).tolist()))
PROBABILITIES = arrays(np.float64, (6, 3), elements=st.one_of(st.floats(0, 1), st.just(NAN)))


@given(TARGETS, PROBABILITIES)
def test_self_training_leaves_what_is_certain_or_blank(target: np.ndarray, probability: np.ndarray) -> None:
    found = self_trained(target, probability)
    np.testing.assert_array_equal(found[target != 2], target[target != 2])
    np.testing.assert_array_equal(found[target == 2], probability[target == 2].astype(np.float32))


@given(TARGETS, PROBABILITIES, st.floats(0, 1))
def test_distilled_targets_lie_between_label_and_teacher(
    target: np.ndarray, probability: np.ndarray, weight: float
) -> None:
    found = distilled(target, probability, weight)
    silent = np.isnan(probability)
    np.testing.assert_array_equal(found[silent], target[silent])
    unknown = np.isnan(target) & ~silent
    np.testing.assert_array_equal(found[unknown], probability[unknown].astype(np.float32))
    both = ~np.isnan(target) & (target != 2) & ~silent
    low, high = np.minimum(target, probability), np.maximum(target, probability)
    assert ((found >= low - 1e-6) & (found <= high + 1e-6))[both].all()
    np.testing.assert_array_equal(distilled(target, probability, 0)[both], target[both])
