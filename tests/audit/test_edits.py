"""Edits of reports: what each kind does, that its log is right, and that the labels change as meant or not at all."""

from __future__ import annotations

import functools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrgbench.audit.changes import Proposal, applied
from rrgbench.audit.corruptor import HARMFUL, HARMLESS, KINDS, Edit, Missed, corrupt
from rrgbench.audit.reading import read
from rrgbench.datasets.phantom import Phantom
from rrgbench.labelers.rules import label_report, mentions
from rrgbench.labels import CHEXPERT, NO_FINDING
from rrgbench.types import Status

POSITIVE = (Status.PRESENT, Status.UNCERTAIN)
WORDS = re.findall(r"\S+", "No left right effusion edema . , ; 1. is are with small The clear lungs p.m. or")
OTHERS = ("The lungs are clear.", "There is a large right pneumothorax.")

# Kind, report, and the only texts that it may become. All reports are written for the tests.
GOLDEN = [
    # A finding left out: its sentence, what follows on it, or its part of a sentence that says more.
    ("omission", "Heart size is normal. There is a left effusion. No edema.", {"Heart size is normal. No edema."}),
    ("omission", "Heart size is normal. Left effusion.", {"Heart size is normal."}),
    (
        "omission",
        "Vague opacity at the left base. This is not seen on the lateral view. No effusion.",
        {"No effusion."},
    ),
    ("omission", "Small left effusion with no pneumothorax.", {"No pneumothorax."}),
    ("omission", "There is no pneumothorax, but there is a small effusion.", {"There is no pneumothorax."}),
    ("omission", "Left effusion. Heart size is normal. Left effusion again.", {"Heart size is normal."}),
    ("omission", "1. Left effusion. 2. No edema. 3. Clear lungs.", {"1. No edema. 3. Clear lungs."}),
    ("omission", "FINDINGS: Left effusion. No edema.\nIMPRESSION: Effusion.", {"FINDINGS: No edema.\nIMPRESSION: "}),
    (
        "omission",
        "A nodule at the left base. Another nodule is at the right hilum. It measures 2 cm. Otherwise, clear lungs.",
        {"Otherwise, clear lungs."},
    ),
    ("omission", "No effusion. The lungs are clear.", set()),
    ("omission", "Left effusion.", set()),  # nothing would be left
    # What is denied affirmed, and the other way round.
    ("negation", "No pleural effusion.", {"Pleural effusion."}),
    ("negation", "No effusion or edema.", {"Effusion and edema."}),
    ("negation", "There is no evidence of pneumothorax.", {"There is pneumothorax."}),
    ("negation", "No pneumothorax is seen.", {"Pneumothorax is seen."}),
    ("negation", "There is a small left effusion.", {"There is no small left effusion."}),
    ("negation", "Left effusion is seen.", {"Left effusion is not seen."}),
    ("negation", "Small left effusion.", {"No small left effusion."}),
    ("negation", "NO EFFUSION.", {"EFFUSION."}),
    ("negation", "The trachea is midline.", set()),
    # Sides.
    ("side", "Small left effusion. Right lung is clear.", {"Small right effusion. Right lung is clear."}),
    ("side", "Left effusion and right atelectasis.", {"Right effusion and left atelectasis."}),
    ("side", "RLL pneumonia at the right base.", {"LLL pneumonia at the left base."}),
    ("side", "Atelectasis of the right middle lobe.", set()),  # the left lung has none
    ("side", "Bilateral effusions.", set()),
    ("side", "No left effusion.", set()),
    # Severity and size.
    ("severity", "Small left effusion.", {"Large left effusion."}),
    ("severity", "The heart is mildly enlarged.", {"The heart is severely enlarged."}),
    ("severity", "Severe pulmonary edema.", {"Mild pulmonary edema."}),
    ("severity", "Moderate effusion.", {"Small effusion.", "Large effusion."}),
    ("severity", "Small to moderate effusion.", {"Small effusion.", "Large effusion."}),
    ("severity", "Mild degenerative changes, and an effusion.", set()),  # the effusion has no severity
    ("severity", "No large effusion.", set()),
    # Exchanged: only for a report with other findings.
    ("exchange", "Clear lungs.", {OTHERS[1]}),
    ("exchange", "Right pneumothorax.", {OTHERS[0]}),
    # Harmless.
    ("order", "Clear lungs. No effusion.", {"No effusion. Clear lungs."}),
    ("order", "1. Clear lungs. 2. No effusion", {"1. No effusion. 2. Clear lungs"}),
    ("order", "A nodule is seen. It is small. No edema.", {"No edema. A nodule is seen. It is small."}),
    ("order", "Clear lungs.", set()),
    (
        "order",
        "FINDINGS: Clear lungs. No effusion.\nIMPRESSION: Normal.",
        {"FINDINGS: No effusion. Clear lungs.\nIMPRESSION: Normal."},
    ),
    ("case", "Clear lungs.", {"CLEAR LUNGS.", "clear lungs."}),
    (
        "case",
        "FINDINGS: Clear lungs.\nIMPRESSION: Normal.",
        {f"FINDINGS: {a}.\nIMPRESSION: {b}." for a, b in (("CLEAR LUNGS", "NORMAL"), ("clear lungs", "normal"))},
    ),
    ("numbering", "Clear lungs. No effusion.", {"1. Clear lungs. 2. No effusion."}),
    ("numbering", "1. Clear lungs. 2. No effusion.", {"Clear lungs. No effusion."}),
    ("rephrase", "There is no pneumothorax.", {"No pneumothorax."}),
    ("rephrase", "No pneumothorax.", {"There is no evidence of pneumothorax."}),
    ("rephrase", "The heart is normal in size.", {"Heart size is normal."}),
    ("rephrase", "No oedema is present.", {"No edema is present."}),
    ("rephrase", "Moderate cardiac enlargement.", {"Moderate cardiomegaly."}),
    ("rephrase", "The aorta looks odd.", set()),
]


