"""``radfact``: is each phrase of a report entailed by the other? (MAIRA-2, arXiv 2406.04449; microsoft/RadFact)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from rrgbench import stats
from rrgbench.cache import file_digest
from rrgbench.interfaces import LLM, Ask
from rrgbench.judging import answered
from rrgbench.types import Case, Failure, Judged, Report
from rrgbench_judges.judge import LLMJudge, column, shown
from rrgbench_judges.radfact_boxes import Phrase, covered, from_file
from rrgbench_judges.radfact_phrases import SPLIT, Verdict, bound, normalised, split, upstream, verdict

KINDS = ("logical", "grounding", "spatial")
OF = ("precision", "recall")  # of the report's phrases, of the reference's
UPSTREAM = "radfact_upstream"
SHARES = [f"{counted}_{kind}" for counted in ("radfact", UPSTREAM) for kind in KINDS]
COVERED = 0.5  # the share of a phrase's boxes that the evidence's must cover: more than this

Phrases = tuple[Phrase, ...]
Given = Mapping[str, Phrases]
Both = tuple[Verdict | None, Verdict | None]
"""What is found of a phrase, and what RadFact finds; None where it was not judged, and where that drops the study."""


class RadFact(LLMJudge):
    """The phrases of a report that its reference entails (precision), and the other way round (recall).

    ``radfact_logical_precision``, ``_recall`` and ``_f1``: of all phrases, the share that is entailed. Where phrases
    have boxes, ``radfact_spatial_*``: of those with boxes, the share that is entailed and at the place that the
    evidence says; ``radfact_grounding_*``: of those with boxes that are entailed, the share that is at that place. All
    are 0 to 1, higher is better. Precision and recall are means over the reports that have such phrases, F1 is the
    harmonic mean of the two means. ``radfact_dropped``, 0 to 1, lower is better: of all phrases, the share that could
    not be judged; they count in no other score, but in its worst and best case.

    A blank report recalls nothing of its reference (0), and its precision is undefined; nothing is asked.

    ``radfact_upstream_*``: the same shares as RadFact's code counts them (metric/radfact.py and schema.py,
    llm_utils/nli), from the first reply to each question on a phrase, read as RadFact reads it
    (``radfact_phrases.upstream``). A call that fails, and a reply that can't be read, make the phrase not entailed; a
    phrase that the reply rewrites is taken as the one asked. Evidence that is no phrase of the other side drops the
    whole study: these scores fail at it. Spatial and grounding are 0.0 where not both sides are given. RadFact divides
    by 0 and ends where precision and recall are both 0; F1 is 0 here.

    What RadFact would print may be another number: it asks in other words, for YAML, and binds its judge to no form.
    The phrases are those of ``radfact``, which checks them and asks again; RadFact takes the first that it can read, or
    drops the study. Where ``radfact`` has no phrases of a report, both fail.

    ``report_phrases`` and ``reference_phrases``: JSON, study_id to a list of {"phrase": text, "boxes": [[x1, y1, x2,
    y2]]} in fractions of the image. A side that is given is not taken apart by the judge. Spatial and grounding scores
    are there where both are given: what a text says of places is in no box.
    """

    name = "radfact"
    asks = {"radfact_phrases": ("report",), "radfact_entailment": ("phrase", "statements")}
    neutral = ("replies", "report_phrases")
    higher_is_better: Mapping[str, bool] = {
        **{f"{share}_{of}": True for share in SHARES for of in (*OF, "f1")},
        "radfact_dropped": False,
    }

    def __init__(
        self,
        judge: LLM | None = None,
        replies: Path | None = None,
        report_phrases: Path | None = None,
        reference_phrases: Path | None = None,
        repeat: int = 1,
    ) -> None:
        super().__init__(judge, replies, repeat=repeat)
        self._files = (report_phrases, reference_phrases)
        self._given: list[Given | None] = [from_file(path) if path else None for path in self._files]
        self._grounded = None not in self._given
        self.needs = ("report",) if reference_phrases else ("report", "reference")

    @property
    def signature(self) -> str:
        """As for every judge; and which phrases came from files."""
        report, reference = self._files
        return "|".join(
            [
                super().signature,
                *(["report-phrases:file"] if report else []),
                *([f"reference-phrases:{file_digest(reference)[:12]}"] if reference else []),
            ]
        )

    async def row(self, case: Case, ask: Ask) -> Mapping[str, float] | Failure:
        """Each share of the report with its worst and best case, and how many phrases there are and were dropped.

        The judge is asked for the report's phrases, for the reference's, then about each of the report's, then about
        each of the reference's.
        """
        report = await self._phrases(case, 0, ask)
        if isinstance(report, Failure):
            return report
        silent = not report and (self._given[0] is not None or not (case.candidate or "").strip())
        if silent and self._given[1] is None:
            return self._row((), (Phrase(""),), [], [(Verdict(), Verdict())]) | _counts([])
        reference = await self._phrases(case, 1, ask)
        if isinstance(reference, Failure):
            return reference
        of_report = await self._verdicts(report, reference, ask)
        of_reference = await self._verdicts(reference, report, ask)
        return self._row(report, reference, of_report, of_reference)

    def _row(
        self, report: Phrases, reference: Phrases, of_report: Sequence[Both], of_reference: Sequence[Both]
    ) -> dict[str, float]:
        precision, recall = ([ours for ours, _ in each] for each in (of_report, of_reference))
        theirs = [[theirs for _, theirs in each] for each in (of_report, of_reference)]
        if any(None in each for each in theirs):
            theirs = [[None] * len(each) for each in theirs]
        counted = {
            **shares("precision", report, reference, theirs[0], UPSTREAM),
            **shares("recall", reference, report, theirs[1], UPSTREAM),
        }
        if not self._grounded:
            counted |= {name: 0.0 for name in counted if "_logical_" not in name}
        return {
            **shares("precision", report, reference, precision),
            **shares("recall", reference, report, recall),
            **counted,
            **_counts([*precision, *recall]),
        }

    async def _phrases(self, case: Case, side: int, ask: Ask) -> Phrases | Failure:
        """The phrases of one side, from its file or from its text."""
        text = (case.reference if side else case.candidate) or ""
        given = self._given[side]
        if given is not None:
            several = not side and isinstance(case.report, Report) and len(case.report.by_image) > 1
            found = given.get(case.image_id or "", None if several else given.get(case.study.study_id))
            if found is None and text.strip():
                key = "image" if several else "study"
                return Failure("missing", f"{self._files[side]} has no phrases of this {key}")
            return tuple(phrase if self._grounded else Phrase(phrase.text) for phrase in found or ())
        if not text.strip():
            return ()
        messages = self.texts["radfact_phrases"].fill(report=shown(text))
        answer = await answered(ask, messages, partial(split, report=text), SPLIT)
        return answer.value if isinstance(answer.value, Failure) else tuple(Phrase(each) for each in answer.value)

    async def _verdicts(self, own: Phrases, others: Phrases, ask: Ask) -> list[Both]:
        """What is found of each phrase of a side, each asked once."""
        if not others:
            return [(Verdict(), Verdict())] * len(own)
        texts, theirs = ([phrase.text for phrase in side] for side in (own, others))
        statements = list(dict.fromkeys(theirs))
        listed = "\n".join(f"- {shown(each)}" for each in statements)
        found: dict[str, Both] = {}
        for text in texts:
            if normalised(text) in found:
                continue
            messages = self.texts["radfact_entailment"].fill(phrase=shown(text), statements=listed)
            read = partial(verdict, phrase=text, own=texts, others=theirs, examples=self.examples)
            answer = await answered(ask, messages, read, bound(text, statements))
            value, failure = (None, answer.value) if isinstance(answer.value, Failure) else (answer.value, None)
            # A call that failed is no entailment to RadFact; of one that was never recorded, nothing is known.
            silent = None if failure and failure.kind == "missing" else Verdict()
            found[normalised(text)] = (value, upstream(answer.replies[0], theirs) if answer.replies else silent)
        return [found[normalised(text)] for text in texts]

    def reduce(self, rows: pd.DataFrame, weights: stats.Array | None = None) -> Mapping[str, stats.Array]:
        """The means of precision and recall, and the harmonic mean of the two means."""
        drawn = stats.unit_weights(weights, len(rows))
        out: dict[str, stats.Array] = {}
        for share in SHARES:
            both = [stats.mean(column(rows, f"{share}_{of}"), drawn) for of in OF]
            out |= {f"{share}_{of}": mean for of, mean in zip(OF, both, strict=True)}
            out[f"{share}_f1"] = _harmonic(*both)
        dropped, phrases = (np.nan_to_num(column(rows, name)) for name in ("dropped_phrases", "phrases"))
        out["radfact_dropped"] = stats.divide(drawn @ dropped, drawn @ phrases)
        return out if weights is not None else {name: value[0] for name, value in out.items()}

    def judged(self, rows: pd.DataFrame) -> Mapping[str, Judged]:
        """A report fails at a share where none of the phrases that it is a share of could be judged.

        An F1 is of the reports that precision or recall is of; where one of the two is of none, of no report.
        """
        phrases = column(rows, "phrases")
        lost = np.isnan(phrases)  # not even its phrases are known
        out = {}
        for share in SHARES:
            known, failed, bounds = [], [], []
            for of in OF:
                name = f"{share}_{of}"
                ends = [column(rows, f"{name}_worst"), column(rows, f"{name}_best")]
                if self._grounded or share.endswith("_logical"):
                    ends = [np.where(lost, 0.0, ends[0]), np.where(lost, 1.0, ends[1])]
                known.append(~np.isnan(column(rows, name)))
                failed.append(~known[-1] & ~np.isnan(ends[0]))
                bounds.append([float(stats.mean(each, stats.unit_weights(None, len(rows)))[0]) for each in ends])
                out[name] = Judged(int(known[-1].sum()), int(failed[-1].sum()), *bounds[-1])
            of_f1 = (known[0] | known[1]) & (known[0].any() and known[1].any())
            failed_f1 = (failed[0] | failed[1]) & ~of_f1
            worst, best = (float(_harmonic(np.array(p), np.array(r))) for p, r in zip(*bounds, strict=True))
            out[f"{share}_f1"] = Judged(int(of_f1.sum()), int(failed_f1.sum()), worst, best)
        return out | {"radfact_dropped": Judged(int((phrases > 0).sum()), int(lost.sum()), np.nan, np.nan)}


def shares(
    of: str, own: Phrases, others: Phrases, verdicts: Sequence[Verdict | None], counted: str = "radfact"
) -> dict[str, float]:
    """The three shares of one side's phrases, each with its worst and best case (metric/radfact.py of RadFact)."""
    pairs = [*zip(own, verdicts, strict=True)]
    entailed = [(phrase, found) for phrase, found in pairs if found and found.entailed]
    boxed = [found for phrase, found in pairs if phrase.boxes]
    entailed_boxed = [(phrase, found) for phrase, found in entailed if phrase.boxes]
    there = sum(_is_there(phrase, others, found) for phrase, found in entailed_boxed)
    unknown = boxed.count(None)
    dropped = [*verdicts].count(None)
    return {
        **_share(f"{counted}_logical_{of}", len(entailed), len(own) - dropped, dropped),
        **_share(f"{counted}_grounding_{of}", there, len(entailed_boxed), unknown),
        **_share(f"{counted}_spatial_{of}", there, len(boxed) - unknown, unknown),
    }


def _is_there(phrase: Phrase, others: Phrases, found: Verdict) -> bool:
    return covered(phrase.boxes, [box for at in found.evidence for box in others[at].boxes]) > COVERED


def _share(name: str, part: int, whole: int, dropped: int) -> dict[str, float]:
    """A share; and what it is if each dropped phrase counts against it, and for it. NaN for none of nothing."""
    worst, best = _divide(part, whole + dropped), _divide(part + dropped, whole + dropped)
    return {name: _divide(part, whole), f"{name}_worst": worst, f"{name}_best": best}


def _divide(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _counts(verdicts: Sequence[Verdict | None]) -> dict[str, float]:
    corrected = sum(found is not None and found.corrected for found in verdicts)
    dropped = [*verdicts].count(None)
    return {"phrases": float(len(verdicts)), "dropped_phrases": float(dropped), "corrected_phrases": float(corrected)}


def _harmonic(precision: stats.Array, recall: stats.Array) -> stats.Array:
    return stats.divide(2 * precision * recall, precision + recall, empty=0.0)
