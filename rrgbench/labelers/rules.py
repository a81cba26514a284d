"""``rulelabel``: CheXpert's 14 labels from report text by rules, with no weights.

In the manner of NegBio (Peng et al., AMIA 2018) and of the CheXpert labeler (Irvin et al., AAAI 2019), rewritten: find
the phrases that mention a label (``chexpert_phrases``), decide of each mention whether the words around it affirm,
negate or hedge it, and put the mentions of a report together. Cues reach along a clause, as in NegEx (Chapman et al.,
2001), and not along a parse tree.

Where it departs from the labeler's code (stanfordmlgroup/chexpert-labeler, stages and patterns):

- Of a label's mentions, present wins, then uncertain, then absent, as its paper has it. (stages/aggregate.py makes
  present + absent + uncertain uncertain.)
- No Finding needs a statement about the chest: a text that says nothing (empty, a refusal) gets no label at all, where
  upstream calls it No Finding.
- "The heart" alone is no cardiomegaly: something must be said of it. "No new X" is absent, not uncertain. "Rule out X"
  and "X was not assessed" say nothing. "The lungs are clear" denies Lung Opacity and Consolidation.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import pandas as pd

from rrgbench.labelers.chexpert_phrases import CLEAR, HINTS, NOT_MENTIONS, OTHER, SIGNS, STRUCTURES
from rrgbench.labels import CHEXPERT, NO_FINDING, SUPPORT_DEVICES
from rrgbench.text.sections import split_sections
from rrgbench.types import Status

Statement = tuple[str, Status]  # what one mention says: a label (or one of the next two) and its status
_OTHER = "Other"  # an abnormality that no label is for
_NORMAL = "Normal"  # normality in general

_RANK = (Status.PRESENT, Status.UNCERTAIN, Status.ABSENT)  # what wins where a report's mentions disagree
_MAX_SENTENCE = 1000  # characters; longer ones are cut, so that the work stays linear in the text's length


class RuleLabeler:
    """CheXpert's 14 labels by rules. A few thousand reports a second; the same text always gets the same labels.

    >>> row = RuleLabeler().label(["Mild cardiomegaly. No effusion. Possible pneumonia."]).iloc[0]
    >>> row["Cardiomegaly"].value, row["Pleural Effusion"].value, row["Pneumonia"].value, row["Fracture"].value
    ('present', 'absent', 'uncertain', 'not mentioned')
    """

    version = "1"
    name = "rulelabel"
    vocabulary = CHEXPERT

    def label(self, texts: Sequence[str]) -> pd.DataFrame:
        """A row a text, in order, indexed 0..n-1; a column a label; cells are ``Status``.

        What stands under INDICATION, HISTORY, TECHNIQUE, COMPARISON or RECOMMENDATION doesn't count.
        """
        rows = [label_report(text) for text in texts]
        return pd.DataFrame(rows, columns=list(CHEXPERT.labels), dtype=object)


def label_report(text: str) -> dict[str, Status]:
    """The status of each of the 14 labels in one report."""
    found: dict[str, set[Status]] = defaultdict(set)
    for sentence in _sentences(text):
        for label, status in _statements(sentence):
            found[label].add(status)
    out = {label: next((s for s in _RANK if s in found[label]), Status.NOT_MENTIONED) for label in CHEXPERT.labels}
    abnormal = {label for label, statuses in found.items() if statuses & {Status.PRESENT, Status.UNCERTAIN}}
    if any(found.values()) and not abnormal - {SUPPORT_DEVICES}:
        out[NO_FINDING] = Status.PRESENT
    return out


# ------------------------------------------------------------------------------------------------ sentences, clauses

_NOT_REPORT = ("indication", "history", "technique", "comparison", "recommendation")
_SENTENCE_END = re.compile(r"(?<!\d)\.|\.(?!\d)|!|\n[ \t]*\n|\n[ \t]*(?:[-*•]|\d{1,2}[.)])[ \t]")
_SLASH = re.compile(r"(?<=[a-z])/(?=[a-z])")

_SEEN = (
    r"(?:seen|identified|visuali[sz]ed|present|appreciated|demonstrated|demonstrable|evident|noted|detected|apparent|"
    r"observed|found|shown|visible|recogni[sz]ed|suggested|suspected)"
)

_BREAK = re.compile(
    r"\s*(?:;|\s--?\s|\b(?:but|however|although|though|whereas|while|yet|except(?: for| that)?|with the exception of|"
    r"aside from|apart from|other than|besides|despite)\b),?\s*"
)
_COMMA_AND = re.compile(r"(,? and |, )")
_VERB = re.compile(
    r"\b(?:is|are|was|were|has|have|had|may|might|could|can|cannot|will|does|do|did|appears?|remains?|demonstrates?|shows?|"
    r"reveals?|suggests?|represents?|persists?|obscures?|projects?|terminates?|extends?|overl(?:ies|ay)|lies)\b"
)
_NO_SUBJECT = re.compile(
    r"(?:or|nor|which|that|is|are|was|were|has|have|may|might|could|cannot|can|appears?|remains?)\b"
)
_NEGATION = re.compile(r"\b(?:no|not|without|negative|free|absent)\b")
_LIST_ENDS = re.compile(rf"\b(?:is|are|was|were) (?:\w+ly |now )?{_SEEN}")


def _sentences(text: str) -> Iterator[str]:
    for name, part in split_sections(text).items():
        if name in _NOT_REPORT:
            continue
        for sentence in _SENTENCE_END.split(_normalised(part)):
            words = " ".join(sentence.split())
            start = 0
            while len(words) - start > _MAX_SENTENCE:
                end = words.rfind(" ", start, start + _MAX_SENTENCE) + 1 or start + _MAX_SENTENCE
                yield words[start:end]
                start = end
            if start < len(words):
                yield words[start:]


def _normalised(text: str) -> str:
    """Lower case, with the abbreviations that hold a slash or a full stop written out; ``x/y`` is "x or y"."""
    text = text.lower().replace("’", "'").replace("and/or", "or")
    for short, full in (("r/o", "rule out"), ("w/o", "without"), ("s/p", "status post"), ("h/o", "history of")):
        text = text.replace(short, full)
    text = re.sub(r"\bvs\b\.?", "versus", text)
    return _SLASH.sub(" or ", text)


def _clauses(sentence: str) -> Iterator[str]:
    """The parts of a sentence that a negation or a hedge doesn't reach across."""
    for part in _BREAK.split(sentence):
        pieces = _COMMA_AND.split(part)
        clause = pieces[0]
        for joint, piece in zip(pieces[1::2], pieces[2::2], strict=True):
            own_verb = _VERB.search(piece) and not _NO_SUBJECT.match(piece)
            # "The heart is large, the lungs are clear" is two; "no effusion, edema, and mass are seen" is one.
            complete = _VERB.search(clause) or (_NEGATION.search(clause) and not _LIST_ENDS.search(piece))
            if own_verb and complete:
                yield clause
                clause = piece
            else:
                clause += joint + piece
        yield clause