@pytest.mark.parametrize(("kind", "report", "expected"), GOLDEN)
def test_an_edit_is_one_of_those_expected(kind: str, report: str, expected: set[str]) -> None:
    made = [corrupt(report, kind, seed, OTHERS) for seed in range(8)]
    assert {edit.text for edit in made if isinstance(edit, Edit)} == expected
    assert expected or all(isinstance(edit, Missed) for edit in made)


def test_an_inserted_finding_is_one_that_the_report_says_nothing_of() -> None:
    report = "No effusion or pneumothorax. Heart size is normal."
    made = [corrupt(report, "insertion", seed) for seed in range(40)]
    labels = {edit.label for edit in made if isinstance(edit, Edit)}
    assert len(labels) > 4 and not labels & {"Pleural Effusion", "Pneumothorax", "Cardiomegaly", NO_FINDING}
    for edit in made:
        assert isinstance(edit, Edit)
        (change,) = edit.changes
        assert change.was == "" and edit.text.replace(change.now, "") == report
        assert edit.labels[str(edit.label)] == (Status.NOT_MENTIONED, Status.PRESENT)


def test_a_substitute_stands_wherever_the_finding_did_with_a_fitting_article() -> None:
    report = "There is an opacity at the left base. The opacity is new."
    made = [corrupt(report, "substitution", seed) for seed in range(30)]
    texts = {edit.text for edit in made if isinstance(edit, Edit)}
    assert "There is a nodule at the left base. The nodule is new." in texts
    assert all("opacity" not in text and " an p" not in text for text in texts)


def test_what_was_there_and_what_is_is_logged() -> None:
    edit = corrupt("Clear lungs. Small left effusion.", "side", 0)
    assert isinstance(edit, Edit)
    assert edit.record() == {
        "kind": "side",
        "text": "Clear lungs. Small right effusion.",
        "changes": ({"start": 19, "end": 23, "was": "left", "now": "right"},),
        "label": "Pleural Effusion",
        "other": None,
        "labels": {},
    }


