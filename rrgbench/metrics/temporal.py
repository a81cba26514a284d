"""Temporal-entity F1: does a report use the words of change ("stable", "worsened", "new") that its reference uses?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from rrgbench import stats, tables
from rrgbench.cache import file_digest
from rrgbench.errors import UsageError
from rrgbench.types import Case

# libra/eval/temporal_f1.py of X-iZhang/Libra, which takes them from Bannur et al., CVPR 2023 (BioViL-T).
_WORDS = """
    bigger change cleared constant decrease decreased decreasing elevated elevation enlarged enlargement enlarging
    expanded greater growing improved improvement improving increase increased increasing larger new persistence
    persistent persisting progression progressive reduced removal resolution resolved resolving smaller stability
    stable stably unchanged unfolded worse worsen worsened worsening unaltered
"""
KEYWORDS = frozenset(_WORDS.split())
EPSILON = 1e-10  # the same file: in precision, recall and F1, and the score where only the reference has no keyword

_KEYWORD = re.compile(rf"\b(?:{'|'.join(sorted(KEYWORDS, key=len, reverse=True))})\b")
_DASHES = re.compile(r"[_\-\n]+")
_DROPPED = re.compile(r"[^\w\s.,:;()]")  # deleted, not replaced: "larger/smaller" holds neither word

ENTITY_TYPES = frozenset({"OBSERVATION", "OBSERVATION_MODIFIER"})  # f1temporal.py of jbdel/RadEval


class TemporalF1:
    """``temporal_f1``, 0 to 1, higher is better: the mean over reports of the F1 of their sets of temporal keywords.

    As Libra's authors compute it, from the words alone. Two texts without any keyword score 1, so a system that never
    speaks of change scores high on studies without a prior: read it beside the slice of studies that have one.
    """

    version = "1"
    needs = ("report", "reference")
    signature = "libra|keywords:44|epsilon:1e-10"
    higher_is_better: Mapping[str, bool] = {"temporal_f1": True}

    def rows(self, cases: Sequence[Case]) -> pd.DataFrame:
        """The score of each report, and how many keywords both, the report and the reference have."""
        found = [(keywords(case.candidate or ""), keywords(case.reference or "")) for case in cases]
        return _rows("temporal", cases, found)

    def reduce(self, rows: pd.DataFrame, weights: stats.Array | None = None) -> Mapping[str, stats.Array]:
        """The mean over the reports."""
        return _mean("temporal_f1", rows, weights)


class TemporalF1RadEval:
    """``temporal_f1_radeval``, 0 to 1, higher is better: RadEval's form of the same.

    To the keywords found in the words it adds the entities of stanza's radiology model (of the types ``ENTITY_TYPES``)
    whose text is one of the keywords. That adds a keyword only where Libra's cleaning had glued it to its neighbour, as
    in "larger/smaller"; on texts without such places the two scores are the same.

    The entities come from files, ``report_entities`` and ``reference_entities``: JSON, study_id to a list of
    [text, type], of the texts as they are before cleaning. rrgbench does not run stanza.
    """

    version = "1"
    needs = ("report", "reference")
    neutral = ("report_entities",)  # what was found in a system's reports is a result of that system, not a rule
    higher_is_better: Mapping[str, bool] = {"temporal_f1_radeval": True}

    def __init__(self, report_entities: Path, reference_entities: Path) -> None:
        self._made, self._truth = _entities(report_entities), _entities(reference_entities)
        self._sources = (str(report_entities), str(reference_entities))
        digest = file_digest(reference_entities)[:12]
        self.signature = f"radeval|keywords:44|epsilon:1e-10|reference-entities:{digest}|report-entities:file"

    def rows(self, cases: Sequence[Case]) -> pd.DataFrame:
        """As ``TemporalF1.rows``; NaN for a study that one of the files lacks."""
        none: frozenset[str] = frozenset()
        texts = [case.candidate or "" for case in cases], [case.reference or "" for case in cases]
        made = tables.said_of(self._made, self._sources[0], cases, texts[0], none)
        truth = tables.said_of(self._truth, self._sources[1], cases, texts[1], none)
        found = [
            None if a is None or b is None else (keywords(report) | a, keywords(reference) | b)
            for report, reference, a, b in zip(*texts, made, truth, strict=True)
        ]
        return _rows("temporal_radeval", cases, found)

    def reduce(self, rows: pd.DataFrame, weights: stats.Array | None = None) -> Mapping[str, stats.Array]:
        """The mean over the reports."""
        return _mean("temporal_f1_radeval", rows, weights)


def keywords(text: str) -> frozenset[str]:
    """The temporal keywords of a text, each once."""
    cleaned = _DROPPED.sub("", _DASHES.sub(" ", text))
    return frozenset(_KEYWORD.findall(cleaned.lower()))


def f1(made: frozenset[str], truth: frozenset[str]) -> float:
    """F1 of two sets of keywords with Libra's epsilon; 1 where both are empty."""
    if not truth:
        return EPSILON if made else 1.0
    both = len(made & truth)
    precision = (both + EPSILON) / (len(made) + EPSILON)
    recall = (both + EPSILON) / (len(truth) + EPSILON)
    return 2 * precision * recall / (precision + recall + EPSILON)


def _rows(
    prefix: str, cases: Sequence[Case], found: Sequence[tuple[frozenset[str], frozenset[str]] | None]
) -> pd.DataFrame:
    """A row a case from the keywords of its report and its reference; NaN where they aren't known."""
    out = [
        [float("nan")] * 4 if pair is None else [f1(*pair), len(pair[0] & pair[1]), len(pair[0]), len(pair[1])]
        for pair in found
    ]
    columns = [prefix.replace("temporal", "temporal_f1"), *(f"{prefix}_{s}" for s in ("both", "report", "reference"))]
    return pd.DataFrame(out, columns=columns, index=[case.study.study_id for case in cases], dtype=float)


def _mean(name: str, rows: pd.DataFrame, weights: stats.Array | None) -> Mapping[str, stats.Array]:
    value = stats.mean(rows[name], stats.unit_weights(weights, len(rows)))
    return {name: value if weights is not None else value[0]}


def _entities(path: Path) -> dict[str, frozenset[str]]:
    """The keywords among the entities of each study of a file."""
    out = {}
    for study_id, entities in tables.read_mapping(path).items():
        if not (isinstance(entities, list) and all(_is_entity(entity) for entity in entities)):
            raise UsageError(
                f'{path}, {study_id!r}: must be a list of [text, type], as in [["stable", "OBSERVATION"]].'
            )
        out[study_id] = frozenset(text.lower() for text, kind in entities if kind in ENTITY_TYPES) & KEYWORDS
    return out


def _is_entity(entity: object) -> bool:
    return isinstance(entity, list) and len(entity) == 2 and all(isinstance(each, str) for each in entity)