# ---------------------------------------------------------------------------------------------------------- mentions


class _Phrase(NamedTuple):
    """What a phrase mentions: labels that are present by it, that are at most uncertain, that a predicate decides."""

    signs: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    structures: tuple[str, ...] = ()


class _Mention(NamedTuple):
    start: int
    end: int
    phrase: _Phrase


def _phrases() -> dict[str, _Phrase]:
    kinds: dict[str, dict[str, list[str]]] = defaultdict(lambda: {"signs": [], "hints": [], "structures": []})
    for kind, table in (("signs", SIGNS), ("hints", HINTS), ("structures", STRUCTURES)):
        for label, expressions in table.items():
            for expression in expressions:
                kinds[expression][kind].append(label)
    out = {e: _Phrase(*(tuple(labels) for labels in by_kind.values())) for e, by_kind in kinds.items()}
    out |= {e: _Phrase(signs=(_OTHER,)) for e in OTHER}
    out |= {e: _Phrase() for e in NOT_MENTIONS}
    return dict(sorted(out.items(), key=lambda item: -len(item[0])))


_PHRASES = tuple(_phrases().items())
_MENTION = re.compile(r"(?<![\w-])(?:" + "|".join(f"({e})" for e, _ in _PHRASES) + r")(?!\w)")
_CLEAR = tuple((re.compile(rf"\b{e}"), labels) for e, labels in CLEAR.items())
_GENERAL = re.compile(
    r"\b(?<!not )(?:normal|unremarkable|clear|negative|intact)\b|"
    r"\bno (?:\w+ ){0,3}(?:abnormalit\w+|disease|process|findings?|change)\b|\bno acute\b"
)


def _mentions(clause: str) -> list[_Mention]:
    return [_Mention(m.start(), m.end(), _PHRASES[(m.lastindex or 0) - 1][1]) for m in _MENTION.finditer(clause)]


# -------------------------------------------------------------------------------------------------------------- cues

_BE = r"(?:is|are|was|were|be|been|remains?)"