def test_an_edit_that_the_labeler_does_not_read_as_meant_is_not_made() -> None:
    both = "Bibasilar opacities, right greater than left."  # bilateral, whichever comes first
    assert corrupt(both, "side", 0) is Missed.UNCHECKED
    assert corrupt("Clear lungs.", "side", 0) is Missed.IMPOSSIBLE


# Kind, before, after, the finding meant and the other; whether that is what was meant.
CHECKS = [
    ("omission", "Left effusion. No edema.", "No edema.", "Pleural Effusion", None, True),
    ("omission", "Left effusion with possible edema.", "Clear.", "Pleural Effusion", None, True),  # said with it
    ("omission", "Left effusion. No edema.", "Clear.", "Pleural Effusion", None, False),  # a denial is lost
    ("omission", "Left effusion. No edema.", "Left effusion.", "Pleural Effusion", None, False),
    ("omission", "Left effusion. No edema.", "Possible effusion. No edema.", "Pleural Effusion", None, False),
    ("insertion", "No edema.", "No edema. Mass.", "Lung Lesion", None, True),
    ("insertion", "No edema.", "No edema. Mass. Effusion.", "Lung Lesion", None, False),
    ("insertion", "No edema. No edema.", "No edema. Mass.", "Lung Lesion", None, False),
    ("substitution", "Left effusion.", "Left edema.", "Pleural Effusion", "Edema", True),
    ("substitution", "Left effusion.", "Possible left edema.", "Pleural Effusion", "Edema", False),
    ("substitution", "Left effusion. Mass.", "Left edema. Mass. Mass.", "Pleural Effusion", "Edema", False),
    ("negation", "No edema or mass.", "Edema and mass.", None, None, True),
    ("negation", "No edema. Mass.", "Edema. No mass.", None, None, False),
    ("negation", "No edema. Mass.", "Edema. Left mass.", None, None, False),
    ("side", "Left edema. Mass.", "Right edema. Mass.", None, None, True),
    ("side", "Left edema. Mass.", "Bilateral edema. Mass.", None, None, False),
    ("side", "No left edema. Mass.", "No right edema. Mass.", None, None, False),
    ("severity", "Mild edema. Mass.", "Severe edema. Mass.", "Edema", "severe", True),
    ("severity", "Mild edema. Mass.", "Mild edema. Severe mass.", "Edema", "severe", False),
    ("severity", "Mild left edema.", "Severe right edema.", "Edema", "severe", False),
    ("exchange", "Edema.", "Mass.", None, None, True),
    ("exchange", "Edema. No mass.", "Edema.", None, None, False),
    ("order", "Edema. No mass.", "No mass. Edema.", None, None, True),
    ("order", "Edema. No mass.", "No mass. Left edema.", None, None, False),
    ("rephrase", "Mild edema.", "Edema.", None, None, False),
]


@pytest.mark.parametrize(("kind", "before", "after", "label", "other", "expected"), CHECKS)
def test_a_check_holds_for_what_was_meant_and_nothing_else(
    kind: str, before: str, after: str, label: str | None, other: str | None, expected: bool
) -> None:
    assert KINDS[kind].holds(read(before), read(after), Proposal((), label, other)) is expected


@functools.cache
def phantom() -> tuple[str, ...]:
    studies = list(Phantom(n=300, seed=3).load("train"))
    texts = [f"FINDINGS: {s.sections['findings']}\nIMPRESSION: {s.sections['impression']}" for s in studies]
    return (*texts, *(s.sections["findings"] for s in studies))


