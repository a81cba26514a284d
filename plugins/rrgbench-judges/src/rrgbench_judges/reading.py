"""From a judge's reply to a value, or to ``Unreadable``: nothing is guessed, and what is missing is no 0."""

from __future__ import annotations

import contextlib
import html
import json
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from rrgbench.judging import Unreadable
from rrgbench.prompts.instructions import is_refusal
from rrgbench.tables import once

Object = dict[str, Any]
MOST = 200  # of anything that is counted in one report; more is no count
_DECODER = json.JSONDecoder(object_pairs_hook=once)
_LENIENT = json.JSONDecoder(strict=False)  # as a judge may read what a report holds
_FENCE = re.compile(r"^[ \t]*`{3,}[ \t]*[\w+-]*[ \t]*\r?$", re.MULTILINE)  # alone on its line: what follows it is said
# The marks around reasoning: most models', Mistral's, MedGemma's, Kimi's, and gpt-oss's channels.
_THINK = r"(?:\w+:)?(?:think(?:ing)?|thought|reasoning)"
_OPENS = re.compile(
    rf"<\s*{_THINK}\b[^<>]*>|\[think\]|<unused94>|◁think▷"
    r"|(?:<\|start\|>\s*assistant\s*)?<\|channel\|>\s*(?:analysis|commentary)",
    re.IGNORECASE,
)
_CLOSES = re.compile(
    rf"<\s*/\s*{_THINK}\s*>|\[/think\]|<unused95>|◁/think▷"
    r"|<\|channel\|>\s*final(?:[^<\n]*(?:<\|constrain\|>[^<\n]*)?<\|message\|>)?",
    re.IGNORECASE,
)


def said(reply: str, candidate: str = "") -> str:
    """A reply without its reasoning and its code fences.

    Reasoning stands before all else and is closed once: an answer in reasoning that was cut off is a draft. Where the
    candidate holds the mark that closes it, a reply with one can't be taken apart. Raises Unreadable, also for an
    empty reply and for a refusal.
    """
    text = _FENCE.sub("", reply).strip()
    _, *rest = _CLOSES.split(text)
    if len(rest) > 1 or (rest and _CLOSES.search(html.unescape(candidate))):
        raise Unreadable("it is not clear where its reasoning ends")
    if opened := _OPENS.search(text):
        if opened.start() or not rest:
            raise Unreadable("its reasoning has no beginning or no end")
        if _OPENS.search(rest[0]):
            raise Unreadable("it reasons again after its answer began")
    text = rest[0].strip() if rest else text
    if not text:
        raise Unreadable("it is empty")
    if is_refusal(text):
        raise Unreadable("it is a refusal")
    return text


def repeats(piece: str, others: Iterable[str]) -> bool:
    """Whether a piece of a reply stands word for word in another text: the candidate, the example of the prompt."""
    return any(each in text for each in _squeezed(piece) for other in others for text in _squeezed(other))


def json_object(reply: str, keys: Collection[str] = (), candidate: str = "", examples: Collection[str] = ()) -> Object:
    """The one JSON object of a reply. Words may stand around it, other braces may not.

    Raises Unreadable where there is none or another one follows, where a key is missing or stands twice, and where the
    candidate or an example of the prompt holds the same object: a judge that quotes an answer which stands there ready,
    and is cut short before its own, has said nothing.
    """
    text = said(reply, candidate)
    start = max(text.find("{"), 0)
    try:
        found, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"it is not sound JSON: {error}") from None
    if not isinstance(found, dict):
        raise Unreadable("it is not a JSON object")
    if "{" in text[end:] or "}" in text[end:]:
        raise Unreadable("more than one JSON object stands there")
    if lacking := [key for key in keys if key not in found]:
        raise Unreadable(f"its JSON lacks {', '.join(lacking)}")
    shown = next(_objects(html.unescape(text[start:end])), found)
    ready = [
        each for other in (candidate, *examples) for text in (other, html.unescape(other)) for each in _objects(text)
    ]
    if found in ready or shown in ready:
        raise Unreadable("it repeats what stands ready in the candidate or in the example")
    return found


def _objects(text: str) -> Iterator[Object]:
    """The JSON objects of a text, and those within them."""
    for brace in re.finditer(r'\{\s*"', text):
        with contextlib.suppress(ValueError, RecursionError):
            yield _LENIENT.raw_decode(text, brace.start())[0]


def _squeezed(text: str) -> set[str]:
    """A text as it is written and as a prompt may have meant it, without white space and case."""
    return {"".join(each.split()).casefold() for each in (text, html.unescape(text))}


def count(value: object, what: str) -> int:
    """A whole number of 0 or more, as a number or in digits. Raises Unreadable."""
    if isinstance(value, str) and re.fullmatch(r"\d{1,4}", value.strip()):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST:
        raise Unreadable(f"{what} is no count in digits")
    return value


def number(value: object, what: str, low: float, high: float) -> float:
    """A number within bounds. Raises Unreadable."""
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,4}(\.\d+)?", value.strip()):
        value = float(value)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not low <= value <= high:
        raise Unreadable(f"{what} is no number from {low:g} to {high:g}")
    return float(value) + 0.0  # -0.0 is 0