# What a cue says, which way it reaches ("pre": to the mentions after it, "post": to the mention before it and the list
# that this one ends, "around": both, "pre|post": the first of the two that has a mention), and its expression. The
# first that matches at a place wins.
_CUES: tuple[tuple[str, str, str], ...] = (
    # Look like a denial and are none.
    (
        "nothing",
        "",
        r"no (?:(?:significant|appreciable|definite|substantial|interval|large|other|further|obvious|short|term|major|"
        r"overall|gross) )*(?:change|increase|improvement|progression|decrease|difference|worsening)\w*(?: in| of)?",
    ),
    ("nothing", "", r"without (?:\w+ ){0,3}(?:change|increase|improvement|decrease|progression)"),
    ("nothing", "", r"not (?:\w+ly )?(?:changed|increased|decreased|improved|progressed|worsened|different|only)"),
    ("nothing", "", r"not(?: yet)? (?:\w+ly )?(?:resolved|cleared|removed)"),
    ("nothing", "", r"no (?:\w+ )?resolution(?: of)?|not without"),
    (
        "nothing",
        "",
        r"(?:nearly|almost|partial|partially|partly|incomplete|incompletely|largely|mostly|near)[ -]"
        r"(?:completely |complete |totally |interval )?(?:resolved|cleared|resolution|clearing|removed)(?: of)?",
    ),
    ("nothing", "", r"no doubt"),
    # Neither affirmed nor denied, though it has a negation in it.
    (
        "unexcluded",
        "pre|post",
        r"(?:can ?not|can't|could not|unable to|difficult to|hard to|impossible to|not possible to|does not|do not|not)"
        r"(?: be)? (?:\w+ly )?(?:be )?(?:excluded?|ruled? out)",
    ),
    # Says nothing of it.
    ("silence", "pre", r"(?:to |please |and )?(?:rule out|exclude)"),
    ("silence", "pre", r"(?:evaluat|assess|check|look|search|screen)(?:e|ed|es|ing|ion|ment)? for"),
    ("silence", "pre", r"(?:history|hx|risk|symptoms?|clinical concern|indication) (?:of|for)|indication"),
    ("silence", "post|pre", r"(?:was |were |is |are )?not (?:been )?(?:assessed|imaged|included|reported)"),
    # Hedges.
    (
        "uncertain",
        "post",
        r"not (?:be )?(?:well|clearly|fully|adequately|optimally|completely|entirely|sufficiently)[ -]"
        rf"(?:{_SEEN}|evaluated|assessed|defined|characterized|delineated)|"
        r"not (?:be )?(?:evaluated|characterized)|"
        rf"(?:poorly|incompletely|suboptimally|inadequately) (?:{_SEEN}|evaluated|assessed|defined|characterized)|"
        r"obscured",
    ),
    (
        "uncertain",
        "post|pre",
        rf"{_BE} (?:also |still |\w+ly )?(?:possible|suspected|questionable|questioned|considered|considerations?|"
        r"a (?:possibility|consideration|concern)|in question|equivocal|indeterminate|(?:felt )?(?:un|less )likely)|"
        r"in the differential",
    ),
    (
        "uncertain",
        "pre",
        r"(?:may|might|could|would) (?:also |\w+ly )?(?:be|represent|reflect|indicate|relate|suggest|have)",
    ),
    ("uncertain", "pre", r"(?<!no )(?:concern(?:ing)?|suspicious|suspicion|worrisome|question) (?:for|of)"),
    ("uncertain", "pre", r"suggest(?:s|ed|ing|ive|ion)?(?: of)?|possibility of|differential\b.{0,40}?\binclud\w+"),
    ("uncertain", "pre", r"favou?r(?:s|ed|ing)?|consider|(?:less|un)likely|correlat(?:e|ion)(?: clinically)? for"),
    ("uncertain", "pre|post", r"in the (?:appropriate|proper|correct|right) clinical (?:setting|context)"),
    ("uncertain", "pre", r"(?:may|might|could)"),
    (
        "perhaps",
        "pre|post",
        r"possibl[ey]|probabl[ey]|potential(?:ly)?|presum(?:ed|ably)|perhaps|maybe|questionable|questionably|equivocal|"
        r"borderline|suspected|suspect|\?",
    ),
    ("perhaps", "around", r"versus"),
    # Denials.
    ("absent", "post", rf"(?:{_BE} )?(?:not|n't|never) (?:\w+ly |otherwise |yet )?(?:be )?(?:{_SEEN})"),
    ("absent", "post|pre", r"no longer(?: \w+ly)?(?: be)?(?: seen| identified| visuali[sz]ed| present| evident)?"),
    ("absent", "pre", r"(?:resolution|clearing|removal|resection|absence|lack) of|(?:free|clear|devoid) (?:of|from)"),
    ("absent", "pre", r"negative for|unremarkable for|rather than|instead of|rules out|excludes|fail(?:s|ed)? to"),
    (
        "absent",
        "post|pre",
        rf"(?:(?:{_BE}|has|have|had|now) )*(?:completely |fully |since )?"
        r"(?:resolved|cleared|removed|ruled out|excluded)",
    ),
    ("absent", "post", r"with (?:interval |complete )?(?:resolution|clearing|removal)"),
    ("absent", "post", r"within (?:the )?(?:normal )?limits(?: of normal)?"),
    ("absent", "post", rf"(?:{_BE} )?absent|{_BE} negative|(?:none|no|negative|nil)(?=\W*$)"),
    ("absent", "pre", r"no|not|without|neither|nor|never|denies|lacks|absent"),
)
_CUE = re.compile(r"(?<![\w-])(?:" + "|".join(f"({expression})" for _, _, expression in _CUES) + r")(?!\w)")

