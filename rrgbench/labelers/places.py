"""The side and the region that a clause states for its mentions.

A mention takes the words before it ("left basilar atelectasis"), else those after it ("atelectasis at the left base"),
up to the next mention. What stands after a list holds for each member ("atelectasis and effusion on the left"), and
what an opacity is said to be lies where it lies ("opacity at the left base, which may be pneumonia").
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from rrgbench.labelers.cues import LIST_GAP


class Place(NamedTuple):
    """ "left", "right" or "bilateral", and a region's name; None where not stated."""

    side: str | None = None
    region: str | None = None


_THAN = r"(?:slightly |much )?(?:greater|larger|more|worse|less|smaller) than"
_SIDE = re.compile(
    r"\b(?:(?P<bilateral>bilateral\w*|both|bi(?:basilar|basal|apical)\w*|bases|apices|"
    rf"(?:left|right)(?: side)?,? (?:and|or|{_THAN})(?: the)? (?:left|right))|"
    # A chamber, a quadrant and a main bronchus are no side of the chest.
    r"(?P<left>left(?![ -](?:atri|ventric|heart|cardiac|main|upper quadrant|abdom))|lingula)|"
    r"(?P<right>right(?![ -](?:atri|ventric|heart|cardiac|main|upper quadrant|abdom))|(?<!left )middle lobe))"
)

# Names of regions by the words that state them; the first that fits wins.
_REGIONS: dict[str, str] = {
    "lower lobe": r"lower lobes?",
    "middle lobe": r"middle lobe",
    "upper lobe": r"upper lobes?",
    "lingula": r"lingula\w*",
    "upper zone": r"upper (?:lungs?|zones?)",
    "mid zone": r"mid(?:dle)?[ -]?(?:lungs?|zones?)",
    "lower zone": r"lower (?:lungs?|zones?)",
    "apex": r"(?:bi)?apic(?:al|es)\w*|apex",
    "base": r"(?:bi)?basilar|(?:bi)?basal|bases?",
    "retrocardiac region": r"retrocardiac",
    "hilum": r"(?:peri|para|infra|supra)?-?hil(?:ar|um|a)",
    "costophrenic angle": r"costophrenic",
    "fissure": r"fissur\w+",
    "rib": r"ribs?",
    "clavicle": r"clavic\w+",
    "humerus": r"humer\w+",
    "scapula": r"scapul\w+",
    "shoulder": r"shoulders?",
    "sternum": r"stern(?:um|al)",
    "cervical spine": r"cervical (?:spine|vertebra\w*)",
    "thoracic spine": r"(?:thoracic|t-?) ?(?:spine|vertebra\w*)|t\d{1,2}",
    "lumbar spine": r"lumbar (?:spine|vertebra\w*)|l[1-5]",
    "spine": r"spine|vertebra\w*",
    "chest wall": r"chest wall",
    "cavoatrial junction": r"(?:cavo-?|caval[ -]?)atrial junction",
    "superior vena cava": r"svc|superior vena cava",
    "right atrium": r"right atri\w+",
    "right ventricle": r"right ventric\w+",
    "carina": r"carina",
    "trachea": r"trache(?:a|al)",
    "stomach": r"stomach|gastric (?:body|fundus)",
    "mediastinum": r"mediastin(?:um|al)",
}
_REGION = re.compile(r"\b(?:" + "|".join(f"({words})" for words in _REGIONS.values()) + r")\b")
_REGION_NAMES = tuple(_REGIONS)

# Where, between two mentions, the words about the first end.
_JOINT = re.compile(
    r",|:|\b(?:and|or|nor|versus|with|without|no|which|that|may|might|could|represent\w*|reflect\w*|suggest\w*|consistent|"
    r"compatible|concerning|suspicious|due|secondary|related|from|there)\b"
)
_PREPOSITION = re.compile(
    r"\s*(?:\w+(?:ed|ing) |is |are |seen )*(?:in|at|of|on|over\w*|within|along|near|adjacent|involving)\b"
)
# What joins a finding to what it is said to be.
_SAME_PLACE = re.compile(
    r"\b(?:which|that|may|might|could|represent\w*|reflect\w*|suggest\w*|consistent|compatible|concerning|suspicious|"
    r"worrisome|favou?r\w*|versus|or|likely|adjacent|associated|overlying|underlying|superimposed)\b"
)


def places(clause: str, spans: Sequence[tuple[int, int]]) -> dict[tuple[int, int], Place]:
    """The place of each span of a clause that mentions something."""
    if not spans:
        return {}
    ordered = sorted(set(spans))
    cuts = [_cut(clause, this[1], following[0]) for this, following in pairwise(ordered)]
    starts, ends = [0, *cuts], [*cuts, len(clause)]
    before = [_place(clause[start : span[1]], last=True) for start, span in zip(starts, ordered, strict=True)]
    after = [_place(clause[span[1] : end], last=False) for span, end in zip(ordered, ends, strict=True)]
    gaps = [clause[this[1] : following[0]] for this, following in pairwise(ordered)]
    for i in reversed(range(len(gaps))):
        if LIST_GAP.fullmatch(gaps[i]) and not before[i + 1].side:
            after[i] = _either(after[i], after[i + 1])
    out = [_either(*both) for both in zip(before, after, strict=True)]
    explained = False  # whether the mention before is what another is said to be
    for i, gap in enumerate(gaps):
        explained = bool(_SAME_PLACE.search(gap) or (explained and LIST_GAP.fullmatch(gap)))
        if explained and out[i + 1] == Place():
            out[i + 1] = out[i]
    return dict(zip(ordered, out, strict=True))


def _cut(clause: str, start: int, end: int) -> int:
    """Where between two mentions the words about the second begin."""
    joints = [match.start() for match in _JOINT.finditer(clause, start, end)]
    if joints:
        return joints[-1]
    return end if _PREPOSITION.match(clause, start, end) else start


def _place(words: str, last: bool) -> Place:
    sides = [match.lastgroup for match in _SIDE.finditer(words)]
    regions = [_REGION_NAMES[(match.lastindex or 0) - 1] for match in _REGION.finditer(words)]
    nearest = -1 if last else 0
    side = "bilateral" if {"left", "right"} <= set(sides) else sides[nearest] if sides else None
    return Place(side, regions[nearest] if regions else None)


def _either(first: Place, second: Place) -> Place:
    return Place(first.side or second.side, first.region or second.region)
