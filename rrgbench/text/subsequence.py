"""The longest common subsequence of two texts, which ROUGE-L counts."""

from __future__ import annotations

from collections.abc import Sequence


def lcs_length(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence of two sequences of words, bit-parallel (Hyyrö, AWOCA 2004).

    A row of the usual table is one integer whose zero bits are the places where the length grows: no memory that grows
    with the product of the lengths.
    """
    places: dict[str, int] = {}
    for at, word in enumerate(a):
        places[word] = places.get(word, 0) | 1 << at
    full = (1 << len(a)) - 1
    row = full
    for word in b:
        hits = row & places.get(word, 0)
        row = ((row + hits) | (row - hits)) & full
    return len(a) - row.bit_count()
