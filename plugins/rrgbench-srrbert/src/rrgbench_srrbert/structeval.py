"""``srr_bert_structeval``: F1-SRR-BERT of structured reports (Delbrouck et al., ACL 2025), as in StructEval."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from rrgbench import stats
from rrgbench.types import Case
from rrgbench_srrbert.labelling import Labelling, Said
from rrgbench_srrbert.labels import TOKENIZER, Level
from rrgbench_srrbert.sections import sections

VALUES = ("precision", "recall", "f1")


class StructEval:
    """``srr_bert_structeval_samples_{precision,recall,f1}_<level>``, 0 to 1, higher is better.

    Of each section that the report or the reference has: the precision, recall and F1 of the labels that SRR-BERT gives
    its sentences, together; 0 where one of the two lacks the section, and where neither has a label. The score is the
    mean over all sections of all reports, so that a report with many sections counts more.

    ``srr_bert_structeval_headers_{precision,recall,f1}``: the same of the sets of section headers, mean over reports.

    It is made for structured reports (``Pleura:`` and below it ``- …``): a text without such sections has none. Use it
    under a protocol that keeps line breaks. ``report_labels`` and ``reference_labels``: JSON, study_id to section
    headers and their lists of labels. What isn't given is made by ``model`` (default: that of the level): a folder,
    or a name in the local hub cache.
    """

    version = "1"
    neutral = ("report_labels", "model", "tokenizer", "device", "batch")

    def __init__(
        self,
        level: Level = "leaves",
        report_labels: Path | None = None,
        reference_labels: Path | None = None,
        model: str | None = None,
        tokenizer: str = TOKENIZER,
        device: str = "auto",
        batch: int = 32,
    ) -> None:
        self._labels = Labelling(
            "srr_bert_structeval",
            level,
            report_labels,
            reference_labels,
            model,
            tokenizer,
            device,
            batch,
            split=sections,
            blank={},
        )
        self.needs, self.signature = self._labels.needs, f"structeval|{self._labels.signature}"
        self._names = {value: f"srr_bert_structeval_samples_{value}_{level}" for value in VALUES}
        self._headers = {value: f"srr_bert_structeval_headers_{value}" for value in VALUES}
        self.higher_is_better: Mapping[str, bool] = dict.fromkeys(
            [*self._names.values(), *self._headers.values()], True
        )

    def rows(self, cases: Sequence[Case]) -> pd.DataFrame:
        """How many sections a pair of texts has, their precision, recall and F1 summed, and those of the headers."""
        reports, references = self._labels.sides(cases)
        if bare := [case.study.study_id for case, said in zip(cases, references, strict=True) if said == {}]:
            warnings.warn(
                f"srr_bert_structeval: {len(bare)} of {len(cases)} references have no section such as 'Pleura:' with"
                f" lines that begin with '-' ({', '.join(bare[:5])}); it scores structured reports only, under a"
                " protocol that keeps line breaks.",
                stacklevel=2,
            )
        out = [
            [np.nan] * (1 + 2 * len(VALUES)) if report is None or reference is None else _row(report, reference)
            for report, reference in zip(reports, references, strict=True)
        ]
        columns = ["srr_sections", *(f"srr_sum_{value}" for value in VALUES), *(f"srr_headers_{v}" for v in VALUES)]
        return pd.DataFrame(out, columns=columns, index=[case.study.study_id for case in cases], dtype=float)

    def reduce(self, rows: pd.DataFrame, weights: stats.Array | None = None) -> Mapping[str, stats.Array]:
        """Sums over sections divided by their number; NaN where no text has a section. Of headers the mean."""
        w = stats.unit_weights(weights, len(rows))
        sections = stats.mean(rows["srr_sections"], w)
        out = {
            name: stats.divide(stats.mean(rows[f"srr_sum_{value}"], w), sections) for value, name in self._names.items()
        }
        out |= {name: stats.mean(rows[f"srr_headers_{value}"], w) for value, name in self._headers.items()}
        return out if weights is not None else {name: value[0] for name, value in out.items()}


def overlap(called: frozenset[str], truth: frozenset[str]) -> tuple[float, float, float]:
    """Precision, recall and F1 of two sets; 0/0 is 0, so that two empty ones score 0."""
    both = len(called & truth)
    size = len(called) + len(truth)
    return both / len(called) if called else 0.0, both / len(truth) if truth else 0.0, 2 * both / size if size else 0.0


def _row(report: Said, reference: Said) -> list[float]:
    headers = sorted({*report, *reference})
    each = [overlap(report[h], reference[h]) if h in report and h in reference else (0.0, 0.0, 0.0) for h in headers]
    sums = [sum(scores[at] for scores in each) for at in range(len(VALUES))]
    return [len(headers), *sums, *overlap(frozenset(report), frozenset(reference))]
