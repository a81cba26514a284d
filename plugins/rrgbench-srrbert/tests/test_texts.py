"""How the two forms take texts apart."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rrgbench_srrbert.sections import HEADERS, sections
from rrgbench_srrbert.sentences import sentences

pytest.importorskip("punkt")
pytest.importorskip("nltk")


@pytest.mark.parametrize(
    ("text", "found"),
    [  # tests/test_structeval_parsing.py of RadEval; the last is of our own, for its tenth
        ("1. No acute cardiopulmonary process 2. sentence", ["No acute cardiopulmonary process.", "sentence."]),
        (
            "1.Status post median sternotomy for CABG with stable.No pleural effusions or pneumothoraces.",
            ["Status post median sternotomy for CABG with stable.", "No pleural effusions or pneumothoraces."],
        ),
        (
            "1. Left PICC tip appears.2.    Mild pulmonary vascular congestion.3.Interval improve.",
            ["Left PICC tip appears.", "Mild pulmonary vascular congestion.", "Interval improve."],
        ),
        ("2.    Crowding edema 1.hello", ["Crowding edema.", "hello."]),
        ("2.    Crowding edema 1. hello", ["Crowding edema.", "hello."]),
        ("2.    Crowding edema 1. Hello", ["Crowding edema.", "Hello."]),
        ("2.Crowding edema 1.Hello", ["Crowding edema.", "Hello."]),
        ("2.Crowding edema1.Hello", ["Crowding edema.", "Hello."]),
        (
            "No pleural effusions or pneumothoraces.sentence2. mass is 3.5 cm.3. sentence",
            ["No pleural effusions or pneumothoraces.sentence.", "mass is 3.5 cm.", "sentence."],
        ),
        (
            "The tube ends 6.2 cm above the carina, and a line below it. The heart is large. Both bases are dim.",
            [
                "The tube ends 6.2 cm above the carina, and a line below it.",
                "The heart is large.",
                "Both bases are dim.",
            ],
        ),
        ("", ["."]),
        ("Seen by Dr. Smith.", ["Seen by Dr. Smith."]),  # an abbreviation that Punkt has learned
    ],
)
def test_sentences_of_free_text(text: str, found: list[str]) -> None:
    assert sentences(text) == found


@pytest.mark.parametrize(
    "text", ["1" * 100_000, "a " * 50_000, "1. " * 33_000, " " * 100_000, "a" + " " * 100_000 + "b"]
)
def test_a_long_text_takes_seconds(text: str) -> None:
    started = time.monotonic()
    assert sentences(text)
    sections(text)
    assert time.monotonic() - started < 30


STRUCTURED = """Findings:
Lungs and Airways:
- The lungs are clear.
- No nodule.

Pleura:
- No effusion.
* Cardiovascular
-Heart size is normal.
"""


def test_sections_of_a_structured_report() -> None:
    assert sections(STRUCTURED) == {
        "Lungs and Airways": ["The lungs are clear.", "No nodule."],
        "Pleura": ["No effusion."],
        "Cardiovascular": ["-Heart size is normal."],  # a bullet is "- "
    }


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The lungs are clear.", {}),
        ("", {}),
        ("- No effusion.", {}),
        ("pleura:\n- No effusion.", {}),  # headers are written exactly so
        ("Pleura:\n", {}),
        ("Pleura:\n- a\nBones:\n- b\nOther:\n- c", {"Other": ["c"]}),  # an unknown line drops the section before it
        ("Pleura:\n- a\nOther:\n- b\nPleura:\n- c", {"Pleura": ["c"], "Other": ["b"]}),
    ],
)
def test_what_is_no_section(text: str, found: dict[str, list[str]]) -> None:
    assert sections(text) == found


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from(HEADERS), st.lists(st.from_regex(r"[a-z]{1,9}\.", fullmatch=True), min_size=1)))
def test_what_is_written_in_sections_is_read_back(report: dict[str, list[str]]) -> None:
    text = "\n\n".join(f"{header}:\n" + "\n".join(f"- {said}" for said in of) for header, of in report.items())
    assert sections(text) == report


@given(st.text())
def test_any_text_has_sentences(text: str) -> None:
    assert all(sentence.strip() for sentence in sentences(text))
