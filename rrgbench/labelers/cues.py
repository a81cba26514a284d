"""The words that affirm, deny or hedge a mention, and how far along a clause each of them reaches.

A cue reaches over the mentions before or after it within its clause, as in NegEx (Chapman et al., 2001), until
something new begins.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from rrgbench.labelers.clauses import SEEN
from rrgbench.labelers.lexicon import Found
from rrgbench.types import Status

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
    ("silence", "pre", r"(?:more |most |less |in)?sensitive (?:for|to|in)|in detecting|for (?:the )?detection of"),
    ("silence", "post|pre", r"(?:was |were |is |are )?not (?:been )?(?:assessed|imaged|included|reported)"),
    # Hedges.
    (
        "uncertain",
        "post",
        r"not (?:be )?(?:well|clearly|fully|adequately|optimally|completely|entirely|sufficiently)[ -]"
        rf"(?:{SEEN}|evaluated|assessed|defined|characterized|delineated)|"
        r"not (?:be )?(?:evaluated|characterized)|"
        rf"(?:poorly|incompletely|suboptimally|inadequately) (?:{SEEN}|evaluated|assessed|defined|characterized)|"
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
        r"suspected|suspect|\?",
    ),
    ("borderline", "pre|post", r"borderline"),
    ("perhaps", "around", r"versus"),
    # Denials.
    ("absent", "post", rf"(?:{_BE} )?(?:not|n't|never) (?:\w+ly |otherwise |yet )?(?:be )?(?:{SEEN})"),
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
_CUE = re.compile(r"(?<![\w-])(?=[a-z?])(?:" + "|".join(f"({expression})" for _, _, expression in _CUES) + r")(?!\w)")

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
    "borderline": re.compile(r",|\bwith(?:out)?\b|\bno\b"),
    "uncertain": re.compile(r", (?:there|old|healed|stable|unchanged)\b"),
    "perhaps": re.compile(rf"\bwith(?:out)?\b|\bno\b|{_NEW_THING}"),
    "silence": re.compile(r"\bwith\b|\bnow\b|\bpresents?\b"),
}

# Between two members of a list; what else may stand there says nothing of its own.
LIST_GAP = re.compile(
    r"[\s,]*(?:(?:and|or|nor|versus|focal|pleural|pulmonary|left|right|bilateral|large|small|lobar|acute|overt|frank|"
    r"definite|confluent|mild|moderate|severe|any|a|an|(?:consistent|compatible) with)\b[\s,]*)*"
)


class Cue(NamedTuple):
    """What it says and the way it reaches, as in ``_CUES``; where in the clause it stands."""

    start: int
    end: int
    says: str
    reach: str


def cues_of(clause: str, mentions: Sequence[Found]) -> list[Cue]:
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
            out.append(Cue(match.start(), match.end(), says, reach))
    return out


def said_of(clause: str, start: int, end: int, cues: Sequence[Cue], reach: int) -> set[str]:
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


def status_of(said: set[str]) -> Status | None:
    """The status that what the cues say amounts to; None for silence."""
    if "silence" in said:
        return None
    if "unexcluded" in said:
        return Status.UNCERTAIN
    if "absent" in said:
        return Status.ABSENT
    return Status.UNCERTAIN if said else Status.PRESENT


def reaches(clause: str, found: Sequence[Found]) -> list[int]:
    """For each mention, how far right a cue that follows may stand to be about it: up to the next mention.

    Where it is a member of a list ("A, B and C are not seen"), up to the mention after the list.
    """
    out = [len(clause)] * len(found)
    for i in reversed(range(len(found) - 1)):
        in_list = LIST_GAP.fullmatch(clause, found[i].end, found[i + 1].start)
        out[i] = out[i + 1] if in_list else found[i + 1].start
    return out
