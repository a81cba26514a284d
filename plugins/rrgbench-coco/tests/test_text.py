from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer
from rrgbench_coco import text

from rrgbench.errors import RunError

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


def test_ptb_that_hangs_is_killed(fake_java: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    pids = fake_java("time.sleep(60)")
    monkeypatch.setattr(text, "seconds", lambda texts: 0.5)
    with pytest.raises(RunError, match="did not finish 2 texts in"):
        text.tokenized(["one", "three"], "ptb")
    with pytest.raises(ProcessLookupError):
        os.kill(int(pids.read_text()), 0)


def test_ptb_that_loses_a_line_is_not_believed(fake_java: Callable[[str], Path]) -> None:
    fake_java("print(sys.stdin.readline().strip(), end='')")
    with pytest.raises(RunError, match="1 lines for 2 texts"):
        text.tokenized(["first of two", "second of two"], "ptb")


def test_ptb_that_fails_says_why(fake_java: Callable[[str], Path]) -> None:
    fake_java("sys.exit('Error: could not reserve heap')")
    with pytest.raises(RunError, match="could not reserve heap"):
        text.tokenized(["never tokenized"], "ptb")
