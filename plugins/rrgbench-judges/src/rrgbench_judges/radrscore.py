"""``radrscore``: RadRScore, of a report's reasoning (arXiv 2504.20930; eval/reasoning_eval.py of ChestX-Reasoner)."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rrgbench import stats, tables
from rrgbench.cache import file_digest
from rrgbench.interfaces import LLM, Ask
from rrgbench.judging import Unreadable, answered
from rrgbench.types import Case, Failure, Judged, Report
from rrgbench_judges.judge import LLMJudge, column, form, judged_mean, means, shown
from rrgbench_judges.reading import json_object

MOST_ITEMS = 60  # findings or steps in one reasoning; a reply with more is a model that goes round in circles
_UNGUIDED = (
    "radrscore: a study without a reference reasoning counts for factuality alone, and radrscore needs all three terms;"
    " reasoning=FILE (study_id, reasoning) gives it, or the section 'reasoning' of the dataset"
)


@dataclass(frozen=True)
class Term:
    """What one question asks the judge to list (``items``, each an ``item``) and to mark, and of which text."""

    items: str
    item: str
    mark: str
    against: str  # the placeholder of the text that the reasoning is compared with
    least: int = 0  # items that a reply must list


# What the reasoning is compared with, and what is counted: get_precision, cal_recall and get_efficiency upstream.
TERMS = {
    "factuality": Term("findings", "finding", "supported", "report"),
    "completeness": Term("findings", "finding", "recalled", "reference"),
    "effectiveness": Term("steps", "step", "effective", "reference", least=1),
}


class RadRScore(LLMJudge):
    """How good a report's reasoning is, as a judge marks it: 0 to 1, higher is better.

    ``radrscore_factuality``: the findings of the reasoning that the reference report supports, of all that it names.
    ``radrscore_completeness``: the findings of the reference reasoning that it recalls, of all that this names.
    ``radrscore_effectiveness``: its steps that the reference reasoning supports, of all its steps. Each is the mean
    over the reports for which it is defined (0 / 0 is not). ``radrscore`` is the mean of the three, undefined where
    one is: by the paper's abstract alone, the public code gives only the three.

    The judge lists and marks, the counting is ours. The reasoning is ``Report.reasoning``; a report that has none has
    failed, though no judge did. ``reasoning``: a file with ``study_id`` and ``reasoning``, the reference reasoning; for
    a study that it lacks, the dataset's section "reasoning". Where there is neither, completeness and effectiveness are
    undefined, which is no failure. A question whose reply can't be used costs its own term alone.

    A report that counts as empty, with no reasoning, recalls nothing: its completeness is 0, the others are undefined.
    """

    name = "radrscore"
    asks = {f"radrscore_{name}": ("reasoning", term.against) for name, term in TERMS.items()}
    higher_is_better: Mapping[str, bool] = {
        **{f"radrscore_{name}": True for name in TERMS},
        "radrscore": True,
    }

    def __init__(
        self,
        judge: LLM | None = None,
        replies: Path | None = None,
        reasoning: Path | None = None,
        repeat: int = 1,
    ) -> None:
        super().__init__(judge, replies, repeat=repeat)
        self._reasoning = _read(reasoning) if reasoning else {}
        self._digest = f"|reference-reasoning:{file_digest(reasoning)[:12]}" if reasoning else ""

    @property
    def signature(self) -> str:
        """As every judge's, with the digest of the file of reference reasoning."""
        return super().signature + self._digest

    async def row(self, case: Case, ask: Ask) -> Mapping[str, float] | Failure:
        """Each term, NaN where it is undefined or failed, and whether it failed (``<term>_failed``, 1 or 0)."""
        study_id = case.study.study_id
        truth = (self._reasoning.get(study_id) or case.study.sections.get("reasoning", "")).strip()
        if not truth:
            warnings.warn(_UNGUIDED, stacklevel=1)
        reasoning = ((case.report.reasoning if isinstance(case.report, Report) else None) or "").strip()
        if not reasoning:
            if case.candidate:
                return Failure("no reasoning", "the system gave a report without its reasoning")
            return _row({"completeness": 0.0} if truth else {})
        against = {"report": case.reference, "reference": truth}
        found: dict[str, float | Failure] = {}
        for name, term in TERMS.items():
            if compared := against[term.against]:
                texts = {"reasoning": shown(reasoning), term.against: shown(compared)}
                read = partial(share, term=term, reasoning=reasoning, ready=[case.candidate or "", *self.examples])
                found[name] = (
                    await answered(ask, self.texts[f"radrscore_{name}"].fill(**texts), read, _schema(term))
                ).value
        failures = [value for value in found.values() if isinstance(value, Failure)]
        return failures[0] if failures and len(failures) == len(found) else _row(found)

    def reduce(self, rows: pd.DataFrame, weights: stats.Array | None = None) -> Mapping[str, stats.Array]:
        """The mean of each term over the reports, and the mean of the three means."""
        out = means(rows, [f"radrscore_{name}" for name in TERMS], weights)
        return {**out, "radrscore": np.mean(list(out.values()), axis=0)}

    def judged(self, rows: pd.DataFrame) -> Mapping[str, Judged]:
        """Every term is 0 to 1. A report that feeds a term feeds ``radrscore``: what failed of it is in the bounds.

        Where ``radrscore`` is undefined no report feeds it, and the judge failed where it failed at one of the terms.
        """
        failed = {name: column(rows, f"radrscore_{name}_failed") != 0 for name in TERMS}  # a row that failed is NaN
        values = {name: column(rows, f"radrscore_{name}") for name in TERMS}
        out = {f"radrscore_{name}": judged_mean(values[name], failed[name], 0.0, 1.0) for name in TERMS}
        feeds = ~np.isnan(list(values.values())).all(axis=0) & all(each.n for each in out.values())
        out["radrscore"] = Judged(
            n=int(feeds.sum()),
            failed=int((np.any(list(failed.values()), axis=0) & ~feeds).sum()),
            worst=sum(each.worst for each in out.values()) / len(TERMS),
            best=sum(each.best for each in out.values()) / len(TERMS),
        )
        return out


