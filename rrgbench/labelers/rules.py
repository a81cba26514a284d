"""``rulelabel``: CheXpert's 14 labels from report text by rules, with no weights.

In the manner of NegBio (Peng et al., AMIA 2018) and of the CheXpert labeler (Irvin et al., AAAI 2019), rewritten: find
the phrases that mention a label (``chexpert_phrases``), decide of each mention whether the words around it affirm,
negate or hedge it (``cues``), and put the mentions of a report together. Cues reach along a clause (``clauses``) and
not along a parse tree.

Where it departs from the labeler's code (stanfordmlgroup/chexpert-labeler, stages and patterns):

- Of a label's mentions, present wins, then uncertain, then absent, as its paper has it. (stages/aggregate.py makes
  present + absent + uncertain uncertain.)
- No Finding needs a statement about the chest: a text that says nothing (empty, a refusal) gets no label at all, where
  upstream calls it No Finding. Otherwise as upstream: none but Support Devices is present or uncertain, and nothing of
  ``chexpert_phrases.OTHER``.
- "The heart" alone is no cardiomegaly: something must be said of it. "No new X" is absent, not uncertain. "Rule out X"
  and "X was not assessed" say nothing. "The lungs are clear" denies Lung Opacity and Consolidation.

How good it is: docs/rulelabel.md.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import pandas as pd

from rrgbench.labelers.clauses import VERB, clauses, placed_sentences, sentences
from rrgbench.labelers.cues import LIST_GAP, Cue, cues_of, reaches, said_of, status_of
from rrgbench.labelers.lexicon import Found, clear_in, phrases_in, says_normal
from rrgbench.labelers.places import Place, places
from rrgbench.labels import CHEXPERT, NO_FINDING, SUPPORT_DEVICES
from rrgbench.types import Status

_NORMALITY = "Normal"  # what a statement of normality in general is about, beside the labels and "Other"

_MIDLINE = ("Cardiomegaly", "Enlarged Cardiomediastinum")  # have no side

_RANK = (Status.PRESENT, Status.UNCERTAIN, Status.ABSENT)  # what wins where a report's mentions disagree


class Statement(NamedTuple):
    """What one mention says of a label, and where in its clause it stands."""

    label: str
    status: Status
    start: int
    end: int


@dataclass(frozen=True)
class Mention:
    """What a text says of a label at one place; ``span`` is where. Side and region: None where not stated."""

    label: str
    status: Status
    side: str | None
    region: str | None
    span: tuple[int, int]


class RuleLabeler:
    """CheXpert's 14 labels by rules. A few thousand reports a second; the same text always gets the same labels.

    >>> row = RuleLabeler().label(["Mild cardiomegaly. No effusion. Possible pneumonia."]).iloc[0]
    >>> row["Cardiomegaly"].value, row["Pleural Effusion"].value, row["Pneumonia"].value, row["Fracture"].value
    ('present', 'absent', 'uncertain', 'not mentioned')
    """

    version = "3"
    name = "rulelabel"
    vocabulary = CHEXPERT

    def label(self, texts: Sequence[str]) -> pd.DataFrame:
        """A row a text, in order, indexed 0..n-1; a column a label; cells are ``Status``.

        What stands under INDICATION, HISTORY, TECHNIQUE, COMPARISON or RECOMMENDATION doesn't count.
        """
        rows = [label_report(text) for text in texts]
        return pd.DataFrame(rows, columns=list(CHEXPERT.labels), dtype=object)

    def mentions(self, text: str) -> list[Mention]:
        """What the report says of each label at each place: see ``mentions``."""
        return mentions(text)


def label_report(text: str) -> dict[str, Status]:
    """The status of each of the 14 labels in one report."""
    found: dict[str, set[Status]] = defaultdict(set)
    for sentence in sentences(text):
        for label, status in said_in(sentence):
            found[label].add(status)
    out = {label: next((s for s in _RANK if s in found[label]), Status.NOT_MENTIONED) for label in CHEXPERT.labels}
    abnormal = {label for label, statuses in found.items() if statuses & {Status.PRESENT, Status.UNCERTAIN}}
    if any(found.values()) and not abnormal - {SUPPORT_DEVICES}:
        out[NO_FINDING] = Status.PRESENT
    return out


def mentions(text: str) -> list[Mention]:
    """All mentions of the 14 labels but No Finding, in order; their statuses are what ``label`` puts together.

    A phrase that mentions two labels ("nodular opacity") gives two.

    >>> text = "Small left effusion. No pneumothorax."
    >>> [(m.label, m.status.value, m.side, text[slice(*m.span)]) for m in mentions(text)]
    [('Pleural Effusion', 'present', 'left', 'effusion'), ('Pneumothorax', 'absent', None, 'pneumothorax')]
    """
    out = []
    for sentence, at in placed_sentences(text):
        for first, last in clauses(sentence):
            clause = sentence[first:last]
            said = list(_statements(clause))
            where = places(clause, [(statement.start, statement.end) for statement in said])
            for label, status, start, end in said:
                if label in CHEXPERT:
                    side, region = Place() if label in _MIDLINE else where[start, end]
                    out.append(Mention(label, status, side, region, (at[first + start], at[first + end - 1] + 1)))
    return sorted(out, key=lambda mention: mention.span)


@lru_cache(maxsize=65536)
def said_in(sentence: str) -> tuple[tuple[str, Status], ...]:
    """What a sentence says: labels (or one of the two beside them) and their statuses."""
    out: list[tuple[str, Status]] = []
    for start, end in clauses(sentence):
        clause = sentence[start:end]
        out += [(statement.label, statement.status) for statement in _statements(clause)]
        if says_normal(clause):
            out.append((_NORMALITY, Status.ABSENT))
    return tuple(out)


def _statements(clause: str) -> Iterator[Statement]:
    for label, start, end in clear_in(clause):
        yield Statement(label, Status.ABSENT, start, end)
    found = phrases_in(clause)
    if not found:
        return
    cues = cues_of(clause, found)
    reach = reaches(clause, found)
    statuses = [status_of(said_of(clause, f.start, f.end, cues, end)) for f, end in zip(found, reach, strict=True)]
    _weaken_alternatives(clause, found, statuses)
    for mention, status, end in zip(found, statuses, reach, strict=True):
        phrase = mention.phrase
        if phrase.structures:
            status = _structure_status(clause, mention, cues, end)
        if status is not None:
            for label in phrase.signs + phrase.structures:
                yield Statement(label, status, mention.start, mention.end)
            for label in phrase.hints:
                weaker = Status.UNCERTAIN if status is Status.PRESENT else status
                yield Statement(label, weaker, mention.start, mention.end)


_OR = re.compile(r"\bor\b")


def _weaken_alternatives(clause: str, found: Sequence[Found], statuses: list[Status | None]) -> None:
    """ "A or B", where neither is denied, affirms neither."""
    for i in range(len(found) - 1):
        this, following = found[i], found[i + 1]
        gap = clause[this.end : following.start]
        alternatives = (
            _OR.search(gap) and LIST_GAP.fullmatch(gap) and set(this.phrase.signs) != set(following.phrase.signs)
        )
        if alternatives and {statuses[i], statuses[i + 1]} <= {Status.PRESENT, Status.UNCERTAIN}:
            statuses[i] = statuses[i + 1] = Status.UNCERTAIN


# ----------------------------------------------------------------------------------------- anatomy that always is there

_PREDICATE = re.compile(
    r"(?<![\w-])(?:(?P<normal>(?:(?:top|near|high)[- ])?normal|unremarkable|within (?:the )?(?:normal )?limits|"
    r"non-?enlarged|wnl)|"
    r"(?P<borderline>borderline)|"
    r"(?P<enlarged>enlarg\w+|prominen(?:t|ce)|widen\w*|wide|dilat\w+|increased?|big|large|larger|abnormal\w*|thicken\w+|"
    r"coarse\w*)|"
    r"(?P<stable>stable|unchanged|similar|no (?:\w+ ){0,2}change|not (?:\w+ly )?changed))(?!\w)"
)
_BETWEEN = re.compile(r",? (?:or|to) (?:\w+ly |top |mildly )?")  # "normal to mildly enlarged"
_BESIDE = re.compile(
    r"[\s,]*(?:(?:of|in|the|size|sized|appearance|contour|contours|and|cardiac|heart|overall)\b[\s,]*)*"
)


def _structure_status(clause: str, mention: Found, cues: Sequence[Cue], reach: int) -> Status | None:
    """What is said of anatomy that is always there; None where nothing is, as of a heart that is only named."""
    predicates = [m for m in _PREDICATE.finditer(clause) if _belongs(clause, mention, m)]
    beside = [m for m in predicates if m.end() <= mention.start and _BESIDE.fullmatch(clause, m.end(), mention.start)]
    after = [m for m in predicates if m.start() >= mention.end]
    near = beside[-1:] if any(m.lastgroup != "stable" for m in beside) else beside + after
    ranked = sorted(near or predicates, key=lambda m: m.lastgroup == "stable")
    said = said_of(clause, mention.start, mention.end, cues, reach)
    if not ranked:
        return Status.UNCERTAIN if said & {"uncertain", "unexcluded"} else None
    predicate = ranked[0]
    if any(_BETWEEN.fullmatch(clause, this.end(), following.start()) for this, following in pairwise(predicates)):
        return Status.UNCERTAIN
    hedged = said | said_of(clause, predicate.start(), predicate.end(), cues, reach)
    if predicate.lastgroup == "normal":
        return Status.PRESENT if re.search(r"\bnot (?:\w+ )?$", clause[: predicate.start()]) else Status.ABSENT
    if predicate.lastgroup in ("borderline", "stable"):
        return Status.UNCERTAIN
    return status_of(hedged)


def _belongs(clause: str, mention: Found, predicate: re.Match[str]) -> bool:
    """Whether a predicate can be about a mention: no verb between where it comes before, no "with" where after."""
    if predicate.end() <= mention.start:
        return not VERB.search(clause, predicate.end(), mention.start)
    return predicate.start() >= mention.end and not re.search(
        r"\bwith(?:out)?\b", clause[mention.end : predicate.start()]
    )
