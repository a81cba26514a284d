"""Seeded edits of reports, each checked: that the rule labeler reads what was meant, and nothing else.

An edit that fails its check is not made. The same text, kind and seed always give the same edit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from random import Random
from typing import Any

from rrgbench.audit import harmful, harmless
from rrgbench.audit.changes import Change, Proposal, applied
from rrgbench.audit.reading import POSITIVE, Reading, read
from rrgbench.labels import CHEXPERT, NO_FINDING
from rrgbench.types import Status

_FINDINGS = tuple(label for label in CHEXPERT.labels if label != NO_FINDING)  # No Finding only follows from them


class Missed(StrEnum):
    """Why a report could not be edited."""

    IMPOSSIBLE = "the report has no place for it"
    UNCHECKED = "the labeler did not read what was meant"


@dataclass(frozen=True)
class Edit:
    """An edited report, and what was done: ``changes`` with their places in the unedited text.

    ``label`` is the finding meant, where one is; ``other`` the finding or the severity in its place. ``labels`` are
    those that the labeler reads otherwise now, with the status before and after.
    """

    kind: str
    text: str
    changes: tuple[Change, ...]
    label: str | None
    other: str | None
    labels: Mapping[str, tuple[Status, Status]]

    def record(self) -> dict[str, Any]:
        """The edit as a line of a log."""
        return asdict(self)


@dataclass(frozen=True)
class Kind:
    """A kind of edit: its name, what it does in words, where it finds its places, and what must be read after it."""

    name: str
    harmful: bool
    summary: str
    propose: Callable[[Reading, Random, Sequence[str]], Iterator[Proposal]]
    holds: Callable[[Reading, Reading, Proposal], bool]


def corrupt(text: str, kind: str, seed: object, others: Sequence[str] = ()) -> Edit | Missed:
    """One edit of a kind of ``KINDS``. ``others`` are the reports that it may be exchanged for.

    >>> corrupt("Small left effusion.", "side", 0).text
    'Small right effusion.'
    """
    how, before = KINDS[kind], read(text)
    missed = Missed.IMPOSSIBLE
    for proposal in how.propose(before, Random(f"{seed}|{kind}"), others):
        missed = Missed.UNCHECKED
        after = read(applied(text, proposal.changes))
        if after.text.strip() and after.text != text and how.holds(before, after, proposal):
            changed = _changed(before, after)
            if before.labels[NO_FINDING] is not after.labels[NO_FINDING]:
                changed[NO_FINDING] = (before.labels[NO_FINDING], after.labels[NO_FINDING])
            return Edit(kind, after.text, proposal.changes, proposal.label, proposal.other, changed)
    return missed


# --- checks -----------------------------------------------------------------------------------------------------------


def _changed(before: Reading, after: Reading) -> dict[str, tuple[Status, Status]]:
    return {x: (before.labels[x], after.labels[x]) for x in _FINDINGS if before.labels[x] is not after.labels[x]}


def _omitted(before: Reading, after: Reading, meant: Proposal) -> bool:
    """The finding is gone. What was stated with it may be gone as well; nothing else has changed."""
    changed = _changed(before, after)
    gone = all(was in POSITIVE and now not in POSITIVE for was, now in changed.values())
    return meant.label in changed and gone and not after.statements - before.statements


def _inserted(before: Reading, after: Reading, meant: Proposal) -> bool:
    """The finding is there, and nothing else has changed."""
    assert meant.label
    added = after.statements - before.statements
    return (
        _changed(before, after) == {meant.label: (Status.NOT_MENTIONED, Status.PRESENT)}
        and not before.statements - after.statements
        and {statement.label for statement in added} == {meant.label}
    )


def _substituted(before: Reading, after: Reading, meant: Proposal) -> bool:
    """One finding is gone, the other is there, and nothing else has changed."""
    changed = _changed(before, after)
    return (
        changed.keys() == {meant.label, meant.other}
        and changed[str(meant.label)][1] not in POSITIVE
        and changed[str(meant.other)][1] is Status.PRESENT
        and before.statements.total() == after.statements.total()
    )


def _negated(before: Reading, after: Reading, _: Proposal) -> bool:
    """What was absent is present, or what was present is absent, and nothing is lost or new."""
    ways = set(_changed(before, after).values())
    flipped = ways in ({(Status.ABSENT, Status.PRESENT)}, {(Status.PRESENT, Status.ABSENT)})
    return flipped and _told(before, status=False) == _told(after, status=False)


def _moved(before: Reading, after: Reading, _: Proposal) -> bool:
    """Positive findings lie on the other side now, and nothing else has changed."""
    other = {"left": "right", "right": "left"}
    lost, new = before.statements - after.statements, after.statements - before.statements
    swapped = Counter({s._replace(side=other.get(s.side or "", s.side)): n for s, n in lost.items()})
    positive = any(statement.status in POSITIVE for statement in lost)
    return positive and not _changed(before, after) and swapped == new


def _regraded(before: Reading, after: Reading, meant: Proposal) -> bool:
    """The finding has the other severity, and nothing else has changed."""
    new = after.statements - before.statements
    return (
        not _changed(before, after)
        and _told(before, severity=False) == _told(after, severity=False)
        and any(s.label == meant.label and s.severity == meant.other for s in new)
        and all(s.status in POSITIVE and s.severity == meant.other for s in new)
    )


def _exchanged(before: Reading, after: Reading, _: Proposal) -> bool:
    """Other findings are present (or none, where one was)."""
    present = [{x for x in _FINDINGS if reading.labels[x] is Status.PRESENT} for reading in (before, after)]
    return present[0] != present[1]


def _same(before: Reading, after: Reading, _: Proposal) -> bool:
    """The same labels, and the same statements in whatever order."""
    return before.labels == after.labels and before.statements == after.statements


def _told(reading: Reading, *, status: bool = True, severity: bool = True) -> Counter[tuple[str | None, ...]]:
    """The statements, without their status or their severity where so asked."""
    return Counter(
        (s.label, s.side, s.region, s.status if status else None, s.severity if severity else None)
        for s in reading.statements.elements()
    )


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("omission", True, "a present finding left out", harmful.omissions, _omitted),
        Kind("insertion", True, "a finding added that the report doesn't mention", harmful.insertions, _inserted),
        Kind("substitution", True, "a finding named as another one", harmful.substitutions, _substituted),
        Kind("negation", True, "what is denied affirmed, or the other way round", harmful.negations, _negated),
        Kind("side", True, "left and right swapped", harmful.sides, _moved),
        Kind("severity", True, "another severity or size", harmful.severities, _regraded),
        Kind("exchange", True, "another patient's report, with other findings", harmful.exchanges, _exchanged),
        Kind("order", False, "the sentences in another order", harmless.orders, _same),
        Kind("rephrase", False, "one sentence in other words", harmless.rephrasings, _same),
        Kind("case", False, "all in capitals or in lower case", harmless.cases, _same),
        Kind("numbering", False, "list numbers added or taken away", harmless.numberings, _same),
    )
}
HARMFUL = tuple(kind.name for kind in KINDS.values() if kind.harmful)
HARMLESS = tuple(kind.name for kind in KINDS.values() if not kind.harmful)
EXCHANGE = "exchange"
