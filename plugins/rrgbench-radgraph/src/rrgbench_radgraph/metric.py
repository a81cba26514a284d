"""The metric ``radgraph``: RadGraph F1 of reports, by the model or from annotations in files."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from rrgbench import stats
from rrgbench.cache import Cache, canonical, digest, file_digest
from rrgbench.errors import RunError
from rrgbench.types import Case
from rrgbench_radgraph import files
from rrgbench_radgraph.annotator import Annotator, ModelType
from rrgbench_radgraph.rewards import EMPTY, Annotation, rewards

_NAMED = 20  # reports that a warning names

SCORES = ("radgraph_e", "radgraph_er", "radgraph_er_bar", "radgraph_combined")


class RadGraph:
    """``radgraph_e``, ``radgraph_er``, ``radgraph_er_bar``, ``radgraph_combined``, 0 to 1, higher is better.

    Means over the reports of the F1 of their entities and relations against their reference's (``rewards.py`` has the
    formulas and sources). Papers that say "RadGraph F1" mostly mean ``radgraph_er`` of the model "radgraph"; RadCliQ
    takes ``radgraph_combined`` of it.

    ``report_annotations`` and ``reference_annotations`` are JSON files in the radgraph package's own form, keyed by
    study_id (or 0, 1, … in the order of the reports). A side without a file is annotated by the package's model
    ``model_type``, read from ``model_cache_dir``/``model_type`` (default: the package's own folder). ``cache`` is an
    SQLite file in which the model's annotations are kept and found again. A text that the model can't do gets a row of
    NaN and a warning that names it.
    """

    version = "1"
    higher_is_better: Mapping[str, bool] = dict.fromkeys(SCORES, True)
    # The model is in the signature where it is used; what a system's reports were found to say is a result of theirs.
    neutral = ("report_annotations", "model_type", "model_cache_dir", "cache")

    def __init__(
        self,
        report_annotations: Path | None = None,
        reference_annotations: Path | None = None,
        model_type: ModelType = "radgraph",
        model_cache_dir: Path | None = None,
        cache: Path | None = None,
    ) -> None:
        self._files = {
            side: (str(path), files.read(path))
            for side, path in (("report", report_annotations), ("reference", reference_annotations))
            if path is not None
        }
        self._annotator = Annotator(model_type, model_cache_dir) if len(self._files) < 2 else None
        self._cache = cache
        self._known: dict[str, Annotation] = {}  # of this run: systems share references, protocols share texts
        self._reference_digest = file_digest(reference_annotations)[:12] if reference_annotations else None
        self.needs = ("report",) if reference_annotations else ("report", "reference")

    @property
    def signature(self) -> str:
        """Where the annotations come from, and how letters' case counts."""
        sources = [self._annotator.signature] if self._annotator else []
        if self._reference_digest:
            sources.append(f"reference-annotations:{self._reference_digest}")
        if "report" in self._files:
            sources.append("report-annotations:file")
        return "|".join([*sources, "case:kept,lower-in-er_bar-relations"])

    def rows(self, cases: Sequence[Case]) -> pd.DataFrame:
        """The scores of each report, how many entities both sides have, and the annotations themselves, as JSON."""
        ids = [case.study.study_id for case in cases]
        sides = {"report": [case.candidate for case in cases], "reference": [case.reference for case in cases]}
        wanted = {text for side in sides.keys() - self._files for text in sides[side] if text and text.strip()}
        failures = self._annotate(sorted(wanted - self._known.keys()))
        made, truth = (self._annotations(side, ids, texts, failures) for side, texts in sides.items())
        rows = [_row(*pair) for pair in zip(made, truth, strict=True)]
        return pd.DataFrame(rows, columns=list(_row(EMPTY, EMPTY)), index=ids)

    def reduce(self, rows: pd.DataFrame, weights: stats.Array | None = None) -> Mapping[str, stats.Array]:
        """The means over the reports."""
        w = stats.unit_weights(weights, len(rows))
        out = {name: stats.mean(rows[name], w) for name in SCORES}
        return out if weights is not None else {name: value[0] for name, value in out.items()}

    def _annotations(
        self, side: str, ids: Sequence[str], texts: Sequence[str | None], failures: Mapping[str, str]
    ) -> list[Annotation | None]:
        """The annotation of each text, from its file or the model's; None where there is none."""
        if side in self._files:
            source, table = self._files[side]
            return files.joined(table, source, ids, texts)
        reasons = [failures.get(text or "") for text in texts]
        if lost := [f"{study_id} ({why})" for study_id, why in zip(ids, reasons, strict=True) if why]:
            more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
            warnings.warn(f"RadGraph can't annotate the {side} of {', '.join(lost[:_NAMED])}{more}.", stacklevel=3)
        return [self._known.get(text) if text and text.strip() else EMPTY for text in texts]

    def _annotate(self, texts: Sequence[str]) -> dict[str, str]:
        """Make texts known, from the cache or by the model. Returns why, for those that the model can't do."""
        failures: dict[str, str] = {}
        if self._annotator is None:  # both sides have a file
            return failures
        with contextlib.closing(Cache(self._cache)) if self._cache else contextlib.nullcontext() as cache:
            for text in texts:
                key = digest("radgraph", self._annotator.signature, text)
                kept = cache.get(key) if cache else None
                try:
                    self._known[text] = kept or self._annotator.annotate(text)
                except RunError as error:
                    failures[text] = str(error)
                    continue
                if cache and not kept:
                    cache.put({key: self._known[text]})
        return failures


def _row(made: Annotation | None, truth: Annotation | None) -> dict[str, float | str]:
    """One row; empty, which makes it NaN, where an annotation is lacking."""
    if made is None or truth is None:
        return {}
    return {
        **rewards(made, truth),
        "radgraph_entities_report": len(made["entities"]),
        "radgraph_entities_reference": len(truth["entities"]),
        "radgraph_report": canonical(made),
        "radgraph_reference": canonical(truth),
    }
