from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer
from rrgbench_coco import text
from rrgbench_coco.bleu import Bleu
from rrgbench_coco.cider import Cider
from rrgbench_coco.rouge_l import RougeL

from rrgbench.errors import RunError
from rrgbench.types import Case

CasesOf = Callable[[list[tuple[str, str]]], list[Case]]

# Any Unicode (surrogates too), and what has broken wrappers of this tokenizer.
NASTY = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from(list("\n\r\t\v\f\x00\x1c\x85\xa0\xad\u200b\u2028\u2029\ufeff\ud800|<>&;.'`\"-/ aZ1")),
    ),
    max_size=30,
)


@pytest.mark.usefixtures("java")
def test_ptb_words_are_those_of_pycocoevalcap(pairs: list[tuple[str, str]]) -> None:
    texts = [text for pair in pairs for text in pair]
    upstream = PTBTokenizer().tokenize({n: [{"caption": text}] for n, text in enumerate(texts)})
    assert text.tokenized(texts, "ptb") == [upstream[n][0] for n in range(len(texts))]


@pytest.mark.usefixtures("java")
def test_ptb_lower_cases_and_removes_punctuation() -> None:
    assert text.tokenized(["No effusion; PICC isn't seen...", "."], "ptb") == ["no effusion picc is n't seen", ""]
    assert text.tokenized(["Effusion (small)?!"], "ptb") == ["effusion -lrb- small -rrb- ?!"]  # as upstream, alas


@pytest.mark.usefixtures("java")
@pytest.mark.parametrize(
    "space", ["\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029", "\x00", "\ud800"]
)
def test_whatever_breaks_a_line_is_a_space(space: str) -> None:
    broken = [f"clear{space}lungs", "heart", f"{space}", f"normal{space}"]
    assert text.tokenized(broken, "none") == ["clear lungs", "heart", "", "normal"]
    assert text.tokenized(broken, "ptb") == ["clear lungs", "heart", "", "normal"]


@pytest.mark.usefixtures("java")
@settings(max_examples=6, deadline=None)
@given(st.lists(NASTY, min_size=20, max_size=60))
def test_ptb_gives_each_text_its_own_words_wherever_it_stands(texts: list[str]) -> None:
    forward = text.tokenized([*texts, "end"], "ptb")
    backward = text.tokenized(["start", *texts[::-1]], "ptb")
    assert forward[:-1] == backward[:0:-1]
    assert (forward[-1], backward[0]) == ("end", "start")


def test_none_keeps_case_and_punctuation() -> None:
    assert text.tokenized(["  The heart , \u2003is\nNormal . "], "none") == ["The heart , is Normal ."]


# A program like PTBTokenizer, and what could go wrong with one text.
PTB_LIKE = """
lines = sys.stdin.read().split("\\n")
for n, line in enumerate(lines):
    if "STALL" in line: time.sleep(60)
    if "DIE" in line: sys.exit("java.lang.StackOverflowError")
    if "SPLIT" in line: print()
    if "JOIN" in line: continue
    if "SWAP" in line: line, lines[n + 1] = lines[n + 1], line.replace("SWAP", "")
    print(line.lower().replace('"', " "), end="\\n" if n + 1 < len(lines) else "")
"""


@pytest.mark.parametrize("fault", ["STALL", "DIE", "SPLIT", "JOIN", "SWAP"])
def test_what_goes_wrong_costs_the_one_text(
    fault: str, fake_java: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pids = fake_java(PTB_LIKE)
    monkeypatch.setattr(text, "seconds", lambda texts: 1.0)
    texts = [f"{fault} {word}" if word in "cg" else word for word in "abcdefgh"]
    assert text.tokenized(texts, "ptb") == ["a", "b", None, "d", "e", "f", None, "h"]
    for pid in pids.read_text().split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


@pytest.mark.parametrize("metric", [Bleu, RougeL, Cider])
def test_the_study_without_words_is_named_and_the_others_keep_their_scores(
    metric: type, fake_java: Callable[[str], Path], cases_of: CasesOf
) -> None:
    fake_java(PTB_LIKE)
    pairs = [("the heart is normal", "heart is normal"), ("DIE", "clear"), ("no edema here", "DIE"), ("clear", "clear")]
    with pytest.warns(UserWarning, match="PTB tokenizer failed on the texts of: s1, s2"):
        rows = metric().rows(cases_of(pairs))
    assert list(rows.dropna().index) == ["s0", "s3"]
    plain = metric(tokenizer="none")
    assert metric().reduce(rows) == plain.reduce(plain.rows(cases_of([pairs[0], pairs[3]])))
    weights = np.array([[1.0, 1, 1, 1], [0, 1, 1, 0]])
    for name, values in metric().reduce(rows, weights).items():
        assert values[0] == metric().reduce(rows)[name]
        assert np.isnan(values[1])


def test_it_gives_up_when_many_texts_fail(fake_java: Callable[[str], Path]) -> None:
    fake_java(PTB_LIKE)
    with pytest.raises(RunError, match=r"more than 10 texts; use tokenizer=none"):
        text.tokenized([f"DIE {n}" for n in range(12)], "ptb")


def test_ptb_that_never_works_says_why(fake_java: Callable[[str], Path]) -> None:
    fake_java("sys.exit('Error: could not reserve heap')")
    with pytest.raises(RunError, match="does not work: Error: could not reserve heap"):
        text.tokenized(["never tokenized"], "ptb")


@pytest.mark.usefixtures("java")
def test_a_text_keeps_its_words_whoever_stands_beside_it() -> None:
    """Upstream, 'No.' before a number is an abbreviation, and a quoted attribute reaches into the next report."""
    open_ended = ["See No.", "3 nodules", '<a b="', 'c">', "call (555)", "555-1234", ":)", "<!-- x", "-->"]
    alone = [text.tokenized([one], "ptb")[0] for one in open_ended]
    assert text.tokenized(open_ended, "ptb") == alone
    assert text.tokenized(open_ended[::-1], "ptb") == alone[::-1]
    assert alone[:2] == ["see no", "3 nodules"]


@pytest.mark.usefixtures("java")
def test_100_000_characters_of_the_slowest_kind_are_tokenized() -> None:
    long = ["the heart is normal. " * 5000, "~" * 40_000]
    words = text.tokenized(["before", *long, "after"], "ptb")
    assert [words[0], words[3]] == ["before", "after"]
    assert words[1] == " ".join(["the heart is normal"] * 5000)
    assert words[2] is not None and words[2].count("~") == 40_000
