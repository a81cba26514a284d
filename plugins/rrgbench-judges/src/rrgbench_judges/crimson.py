"""``crimson``: abnormal findings weighted by what they mean for the patient (CRIMSON, arXiv 2603.06183)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rrgbench.interfaces import LLM, Ask
from rrgbench.judging import answered
from rrgbench.types import Case, Failure
from rrgbench_judges.crimson_arithmetic import ERROR_TYPES, SEVERITY, SIGNIFICANCE, Evaluation, weigh
from rrgbench_judges.crimson_reading import REPORTS, evaluation
from rrgbench_judges.judge import LLMJudge, form, shown
from rrgbench_judges.reading import MOST

_SENTENCE_END = re.compile(r"(?<=[^\d][.!?])\s+|\n[^\S\n]*\n")  # "1. Clear lungs." is one; lines may be wrapped
_NOT_GIVEN = "not given"


class Crimson(LLMJudge):
    """What a report says of the abnormal findings of its reference, each with the weight it has for the patient.

    ``crimson``, above -1 and up to 1, higher is better: the mean over the reports of 1 for all findings and nothing
    else, 0 for as much as a normal template says, less where false findings outweigh the right ones.
    ``crimson_false_weight``, ``crimson_missing_weight`` and ``crimson_attribute_weight``, 0 or above, lower is better:
    the mean weight of a report's false findings, missing findings and errors within matched findings.

    ``context``: the judge is told the patient's age and the indication where the study has them, as upstream does.
    ``text``: where a file of your own does not ask for "no_finding", the reports are shown as they stand, and the reply
    is to be as upstream's, without sentences. Recorded replies of upstream's judge need such a file, too: with the text
    that is shipped, a reply must account for each sentence.

    Normal findings are not scored. So an empty candidate has 0, or 1 if its reference has no finding that weighs
    anything: the judge is asked, for only the reference can tell.
    """

    name = "crimson"
    asks = {"crimson": ("candidate", "reference", "age", "indication")}
    higher_is_better: Mapping[str, bool] = {
        "crimson": True,
        "crimson_false_weight": False,
        "crimson_missing_weight": False,
        "crimson_attribute_weight": False,
    }

    def __init__(
        self,
        judge: LLM | None = None,
        replies: Path | None = None,
        text: Path | None = None,
        repeat: int = 1,
        context: bool = True,
    ) -> None:
        super().__init__(judge, replies, text, repeat)
        self._context = context
        self._by_sentence = any('"no_finding"' in message.content for message in self.texts["crimson"].messages)

    async def row(self, case: Case, ask: Ask) -> Mapping[str, float] | Failure:
        """The score of one report and the weights of its errors."""
        reference, candidate = sentences(case.reference), sentences(case.candidate)
        known = {"age": age(case), "indication": shown(case.study.sections.get("indication"))} if self._context else {}
        messages = self.texts["crimson"].fill(
            reference=_numbered(reference) if self._by_sentence else shown(case.reference),
            candidate=_numbered(candidate) if self._by_sentence else shown(case.candidate),
            age=known.get("age") or _NOT_GIVEN,
            indication=known.get("indication") or _NOT_GIVEN,
        )

        theirs = "\n".join([case.candidate or "", " ".join(candidate)])  # as it stands, and as the judge is shown it

        def read(reply: str) -> Evaluation:
            return evaluation(reply, len(reference), len(candidate), self._by_sentence, theirs, self.examples)

        answer = await answered(ask, messages, read, schema(self._by_sentence))
        if isinstance(answer.value, Failure):
            return answer.value
        weighed = weigh(answer.value)
        return {
            "crimson": weighed.crimson,
            "crimson_false_weight": weighed.false,
            "crimson_missing_weight": weighed.missing,
            "crimson_attribute_weight": weighed.attributes,
        }

    def bounds(self, name: str) -> tuple[float, float]:
        """A report's score lies between -1, which it can't reach, and 1; nothing bounds the weight of its errors."""
        return (-1.0, 1.0) if name == "crimson" else super().bounds(name)


# --- what is asked ----------------------------------------------------------------------------------------------------


def sentences(text: str | None) -> list[str]:
    """The sentences of a report; nothing of its text is left out but white space."""
    return [" ".join(each.split()) for each in _SENTENCE_END.split(text or "") if each.strip()]


def _numbered(report: Sequence[str]) -> str:
    """A sentence a line, with its number: a line that a report's text makes up itself can't stand there."""
    return "\n".join(f"[{number}] {shown(each)}" for number, each in enumerate(report, 1))


def age(case: Case) -> str:
    """The patient's age as the study has it, in months below the age of two; empty where it has none."""
    value = case.study.demographics.get("age", "")
    if isinstance(value, str):
        return shown(value)
    return f"{value * 12:.0f} months" if value < 2 else f"{value:.0f} years"


def _array(items: Mapping[str, Any], least: int = 0, most: int = 40) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


def _id(letter: str) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^{letter}[1-9][0-9]?$"}


def _findings(letter: str, by_sentence: bool) -> dict[str, Any]:
    finding = {
        "id": _id(letter),
        "finding": {"type": "string", "minLength": 3, "maxLength": 160},
        **({"sentences": _array(_NUMBER, least=1, most=8)} if by_sentence else {}),
        "clinical_significance": {"enum": list(SIGNIFICANCE)},
    }
    return _array(form(finding))


_NUMBER = {"type": "integer", "minimum": 1, "maximum": MOST}
_PAIR = {"ref_id": _id("R"), "pred_id": _id("P")}
_ATTRIBUTE = {"error_types": _array({"enum": list(ERROR_TYPES)}, least=1, most=3), "severity": {"enum": list(SEVERITY)}}


def schema(by_sentence: bool = True) -> dict[str, Any]:
    """The form of a reply: with the sentences of each report, or without as upstream's."""
    sentences_without = {"no_finding": form({report: _array(_NUMBER, most=100) for report in REPORTS})}
    return form(
        {
            "reference_findings": _findings("R", by_sentence),
            "predicted_findings": _findings("P", by_sentence),
            **(sentences_without if by_sentence else {}),
            "matched_findings": _array(form(_PAIR)),
            "errors": form(
                {
                    "false_findings": _array(_id("P")),
                    "missing_findings": _array(_id("R")),
                    "attribute_errors": _array(form(_PAIR | _ATTRIBUTE)),
                }
            ),
        }
    )
