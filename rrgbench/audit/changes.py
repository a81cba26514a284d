"""What an edit is made of: changes of a text, each with what was there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rrgbench.text import wording


@dataclass(frozen=True)
class Change:
    """One replacement: ``text[start:end]`` of the unedited text was ``was`` and became ``now``."""

    start: int
    end: int
    was: str
    now: str


@dataclass(frozen=True)
class Proposal:
    """Changes that together are one edit, and the finding that is meant, if one is.

    ``other`` is the finding that takes its place, or the severity that it gets.
    """

    changes: tuple[Change, ...]
    label: str | None = None
    other: str | None = None


def change(text: str, start: int, end: int, now: str) -> Change:
    """The change of a part of a text."""
    return Change(start, end, text[start:end], now)


def applied(text: str, changes: Iterable[Change]) -> str:
    """The text after the changes, which must not overlap."""
    for each in sorted(changes, key=lambda c: (c.start, c.end), reverse=True):
        text = text[: each.start] + each.now + text[each.end :]
    return text


def like(words: str, model: str) -> str:
    """Words in the case of others: ALL CAPITALS, a Capital at the beginning, or as they are."""
    if len(model) > 1 and model.isupper():
        return words.upper()
    return wording.capitalised(words) if model[:1].isupper() else words
