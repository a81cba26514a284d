from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrgbench.text.sections import joined, split_sections, squeeze, strip_chatter

LAYOUTS = {
    "inline": "FINDINGS: The heart is large. IMPRESSION: Cardiomegaly.",
    "lines": "FINDINGS:\nThe heart is large.\n\nIMPRESSION:\nCardiomegaly.",
    "bold": "**FINDINGS:** The heart is large.\n\n**IMPRESSION:** Cardiomegaly.",
    "bold, colon outside": "**Findings**: The heart is large.\n**Impression**: Cardiomegaly.",
    "bold, no colon": "**Findings**\nThe heart is large.\n**Impression**\nCardiomegaly.",
    "markdown": "## Findings\n\nThe heart is large.\n\n## Impression\n\nCardiomegaly.",
    "fenced": "```text\nFINDINGS: The heart is large.\nIMPRESSION: Cardiomegaly.\n```",
    "numbered": "1. Findings: The heart is large.\n2. Impression: Cardiomegaly.",
    "windows": "FINDINGS: The heart is large.\r\nIMPRESSION: Cardiomegaly.\r\n",
    "other words": "Report:\nThe heart is large.\nConclusion:\nCardiomegaly.",
    "chatter": "Sure! Here it is:\n\nFINDINGS: The heart is large.\nIMPRESSION: Cardiomegaly.\n\nNote: no doctor.",
    "signature": "FINDINGS: The heart is large.\nIMPRESSION: Cardiomegaly.\n\nRadiologist: [Your Name]\nDate: today",
    "offer": "FINDINGS: The heart is large.\nIMPRESSION: Cardiomegaly.\n\nLet me know if you need more!",
    "rule": "FINDINGS: The heart is large.\n\n---\n\nIMPRESSION: Cardiomegaly.",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_reply_is_split_at_its_headings_however_they_are_set(layout: str) -> None:
    sections = split_sections(strip_chatter(LAYOUTS[layout]))
    assert sections == {"findings": "The heart is large.", "impression": "Cardiomegaly."}


def test_prose_is_not_taken_for_a_heading() -> None:
    text = "The findings: none. The impression is of a\nstudy\nthat is normal."
    assert split_sections(text) == {"": text}


def test_what_stands_before_the_first_heading_has_the_empty_name() -> None:
    assert split_sections("Clear lungs. IMPRESSION: Normal.") == {"": "Clear lungs.", "impression": "Normal."}


def test_other_headings_end_a_section_and_spellings_share_a_name() -> None:
    text = "REASON FOR EXAM: Cough.\nTECHNIQUE: PA.\nFINDINGS: Clear.\nCOMPARISON: None."
    expected = {"indication": "Cough.", "technique": "PA.", "findings": "Clear.", "comparison": "None."}
    assert split_sections(text) == expected


def test_an_empty_section_is_left_out_and_a_repeated_one_joined() -> None:
    assert split_sections("FINDINGS:\nIMPRESSION: Normal.") == {"impression": "Normal."}
    assert split_sections("FINDINGS: A.\nIMPRESSION: B.\nFINDINGS: C.") == {"findings": "A.\nC.", "impression": "B."}


def test_list_marks_and_white_space_are_squeezed_and_numbers_kept() -> None:
    assert squeeze("1. Large  heart.\n2) A 1.5 cm nodule.\n - Clear\n   lungs.") == (
        "Large heart. A 1.5 cm nodule. Clear lungs."
    )


def test_deidentified_blanks_survive() -> None:
    assert strip_chatter("Compared with ___, the heart is large.") == "Compared with ___, the heart is large."


def test_the_scored_text_is_findings_then_impression_without_headings() -> None:
    assert joined({"impression": "B.", "findings": "A.", "indication": "C."}) == "A. B."
    assert joined({"impression": "B."}) == "B."


@given(st.text())
def test_no_text_is_invented(text: str) -> None:
    for body in split_sections(text).values():
        assert all(line.strip() in text for line in body.split("\n"))


@pytest.mark.parametrize("unit", ["**a ", "# ", "\n \n", "sure ", "here is ", "_", "FINDINGS: "])
def test_a_long_reply_takes_time_in_proportion(unit: str) -> None:
    started = time.process_time()
    split_sections(strip_chatter(unit * (500_000 // len(unit))))
    assert time.process_time() - started < 3


def test_a_note_is_a_finding_and_no_postscript() -> None:
    text = "FINDINGS:\nNote is made of cardiomegaly.\nIMPRESSION: Cardiomegaly."
    assert strip_chatter(text) == text
    assert split_sections(strip_chatter("FINDINGS: a\nDate: today\nIMPRESSION: b"))["impression"] == "b"
