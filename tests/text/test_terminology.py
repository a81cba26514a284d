"""The terminology map changes the phrases it maps and nothing else; no label of a report depends on it."""

from __future__ import annotations

import hashlib
import re
import tarfile
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrgbench.datasets.phantom import Phantom
from rrgbench.labelers.rules import RuleLabeler
from rrgbench.text.terminology import TERMS, unify

AROUND = [
    "No",
    "mild",
    "a",
    "an",
    "An",
    "mildly",
    "slightly",
    "and",
    "or",
    "to",
    "is",
    ".",
    ",",
    "/",
    "-",
    "\n",
    "left",
]

GOLDEN = [
    # synonyms
    ("There is an enlarged heart.", "There is cardiomegaly."),
    ("Enlarged cardiac silhouette.", "Cardiomegaly."),
    ("An enlarged heart is seen.", "Cardiomegaly is seen."),
    ("A mildly enlarged heart size.", "Mild cardiomegaly."),
    ("Stable borderline cardiac enlargement", "Stable borderline cardiomegaly"),
    ("mild enlargement of the\ncardiac silhouette", "mild cardiomegaly"),
    ("ENLARGED HEART.", "CARDIOMEGALY."),
    ("Small pleural fluid on the left", "Small pleural effusion on the left"),
    # negation, side and number stay
    ("No enlarged heart, no lung oedema.", "No enlarged heart, no pulmonary edema."),
    ("Negative for cardiac enlargement.", "Negative for cardiomegaly."),
    ("bilateral pleural effusions", "bilateral pleural effusions"),
    # beside words that may belong to the phrase it stays
    ("enlarged heart and mediastinum", "enlarged heart and mediastinum"),
    ("slightly enlarged heart", "slightly enlarged heart"),
    ("normal to mildly enlarged heart", "normal to mildly enlarged heart"),
    ("non-enlarged heart", "non-enlarged heart"),
    ("The heart is enlarged.", "The heart is enlarged."),
    ("enlarged cardiomediastinal silhouette", "enlarged cardiomediastinal silhouette"),
    ("loculated pleural fluid collection", "loculated pleural fluid collection"),
    # spellings
    ("Oedema, haemothorax, OESOPHAGUS", "Edema, hemothorax, ESOPHAGUS"),
    ("myxoedema and oedemas", "myxoedema and oedemas"),
    ("Air space opacity, ground glass", "Airspace opacity, ground-glass"),
    # abbreviations
    ("Small left PTX. PTX is new.", "Small left pneumothorax. Pneumothorax is new."),
    ("RLL pneumonia; tip in the SVC", "Right lower lobe pneumonia; tip in the superior vena cava"),
    ("ETT, NG tube and chest x-ray", "Endotracheal tube, nasogastric tube and chest radiograph"),
]


@pytest.mark.parametrize(("before", "after"), GOLDEN)
def test_golden_pairs(before: str, after: str) -> None:
    assert unify(before) == after


@pytest.mark.parametrize("spelling", TERMS)
def test_each_spelling_becomes_its_term_and_no_term_is_mapped_on(spelling: str) -> None:
    term = TERMS[spelling]
    assert unify(f"There is no {spelling} now.") == f"There is no {term} now."
    assert unify(term) == term


def pieces() -> st.SearchStrategy[str]:
    word = st.sampled_from([*TERMS, *TERMS.values(), *AROUND * 5])
    return st.lists(word, max_size=8).map(" ".join)


@given(text=st.one_of(st.text(), pieces()))
def test_a_second_time_changes_nothing(text: str) -> None:
    assert unify(unify(text)) == unify(text)


@given(text=st.text(alphabet=st.characters(exclude_categories=["L"])) | st.sampled_from(["The heart is large.", "É"]))
def test_text_without_a_mapped_phrase_stays_byte_for_byte(text: str) -> None:
    assert unify(text) == text


@given(
    before=st.sampled_from(["no", "No evidence of", "possible", "without\n", "3.5 cm (", "É"]),
    spelling=st.sampled_from([*TERMS]),
)
def test_what_stands_around_a_phrase_stays(before: str, spelling: str) -> None:
    text = f"{before} {spelling} on the  left."
    assert unify(text) in (f"{before} {TERMS[spelling]} on the  left.", text)


def labels_before_and_after(texts: list[str]) -> dict[str, list[str]]:
    """The labels that the map changes, by text."""
    changed = [text for text in texts if unify(text) != text]
    before, after = (RuleLabeler().label(t) for t in (changed, [unify(text) for text in changed]))
    differs = before != after
    return {text: list(before.columns[row]) for text, row in zip(changed, differs.to_numpy(), strict=True) if row.any()}


def test_no_label_of_a_phantom_report_depends_on_the_map() -> None:
    texts = [" ".join(study.sections.values()) for study in Phantom(n=2000).load(None)]
    british = [re.sub("(?i)edema", "oedema", text.replace("airspace", "air space")) for text in texts]
    assert sum(unify(text) != text for text in british) > 100
    changed = labels_before_and_after([*texts, *british])
    # rulelabel takes the heading of "Heart: Mild enlargement of the cardiac silhouette cannot be excluded." for the
    # subject of its first words and reads "present"; of "Heart: Mild cardiomegaly cannot be excluded.", "uncertain"
    assert len(changed) <= 1
    assert all("Heart: Mild enlargement of the cardiac silhouette cannot be excluded" in text for text in changed)


def test_no_label_of_a_real_report_depends_on_the_map(shared: Path) -> None:
    texts = []
    with tarfile.open(shared / "iu-xray" / "NLMCXR_reports.tgz") as tar:
        for member in tar:
            report_id = "CXR" + Path(member.name).stem
            if member.name.endswith(".xml") and hashlib.sha256(report_id.encode()).hexdigest()[0] < "8":
                root = ET.parse(tar.extractfile(member) or pytest.fail(member.name)).getroot()
                texts += [n.text for n in root.iter("AbstractText") if n.text and n.get("Label") == "FINDINGS"]
    assert len(texts) == 1695
    assert sum(unify(text) != text for text in texts) > 100
    assert labels_before_and_after(texts) == {}
