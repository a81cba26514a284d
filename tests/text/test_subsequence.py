from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rrgbench.text.subsequence import lcs_length

WORDS = st.lists(st.sampled_from("abcd"), max_size=40)


@given(WORDS, WORDS)
def test_it_is_the_length_that_the_usual_table_gives(a: list[str], b: list[str]) -> None:
    row = [0] * (len(b) + 1)
    for word in a:
        above = row
        row = [0]
        for at, other in enumerate(b):
            row.append(above[at] + 1 if word == other else max(above[at + 1], row[-1]))
    assert lcs_length(a, b) == row[-1]
