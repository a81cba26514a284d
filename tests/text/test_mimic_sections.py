from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rrgbench.text.mimic_section_tables import MISNAMED, RANGES, SPELLINGS
from rrgbench.text.mimic_sections import NAMES, emit, label_text, parse

TOP = "                                 FINAL REPORT\n"

# Twenty reports in the form of MIMIC-CXR's files, none of a patient, and the sections that MIT-LCP's rules give.
REPORTS: dict[str, tuple[str, dict[str, str]]] = {
    "all sections": (
        TOP
        + " EXAMINATION:  CHEST (PA AND LAT)\n \n INDICATION:  ___F with cough  // pneumonia?\n \n"
        + " TECHNIQUE:  Chest PA and lateral\n \n COMPARISON:  ___\n \n FINDINGS: \n \n"
        + " The lungs are clear.\n The heart is normal.\n \n IMPRESSION: \n \n No acute process.\n",
        {
            "examination": "CHEST (PA AND LAT)",
            "indication": "___F with cough  // pneumonia?",
            "technique": "Chest PA and lateral",
            "comparison": "___",
            "findings": "The lungs are clear.\n The heart is normal.",
            "impression": "No acute process.",
        },
    ),
    "an impression alone": (
        TOP + " HISTORY:  Fever.\n \n IMPRESSION:  No pneumonia.\n",
        {"history": "Fever.", "impression": "No pneumonia."},
    ),
    "findings alone": (
        TOP + " FINDINGS:  Small left effusion.\n",
        {"findings": "Small left effusion."},
    ),
    "neither: the last paragraph": (
        TOP + " INDICATION:  Chest pain.\n \n The lungs are clear.\n \n No fracture.\n",
        {"indication": "Chest pain.", "last_paragraph": "The lungs are clear.\n \n No fracture."},
    ),
    "neither, and no paragraph": (
        TOP + " COMPARISON:  Unchanged since ___.\n",
        {"comparison": "Unchanged since ___."},
    ),
    "no heading at all": (
        TOP + " \n The tube ends above the carina.\n",
        {"last_paragraph": "The tube ends above the carina."},
    ),
    "no heading and no paragraph": ("The tube ends above the carina.", {}),
    "nothing": ("", {}),
    "the last of two impressions": (
        TOP + " IMPRESSION:  First thoughts.\n \n ADDENDUM:  Discussed.\n \n IMPRESSION:  Final thoughts.\n",
        {"impression": "Final thoughts."},
    ),
    "an empty title is no findings": (
        TOP + " CHEST, PA AND LATERAL:\n \n\n INDICATION:  Cough.\n \n FINDINGS:  Clear.\n",
        {"indication": "Cough.", "findings": "Clear."},
    ),
    "a view is a heading of findings": (
        TOP + " PORTABLE UPRIGHT AP:  Lines are in place.\n",
        {"findings": "Lines are in place."},
    ),
    "a heading within a longer one": (
        TOP + " CHEST IMPRESSION:  Edema.\n \n PRIOR HISTORY:  COPD.\n \n OLDER COMPARISON:  None.\n",
        {"impression": "Edema.", "history": "COPD.", "comparison": "None."},
    ),
    "an addendum of the chest is no findings": (
        TOP + " CHEST ADDENDUM:  Called in.\n \n IMPRESSION:  Stable.\n",
        {"impression": "Stable."},
    ),
    "spellings": (
        TOP + " REASON FOR EXAM:  Fall.\n \n COMPARISIONS:  ___.\n \n FINDINDGS:  Normal.\n \n CONCLUSION:  Normal.\n",
        {"indication": "Fall.", "comparison": "___.", "findings": "Normal.", "impression": "Normal."},
    ),
    "findings and impression in one": (
        TOP + " FINDINGS/IMPRESSION:  Clear lungs.\n",
        {"impression": "Clear lungs."},
    ),
    "NDICATION is an impression, as in MIT-LCP's table": (
        TOP + " NDICATION:  Cough.\n",
        {"impression": "Cough."},
    ),
    "headings with digits, lower case or without a blank before them are text": (
        TOP + " FINDINGS:  Clear.\n VIEW 2: lateral\n Impression: none\nIMPRESSION: flush left\n",
        {"findings": "Clear.\n VIEW 2: lateral\n Impression: none\nIMPRESSION: flush left"},
    ),
    "what begins in a heading's own line belongs to it": (
        TOP + " FINDINGS:\n IMPRESSION: one line\n \n TECHNIQUE:  AP.\n",
        {"findings": "IMPRESSION: one line", "technique": "AP."},
    ),
    "an empty comparison is missing, whatever came before": (
        TOP + " COMPARISON:  ___.\n \n COMPARISON: \n \n IMPRESSION:  Stable.\n",
        {"impression": "Stable."},
    ),
    "the word None is a text": (
        TOP + " COMPARISON:  None.\n \n IMPRESSION:  None\n",
        {"comparison": "None.", "impression": "None"},
    ),
}


