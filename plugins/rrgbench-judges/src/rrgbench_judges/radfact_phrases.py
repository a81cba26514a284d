"""What RadFact asks of phrases: the form of the replies, and how they are read."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from rrgbench.judging import Unreadable
from rrgbench.tables import once
from rrgbench_judges.judge import form
from rrgbench_judges.reading import MOST, repeats, said

SHARED = 0.9  # of the words that a report and the sentences quoted from it must have in common; a slip may be put right
REWORDED = 0.5  # of the words that a phrase asked of and the one replied must have in common: more than this
TURNING = frozenset({"no", "not", "without", "left", "right"})  # words that no rewording may add or leave out
ENTAILED = {"entailment": True, "not_entailment": False, "neutral": False, "contradiction": False}

_KEYS = ("phrase", "evidence", "status")
_DECODER = json.JSONDecoder(object_pairs_hook=once)
_JSON = re.compile(r"^[ \t]*(?=[{\[])", re.MULTILINE)
_YAML = re.compile(rf"^({'|'.join(_KEYS)})[ \t]*:", re.MULTILINE)
_WORD = re.compile(r"[^\W_]+")
_HEADING = re.compile(r"\b\w+:")


@dataclass(frozen=True)
class Verdict:
    """Whether a phrase is entailed, by which phrases of the other side (their places), and whether it was reworded."""

    entailed: bool = False
    evidence: tuple[int, ...] = ()
    corrected: bool = False


def normalised(text: str) -> str:
    """A phrase without what copying may change: case, blanks, dashes, the last stop (RadFact's text_utils.py)."""
    text = re.sub(r"[-–—]", "", html.unescape(text).casefold())
    return re.sub(r"\s+(?=[.:!?]|$)", "", " ".join(text.split())).rstrip(".:!? ")


# --- stage 1: a report to phrases -------------------------------------------------------------------------------------

_SENTENCE = form(
    {
        "orig": {"type": "string", "maxLength": 1200},
        "new": {"type": "array", "maxItems": 12, "items": {"type": "string", "maxLength": 400}},
    }
)
SPLIT = form({"sentence_list": {"type": "array", "minItems": 1, "maxItems": 80, "items": _SENTENCE}})


def split(reply: str, report: str) -> list[str]:
    """The phrases of a report, from a list of {"orig": sentence, "new": phrases}, bare or as "sentence_list".

    JSON only: of YAML it can't be told whether its end is missing. Raises Unreadable, also where the sentences are not
    the report's (a judge may have left some out, or taken apart the example that it was shown), and where there is no
    phrase at all: of a report that isn't blank, that can't be told from a judge that didn't look.
    """
    found = _json(said(reply, report), ("sentence_list", "orig", "new"), [report])
    if isinstance(found, dict):
        found = found.get("sentence_list")
    if not isinstance(found, list) or not found or not all(_is_sentence(each) for each in found):
        raise Unreadable('it is not JSON with sentence_list, a list of {"orig": "…", "new": ["…"]}')
    quoted, there = _words(" ".join(each["orig"] for each in found)), _words(report)
    common = (quoted & there).total()
    if common < SHARED * quoted.total():
        raise Unreadable("orig quotes what is not in the report")
    if common < SHARED * there.total():
        raise Unreadable("it leaves out sentences of the report")
    phrases = [" ".join(html.unescape(phrase).split()) for each in found for phrase in each["new"]]
    phrases = [phrase for phrase in phrases if _WORD.search(phrase)]
    if not phrases:
        raise Unreadable("it has no statement of the whole report")
    if len(phrases) > MOST:
        raise Unreadable(f"it has more than {MOST} statements")
    return phrases


def _is_sentence(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("orig"), str)
        and isinstance(entry.get("new"), list)
        and all(isinstance(phrase, str) for phrase in entry["new"])
    )


def _words(text: str) -> Counter[str]:
    """How often each word stands in a text; not those with a colon, for headings may be left out."""
    return Counter(_WORD.findall(_HEADING.sub(" ", html.unescape(text).casefold())))


# --- stage 2: a phrase against those of the other report --------------------------------------------------------------


def bound(phrase: str, others: Sequence[str]) -> dict[str, Any]:
    """The schema of the reply on one phrase: no other evidence can be given than the other side's phrases."""
    properties = {
        "phrase": {"type": "string", "enum": [phrase]},
        "evidence": {"type": "array", "maxItems": len(others), "items": {"type": "string", "enum": [*others]}},
        "status": {"type": "string", "enum": ["entailment", "not_entailment"]},
    }
    return form(properties)


