from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrgbench.interfaces import Writer
from rrgbench.labelers.rules import RuleLabeler
from rrgbench.labels import CHEXPERT, NIH, NO_FINDING, SUPPORT_DEVICES
from rrgbench.llms.template import Template
from rrgbench.types import Context, Failure, Finding, Findings, Report, Status, Vocabulary

P, A, U = Status.PRESENT, Status.ABSENT, Status.UNCERTAIN
HERE = Context("s1")
THREE = ("Atelectasis", "Cardiomegaly", "Pneumothorax")


def write(found: dict[str, Finding], vocabulary: Vocabulary = CHEXPERT) -> Report:
    report = Template().write(Findings(vocabulary, found), HERE)
    assert isinstance(report, Report)
    return report


def all_but(default: Status, **others: Status) -> dict[str, Finding]:
    named = {name.replace("_", " "): status for name, status in others.items()}
    return {label: Finding(label, named.get(label, default)) for label in CHEXPERT.labels[1:]}


def read(report: Report) -> dict[str, Status]:
    row = RuleLabeler().label([report.text]).iloc[0]
    return {label: row[label] for label in CHEXPERT.labels}


def test_a_normal_study_gives_a_normal_report() -> None:
    report = write(all_but(A))
    assert report.sections["findings"] == (
        "There is no support device. The lungs are clear. There is no lung lesion, pulmonary edema, "
        "focal consolidation, pneumonia, or atelectasis. "
        "There is no pneumothorax, pleural effusion, or pleural thickening. "
        "Heart size and mediastinal contours are normal. There is no fracture."
    )
    assert report.sections["impression"] == "No acute cardiopulmonary abnormality."
    assert report.text == f"{report.sections['findings']} {report.sections['impression']}"


def test_findings_come_organ_by_organ_with_side_and_severity() -> None:
    found = all_but(A) | {
        "Cardiomegaly": Finding("Cardiomegaly", P, severity="moderate"),
        "Pleural Effusion": Finding("Pleural Effusion", P, side="bilateral", severity="mild"),
        "Pneumonia": Finding("Pneumonia", U, side="left"),
        SUPPORT_DEVICES: Finding(SUPPORT_DEVICES, P),
    }
    report = write(found)
    assert report.sections["findings"] == (
        "Support devices are in place. There may be left-sided pneumonia. "
        "There is no other lung opacity, lung lesion, pulmonary edema, focal consolidation, or atelectasis. "
        "There are small bilateral pleural effusions. There is no pneumothorax or pleural thickening. "
        "The heart is moderately enlarged. The mediastinum is not widened. There is no fracture."
    )
    assert report.sections["impression"] == (
        "Small bilateral pleural effusions and moderate cardiomegaly. Possible left-sided pneumonia."
    )


def test_an_opacity_and_what_it_is_are_one_sentence() -> None:
    opacity = Finding("Lung Opacity", P, side="left")
    pneumonia = write({"Lung Opacity": opacity, "Pneumonia": Finding("Pneumonia", P, side="left")})
    assert pneumonia.text == ("There is a left lung opacity, consistent with pneumonia. Left-sided pneumonia.")
    perhaps = write({"Lung Opacity": opacity, "Pneumonia": Finding("Pneumonia", U)})
    assert perhaps.sections["findings"] == "There is a left lung opacity, which may represent pneumonia."
    other_side = write({"Lung Opacity": opacity, "Pneumonia": Finding("Pneumonia", P, side="right")})
    assert other_side.sections["findings"] == "There is a left lung opacity. There is right-sided pneumonia."


def test_what_was_not_assessed_is_not_spoken_of() -> None:
    assert write({"Edema": Finding("Edema", A)}).sections["findings"] == "There is no pulmonary edema."


def test_other_vocabularies_are_written_in_words() -> None:
    found = {"Pleural_Thickening": Finding("Pleural_Thickening", P, side="left"), "Hernia": Finding("Hernia", A)}
    assert write(found, NIH).text == "There is left pleural thickening. There is no hernia. Left pleural thickening."
    own = Vocabulary("own", ("Mosaic attenuation pattern", "Lymphadenopathy"))
    found = {
        "Lymphadenopathy": Finding("Lymphadenopathy", P),
        "Mosaic attenuation pattern": Finding("Mosaic attenuation pattern", A),
    }
    assert write(found, own).sections["findings"] == "There is lymphadenopathy. There is no mosaic attenuation pattern."


def test_no_finding_alone_makes_a_normal_report_and_nothing_at_all_a_failure() -> None:
    assert write({NO_FINDING: Finding(NO_FINDING, P)}).text == (
        "No abnormality is identified. No acute cardiopulmonary abnormality."
    )
    for found in ({}, {"Edema": Finding("Edema", Status.NOT_MENTIONED)}, {NO_FINDING: Finding(NO_FINDING, A)}):
        failure = Template().write(Findings(CHEXPERT, found), HERE)
        assert isinstance(failure, Failure)
        assert failure.kind == "empty"


@pytest.mark.parametrize("present", list(product([True, False], repeat=3)))
def test_round_trip_of_all_combinations_of_three_labels(present: tuple[bool, ...]) -> None:
    statuses = {label: P if there else A for label, there in zip(THREE, present, strict=True)}
    expected = {label: statuses.get(label, A) for label in CHEXPERT.labels[1:]}
    expected[NO_FINDING] = Status.NOT_MENTIONED if any(present) else P
    assert read(write(all_but(A, **statuses))) == expected


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(CHEXPERT.labels[1:]),
        st.tuples(
            st.sampled_from([P, A, U]),
            st.sampled_from([None, "left", "right", "bilateral"]),
            st.sampled_from([None, "mild", "moderate", "severe"]),
        ),
        min_size=1,
    )
)
def test_round_trip_of_any_statuses(chosen: dict[str, tuple[Status, str | None, str | None]]) -> None:
    found = {label: Finding(label, s, side=side, severity=severity) for label, (s, side, severity) in chosen.items()}
    report = write(found)
    expected = {label: found[label].status if label in found else Status.NOT_MENTIONED for label in CHEXPERT.labels[1:]}
    abnormal = any(expected[label] in (P, U) for label in expected if label != SUPPORT_DEVICES)
    expected[NO_FINDING] = Status.NOT_MENTIONED if abnormal else P
    assert read(report) == expected
    sides = {
        f.side
        for f in found.values()
        if f.status in (P, U) and f.label not in ("Cardiomegaly", "Enlarged Cardiomediastinum")
    }
    assert all(side in report.text.lower() for side in sides if side)


def test_it_is_a_writer_and_a_baseline() -> None:
    assert isinstance(Template(), Writer)
    assert Template.baseline == "no language model: sentences from the findings"
