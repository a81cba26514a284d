"""From reports to the space-separated words that the metrics count."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pycocoevalcap.tokenizer import ptbtokenizer  # type: ignore[import-untyped]

from rrgbench.errors import RunError
from rrgbench.types import Case
from rrgbench_coco import java

Tokenizer = Literal["ptb", "none"]

# White space, control characters and lone surrogates. PTBTokenizer and METEOR read a text a line, and Java ends a line
# at more characters than \n (\r, U+2028, ...); surrogates have no UTF-8.
_BREAKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\ud800-\udfff]+")

_JAR = Path(ptbtokenizer.__file__).with_name(ptbtokenizer.STANFORD_CORENLP_3_4_1_JAR)
_PUNCTUATION = frozenset(ptbtokenizer.PUNCTUATIONS)


def check(metric: str, tokenizer: Tokenizer) -> None:
    """Raise UsageError if the tokenizer can't run on this machine."""
    if tokenizer == "ptb":
        java.require(
            f"The metric {metric!r} with the PTB tokenizer",
            f"{metric}:tokenizer=none, which splits on white space (R2Gen's way; not the same scores)",
        )


def pairs(cases: Sequence[Case], tokenizer: Tokenizer) -> tuple[list[str], list[str]]:
    """The candidates and the references of the cases, in order, as space-separated words."""
    texts = [case.candidate or "" for case in cases] + [case.reference or "" for case in cases]
    words = tokenized(texts, tokenizer)
    return words[: len(cases)], words[len(cases) :]


def tokenized(texts: Sequence[str], tokenizer: Tokenizer) -> list[str]:
    """Each text as its words, separated by single spaces.

    "ptb" is what ``COCOEvalCap`` does: Stanford's PTBTokenizer, lower case, punctuation removed. "none" takes the words
    as they stand between white space, which is what R2Gen hands to the scorers.
    """
    tidy = tuple(_BREAKS.sub(" ", text).strip() for text in texts)
    return list(_ptb(tidy)) if tokenizer == "ptb" and tidy else list(tidy)


@lru_cache(maxsize=2)  # the metrics of one run tokenize the same texts: one JVM for all of them
def _ptb(texts: tuple[str, ...]) -> tuple[str, ...]:
    """The output of ``pycocoevalcap.tokenizer.ptbtokenizer.PTBTokenizer``, without its temporary file."""
    command = ["java", "-cp", str(_JAR), "edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase"]
    limit = seconds(texts)
    try:
        done = subprocess.run(command, input="\n".join(texts).encode(), capture_output=True, timeout=limit, check=True)
    except subprocess.TimeoutExpired:
        raise RunError(
            f"The PTB tokenizer did not finish {len(texts)} texts in {limit:.0f} s and was stopped; the longest has "
            f"{max(map(len, texts))} characters. Shorten it, or use tokenizer=none."
        ) from None
    except (OSError, subprocess.CalledProcessError) as error:
        words = getattr(error, "stderr", b"").decode(errors="replace").strip()
        raise RunError(f"The PTB tokenizer failed: {words[-500:] or error}") from error
    lines = done.stdout.decode().split("\n")
    if len(lines) != len(texts):
        raise RunError(f"The PTB tokenizer gave {len(lines)} lines for {len(texts)} texts: none can be trusted.")
    return tuple(" ".join(word for word in line.rstrip().split(" ") if word not in _PUNCTUATION) for line in lines)


def seconds(texts: Sequence[str]) -> float:
    """How long PTBTokenizer may take: several times what was measured on two busy cores.

    It does a million characters in a second, but its time grows with the square of a stretch without a space (20 s for
    100,000 times ``~``; an emoji counts as two).
    """
    stretches = (2 * len(word) for text in texts for word in text.split(" "))
    return 60 + sum(map(len, texts)) / 50_000 + sum(stretch**2 for stretch in stretches) / 2e8
