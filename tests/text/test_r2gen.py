"""R2Gen's vocabulary, <unk> and truncation, by its rules: [0] + ids + [0], cut, without the first, up to the next 0."""

from __future__ import annotations

import csv
import tarfile
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrgbench.text.cleaning import STEPS
from rrgbench.text.r2gen import UNKNOWN, encode_decode, vocabulary

WORDS = st.lists(st.sampled_from(["the", "heart", "is", "large", "."]), max_size=12).map(" ".join)


def test_a_word_belongs_to_the_vocabulary_from_its_third_time_on() -> None:
    texts = ["no effusion . no edema .", "no edema ."]
    assert vocabulary(texts, 3) == {"no", ".", UNKNOWN}
    assert vocabulary(texts, 2) == {"no", "edema", ".", UNKNOWN}
    assert vocabulary([], 3) == {UNKNOWN}


def test_a_report_that_stands_twice_counts_twice() -> None:
    assert "effusion" in vocabulary(["no effusion ."] * 10, 10)
    assert "effusion" not in vocabulary(["no effusion ."] * 9, 10)


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        # ids of "no <unk> . clear ." are 0 a b c d c 0
        (7, "no <unk> . clear ."),  # all of it
        (6, "no <unk> . clear ."),  # the last 0 is cut off, and no word
        (5, "no <unk> . clear"),
        (2, "no"),
        (1, ""),
        (0, ""),
    ],
)
def test_the_length_counts_the_first_0_and_the_last(length: int, expected: str) -> None:
    assert encode_decode("no effusion . clear .", {"no", ".", "clear", UNKNOWN}, length) == expected


def test_mimic_keeps_99_words_and_iu_59() -> None:
    text = " ".join(["a"] * 200)
    assert len(encode_decode(text, None, 100).split()) == 99
    assert len(encode_decode(text, None, 60).split()) == 59


def test_a_report_cleaned_and_encoded() -> None:
    cleaned = STEPS["r2gen-mimic"]("1. No effusion. 2. Bronchiectasis, as on ___.")
    assert cleaned == "no effusion . bronchiectasis as on  ."
    words = vocabulary([cleaned] * 9 + ["no effusion . as on ."], 10)
    assert encode_decode(cleaned, words, 100) == "no effusion . <unk> as on ."
    assert encode_decode(cleaned, words, 5) == "no effusion . <unk>"


@given(text=WORDS, length=st.integers(0, 15))
def test_encoding_twice_is_encoding_once(text: str, length: int) -> None:
    words = {"the", "heart", ".", UNKNOWN}
    once = encode_decode(text, words, length)
    assert encode_decode(once, words, length) == once
    assert len(once.split()) == min(len(text.split()), max(0, length - 1))


def test_the_vocabulary_of_iu_xray_is_that_of_the_published_checkpoint(shared: Path) -> None:
    """Its embedding has 761 rows (zhjohnchan/R2Gen#5): one more than the vocabulary. With val it would be 806."""
    with (shared / "iu-xray" / "r2gen_split.csv").open() as file:
        splits = {row["report_id"]: row["split"] for row in csv.DictReader(file)}
    texts: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    with tarfile.open(shared / "iu-xray" / "NLMCXR_reports.tgz") as tar:
        for member in tar:
            split = splits.get("CXR" + Path(member.name).stem)
            if split:
                root = ET.parse(tar.extractfile(member) or pytest.fail(member.name)).getroot()
                (text,) = (n.text or "" for n in root.iter("AbstractText") if n.get("Label") == "FINDINGS")
                texts[split].append(STEPS["r2gen-iu"](text))
    assert {split: len(reports) for split, reports in texts.items()} == {"train": 2069, "val": 296, "test": 590}
    words = vocabulary(texts["train"], 3)
    assert len(words) == 760
    assert sum(encode_decode(text, None, 60) != " ".join(text.split()) for text in texts["test"]) == 29
    assert sum(UNKNOWN in encode_decode(text, words, 60).split() for text in texts["test"]) > 100