# Where the reach of a cue ends before the clause does.
_ADJECTIVE = (
    r"(?:an?|the|this|some|stable|unchanged|persistent|improv\w+|worsen\w+|increas\w+|decreas\w+|residual|resolving|"
    r"interval|minimal|mild|moderate|severe|small|trace|tiny|old|healed|left|right|bilateral|bibasilar|possible|probable|"
    r"likely|questionable|suspected|there)"
)
_NEW_THING = rf"(?:,? and|,) {_ADJECTIVE}\b(?!.*\b(?:or|nor)\b)"  # "no A, small B", but not "no A, small B, or C"
_WITH = r"(?<!consistent )(?<!compatible )(?<!keeping )(?<!associated )\bwith\b"
_STOPS = {
    "absent": re.compile(rf"{_WITH}|\b(?:due|secondary|related) to\b|\bbecause\b|\blikely\b|{_NEW_THING}"),
    "perhaps": re.compile(rf"\bwith(?:out)?\b|\bno\b|{_NEW_THING}"),
    "silence": re.compile(r"\bwith\b|\bnow\b|\bpresents?\b"),
}

# Between two members of a list; what else may stand there says nothing of its own.
_LIST_GAP = re.compile(
    r"[\s,]*(?:(?:and|or|nor|versus|focal|pleural|pulmonary|left|right|bilateral|large|small|lobar|acute|overt|frank|"
    r"definite|confluent|mild|moderate|severe|any|a|an|(?:consistent|compatible) with)\b[\s,]*)*"
)
_OR = re.compile(r"\bor\b")


class _Cue(NamedTuple):
    start: int
    end: int
    says: str
    reach: str


def _cues(clause: str, mentions: Sequence[_Mention]) -> list[_Cue]:
    """The cues of a clause, each with the way that it reaches here."""
    out = []
    for match in _CUE.finditer(clause):
        says, reach, _ = _CUES[(match.lastindex or 0) - 1]
        if "|" in reach:
            before = any(m.end <= match.start() for m in mentions)
            after = any(m.start >= match.end() for m in mentions)
            has_mention = {"pre": after, "post": before}
            reach = next((way for way in reach.split("|") if has_mention[way]), "pre")
        if says != "nothing":
            out.append(_Cue(match.start(), match.end(), says, reach))
    return out


def _said(clause: str, start: int, end: int, cues: Sequence[_Cue], reach: int) -> set[str]:
    """What the cues of a clause say of the words from ``start`` to ``end``, the following ones up to ``reach``."""
    out = set()
    for cue in cues:
        if cue.end <= start:
            stop = _STOPS.get(cue.says)
            if cue.reach != "post" and not (stop and stop.search(clause, cue.end, start)):
                out.add(cue.says)
        elif cue.reach != "pre" and end <= cue.start < reach:
            out.add(cue.says)
    return out


def _status(said: set[str]) -> Status | None:
    if "silence" in said:
        return None
    if "unexcluded" in said:
        return Status.UNCERTAIN
    if "absent" in said:
        return Status.ABSENT
    return Status.UNCERTAIN if said else Status.PRESENT


# -------------------------------------------------------------------------------------------------------- statements

