"""``green``: matched findings against clinically significant errors (arXiv 2405.03595; Stanford-AIMI/GREEN)."""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from rrgbench.errors import UsageError
from rrgbench.interfaces import LLM, Ask
from rrgbench.judging import Unreadable, answered
from rrgbench.types import Case, Failure
from rrgbench_judges.judge import LLMJudge, shown
from rrgbench_judges.reading import count, repeats, said

# The letters of the reply, and what errors of that type are called in scores.
TYPES = {
    "a": "false_finding",
    "b": "omitted_finding",
    "c": "location",
    "d": "severity",
    "e": "false_comparison",
    "f": "omitted_comparison",
}
SIGNIFICANT = "clinically significant errors"
INSIGNIFICANT = "clinically insignificant errors"
MATCHED = "matched findings"
_BY_TYPE = tuple(f"green_significant_{name}" for name in TYPES.values())
# What one report gets at worst and at best; NaN where nothing bounds it.
_BOUNDS = {
    "green": (0.0, 1.0),
    "green_upstream": (0.0, 1.0),
    "green_error_free": (0.0, 1.0),
    "green_matched": (0.0, np.nan),
    **dict.fromkeys(("green_significant_errors", "green_insignificant_errors", *_BY_TYPE), (np.nan, 0.0)),
}


class Green(LLMJudge):
    """How much of what two reports say is alike: matched findings / (these and the clinically significant errors).

    ``green``, 0 to 1, higher is better: the mean over the reports; 0 where nothing matches. ``green_upstream`` is what
    GREEN's own parser makes of the first reply to the letter: a block that is missing counts as no errors and as no
    match, so that a reply without any block is 0 there, and a failure of ``green``.
    ``green_matched`` (higher is better), ``green_significant_errors``, ``green_insignificant_errors`` and those of each
    of the six types (``green_significant_location``; lower is better, from 0 up) are means a report;
    ``green_error_free``, 0 to 1, higher is better, is the share of reports without a significant error.

    An empty candidate matches nothing: ``green``, ``green_upstream`` and ``green_matched`` are 0, the others undefined,
    and nobody is asked. ``words``: both reports are cut to so many words, as GREEN does; 0 leaves them as they are.

    GREEN's released judges (StanfordAIMI/GREEN-radllama2-7b and others) were tuned on GREEN's own prompt, which
    ``text`` can give; asked in the words that come with rrgbench they are unverified.
    """

    name = "green"
    asks = {"green": ("candidate", "reference")}
    higher_is_better: Mapping[str, bool] = {name: best != 0.0 for name, (_, best) in _BOUNDS.items()}

    def __init__(
        self,
        judge: LLM | None = None,
        replies: Path | None = None,
        text: Path | None = None,
        repeat: int = 1,
        words: int = 300,
    ) -> None:
        super().__init__(judge, replies, text, repeat)
        if words < 0:
            raise UsageError(f"green: words must be 0 (all of them) or more, not {words}.")
        self._words = words

    async def row(self, case: Case, ask: Ask) -> Mapping[str, float] | Failure:
        """The scores of one case; only ``green_upstream`` where its first reply can't be read, nor its second."""
        if not (case.candidate or "").strip():
            return {"green": 0.0, "green_upstream": 0.0, "green_matched": 0.0}
        candidate = self._cut(case.candidate)
        texts = {"candidate": shown(candidate), "reference": shown(self._cut(case.reference))}
        read = partial(findings, candidate=candidate, examples=self.examples)
        answer = await answered(ask, self.texts["green"].fill(**texts), read)
        if isinstance(answer.value, Failure):
            return {"green_upstream": upstream(answer.replies[0])} if answer.replies else answer.value
        found = answer.value
        matched, errors = found["green_matched"], found["green_significant_errors"]
        score = matched / (matched + errors) if matched else 0.0
        scores = {"green": score, "green_upstream": upstream(answer.replies[0]), "green_error_free": errors == 0}
        return {name: float(value) for name, value in (found | scores).items()}

    def bounds(self, name: str) -> tuple[float, float]:
        """Shares are 0 to 1; nothing bounds how many findings match, or how many errors there are."""
        return _BOUNDS[name]

    def witness(self, name: str) -> str:
        """Every score fails with ``green``, but ``green_upstream``, which needs a reply and no more."""
        return name if name == "green_upstream" else "green"

    def _cut(self, text: str | None) -> str:
        return " ".join((text or "").split()[: self._words]) if self._words else text or ""


