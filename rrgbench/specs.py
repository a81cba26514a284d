"""Specs: ``vit:checkpoint=a.pt,size=96`` <-> ``Spec`` <-> ``{vit: {checkpoint: a.pt, size: 96}}``."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rrgbench.errors import UsageError

_OPENERS = {"[": "]", "{": "}", "(": ")"}
_PLAIN = re.compile(r"[\w./~+@%-][\w./~+@%: -]*")


@dataclass(frozen=True)
class Spec:
    """The name of a part and its options. ``raw`` keeps the text of each option, for options that are text."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    raw: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    @staticmethod
    def of(value: Any) -> Spec:
        """A spec from what a person writes: a spec string, a one-key mapping, or a Spec."""
        if isinstance(value, Spec):
            return value
        if isinstance(value, str):
            return parse(value)
        if isinstance(value, Mapping) and len(value) == 1:
            ((name, options),) = value.items()
            if options is None or (isinstance(options, Mapping) and all(isinstance(key, str) for key in options)):
                return Spec(str(name), dict(options or {}))
        raise UsageError(
            f"A part is written as a spec string (vit:size=96) or as a mapping of one name to its options"
            f" (vit: {{size: 96}}), not as {value!r}."
        )

    def __str__(self) -> str:
        if not self.options:
            return self.name
        return f"{self.name}:" + ",".join(f"{k}={_write(v, self.raw.get(k))}" for k, v in self.options.items())

    def __hash__(self) -> int:
        return hash(str(self))


def parse(text: str) -> Spec:
    """Read a spec string. Commas split options outside quotes and brackets; each value is read as YAML."""
    name, _, rest = text.strip().partition(":")
    if not name.strip():
        raise UsageError(f"The spec {text!r} lacks a name before the ':'.")
    options: dict[str, Any] = {}
    raw: dict[str, str] = {}
    for piece in _split(rest, text):
        key, equals, value = piece.partition("=")
        key = key.strip()
        if not equals or not key.isidentifier():
            raise UsageError(
                f"In the spec {text!r}, {piece.strip()!r} is not of the form key=value."
                " Put a value that holds a comma in quotes."
            )
        if key in options:
            raise UsageError(f"In the spec {text!r}, the option {key!r} stands twice.")
        raw[key] = value.strip()
        options[key] = _read(raw[key])
    return Spec(name.strip(), options, raw)


def _split(rest: str, whole: str) -> Iterator[str]:
    closing: list[str] = []
    quote = ""
    escaped = False
    start = 0
    for at, char in enumerate(rest):
        if quote:
            if char == quote and not escaped:
                quote = ""
            escaped = char == "\\" and quote == '"' and not escaped
        elif char in "\"'" and rest[start:at].rstrip()[-1:] in ("=", "[", ",", "{", ":", "("):
            quote = char  # an apostrophe inside a word is no quote
        elif char in _OPENERS:
            closing.append(_OPENERS[char])
        elif closing and char == closing[-1]:
            closing.pop()
        elif char == "," and not closing:
            yield rest[start:at]
            start = at + 1
    if quote or closing:
        raise UsageError(f"In the spec {whole!r}, a {quote or closing[-1]!r} is missing at the end.")
    if rest[start:].strip() or start:
        yield rest[start:]


def _read(raw: str) -> Any:
    if " #" in raw and raw[0] not in "\"'[{":
        return raw  # YAML would take the rest for a comment
    try:
        return yaml.safe_load(raw)
    except yaml.YAMLError:
        return raw  # such as a path that begins with '@'


def _write(value: Any, raw: str | None) -> str:
    if raw is not None:
        return raw
    if isinstance(value, str) and _PLAIN.fullmatch(value) and _read(value) == value:
        return value
    if isinstance(value, (str, Path)):
        return json.dumps(str(value), ensure_ascii=False)
    return (
        yaml.safe_dump(value, default_flow_style=True, width=math.inf, allow_unicode=True)
        .removesuffix("\n...\n")
        .strip()
    )
