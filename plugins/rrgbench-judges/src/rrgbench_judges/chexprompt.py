"""``chexprompt``: errors by type and significance (LLaVA-Rad, arXiv 2403.08002; microsoft/chexprompt)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial

from rrgbench.interfaces import Ask
from rrgbench.judging import Unreadable, answered
from rrgbench.types import Case, Failure
from rrgbench_judges.judge import LLMJudge, shown
from rrgbench_judges.reading import count, repeats, said

# The letters of the reply, and what errors of that type are called in scores.
TYPES = {
    "A": "false_finding",
    "B": "omitted_finding",
    "C": "location",
    "D": "severity",
    "E": "false_comparison",
    "F": "omitted_comparison",
}
WEIGHTS = ("significant", "insignificant")
_ERRORS = tuple(f"{weight}_{name}" for weight in WEIGHTS for name in TYPES.values())
_TOTALS = {"errors": _ERRORS, **{f"{w}_errors": tuple(c for c in _ERRORS if c.startswith(f"{w}_")) for w in WEIGHTS}}
_FREE = {"error_free": "errors", "significant_error_free": "significant_errors"}
_LINE = re.compile(r"\bclinically (significant|insignificant) errors by type\b[ *]*:", re.IGNORECASE)
_EXPLANATION = re.compile(r"\bexplanation\b", re.IGNORECASE)
_PAIR = re.compile(r"[(\[]\s*['\"]?([A-F])['\"]?\s*[,:]\s*['\"]?([^\s,()\[\]'\"]+)['\"]?\s*[)\]]")


class CheXprompt(LLMJudge):
    """Errors of a report against its reference, as a judge counts them: lower is better, from 0 up without a bound.

    ``chexprompt_errors``, ``chexprompt_significant_errors`` and ``chexprompt_insignificant_errors`` are means a report,
    and so are those of each of the six types (``chexprompt_significant_location``).
    ``chexprompt_error_free`` and ``chexprompt_significant_error_free``, 0 to 1, higher is better: the share of reports
    without any error, and without a significant one.
    """

    name = "chexprompt"
    asks = {"chexprompt": ("candidate", "reference")}
    higher_is_better: Mapping[str, bool] = {
        **{f"chexprompt_{name}": False for name in (*_TOTALS, *_ERRORS)},
        **{f"chexprompt_{name}": True for name in _FREE},
    }

    async def row(self, case: Case, ask: Ask) -> Mapping[str, float] | Failure:
        """The errors by weight and type, their sums, and whether there are none."""
        texts = {"candidate": shown(case.candidate), "reference": shown(case.reference)}
        read = partial(errors, candidate=case.candidate or "")
        answer = await answered(ask, self.texts["chexprompt"].fill(**texts), read)
        if isinstance(answer.value, Failure):
            return answer.value
        found = answer.value
        totals = {name: sum(found[part] for part in parts) for name, parts in _TOTALS.items()}
        free = {name: int(totals[of] == 0) for name, of in _FREE.items()}
        return {f"chexprompt_{name}": float(value) for name, value in (found | totals | free).items()}


def errors(reply: str, candidate: str = "") -> dict[str, int]:
    """The errors by weight and type that a reply counts. What follows "Explanation" must not hold them again.

    Raises Unreadable unless each of the two lines stands there once, above an explanation, and counts each of the six
    types once, and where both stand in the candidate: they may be a quotation, and the judge's own count be lost.
    """
    text = said(reply, candidate)
    answer = _EXPLANATION.split(text, maxsplit=1)[0]
    lines = list(_LINE.finditer(text))
    out: dict[str, int] = {}
    quoted = []
    for weight in WEIGHTS:
        here = [line for line in lines if line[1].lower() == weight]
        if len(here) != 1:
            raise Unreadable(f"the line with the {weight} errors stands there {len(here)} times")
        start, end = here[0].span()
        line = _LINE.split(answer[end:])[0].partition("\n")[0]
        pairs = list(_PAIR.finditer(line))
        if sorted(pair[1] for pair in pairs) != list(TYPES):
            raise Unreadable(f"the line with the {weight} errors does not count each of A to F once")
        quoted.append(repeats(text[start : end + pairs[-1].end()], [candidate]))
        for pair in pairs:
            out[f"{weight}_{TYPES[pair[1]]}"] = count(pair[2], f"{weight} {pair[1]}")
    if all(quoted):
        raise Unreadable("its two lines stand word for word in the candidate")
    return out