def share(reply: str, term: Term, reasoning: str = "", ready: Collection[str] = ()) -> float:
    """The share of the items listed in a reply that are marked true; NaN where none is listed.

    Raises Unreadable where the list is not one of a sensible length, of items in words, each once and marked true or
    false; and for an answer that stood ready in the reasoning or in another text.
    """
    listed = json_object(reply, [term.items], reasoning, ready)[term.items]
    if not isinstance(listed, list) or not term.least <= len(listed) <= MOST_ITEMS:
        raise Unreadable(f"{term.items} is no list of {term.least} to {MOST_ITEMS} items")
    marks: dict[str, bool] = {}
    for each in listed:
        item, mark = (each.get(term.item), each.get(term.mark)) if isinstance(each, dict) else (None, None)
        if not isinstance(item, str) or not re.search(r"\w", item):
            raise Unreadable(f"one of its {term.items} has no {term.item} in words")
        if not isinstance(mark, bool):
            raise Unreadable(f"one of its {term.items} is not marked {term.mark}: true or false")
        key = " ".join(item.casefold().split())
        if key in marks:
            raise Unreadable(f"one of its {term.items} stands there twice")
        marks[key] = mark
    return sum(marks.values()) / len(marks) if marks else math.nan


def _row(found: Mapping[str, float | Failure]) -> dict[str, float]:
    """A row: what was found of each term, and whether it failed. A term that isn't there is undefined."""
    row: dict[str, float] = {}
    for name in TERMS:
        value = found.get(name, math.nan)
        failed = isinstance(value, Failure)
        row[f"radrscore_{name}"] = math.nan if isinstance(value, Failure) else value
        row[f"radrscore_{name}_failed"] = float(failed)
    return row


def _read(path: Path) -> dict[str, str]:
    """The reference reasoning by study. Raises UsageError."""
    frame, source = tables.read_table(path), str(path)
    tables.require(frame, source, reasoning="reasoning")
    tables.require_short(frame, source, ["reasoning"])
    return {str(study_id): text for study_id, text in tables.by_id(frame, source, "study_id")["reasoning"].items()}


def _schema(term: Term) -> dict[str, Any]:
    """The reply as servers that can hold a model to a form are told of it: one item more than what is taken, so that a
    list that was cut to fit is not taken for a whole one."""
    item = form({term.item: {"type": "string", "minLength": 1, "maxLength": 200}, term.mark: {"type": "boolean"}})
    return form({term.items: {"type": "array", "minItems": term.least, "maxItems": MOST_ITEMS + 1, "items": item}})