def verdict(
    reply: str, phrase: str, own: Collection[str], others: Sequence[str], examples: Collection[str] = ()
) -> Verdict:
    """What a reply says of one phrase of its ``own`` side, given the phrases of the other. JSON, or YAML.

    Raises Unreadable, also for evidence that is not among the others, for entailment without evidence, and for a reply
    that is about another phrase, one of the ``examples`` of the prompt included.
    """
    told = [phrase, *others]
    text = said(reply, "\n".join(told))
    found = _yaml(text) if _YAML.match(text) else _json(text, _KEYS, told)
    if not isinstance(found, Mapping) or not found.keys() >= {*_KEYS}:
        raise Unreadable(f"it is not JSON with {', '.join(_KEYS)}")
    about, evidence, status = (found[key] for key in _KEYS)
    if not isinstance(about, str) or not isinstance(evidence, list) or not all(isinstance(e, str) for e in evidence):
        raise Unreadable("phrase is no text, or evidence is no list of texts")
    entailed = ENTAILED.get(re.sub(r"[\s-]+", "_", status.strip().lower())) if isinstance(status, str) else None
    if entailed is None:
        raise Unreadable("status is neither entailment nor not_entailment")
    places = {normalised(other): at for at, other in reversed([*enumerate(others)])}  # of two alike, the first
    if foreign := [each for each in evidence if normalised(each) not in places]:
        raise Unreadable(f"{len(foreign)} of its evidence is not among the statements")
    if entailed and not evidence:
        raise Unreadable("it says entailment, and gives no evidence")
    corrected = normalised(about) != normalised(phrase)
    another = normalised(about) in {*map(normalised, own), *places} or repeats(about, examples)
    if corrected and (another or not _rewords(about, phrase)):
        raise Unreadable("it is about another phrase")
    return Verdict(entailed, tuple(dict.fromkeys(places[normalised(each)] for each in evidence)), corrected)


def _rewords(about: str, phrase: str) -> bool:
    """Whether one phrase may be the other in other words: most of the words are the same, and none that turn it."""
    one, other = (Counter(_WORD.findall(html.unescape(each).casefold())) for each in (about, phrase))
    most = max(one.total(), other.total())
    return (one & other).total() > REWORDED * most and not TURNING & (one.keys() ^ other.keys())


def _yaml(text: str) -> Any:
    """A YAML mapping with the keys once each. ``status`` is the last, so that nothing of it can be missing."""
    keys = _YAML.findall(text)
    if sorted(keys) != sorted(_KEYS) or keys[-1] != "status":
        raise Unreadable(f"it does not have {', '.join(_KEYS)} once each, in this order")
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


# --- RadFact's own reading --------------------------------------------------------------------------------------------

_FENCED = re.compile(r"^```(?:ya?ml|json)?([^`]*)", re.MULTILINE)


def upstream(reply: str, others: Sequence[str]) -> Verdict | None:
    """What RadFact makes of a reply on one phrase; None where it drops the whole study for it.

    YAML, of which JSON is a part, in the first code fence or without one; a fence may also say json here, as JSON is
    asked for. What can't be read is no entailment (``EvidencedPhrase`` and ``NLISample`` of llm_utils/nli/schema.py and
    their pydantic 1, which takes a number for a text; ``YamlOutputParser`` of LangChain). Never raises.
    """
    fenced = _FENCED.search(reply.strip())
    try:
        found = yaml.safe_load(fenced[1] if fenced else reply)
    except Exception:  # whatever PyYAML raises: RadFact catches all
        return Verdict()
    about, evidence, status = (found.get(key) if isinstance(found, Mapping) else None for key in _KEYS)
    if not isinstance(evidence, list) or not all(isinstance(each, (str, int, float)) for each in (about, *evidence)):
        return Verdict()
    allowed = {"entailment": evidence, "contradiction": evidence, "neutral": not evidence, "not_entailment": True}
    if not isinstance(status, str) or not allowed.get(status):
        return Verdict()
    places = {_compared(other): at for at, other in reversed([*enumerate(others)])}
    cited = [_compared(str(each)) for each in evidence]
    if not places.keys() >= {*cited}:
        return None
    return Verdict(status == "entailment", tuple(dict.fromkeys(places[each] for each in cited)))


def _compared(text: str) -> str:
    """``normalise_text_for_comparison`` of llm_utils/text_utils.py: stricter than ``normalised``."""
    text = re.sub(r"[-–—]", "", " ".join(html.unescape(text).lower().split()))
    return re.sub(r"[.:!?]$", "", text)


# --- both -------------------------------------------------------------------------------------------------------------


def _json(text: str, keys: Collection[str], told: Collection[str]) -> Any:
    """The JSON that begins a line of a text; None where no line begins with any.

    Raises Unreadable for what is cut off and for a key that stands twice. A report may hold a reply, and a judge may
    quote it: so also where the keys stand outside of the JSON, too, and where it stands ready in what the judge was
    ``told`` and has words around it.
    """
    start = _JSON.search(text)
    if start is None:
        return None
    try:
        value, end = _DECODER.raw_decode(text, start.end())
    except (ValueError, RecursionError):
        raise Unreadable("its JSON is cut off or not sound") from None
    outside = f"{text[: start.end()]}\n{text[end:]}"
    if re.search(rf"[\"'](?:{'|'.join(keys)})[\"']|^[ \t-]*(?:{'|'.join(keys)})[ \t]*:", outside, re.MULTILINE):
        raise Unreadable("it answers several times")
    if outside.strip() and repeats(text[start.end() : end], told):
        raise Unreadable("it quotes an answer that it was shown")
    return value
