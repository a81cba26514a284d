"""``gema``: GEMA-Score (arXiv 2503.05347; Zhenxuan-Zhang/GEMA_score; PyPI gemascore 0.1.1).

The keys of the reply are those that the distilled models write; ``<attribute> matched`` is asked for beside them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rrgbench.errors import UsageError
from rrgbench.interfaces import LLM, Ask
from rrgbench.judging import answered
from rrgbench.types import Case, Failure
from rrgbench_judges.judge import LLMJudge, form, shown
from rrgbench_judges.reading import MOST, count, json_object, number

ATTRIBUTES = ("entity_name", "location", "severity", "uncertainty")
ERRORS = ("false_prediction", "omission")
QUALITIES = ("completeness", "readability", "clinical_utility")
WEIGHED = ("objective", *QUALITIES)  # what ``weights`` weighs, in this order
_FINAL = "weighted_final_score"
_RATINGS = {**{name: f"{name}_score" for name in QUALITIES}, "judge": _FINAL}
_KEYS = (*(f"{attribute} {error}" for attribute in ATTRIBUTES for error in ERRORS), *_RATINGS.values())
_MATCHED = tuple(f"{attribute} matched" for attribute in ATTRIBUTES)
_SCORES = ("judge", "objective", *(f"f1_{attribute}" for attribute in ATTRIBUTES), *QUALITIES)


class GEMA(LLMJudge):
    """What a judge makes of a report against its reference. All scores are 0 to 1, higher is better, means a report.

    ``gema_judge`` is the judge's own overall number. ``gema_objective`` is computed from what it counts: the mean of
    the F1 of entities, locations, severities and uncertainties, each ``2TP / (2TP + FP + FN)`` and given as
    ``gema_f1_<attribute>``. An attribute that neither report names (0 / 0) has no F1, and the mean is over the others.
    What is matched must be counted where the text asks for it, by the key "entity_name matched": the text shipped here
    does. Under one (``text``) that doesn't, as the distilled models' own, there is no F1 at all, which is no failure.
    ``gema_completeness``, ``gema_readability`` and ``gema_clinical_utility`` are the judge's ratings.

    ``weights``: four numbers (for objective, completeness, readability, clinical utility), or a mapping of these names,
    give ``gema_weighted``, their weighted mean. UNVERIFIED: the published weights are in no public code.
    ``scale``: the best rating on the scale of a judge with a ``text`` of its own; ratings are divided by it. 1 as in
    the text shipped here; the distilled models' is not published. So recorded replies of these go with ``text``, too:
    what they were asked.

    A report that counts as empty is not shown to the judge: it has 0 in every score.
    """

    name = "gema"
    asks = {"gema": ("candidate", "reference")}
    higher_is_better: Mapping[str, bool] = {f"gema_{name}": True for name in _SCORES}

    def __init__(
        self,
        judge: LLM | None = None,
        replies: Path | None = None,
        text: Path | None = None,
        repeat: int = 1,
        weights: list[float] | dict[str, float] | None = None,
        scale: float = 1.0,
    ) -> None:
        super().__init__(judge, replies, text, repeat)
        if not (math.isfinite(scale) and scale > 0):
            raise UsageError(f"gema: scale is the best rating that the judge can give, such as 100, not {scale:g}.")
        if scale != 1 and text is None:
            raise UsageError("gema: the text shipped here asks for ratings from 0 to 1; scale goes with text=FILE.")
        self._scale = scale
        self._schema = _schema() if text is None else None  # a text of the user's own has a form of its own
        self._counted = any(_MATCHED[0] in message.content for message in self.texts["gema"].messages)
        self._weights = None if weights is None else _weights(weights)
        if self._weights:
            self.higher_is_better = {**self.higher_is_better, "gema_weighted": True}

    @property
    def signature(self) -> str:
        """As every judge's; weights are marked as unverified."""
        return f"{super().signature}|weights-unverified" if self._weights else super().signature

    async def row(self, case: Case, ask: Ask) -> Mapping[str, float] | Failure:
        """Each score of one report, NaN where it is undefined."""
        if not case.candidate:
            return dict.fromkeys(self.higher_is_better, 0.0)
        texts = {"candidate": shown(case.candidate), "reference": shown(case.reference)}
        read = partial(
            scores, scale=self._scale, counted=self._counted, candidate=case.candidate, examples=self.examples
        )
        answer = await answered(ask, self.texts["gema"].fill(**texts), read, self._schema)
        if isinstance(answer.value, Failure):
            return answer.value
        row = {f"gema_{name}": value for name, value in answer.value.items()}
        if self._weights:
            used = {name: weight for name, weight in self._weights.items() if weight}
            row["gema_weighted"] = sum(w * row[f"gema_{name}"] for name, w in used.items()) / sum(used.values())
        return row

    def witness(self, name: str) -> str:
        """The judge failed where it gave no number of its own."""
        return "gema_judge"


def scores(
    reply: str, scale: float = 1.0, counted: bool = True, candidate: str = "", examples: Collection[str] = ()
) -> dict[str, float]:
    """The scores that a reply gives, by name; NaN where undefined. ``counted``: whether it counts what is matched.

    Raises Unreadable for a missing or an impossible number, and for an answer that stood there ready.
    """
    found = json_object(reply, (*_KEYS, *(_MATCHED if counted else ())), candidate, examples)
    out = {name: number(found[key], key, 0.0, scale) / scale for name, key in _RATINGS.items()}
    wrong = {a: sum(count(found[f"{a} {error}"], f"{a} {error}") for error in ERRORS) for a in ATTRIBUTES}
    matched = {a: count(found[f"{a} matched"], f"{a} matched") for a in ATTRIBUTES} if counted else {}
    f1 = {a: _f1(matched[a], wrong[a]) if counted else math.nan for a in ATTRIBUTES}
    defined = [value for value in f1.values() if not math.isnan(value)]
    out["objective"] = sum(defined) / len(defined) if defined else math.nan
    return {**out, **{f"f1_{a}": value for a, value in f1.items()}}


def _f1(matched: int, wrong: int) -> float:
    return 2 * matched / (2 * matched + wrong) if matched or wrong else math.nan


def _weights(given: Sequence[float] | Mapping[str, float]) -> dict[str, float]:
    """The weight of each of ``WEIGHED``. Raises UsageError."""
    if not isinstance(given, Mapping):
        given = dict(zip(WEIGHED, given, strict=True)) if len(given) == len(WEIGHED) else {}
    if sorted(given) != sorted(WEIGHED):
        raise UsageError(f"gema: weights are four numbers, or a mapping, for {', '.join(WEIGHED)}.")
    if not all(math.isfinite(weight) and weight >= 0 for weight in given.values()) or not any(given.values()):
        raise UsageError("gema: weights are 0 or more, and one of them is more than 0.")
    return dict(given)


def _schema() -> dict[str, Any]:
    """The reply as servers that can hold a model to a form are told of it."""
    words = {"type": "string", "maxLength": 200}
    properties: dict[str, Any] = {}
    for attribute in ATTRIBUTES:
        properties[f"{attribute} matched"] = {"type": "integer", "minimum": 0, "maximum": MOST}
        for error in ERRORS:
            properties[f"{attribute} {error}"] = {"type": "integer", "minimum": 0, "maximum": MOST}
            properties[f"{attribute} {error}_explanation"] = words
    for name in QUALITIES:
        properties[f"{name}_score"] = {"type": "number", "minimum": 0, "maximum": 1}
        properties[f"{name}_reason"] = words
    properties[_FINAL] = {"type": "number", "minimum": 0, "maximum": 1}
    return form(properties)