def test_there_are_twenty() -> None:
    assert len(REPORTS) == 20


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_has_these_sections(name: str) -> None:
    text, sections = REPORTS[name]
    assert parse(text) == sections


@pytest.mark.parametrize("name", REPORTS)
def test_sections_written_in_one_order_are_read_back(name: str) -> None:
    sections = parse(REPORTS[name][0])
    written = emit(sections)
    assert parse(written) == sections
    assert emit(dict(reversed(sections.items()))) == written


def test_the_order_does_not_depend_on_the_report() -> None:
    assert list(parse(emit(dict.fromkeys(reversed(NAMES[:-1]), "x")))) == list(NAMES[:-1])


_HEADINGS = ("FINDINGS", "IMPRESSION:", "COMPARISON", "\n FINDINGS: ", "\n REPORT: ", "\n HISTORY: ", "\n CHEST:\n")
_PIECES = st.sampled_from(
    (*_HEADINGS, "\n", " ", "\n ", "\n \n", ":", ": ", "clear", "None", "\x00", "\r", "\u2028", "É", "_", "A")
)
_TEXTS = st.one_of(st.text(), st.lists(_PIECES, max_size=30).map("".join))
_STUDIES = st.sampled_from([None, "s50000000", *(s for studies in MISNAMED.values() for s in studies), *RANGES])


@given(_TEXTS, _STUDIES, st.sampled_from(["mit-lcp", "mit-lcp-first"]))
def test_any_text_gives_known_sections_that_are_not_empty(text: str, study: str | None, rules: str) -> None:
    for name, section in parse(text, study, rules).items():  # type: ignore[arg-type]
        assert name in NAMES
        assert section and section == section.strip() and section in text


@given(_TEXTS)
def test_what_was_read_once_is_read_back(text: str) -> None:
    sections = parse(text)
    assume(parse(f"{text}\n") == sections)  # a heading's word at the very end is a heading once something follows it
    # Without findings and impression what follows a blank line is the last paragraph, which a later heading hid.
    assume(
        {"findings", "impression", "last_paragraph"} & sections.keys()
        or not any("\n \n" in s for s in sections.values())
    )
    assert parse(emit(sections)) == sections


def test_the_first_of_a_name_where_a_paper_takes_it() -> None:
    text = TOP + " FINDINGS:  One.\n \n FINDINGS:  Two.\n \n IMPRESSION:  Three.\n"
    assert parse(text)["findings"] == "Two."
    assert parse(text, rules="mit-lcp-first") == {"findings": "One.", "impression": "Three."}


def test_the_exceptions_are_as_many_as_in_their_source() -> None:
    misnamed = [study for studies in MISNAMED.values() for study in studies]
    assert (len(misnamed), len(RANGES)) == (23, 31)
    assert sum(span == (0, 0) for span in RANGES.values()) == 8
    assert len({*misnamed, *RANGES}) == 54
    spellings = [spelling for names in SPELLINGS.values() for spelling in names]
    assert len(spellings) == len(set(spellings))


def test_a_report_under_a_heading_of_another_meaning_is_not_shown_as_that() -> None:
    text = TOP + " INDICATION:  Cough. The lungs are clear.\n \n IMPRESSION:  See above.\n"
    assert parse(text, "s57936451") == {"last_paragraph": "Cough. The lungs are clear."}
    assert "indication" in parse(text, "s57936451", "mit-lcp-first")  # MultiMedEval knows of no exceptions


def test_a_misnamed_report_without_that_heading_has_no_text() -> None:
    assert parse(TOP + " FINDINGS:  Clear.\n", "s56451190") == {}


def test_a_range_of_characters_is_the_text() -> None:
    text = "x" * 59 + "The lungs are clear." + " " * (306 - 79) + "Signed."
    assert parse(text, "s54986978") == {"last_paragraph": "The lungs are clear."}


def test_eight_studies_have_no_text() -> None:
    assert parse(TOP + " FINDINGS:  Clear.\n", "s58235663") == {}


@pytest.mark.parametrize(
    ("sections", "text"),
    [
        ({"findings": "f", "impression": "i", "last_paragraph": "l", "comparison": "c"}, "i"),
        ({"findings": "f", "comparison": "c"}, "f"),
        ({"last_paragraph": "l", "comparison": "c"}, "l"),
        ({"comparison": "c", "indication": "x"}, "c"),
        ({"indication": "x"}, None),
    ],
)
def test_labels_are_read_from_the_first_of_four(sections: dict[str, str], text: str | None) -> None:
    assert label_text(sections) == text
