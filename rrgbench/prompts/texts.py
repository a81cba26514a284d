"""What prompts say to a model, as files: a version, the messages, placeholders in braces.

A file begins with ``---``, ``version: 1``, ``---``; then come messages, each below a line ``[system]``, ``[user]`` or
``[assistant]``; the last is the user's. docs/prompts.md lists the placeholders. Braces around anything else than a
lower-case word are text (``{"a": 1}``).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import yaml

from rrgbench.errors import UsageError, did_you_mean
from rrgbench.types import Message, Role

# Of a prompt of one call: the sections that are wanted; findings and indication; each of the two alone.
OF_A_STUDY = ("layout", "description", "findings", "indication")
FINDINGS = ("description", "findings")  # one of the two must be there
_RULES = "rules"  # texts/rules.md, the same for every prompt
PACKAGE = "rrgbench.prompts"
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_FRONT = re.compile(r"---\r?\n(.*?)\r?\n---\r?\n(.*)", re.DOTALL)
_MESSAGE = re.compile(rf"^\[({'|'.join(get_args(Role))})\][ \t]*$", re.MULTILINE)
_MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class PromptText:
    """The messages of a file, with placeholders. ``signature`` names its version and a digest of what it says."""

    version: str
    messages: tuple[Message, ...]

    @property
    def signature(self) -> str:
        """``text:<version>-<the first 8 digits of a SHA-256>``."""
        return signed("text", self.version, "".join(f"[{m.role}]\n{m.content}\n" for m in self.messages))

    def fill(self, **values: str) -> list[Message]:
        """The messages with the placeholders' values. What stands in a value is no placeholder."""
        return [Message(m.role, _PLACEHOLDER.sub(lambda at: values[at[1]], m.content)) for m in self.messages]


def load(
    name: str,
    placeholders: Collection[str],
    needed: Collection[str],
    own: Path | None = None,
    package: str = PACKAGE,
) -> PromptText:
    """The text of this name that a package has in its folder ``texts``, or the user's ``own`` file in its place.

    ``placeholders`` are those that may stand in it, ``needed`` those of which one must (so that the findings reach the
    model). Raises UsageError for what is wrong with the user's own.
    """
    source = str(own) if own else f"{name}.md"
    version, body = _parts(_read(own) if own else _shipped(source, package), source)
    more = [_RULES] if package == PACKAGE else []
    if more:
        body = body.replace(f"{{{_RULES}}}", rules())
    for at in _PLACEHOLDER.finditer(body):
        if at[1] not in placeholders:
            known = ", ".join(f"{{{each}}}" for each in (*placeholders, *more))
            raise UsageError(
                f"{source}: there is no placeholder {at[0]}.{did_you_mean(at[1], [*placeholders, *more])} This prompt"
                f" has: {known}."
            )
    if not any(f"{{{each}}}" in body for each in needed):
        wanted = " or ".join(f"{{{each}}}" for each in needed)
        raise UsageError(f"{source}: lacks {wanted}, without which the model isn't told what to write of.")
    return PromptText(version, _messages(body, source))


@cache
def rules() -> str:
    """What the model may say and may not, for every prompt."""
    return _parts(_shipped(f"{_RULES}.md"), _RULES)[1].strip()


@cache
def demonstrations() -> tuple[str, str]:
    """The prefix of ``icil:mode=cross_task``, each demonstration laid out as TAPP's are, and its signature."""
    data = yaml.safe_load(_shipped("cross_task.yaml"))
    prefix = "\n\n".join(demonstration(**each) for each in data["demonstrations"])
    return prefix, signed("demonstrations", str(data["version"]), prefix)


def demonstration(instruction: str, input: str, output: str = "", **_: object) -> str:
    """One task in TAPP's layout (demos/ICIL of seonghyeonye/TAPP); the one to be solved has no output."""
    return f"Definition: {instruction}\n\nInput: {input}\nOutput: {output}".rstrip()


def signed(kind: str, version: str, text: str) -> str:
    """``<kind>:<version>-<digest>``: what a text is called in a signature."""
    return f"{kind}:{version}-{sha256(text.encode()).hexdigest()[:8]}"


def _shipped(file: str, package: str = PACKAGE) -> str:
    return files(package).joinpath("texts", file).read_text(encoding="utf-8")


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UsageError(f"{path}: has more than {_MAX_BYTES:,} bytes: no prompt's text has.")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: the prompt's text can't be read ({error}).") from None


def _parts(text: str, source: str) -> tuple[str, str]:
    """The version and what follows the front matter."""
    match = _FRONT.match(text.removeprefix("\ufeff"))
    try:
        front: Any = yaml.safe_load(match[1]) if match else None
    except yaml.YAMLError:
        front = None
    if match is None or not isinstance(front, Mapping) or front.get("version") in (None, ""):
        raise UsageError(f"{source}: must begin with the three lines '---', 'version: 1', '---'.")
    return str(front["version"]), match[2].replace("\r\n", "\n")


def _messages(body: str, source: str) -> tuple[Message, ...]:
    preamble, *rest = _MESSAGE.split(body)
    messages = tuple(Message(*pair) for pair in zip(rest[::2], (text.strip() for text in rest[1::2]), strict=True))  # type: ignore[arg-type]
    if preamble.strip() or not messages:
        raise UsageError(f"{source}: each message stands below a line [system], [user] or [assistant].")
    if messages[-1].role != "user":
        raise UsageError(f"{source}: the last message must be the [user]'s, which the model answers.")
    return messages