# --- our own reading --------------------------------------------------------------------------------------------------

# In brackets wherever it stands, since a report that is quoted may hold one; without brackets, where a line begins.
_HEADER = re.compile(
    rf"(?:^[ \t#*_>-]*\[?|\[[ \t]*)({SIGNIFICANT}|{INSIGNIFICANT}|{MATCHED})[ \t*_]*(?:\][ \t*_]*:?|:)[ \t*_]*",
    re.IGNORECASE | re.MULTILINE,
)
_COUNT = r"[ \t*_]*([0-9]+)(?:\.(?![0-9])|[ \t]*(?=\n))"  # one that nothing ends may have been cut
_ERRORS = re.compile(rf"^[ \t>*_-]*\(([a-f])\)[^:\n0-9]*:{_COUNT}", re.MULTILINE)
_MARK = re.compile(r"\([a-f]\)")
# A line that is none of those and may count something all the same; one of those with another count in it.
_ODD = re.compile(
    r"^(?:(?![ \t>*_-]*\([a-f]\))(?:.*[\d:]|[^A-Za-z\n]*[A-Za-z][.)])|.*:.*:[ \t]+\d+\.(?!\d))", re.MULTILINE
)
_NUMBERED = re.compile(r"(?:^|;)[ \t*-]*[0-9]+[.)](?=\s)", re.MULTILINE)
_NOTHING = re.compile(
    r"(?:none|no(?: (?:clinical(?:ly)?|significant|insignificant|match(?:ed|ing)))* (?:errors?|findings?|match(?:es)?))"
    r"(?: (?:were |was )?(?:found|identified|noted|present))?",
    re.IGNORECASE,
)


def findings(reply: str, candidate: str = "", examples: Collection[str] = ()) -> dict[str, int]:
    """The matched findings and the errors that a reply counts, by the names of scores.

    Each of the three blocks must stand there once. A block of errors says that there are none, or has a count for each
    of the six types. It may leave out types that it has no error of, as GREEN's own judge does, where the reply lists
    no zeros at all and the block isn't its end, where something may have been lost. How many findings are named after
    a count is not looked at, but after a 0: GREEN's judge counts two as one at times.

    Raises Unreadable, also where all blocks stand in the candidate, as they may be a quotation and the judge's own be
    lost, and where all stand in an example of the prompt, which names findings of other reports.
    """
    text = said(reply.replace("</s>", ""), candidate)
    _, *pieces = _HEADER.split(text)  # a header and what stands below it, in turn
    names = [name.lower() for name in pieces[::2]]
    for name in (SIGNIFICANT, INSIGNIFICANT, MATCHED):
        if names.count(name) != 1:
            raise Unreadable(f"it has the block [{name.title()}] {names.count(name)} times, not once")
    blocks = dict(zip(names, pieces[1::2], strict=True))
    if _stand_in({name: _counted(block) for name, block in blocks.items()}, candidate):
        raise Unreadable("its blocks stand word for word in the candidate")
    whole = {name: _paragraph(block.lstrip()) for name, block in blocks.items()}
    if any(_stand_in(whole, example) for example in examples):
        raise Unreadable("its blocks are those of the example")
    errors = {name: _errors(blocks[name], name.title()) for name in (SIGNIFICANT, INSIGNIFICANT)}
    zeros = any(0 in counts.values() for counts in errors.values())
    for name, counts in errors.items():
        if 0 < len(counts) < len(TYPES) and (zeros or names[-1] == name):
            raise Unreadable(f"the block [{name.title()}] lacks ({min(TYPES.keys() - counts.keys())})")
    significant = errors[SIGNIFICANT]
    return {
        "green_matched": _matched(blocks[MATCHED]),
        "green_significant_errors": sum(significant.values()),
        "green_insignificant_errors": sum(errors[INSIGNIFICANT].values()),
        **{f"green_significant_{name}": significant.get(letter, 0) for letter, name in TYPES.items()},
    }


