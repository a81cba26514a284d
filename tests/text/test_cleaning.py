"""Text steps: golden pairs, and what holds for any text. R2Gen's are worked out by hand from its tokenizer's rules."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrgbench.errors import UsageError
from rrgbench.text import cleaning
from rrgbench.text.cleaning import STANDARD, STEPS, clean, digest_of

R2GEN = ("r2gen-mimic", "r2gen-iu")
IDEMPOTENT = [name for name in STEPS if name not in R2GEN]

# Random text of what the steps look at: marks, numbers, units, ends of sentences and lines.
PIECES = (
    *("___", "__", "_", "XXXX", "xxxx", "XX", "[**", "**]", "[", "*", "(", ")", "-", "/", ",", ".", ";", ":", "!"),
    *(" ", "  ", "\n", "\n\n", "\t", "1.", "2.", "2)", "(3)", "4. ", "12.", "5", "2,5", "1,500", ".5", "25", "x"),
    *("cm", "mm", "CM", "millimetres", "ml", "T12", "IMPRESSION:", "Views:", "The", "lungs", "clear", "É", "Σ"),
    *(" x ", "3,5", "by", "1)", "H"),
    *("enlarged", "heart", "silhouette", "an", "PTX", "air", "space", "oedema", "mildly", "and", "pleural", "fluid"),
)
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=25).map("".join))

GOLDEN = {
    "whitespace": [
        (" The  heart\tis\r\n large. \n", "The heart is large."),
    ],
    "lower": [
        ("The Heart. PICC", "the heart. picc"),
    ],
    "de-identification": [
        ("seen by Dr. ___ at 5:30", "seen by Dr. at 5:30"),
        ("compared with ___.", "compared with."),
        ("the left XXXXrib", "the left rib"),
        ("XXXX-year-old", "year-old"),
        ("the prior study (___, __, __) is", "the prior study is"),
        ("dated ___/___; clear", "dated; clear"),
        ("on [**2101-1-1**] and [**Hospital 1 [**2**] East**] ward", "on and ward"),
        ("an open [** bracket", "an open [** bracket"),
        ("the ___\nlobe", "the\nlobe"),
        ("a lone _ and XX stay", "a lone _ and XX stay"),
    ],
    "numbering": [
        ("1. No effusion. 2. Clear lungs.", "No effusion. Clear lungs."),
        ("1) Cardiomegaly\n2) Edema", "Cardiomegaly\nEdema"),
        ("(1) Cardiomegaly; (2) edema", "Cardiomegaly; edema"),
        ("IMPRESSION: 1. Edema.", "IMPRESSION: Edema."),
        ("Impression:\n1. Edema.", "Impression:\nEdema."),
        ("A 1.5 cm nodule. T12. Clear.", "A 1.5 cm nodule. T12. Clear."),
        ("Fracture of rib\n12. Lungs clear.", "Fracture of rib\n12. Lungs clear."),
        ("Number of views: 2. Clear.", "Number of views: 2. Clear."),
        ("Nodule of 1. 5 cm", "Nodule of 1. 5 cm"),
        ("In 2010. 3 cm nodule.", "In 2010. 3 cm nodule."),
        ("1)Heart is large. 2)clear (3)Lungs", "Heart is large. clear (3)Lungs"),
        ("1.Heart is large. 2.PTX. 1.5 cm", "Heart is large. 2.PTX. 1.5 cm"),
    ],
    "units": [
        ("2.5 centimeters", "2.5 cm"),
        ("a 2,5-cm nodule", "a 2.5 cm nodule"),
        ("25mm and .5 CM", "25 mm and .5 cm"),
        ("3x4cm, 3 x 4 millimetres", "3x4 cm, 3 x 4 mm"),
        ("1,500 mL", "1,500 ml"),
        ("2,5 x 3,5cm", "2.5 x 3.5 cm"),
        ("2,5x3,5x1,500 mm, 2,5 by 3 cm, 1,5-2,5cm", "2.5x3.5x1,500 mm, 2.5 by 3 cm, 1.5-2.5 cm"),
        ("levels 2,5 and 3,5 cm", "levels 2,5 and 3.5 cm"),
        ("T12 mm, 5mm3, 5 meters", "T12 mm, 5mm3, 5 meters"),
    ],
    "terminology": [
        ("No pulmonary oedema.", "No pulmonary edema."),
    ],
    # "1. " goes wherever it stands, " 2. " becomes ". "; the range from ":" to "[" takes "<" and "="; a hyphen stays;
    # a decimal point goes, and a sentence's blank before a mark that goes stays.
    "r2gen-mimic": [
        ("1. No effusion. 2. Follow-up on ___.", "no effusion . follow-up on  ."),
        ("Heart size\nis 'normal';  PICC <5 cm..", "heart size is normal picc 5 cm ."),
        ("A 1.5 cm nodule at T11. Stable.", "a 15 cm nodule at t1stable ."),
        ("Clear.", "clear ."),
        ("", " ."),
    ],
    "r2gen-iu": [
        ("The XXXX is clear.  No effusion.", "the xxxx is clear . no effusion ."),
        ("Clear lungs\nand heart. 2. Stable", "clear lungs\nand heart . stable ."),
        ("___ was seen... OK. ", " was seen . ok ."),
    ],
    "libra": [
        ("S/p PICC (___, __, __),\n\nwell-placed; 1.5 cm.", "sp picc ( , , ), well placed; 1.5 cm."),
        ("It's  <5% - OK?", "its 5 ok"),
    ],
}


@pytest.mark.parametrize(("step", "before", "after"), [(step, *pair) for step in GOLDEN for pair in GOLDEN[step]])
def test_golden_pairs(step: str, before: str, after: str) -> None:
    assert clean(before, [step]) == after


def test_every_step_has_a_golden_pair_and_a_version() -> None:
    assert set(GOLDEN) == set(STEPS) == set(cleaning.VERSIONS)


@pytest.mark.parametrize("step", IDEMPOTENT)
@given(text=TEXTS)
def test_a_second_time_changes_nothing(step: str, text: str) -> None:
    once = clean(text, [step])
    assert clean(once, [step]) == once


@given(text=TEXTS)
def test_the_standard_steps_together_change_nothing_a_second_time(text: str) -> None:
    once = clean(text, STANDARD)
    assert clean(once, STANDARD) == once


@given(text=TEXTS)
def test_no_mark_of_de_identification_is_left_and_no_words_meet(text: str) -> None:
    cleaned = clean(text, ["de-identification"])
    assert not re.search(r"__|x{4}|\[\*\*[^\[\]]*\*\*\]", cleaned, re.IGNORECASE)
    words = re.findall(r"[^\W_]+", re.sub(r"(?i)x{4,}", " ", text))
    kept = re.findall(r"[^\W_]+", cleaned)
    rest = iter(words)
    assert all(word in rest for word in kept)  # the words that are left are whole ones of the text, in its order


@given(text=TEXTS)
def test_numbering_takes_nothing_but_short_numbers_with_their_mark(text: str) -> None:
    cleaned = clean(text, ["numbering"])
    rest = iter(text)
    assert all(letter in rest for letter in cleaned)
    assert re.sub(r"[0-9.()\s]", "", text) == re.sub(r"[0-9.()\s]", "", cleaned)


@given(text=TEXTS)
def test_units_keep_every_digit(text: str) -> None:
    assert re.findall("[0-9]", clean(text, ["units"])) == re.findall("[0-9]", text)


@pytest.mark.parametrize("step", R2GEN)
@given(text=TEXTS)
def test_a_text_of_r2gen_keeps_its_words_when_it_is_cleaned_again(step: str, text: str) -> None:
    once = clean(text, [step])
    assert once.endswith(" .")
    assert not set(once) & set(",?;*!%^&_+():<=>@[]{}\"/\\'")
    if not re.search(r"[0-9.]", text):  # a number may look like a list's once the marks around it are gone
        assert clean(once, [step]).split() == once.split()


@pytest.mark.parametrize("step", STEPS)
def test_a_long_text_takes_no_long_time(step: str) -> None:
    start = time.process_time()
    pieces = ("[**", "___", "XXXX a", " ", "\n", "1. ", "1.1", "12", "(", "enlarged ", "an ", "a.", "1 \t")
    for piece in (*pieces, "1 x ", "2)H"):
        clean(piece * 20_000 + "!", [step])
    assert time.process_time() - start < 10  # 0.5 s; a step whose time grows with the square takes minutes


def test_the_steps_do_what_the_documentation_shows() -> None:
    page = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text()
    text = page.split("```text\n")[1].split("```")[0].rstrip("\n")
    shown = re.findall(r"^\| `([a-z0-9-]+)` \| `(.*)` \|$", page.split("### One text, step by step")[1], re.MULTILINE)
    assert [name for name, _ in shown] == [*STANDARD, *R2GEN, "libra"]
    for name, after in shown:
        changed = clean(text if name in STANDARD else " ".join(text.split()), [name])
        assert changed.replace("\n", "⏎") == after
        text = changed if name in STANDARD[:-1] else page.split("```text\n")[1].split("```")[0].rstrip("\n")


def test_an_unknown_step_is_named() -> None:
    with pytest.raises(UsageError, match="no text step 'lowercase'.*whitespace"):
        clean("A", ["lowercase"])
    with pytest.raises(UsageError, match="Did you mean 'numbering'"):
        digest_of(["numberings"])


def test_the_digest_says_which_steps_in_which_order_and_version(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = {digest_of(steps) for steps in ((), ("lower",), ("lower", "units"), ("units", "lower"))}
    assert len(digests) == 4
    before = {steps: digest_of(steps) for steps in (("lower",), ("terminology",))}
    monkeypatch.setattr(cleaning.terminology, "DIGEST", "another map")
    assert digest_of(["lower"]) == before["lower",]
    assert digest_of(["terminology"]) != before["terminology",]
    monkeypatch.setattr(cleaning, "VERSIONS", {**cleaning.VERSIONS, "lower": "2"})
    assert digest_of(["lower"]) != before["lower",]