@settings(max_examples=400)
@given(at=st.integers(0, 200), kind=st.sampled_from(sorted(KINDS)), seed=st.integers(0, 50))
def test_logged_spans_are_right_and_labels_change_as_meant_on_phantom_reports(at: int, kind: str, seed: int) -> None:
    report = phantom()[at]
    edit = corrupt(report, kind, seed, phantom()[:20])
    assert edit == corrupt(report, kind, seed, phantom()[:20])
    if isinstance(edit, Missed):
        return
    assert edit.text != report and applied(report, edit.changes) == edit.text
    end = 0
    for change in sorted(edit.changes, key=lambda change: change.start):
        assert end <= change.start <= change.end and report[change.start : change.end] == change.was
        end = change.end
    before, after = label_report(report), label_report(edit.text)
    assert edit.labels == {x: (before[x], after[x]) for x in CHEXPERT.labels if before[x] is not after[x]}
    changed = {label: ways for label, ways in edit.labels.items() if label != NO_FINDING}
    if kind in HARMLESS:
        assert not edit.labels
        assert sorted((m.label, m.status, m.side or "") for m in mentions(report)) == sorted(
            (m.label, m.status, m.side or "") for m in mentions(edit.text)
        )
    elif kind == "omission":
        assert edit.label in changed
        assert all(was in POSITIVE and now not in POSITIVE for was, now in changed.values())
    elif kind == "insertion":
        assert changed == {edit.label: (Status.NOT_MENTIONED, Status.PRESENT)}
    elif kind == "substitution":
        assert changed.keys() == {edit.label, edit.other} and after[str(edit.other)] is Status.PRESENT
    elif kind == "negation":
        assert set(changed.values()) in (
            {(Status.ABSENT, Status.PRESENT)},
            {(Status.PRESENT, Status.ABSENT)},
        )
    elif kind in ("side", "severity"):
        assert not changed
        moved = sum(
            (a.side != b.side) if kind == "side" else a.severity != b.severity
            for a, b in zip(_said(report), _said(edit.text), strict=True)
        )
        assert moved
    else:
        assert kind == "exchange" and edit.text in phantom()[:20]
        assert any(Status.PRESENT in ways for ways in changed.values())


def _said(text: str) -> list[object]:
    return [placed.statement for placed in read(text).placed]


@given(
    st.one_of(
        st.text(max_size=80),
        st.lists(
            st.sampled_from(
                [
                    "No",
                    "left",
                    "right",
                    "effusion",
                    "edema",
                    ".",
                    ",",
                    ";",
                    "1.",
                    "is",
                    "are",
                    "with",
                    "small",
                    "The",
                    "clear",
                    "lungs",
                    "p.m.",
                    "or",
                ]
            ),
            max_size=14,
        ).map(" ".join),
    ),
    st.sampled_from(sorted(KINDS)),
)
def test_no_text_is_too_odd(text: str, kind: str) -> None:
    edit = corrupt(text, kind, 0, OTHERS)
    if isinstance(edit, Edit):
        assert applied(text, edit.changes) == edit.text != text


def test_every_kind_has_a_place_in_some_phantom_report() -> None:
    for kind in KINDS:
        assert any(isinstance(corrupt(report, kind, 0, phantom()[:20]), Edit) for report in phantom()[:60]), kind
    assert set(HARMFUL) | set(HARMLESS) == set(KINDS) and not set(HARMFUL) & set(HARMLESS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Clear lungs. No effusion", ["Clear lungs", "No effusion"]),
        ("A 2.0 cm nodule. Called at 3 p.m. today.", ["A 2.0 cm nodule", "Called at 3 p.m", "today"]),
        ("1. Clear lungs. 2) No effusion.", ["Clear lungs", "2) No effusion"]),
        ("INDICATION: Cough. FINDINGS: Clear.", ["Clear"]),
        ("", []),
    ],
)
def test_sentences_stand_without_full_stops_numbers_and_what_is_no_report(text: str, expected: list[str]) -> None:
    assert [text[s.start : s.end] for s in read(text).sentences] == expected


def test_no_edit_leaves_a_sentence_without_a_capital() -> None:
    for at, report in enumerate(phantom()[:150]):
        for kind in ("omission", "negation", "side", "severity", "rephrase"):
            edit = corrupt(report, kind, at)
            if isinstance(edit, Edit):
                assert not re.search(r"(?:^|\. |: |\n)[a-z]", edit.text), (kind, edit.text)
