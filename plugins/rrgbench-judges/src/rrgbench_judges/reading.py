"""From a judge's reply to a value, or to ``Unreadable``: nothing is guessed, and what is missing is no 0."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

import yaml

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


def mapping(reply: str, keys: Collection[str]) -> Mapping[str, Any]:
    """The one JSON object (or YAML mapping) of a reply that has these keys; others beside them are let be.

    Raises Unreadable where there is none, and where there are several that differ.
    """
    text = said(reply)
    found: list[Mapping[str, Any]] = [each for each in _objects(text) if each.keys() >= set(keys)]
    if not found:
        found = [each for each in [_yaml(text)] if isinstance(each, Mapping) and each.keys() >= set(keys)]
    if not found:
        raise Unreadable(f"it is not JSON with {', '.join(keys)}")
    if any(each != found[0] for each in found):
        raise Unreadable("it answers several times, and not alike")
    return found[0]


def _objects(text: str) -> list[dict[str, Any]]:
    """The outermost JSON objects of a text."""
    out, at = [], text.find("{")
    while at >= 0:
        try:
            value, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            out.append(value)
        at = text.find("{", end)
    return out


def _yaml(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


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