def _errors(block: str, title: str) -> dict[str, int]:
    """The errors by letter, of those that it lists; none where it says that there are none."""
    lines = list(_ERRORS.finditer(block))
    if len(lines) != len(_MARK.findall(block)):
        raise Unreadable(f"a line of [{title}] is not of the form '(a) type: count.' with a count in digits")
    if not lines and _is_nothing(block):
        return {}
    if not lines or block[: lines[0].start()].strip():
        raise Unreadable(f"the block [{title}] does not begin with its line (a)")
    if _ODD.search(block):
        raise Unreadable(f"a line of [{title}] may count more than its one type, or one that has no letter in brackets")
    for line, end in zip(lines, [*(line.start() for line in lines[1:]), len(block)], strict=True):
        if not line[2].strip("0") and not _is_nothing(_paragraph(block[line.end() : end]), empty=True):
            raise Unreadable(f"({line[1]}) of [{title}] counts 0 and names some")
    counts = {line[1]: count(line[2], f"({line[1]}) of [{title}]") for line in lines}
    if len(counts) < len(lines):
        raise Unreadable(f"a type stands twice in [{title}]")
    return counts


def _matched(block: str) -> int:
    found = re.match(_COUNT, block.lstrip())
    if _NUMBERED.search(block.lstrip(), found.end() if found else 0):
        raise Unreadable("it numbers the matched findings in place of one count before them all")
    if found:
        matched = count(found[1], "the number of matched findings")
        if not matched and not _is_nothing(_paragraph(block.lstrip()[found.end() :]), empty=True):
            raise Unreadable("it counts 0 matched findings and names some")
        return matched
    if _is_nothing(block):
        return 0
    raise Unreadable("the block [Matched Findings] does not begin with a count in digits and a full stop")


def _is_nothing(text: str, empty: bool = False) -> bool:
    """Whether a text says that there are none, and no more; or has no words, where it may be empty."""
    bare = text.strip(" \t\r\n*_.-")
    return bool(_NOTHING.fullmatch(bare)) or (empty and not bare)


def _paragraph(text: str) -> str:
    return re.split(r"\n\s*\n", text, maxsplit=1)[0]


def _stand_in(blocks: Mapping[str, str], other: str) -> bool:
    return all(repeats(_words(f"{name} {block}"), [_words(other)]) for name, block in blocks.items())


def _counted(block: str) -> str:
    """A block to the end of its last count, or all of one without: what follows a count may not be quoted any more."""
    number = re.match(rf"\s*{_COUNT}", block)
    ends = [number.end()] if number else [line.end() for line in _ERRORS.finditer(block)]
    return block[: ends[-1]] if ends else block


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", html.unescape(text)))


# --- GREEN's own parser -----------------------------------------------------------------------------------------------


def upstream(reply: str) -> float:
    """What GREEN makes of a reply, to the letter (``clean_responses`` of its utils.py, ``compute_green``).

    A block ends at an empty line. One that is missing, or that begins with "No", counts nothing, and so does a line
    without a number between ": " and ".".
    """
    text = reply.rpartition("<|assistant|>")[2]
    explained = text.split("[Explanation]:")
    text = explained[1 if "[Explanation]:\n    <Explanation>\n" in text else -1]
    text = text.replace("</s>", "").replace("<unk>", "")

    found = re.match(r"\d+\b(?=\.)", _upstream_block(text, "Matched Findings"))
    matched = int(found[0]) if found else 0
    if matched == 0:
        return 0.0
    block = _upstream_block(text, "Clinically Significant Errors")
    lines = re.findall(r"\([a-f]\) .*", block) or re.findall(r"\([1-6]\) .*", block)
    errors: dict[str, int] = {}
    for line in sorted(lines):  # of a type that stands there twice, the last in this order is taken
        if number := re.search(r"(?<=: )\b\d+\b(?=\.)", line):
            errors[line[:3]] = int(number[0])
    return matched / (matched + sum(errors.values()))


def _upstream_block(text: str, name: str) -> str:
    found = re.search(rf"\[{name}\]:\s*(.*?)(?:\n\s*\n|\Z)", text, re.DOTALL)
    return "" if found is None or found[1].startswith("No") else found[1]
