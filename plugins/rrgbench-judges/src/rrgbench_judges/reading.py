"""From a judge's reply to a value, or to ``Unreadable``: nothing is guessed, and what is missing is no 0."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Collection
from typing import Any

from rrgbench.judging import Unreadable
from rrgbench.prompts.instructions import is_refusal, split_thinking
from rrgbench.tables import once

MOST = 200  # of anything that is counted in one report; more is no count
_DECODER = json.JSONDecoder(object_pairs_hook=once)
_FENCE = re.compile(r"^[ \t]*```[^\n]*$", re.MULTILINE)


def said(reply: str) -> str:
    """A reply without its reasoning and its code fences. Raises Unreadable for none, and for a refusal."""
    thought, text = split_thinking(reply)
    if thought is None and text.lstrip().startswith("<think>"):
        raise Unreadable("it ends before its reasoning does")
    text = _FENCE.sub("", text).strip()
    if not text:
        raise Unreadable("it is empty")
    if is_refusal(text):
        raise Unreadable("it is a refusal")
    return text


def json_object(reply: str, keys: Collection[str] = (), candidate: str = "") -> dict[str, Any]:
    """The one JSON object of a reply. Words may stand around it, other braces may not.

    Raises Unreadable where there is none or another one follows, where a key is missing or stands twice, and where all
    of it stands in the candidate: a judge that quotes an answer which a report holds ready, and is cut short before its
    own, has said nothing.
    """
    text = said(reply)
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
    if _squeezed(text[start:end]) in _squeezed(candidate):
        raise Unreadable("it repeats what stands in the text that is judged")
    return found


def _squeezed(text: str) -> str:
    return "".join(html.unescape(text).split())


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
    return float(value)
