"""From reports to the space-separated words that the metrics count."""

from __future__ import annotations

import re
import subprocess
import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pycocoevalcap.tokenizer import ptbtokenizer  # type: ignore[import-untyped]

from rrgbench.errors import RunError
from rrgbench.types import Case
from rrgbench_coco import java

Tokenizer = Literal["ptb", "none"]
Pair = tuple[str, str] | None  # a candidate's and a reference's words; None where the tokenizer failed on either

# White space, control characters and lone surrogates. PTBTokenizer and METEOR read a text a line, and Java ends a line
# at more characters than \n (\r, U+2028, ...); surrogates have no UTF-8.
_BREAKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\ud800-\udfff]+")

_JAR = Path(ptbtokenizer.__file__).with_name(ptbtokenizer.STANFORD_CORENLP_3_4_1_JAR)
_COMMAND = ["java", "-cp", str(_JAR), "edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase"]
_PUNCTUATION = frozenset(ptbtokenizer.PUNCTUATIONS)

_LONG = 20_000  # characters; a text beyond is tokenized by a process of its own
_MOST_FAILURES = 10


class _StoppedError(Exception):
    """PTBTokenizer gave no answer, or none that can be trusted; the message says why."""


def check(metric: str, tokenizer: Tokenizer) -> None:
    """Raise UsageError if the tokenizer can't run on this machine."""
    if tokenizer == "ptb":
        java.require(
            f"The metric {metric!r} with the PTB tokenizer",
            f"{metric}:tokenizer=none, which splits on white space (R2Gen's way; not the same scores)",
        )


def pairs(cases: Sequence[Case], tokenizer: Tokenizer) -> list[Pair]:
    """The candidate and the reference of each case, in order, as space-separated words.

    None, and a warning that names the studies, where the tokenizer could not do one of the two.
    """
    texts = [case.candidate or "" for case in cases] + [case.reference or "" for case in cases]
    words = tokenized(texts, tokenizer)
    out: list[Pair] = []
    for candidate, reference in zip(words[: len(cases)], words[len(cases) :], strict=True):
        out.append(None if candidate is None or reference is None else (candidate, reference))
    if failed := [case.study.study_id for case, pair in zip(cases, out, strict=True) if pair is None]:
        warnings.warn(f"The PTB tokenizer failed on the texts of: {', '.join(failed)}.", stacklevel=3)
    return out


def tokenized(texts: Sequence[str], tokenizer: Tokenizer) -> list[str | None]:
    """Each text as its words, separated by single spaces; None where the tokenizer failed on it.

    "ptb" is what ``COCOEvalCap`` does: Stanford's PTBTokenizer, lower case, punctuation removed. "none" takes the words
    as they stand between white space, which is what R2Gen hands to the scorers.
    """
    tidy = tuple(_BREAKS.sub(" ", text).strip() for text in texts)
    return list(_ptb(tidy)) if tokenizer == "ptb" and tidy else list(tidy)


@lru_cache(maxsize=2)  # the metrics of one run tokenize the same texts: one JVM for all of them
def _ptb(texts: tuple[str, ...]) -> tuple[str | None, ...]:
    """The output of ``pycocoevalcap.tokenizer.ptbtokenizer.PTBTokenizer``, without its temporary file."""
    long = {place for place, text in enumerate(texts) if len(text) > _LONG}
    lines: dict[int, str | None] = {}
    for places in ([n for n in range(len(texts)) if n not in long], *([n] for n in sorted(long))):
        lines.update(zip(places, _each([texts[n] for n in places]), strict=True))
        if sum(line is None for line in lines.values()) > _MOST_FAILURES:
            raise RunError(f"The PTB tokenizer failed on more than {_MOST_FAILURES} texts; use tokenizer=none.")
    return tuple(None if (line := lines[n]) is None else _without_punctuation(line) for n in range(len(texts)))


def _without_punctuation(line: str) -> str:
    return " ".join(word for word in line.rstrip().split(" ") if word not in _PUNCTUATION)


def _each(texts: Sequence[str]) -> list[str | None]:
    """A line of words a text; None for a text that PTBTokenizer can't do, which is found by halving."""
    if not texts:
        return []
    try:
        return list(_lines(texts))
    except _StoppedError:
        _try_a_word()
    if len(texts) == 1:
        return [None]
    half = len(texts) // 2
    return _each(texts[:half]) + _each(texts[half:])


def _try_a_word() -> None:
    """Raise RunError if PTBTokenizer does not even do this."""
    try:
        _lines(["word"])
    except _StoppedError as error:
        raise RunError(f"The PTB tokenizer does not work: {error}.") from error


def _lines(texts: Sequence[str]) -> list[str]:
    """PTBTokenizer's line of words for each text, in one process. Raises _StoppedError where any is in doubt.

    Before and after each text stands a line that begins with its number: a shift is seen. Each of these lines also
    ends whatever a text may have left open ('No.' before a number, '<a b="'): its words are its own.
    """
    between = [f"""rrg{n}bench"<'<x""" for n in range(len(texts) + 1)]
    asked = [line for pair in zip(between, texts, strict=False) for line in pair] + between[-1:]
    limit = seconds(texts)
    try:
        done = subprocess.run(_COMMAND, input="\n".join(asked).encode(), capture_output=True, timeout=limit, check=True)
    except subprocess.TimeoutExpired:
        raise _StoppedError(f"stopped after {limit:.0f} s") from None
    except (OSError, subprocess.CalledProcessError) as error:
        words = getattr(error, "stderr", b"").decode(errors="replace").strip()
        raise _StoppedError(words[-500:] or str(error)) from error
    lines = done.stdout.decode().split("\n")
    numbers = [line.partition(" ")[0] for line in lines[::2]]
    if len(lines) != len(asked) or numbers != [f"rrg{n}bench" for n in range(len(between))]:
        raise _StoppedError(f"{len(lines)} lines for {len(asked)}, or not in order")
    return lines[1::2]


def seconds(texts: Sequence[str]) -> float:
    """How long PTBTokenizer may take: several times what was measured on two busy cores.

    It does a million characters in a second, but for some its time grows with the square of the text: 20 s for 100,000
    times ``~`` (an emoji counts as two).
    """
    return 60 + sum(min((2 * len(text)) ** 2 / 2e8, 300) for text in texts)
