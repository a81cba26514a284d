"""Where ``rulelabel`` finds its mentions, and the side and region that it reads. All text is written for the tests."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrgbench.labelers.rules import Mention, RuleLabeler, mentions
from rrgbench.labels import CHEXPERT, NO_FINDING
from rrgbench.types import Status

SIGN = {Status.PRESENT: "+", Status.ABSENT: "-", Status.UNCERTAIN: "?"}


def told(mention: Mention) -> str:
    """A mention as "Edema+ left base"."""
    return " ".join(filter(None, (mention.label + SIGN[mention.status], mention.side, mention.region)))


PLACES = {
    "Small left pleural effusion.": ["Pleural Effusion+ left"],
    "No pneumothorax.": ["Pneumothorax-"],
    "Atelectasis at the left base.": ["Atelectasis+ left base"],
    "In the right upper lobe there is a mass.": ["Lung Lesion+ right upper lobe"],
    "Bilateral effusions, left greater than right.": ["Pleural Effusion+ bilateral"],
    "Effusions, right greater than left.": ["Pleural Effusion+ bilateral"],
    "Opacities in the left base and right midlung.": ["Lung Opacity+ bilateral base"],
    "Atelectasis in the lung bases.": ["Atelectasis+ bilateral base"],
    "Bibasilar atelectasis.": ["Atelectasis+ bilateral base"],
    "Lingular atelectasis.": ["Atelectasis+ left lingula"],
    "Pneumonia of the middle lobe.": ["Pneumonia+ right middle lobe"],
    "Fractures of the left fifth and sixth ribs.": ["Fracture+ left rib"],
    "Left-sided pneumothorax.": ["Pneumothorax+ left"],
    # Each has its own.
    "Moderate right effusion and small left effusion.": ["Pleural Effusion+ right", "Pleural Effusion+ left"],
    "Left effusion with right basilar atelectasis.": ["Pleural Effusion+ left", "Atelectasis+ right base"],
    "No pneumothorax on the right; small left apical pneumothorax.": ["Pneumothorax- right", "Pneumothorax+ left apex"],
    "The right lung is clear.": ["Lung Opacity- right", "Consolidation- right"],
    # One for all of a list, and for what an opacity is said to be.
    "Atelectasis and effusion on the left.": ["Atelectasis+ left", "Pleural Effusion+ left"],
    "Left basilar opacity, which may be atelectasis or pneumonia.": [
        "Lung Opacity+ left base",
        "Atelectasis? left base",
        "Pneumonia? left base",
    ],
    "Right effusion with adjacent atelectasis.": ["Pleural Effusion+ right", "Atelectasis+ right"],
    # "Left" may hold for both or not: what isn't stated isn't made up.
    "Left lower lobe atelectasis and effusion.": ["Atelectasis+ left lower lobe", "Pleural Effusion+"],
    # A chamber is no side; a heart has none.
    "Catheter with its tip in the right atrium.": ["Support Devices+ right atrium"],
    "Left PICC with its tip in the SVC.": ["Support Devices+ left", "Support Devices+ superior vena cava"],
    "Cardiomegaly and left effusion.": ["Cardiomegaly+", "Pleural Effusion+ left"],
    "The heart is enlarged, greater on the left.": ["Cardiomegaly+"],
    "Nothing of note.": [],
}


@pytest.mark.parametrize(("text", "expected"), PLACES.items())
def test_side_and_region_are_those_stated(text: str, expected: list[str]) -> None:
    assert [told(mention) for mention in mentions(text)] == expected


SIDED = [
    text for text in PLACES if not re.search("lingul|middle|atrium", text.lower())
]  # these have a side of their own


@pytest.mark.parametrize("text", SIDED)
def test_swapping_the_sides_of_a_text_swaps_those_of_its_mentions(text: str) -> None:
    other = {"left": "right", "right": "left"}
    swapped = re.sub(r"\b(?:left|right)\b", lambda match: other[match[0]], text.lower())
    assert [m.side for m in mentions(swapped)] == [other.get(m.side or "", m.side) for m in mentions(text)]


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("FINDINGS: Small EFFUSION.\nIMPRESSION:  Edema.", ["EFFUSION", "Edema"]),
        ("No pneumothorax w/o  pleural\n effusion", ["pneumothorax", "pleural\n effusion"]),
        ("Atelectasis/pneumonia vs. edema", ["Atelectasis", "pneumonia", "edema"]),
        ("INDICATION: Pneumonia. FINDINGS: Edema.", ["Edema"]),
        ("FINDINGS: Edema. FINDINGS: Mass.", ["Edema", "Mass"]),
        ("İİ r/o mass; İ and/or an effusion", ["effusion"]),
        ("The heart\u2019s shadow; a nodular opacity", ["nodular opacity", "nodular opacity"]),
    ],
)
def test_a_span_is_where_the_text_has_the_phrase(text: str, phrases: list[str]) -> None:
    assert [text[slice(*mention.span)] for mention in mentions(text)] == phrases


SENTENCES = [
    *PLACES,
    "Possible pneumonia.",
    "CHF w/o effusion.",
    "Heart size and mediastinum are normal.",
    "Edema vs. mass/scar",
]
TEXTS = st.one_of(
    st.lists(st.sampled_from(SENTENCES), max_size=6).map(" ".join),
    st.lists(st.sampled_from(SENTENCES), max_size=6).map("\n".join),
    st.text(max_size=200),
    st.text(alphabet="edmano \n\t./-İßΣ,;:", max_size=200),
    st.tuples(st.text(max_size=20), st.sampled_from(SENTENCES), st.text(max_size=20)).map("".join),
)


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_label_is_the_mentions_put_together(text: str) -> None:
    found = mentions(text)
    row = RuleLabeler().label([text]).iloc[0]
    for label in CHEXPERT.labels:
        said = {mention.status for mention in found if mention.label == label}
        ranked = [status for status in (Status.PRESENT, Status.UNCERTAIN, Status.ABSENT) if status in said]
        if label != NO_FINDING:
            assert row[label] is (ranked[0] if ranked else Status.NOT_MENTIONED), label
    for mention in found:
        start, end = mention.span
        assert 0 <= start < end <= len(text)
        assert not text[start].isspace()
        assert not text[end - 1].isspace()
    assert found == sorted(found, key=lambda mention: mention.span)


@pytest.mark.parametrize("unit", ["left effusion ", "effusion or ", "tip x ", "left effusion. ", "/"])
def test_a_long_text_takes_time_in_proportion(unit: str) -> None:
    started = time.process_time()
    mentions(unit * (200_000 // len(unit)))
    assert time.process_time() - started < 3
