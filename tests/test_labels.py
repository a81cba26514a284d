from __future__ import annotations

import pytest

from rrgbench.labels import CHEXPERT, CHEXPERT_5, NIH, counterparts, part_of, snake, translate
from rrgbench.types import Finding, Findings, Status


def nih(**status: Status) -> Findings:
    by_label = {label: Finding(label, Status.ABSENT, 0.1) for label in NIH.labels}
    by_label |= {label: Finding(label, s, 0.9) for label, s in status.items()}
    return Findings(NIH, by_label)


def test_there_are_fourteen_and_five() -> None:
    assert len(CHEXPERT) == len(NIH) == 14
    assert set(CHEXPERT_5) < set(CHEXPERT.labels)


def test_labels_in_score_names_are_snake_case() -> None:
    assert snake("Pleural Effusion") == "pleural_effusion"
    assert snake("Pleural_Thickening") == "pleural_thickening"


def test_nih_translates_what_means_the_same_and_nothing_else() -> None:
    found = translate(nih(Effusion=Status.PRESENT), CHEXPERT)
    assert found.status("Pleural Effusion") is Status.PRESENT
    assert found.status("Cardiomegaly") is Status.ABSENT
    for label in ("Lung Opacity", "Fracture", "Support Devices", "Pleural Other", "No Finding"):
        assert label in found.not_assessed()


@pytest.mark.parametrize("present", ["Mass", "Nodule"])
def test_a_mass_or_a_nodule_is_a_lung_lesion(present: str) -> None:
    found = translate(nih(**{present: Status.PRESENT}), CHEXPERT)
    assert found.by_label["Lung Lesion"].status is Status.PRESENT
    assert found.by_label["Lung Lesion"].probability == 0.9


def test_a_vocabulary_translates_into_itself() -> None:
    assert counterparts(CHEXPERT, CHEXPERT) == {label: (label,) for label in CHEXPERT.labels}


def test_findings_refuse_a_label_outside_the_vocabulary_and_a_probability_that_is_none() -> None:
    with pytest.raises(ValueError, match="Effusion"):
        Findings(CHEXPERT, {"Effusion": Finding("Effusion", Status.PRESENT)})
    for p in (float("nan"), -0.1, 1.1):
        with pytest.raises(ValueError, match="Edema"):
            Finding("Edema", Status.PRESENT, p)


def test_a_part_of_a_vocabulary_translates_as_far_as_it_goes() -> None:
    some = part_of(["effusion", "Mass", "Edema"])
    assert some is not None and some.labels == ("Effusion", "Mass", "Edema")
    assert counterparts(some, CHEXPERT) == {
        "Pleural Effusion": ("Effusion",),
        "Edema": ("Edema",),
    }
    assert part_of(NIH.labels) is NIH and part_of(["Scoliosis"]) is None