_PREDICATE = re.compile(
    r"(?<![\w-])(?:(?P<normal>normal|unremarkable|within (?:the )?(?:normal )?limits|non-?enlarged|wnl)|"
    r"(?P<borderline>borderline)|"
    r"(?P<enlarged>enlarg\w+|prominen(?:t|ce)|widen\w*|wide|dilat\w+|increased?|big|large|larger|abnormal\w*|thicken\w+|"
    r"coarse\w*)|"
    r"(?P<stable>stable|unchanged|similar|no (?:\w+ ){0,2}change|not (?:\w+ly )?changed))(?!\w)"
)
_BESIDE = re.compile(
    r"[\s,]*(?:(?:of|in|the|size|sized|appearance|contour|contours|and|cardiac|heart|overall)\b[\s,]*)*"
)


@lru_cache(maxsize=65536)
def _statements(sentence: str) -> tuple[Statement, ...]:
    out: list[Statement] = []
    for clause in _clauses(sentence):
        out += _clause_statements(clause)
    return tuple(out)


def _clause_statements(clause: str) -> Iterator[Statement]:
    for expression, labels in _CLEAR:
        match = expression.search(clause)
        if match and not _NEGATION.search(match[0]):
            yield from ((label, Status.ABSENT) for label in labels)
    if _GENERAL.search(clause):
        yield _NORMAL, Status.ABSENT

    mentions = _mentions(clause)
    if not mentions:
        return
    cues = _cues(clause, mentions)
    reaches = _reaches(clause, mentions)
    statuses = [_status(_said(clause, m.start, m.end, cues, reach)) for m, reach in zip(mentions, reaches, strict=True)]
    for i in range(len(mentions) - 1):  # "A or B", where neither is denied, affirms neither
        this, following = mentions[i], mentions[i + 1]
        gap = clause[this.end : following.start]
        alternatives = (
            _OR.search(gap) and _LIST_GAP.fullmatch(gap) and set(this.phrase.signs) != set(following.phrase.signs)
        )
        if alternatives and {statuses[i], statuses[i + 1]} <= {Status.PRESENT, Status.UNCERTAIN}:
            statuses[i] = statuses[i + 1] = Status.UNCERTAIN
    for mention, status, reach in zip(mentions, statuses, reaches, strict=True):
        phrase = mention.phrase
        if phrase.structures:
            status = _structure_status(clause, mention, cues, reach)
        if status is not None:
            yield from ((label, status) for label in phrase.signs + phrase.structures)
            weaker = Status.UNCERTAIN if status is Status.PRESENT else status
            yield from ((label, weaker) for label in phrase.hints)


def _reaches(clause: str, mentions: Sequence[_Mention]) -> list[int]:
    """For each mention, how far right a cue that follows may stand to be about it: up to the next mention.

    Where it is a member of a list ("A, B and C are not seen"), up to the mention after the list.
    """
    out = [len(clause)] * len(mentions)
    for i in reversed(range(len(mentions) - 1)):
        in_list = _LIST_GAP.fullmatch(clause, mentions[i].end, mentions[i + 1].start)
        out[i] = out[i + 1] if in_list else mentions[i + 1].start
    return out


def _structure_status(clause: str, mention: _Mention, cues: Sequence[_Cue], reach: int) -> Status | None:
    """What is said of anatomy that is always there; None where nothing is, as of a heart that is only named."""
    predicates = [m for m in _PREDICATE.finditer(clause) if _belongs(clause, mention, m)]
    beside = [m for m in predicates if m.end() <= mention.start and _BESIDE.fullmatch(clause, m.end(), mention.start)]
    after = [m for m in predicates if m.start() >= mention.end]
    near = beside[-1:] if any(m.lastgroup != "stable" for m in beside) else beside + after
    ranked = sorted(near or predicates, key=lambda m: m.lastgroup == "stable")
    said = _said(clause, mention.start, mention.end, cues, reach)
    if not ranked:
        return Status.UNCERTAIN if said & {"uncertain", "unexcluded"} else None
    predicate = ranked[0]
    hedged = said | _said(clause, predicate.start(), predicate.end(), cues, reach)
    if predicate.lastgroup == "normal":
        return Status.PRESENT if re.search(r"\bnot (?:\w+ )?$", clause[: predicate.start()]) else Status.ABSENT
    if predicate.lastgroup in ("borderline", "stable"):
        return Status.UNCERTAIN
    return _status(hedged)


def _belongs(clause: str, mention: _Mention, predicate: re.Match[str]) -> bool:
    """Whether a predicate can be about a mention: no verb between where it comes before, no "with" where after."""
    if predicate.end() <= mention.start:
        return not _VERB.search(clause, predicate.end(), mention.start)
    return predicate.start() >= mention.end and not re.search(
        r"\bwith(?:out)?\b", clause[mention.end : predicate.start()]
    )
