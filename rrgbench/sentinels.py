"""Reports whose scores and labels are known beforehand, and what a metric or a labeler must make of them.

Eight short reference reports, which together state every label of CheXpert's, and of each the same text, its negations
turned round, its sides swapped, in capitals, another study's report, and nothing at all. Of a metric that is not in
``KNOWN`` only what holds for every metric is asked: the reference itself is never worse than anything else, what isn't
finite is NaN, and a report's row doesn't depend on the reports beside it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rrgbench.errors import FAULTS, UsageError
from rrgbench.labels import CHEXPERT, NO_FINDING
from rrgbench.leaderboard.boards import HEADLINE
from rrgbench.parts import Part
from rrgbench.types import Case, Finding, Findings, Report, Status, Study

# Reference, the same with its negations turned round, and the labels that the reference states as present.
SENTINELS = (
    (
        "The lungs are clear. The heart is normal in size. There is no pleural effusion. No pneumothorax is seen.",
        "The lungs are not clear. The heart is enlarged. There is a pleural effusion. A pneumothorax is seen.",
        (NO_FINDING,),
    ),
    (
        "The heart is mildly enlarged. There is a small left pleural effusion. No pneumothorax is seen.",
        "The heart is not enlarged. There is no left pleural effusion. A pneumothorax is seen.",
        ("Cardiomegaly", "Pleural Effusion"),
    ),
    (
        "There is a large right pneumothorax. There is a fracture of the left sixth rib. There is no edema.",
        "There is no right pneumothorax. There is no fracture of the left sixth rib. There is edema.",
        ("Pneumothorax", "Fracture"),
    ),
    (
        "There is a nodule in the right upper lobe. The mediastinum is widened. There is no consolidation.",
        "There is no nodule in the right upper lobe. The mediastinum is not widened. There is consolidation.",
        ("Lung Lesion", "Enlarged Cardiomediastinum"),
    ),
    (
        "There is consolidation in the left lower lobe. There is pneumonia. The heart size is unchanged.",
        "There is no consolidation in the left lower lobe. There is no pneumonia. The heart size is unchanged.",
        ("Consolidation", "Pneumonia"),
    ),
    (
        "There is pulmonary edema, which has worsened. A left chest tube is in place. There is no fracture.",
        "There is no pulmonary edema, which has worsened. No left chest tube is in place. There is a fracture.",
        ("Edema", "Support Devices"),
    ),
    (
        "There is atelectasis at the right base. There is right pleural thickening. No pneumonia is seen.",
        "There is no atelectasis at the right base. There is no right pleural thickening. Pneumonia is seen.",
        ("Atelectasis", "Pleural Other"),
    ),
    (
        "There is a new opacity in the left lung. The cardiac silhouette is normal. There is no atelectasis.",
        "There is no new opacity in the left lung. The cardiac silhouette is enlarged. There is atelectasis.",
        ("Lung Opacity",),
    ),
)
# For labelers: what is stated plainly must be read as present, and its denial must not.
PLAIN = {
    "Pleural Effusion": ("There is a pleural effusion.", "There is no pleural effusion."),
    "Pneumothorax": ("There is a pneumothorax.", "There is no pneumothorax."),
    "Edema": ("There is pulmonary edema.", "There is no pulmonary edema."),
    "Fracture": ("There is a rib fracture.", "There is no rib fracture."),
    "Atelectasis": ("There is atelectasis.", "There is no atelectasis."),
}

IDENTICAL, NEGATED, SWAPPED, CAPITALS, ANOTHER, EMPTY = (
    "the reference itself",
    "negation flipped",
    "side swapped",
    "in capitals",
    "another study's report",
    "empty",
)
CONDITIONS = (IDENTICAL, NEGATED, SWAPPED, CAPITALS, ANOTHER, EMPTY)
ALONE = "one alone"  # a single report, its reference itself: a batch of one


@dataclass(frozen=True)
class Known:
    """What scores of a name (a pattern) must be; a condition that isn't listed is not fixed."""

    names: str
    values: Mapping[str, float]
    within: float = 1e-6


# From the definition of each: docs/metrics.md and docs/clinical.md. RadCliQ's are its published constants at the
# features of two equal texts (1 each). METEOR of NLTK keeps a small penalty for the one chunk of words.
KNOWN = (
    Known(r"bleu_[1-4]|rouge_l|rouge_score_(1|2|l)", {IDENTICAL: 1, EMPTY: 0, ALONE: 1}),
    Known(r"meteor", {IDENTICAL: 1, EMPTY: 0, ALONE: 1}),
    Known(r"meteor_nltk", {IDENTICAL: 1, EMPTY: 0, ALONE: 1}, within=0.01),
    Known(r"sacrebleu", {IDENTICAL: 100, EMPTY: 0, ALONE: 100}),
    Known(r"cider", {IDENTICAL: 10, EMPTY: 0, ALONE: 0}),
    Known(r"exact_match", {IDENTICAL: 1, EMPTY: 0, ALONE: 1}),
    Known(r"length_error", {IDENTICAL: 0, SWAPPED: 0, CAPITALS: 0, ALONE: 0}),
    Known(r"temporal_f1(_radeval)?", {IDENTICAL: 1, ALONE: 1}),
    Known(r"\w+_(micro|weighted)_(precision|recall|f1)_(14|13|5)(_upos)?", {IDENTICAL: 1}),
    Known(r"\w+_exact_match_(14|13|5)(_upos)?", {IDENTICAL: 1, ALONE: 1}),
    Known(r"rulelabel_(micro|macro|weighted)_(precision|recall|f1)_(14|13|5)(_upos)?", {IDENTICAL: 1, EMPTY: 0}),
    Known(r"rulelabel_f1_\w+", {IDENTICAL: 1}),
    Known(r"classification_(micro|macro)_\w+", {IDENTICAL: 1}),
    Known(r"(auroc|ap)_\w+", {IDENTICAL: 1}),
    Known(r"auroc_\w+", {NEGATED: 0}),
    Known(r"brier_\w+", {IDENTICAL: 0.01, NEGATED: 0.81}),
    Known(r"ece_\w+", {IDENTICAL: 0.1, NEGATED: 0.9}),
    Known(r"bertscore_(precision|recall|f1)|chexbert_similarity", {IDENTICAL: 1, ALONE: 1}, within=1e-3),
    Known(r"radgraph_(e|er|er_bar)", {IDENTICAL: 1, EMPTY: 0, ALONE: 1}),
    Known(r"radcliq_v0", {IDENTICAL: -0.2421, ALONE: -0.2421}, within=5e-3),
    Known(r"radcliq_v1", {IDENTICAL: -1.4407, ALONE: -1.4407}, within=5e-3),
    Known(r"ratescore", {IDENTICAL: 1, EMPTY: 0.5, ALONE: 1}, within=1e-3),
    Known(r"green|radfact_(upstream_)?logical_(precision|recall|f1)", {IDENTICAL: 1, ALONE: 1}),
)
# Scores that don't say how like two texts are, so that the reference itself need not be best.
OTHER = ("distinct_reports", "distinct_words", "radcliq_v1_inverse")
# Metrics whose rows depend on the other reports by their definition; others say so by the attribute ``corpus``.
CORPUS = ("cider", "icon")


class Broken(Exception):
    """What a metric or a labeler does that it must not."""


def examine_metric(part: Part) -> str:
    """Score the sentinels. What they came to and what the metric sees, in words; raises Broken with what is wrong."""
    by_condition = {condition: _cases(condition) for condition in CONDITIONS}
    metric, names = (
        part.obj,
        [c for c in CONDITIONS if "report" in part.obj.needs or c in (IDENTICAL, NEGATED, ANOTHER)],
    )
    every = [case for name in names for case in by_condition[name]]
    single = by_condition[IDENTICAL][1:2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = _rows(metric, every)
        alone = _rows(metric, single)
        size = len(SENTINELS)
        values = {name: _reduced(metric, rows.iloc[at * size : (at + 1) * size]) for at, name in enumerate(names)}
        values[ALONE] = _reduced(metric, alone)
    problems = [*_unexpected(values), *_backward(values, metric.higher_is_better)]
    if part.name not in CORPUS and not getattr(metric, "corpus", False):
        problems += _dependent(rows.iloc[1], alone.iloc[0])
    if all(_same(values[IDENTICAL].get(score), values[ANOTHER].get(score)) for score in values[IDENTICAL]):
        problems.append("no score tells another study's report from the reference itself")
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise Broken(problems[0] + more)
    return _told(values)


def examine_labeler(part: Part) -> str:
    """Label the sentinels. What it read, in words; raises Broken with what is wrong."""
    labeler = part.obj
    texts = [text for reference, negated, _ in SENTINELS for text in (reference, negated, reference.upper(), "")]
    texts += [text for pair in PLAIN.values() for text in pair]
    read = _labels(labeler, texts)
    alone = _labels(labeler, texts[4:5])
    if not (alone.iloc[0] == read.iloc[4]).all():
        raise Broken("the labels of a text depend on the texts beside it")
    if labeler.vocabulary != CHEXPERT:
        return f"labels {len(texts)} texts; its vocabulary is its own, so what they say is not checked"
    plain = read.iloc[-2 * len(PLAIN) :]
    for at, (label, pair) in enumerate(PLAIN.items()):
        if plain[label].iloc[2 * at] != Status.PRESENT:
            raise Broken(f"{pair[0]!r} is {plain[label].iloc[2 * at]} for {label}, not present")
        if plain[label].iloc[2 * at + 1] == Status.PRESENT:
            raise Broken(f"{pair[1]!r} is present for {label}")
    stated = [(at, label) for at, (_, _, labels) in enumerate(SENTINELS) for label in labels]
    counts = [sum(read[label].iloc[4 * at + of] == Status.PRESENT for at, label in stated) for of in (0, 1, 2)]
    nothing = "nothing" if (read.iloc[3] == Status.NOT_MENTIONED).all() else "something"
    return (
        f"of {len(stated)} findings stated it reads {counts[0]} as present, {counts[1]} once they are denied,"
        f" {counts[2]} in capitals, and {nothing} in an empty text"
    )


def _cases(condition: str) -> list[Case]:
    """The sentinels in one condition. The encoder's findings go the same way as the text."""
    out = []
    for at, (reference, negated, labels) in enumerate(SENTINELS):
        other = SENTINELS[(at + 1) % len(SENTINELS)]
        candidate = {
            IDENTICAL: reference,
            NEGATED: negated,
            SWAPPED: _swapped(reference),
            CAPITALS: reference.upper(),
            ANOTHER: other[0],
            EMPTY: "",
        }[condition]
        called = other[2] if condition == ANOTHER else labels
        study = Study(
            f"{condition}-{at}", f"patient-{at}", sections={"findings": reference}, labels=_findings(labels, False)
        )
        out.append(Case(study, _findings(called, condition == NEGATED), Report(candidate), candidate, reference))
    return out


def _swapped(text: str) -> str:
    return re.sub(r"\b(left|right)\b", lambda found: "right" if found[0] == "left" else "left", text)


def _findings(labels: Sequence[str], inverted: bool) -> Findings:
    found = {}
    for label in CHEXPERT.labels:
        present = (label in labels) != inverted
        status = Status.PRESENT if present else Status.ABSENT
        found[label] = Finding(label, status, probability=0.9 if present else 0.1)
    return Findings(CHEXPERT, found)


def _rows(metric: Any, cases: Sequence[Case]) -> pd.DataFrame:
    """The metric's rows of some cases."""
    try:
        rows: pd.DataFrame = metric.rows(cases)
    except UsageError:
        raise  # something that it needs is not here
    except FAULTS as error:
        empty = [case for case in cases if case.candidate]
        if len(empty) < len(cases):
            _rows(metric, empty)  # without empty reports it fails in its own words, or not at all
            raise Broken(f"an empty report makes it fail: {type(error).__name__}: {error}") from error
        what = "a single report makes it fail" if len(cases) == 1 else "it fails"
        raise Broken(f"{what}: {type(error).__name__}: {error}") from error
    if list(rows.index) != [case.study.study_id for case in cases]:
        raise Broken("its rows are not one a report, in order, indexed by study_id")
    return rows


def _reduced(metric: Any, rows: pd.DataFrame) -> dict[str, float]:
    try:
        values = {str(name): float(value) for name, value in metric.reduce(rows).items()}
    except FAULTS as error:
        raise Broken(f"its reduction fails: {type(error).__name__}: {error}") from error
    if wrong := [name for name, value in values.items() if np.isinf(value)]:
        raise Broken(f"{wrong[0]} is infinite")
    if undirected := [name for name in values if name not in metric.higher_is_better]:
        raise Broken(f"it gives {undirected[0]}, and higher_is_better does not say its direction")
    return values


def _unexpected(values: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Values that are not what they are known to be; one that is undefined here is none."""
    for known in KNOWN:
        for condition, expected in known.values.items():
            for name, value in values.get(condition, {}).items():
                if re.fullmatch(known.names, name) and not np.isnan(value) and abs(value - expected) > known.within:
                    yield f"{name} of {condition} is {value:.6g}, not {expected:g}"


def _backward(values: Mapping[str, Mapping[str, float]], higher_is_better: Mapping[str, bool]) -> Iterator[str]:
    """Scores that are better for something else than for the reference itself."""
    for name, best in values[IDENTICAL].items():
        if name in OTHER or np.isnan(best):
            continue
        sign = 1 if higher_is_better[name] else -1
        for condition in (c for c in values if c not in (IDENTICAL, ALONE)):
            value = values[condition][name]
            if sign * (value - best) > 1e-6:
                yield f"{name} is better for {condition} ({value:.4g}) than for {IDENTICAL} ({best:.4g})"


def _dependent(of_many: pd.Series[Any], of_one: pd.Series[Any]) -> Iterator[str]:
    """Statistics of a report that change with the reports beside it."""
    for column in of_one.index:
        many, one = of_many.get(column), of_one[column]
        if not _same(many, one):
            yield f"a report's row depends on the reports beside it: {column} is {one} alone, {many} among others"


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, (int, float, np.number)) and isinstance(b, (int, float, np.number)):
        return bool(np.isclose(float(a), float(b), rtol=1e-4, atol=1e-6, equal_nan=True))
    return bool(a == b)


def _told(values: Mapping[str, Mapping[str, float]]) -> str:
    """The leading score in each condition, and what it sees."""
    given = values[IDENTICAL]
    heads = (name for names in HEADLINE for name in names)
    name = next((n for n in heads if n in given and not np.isnan(given[n])), next(iter(given)))
    said = ", ".join(f"{condition} {of[name]:.3g}" for condition, of in values.items())
    blind = [c for c in (NEGATED, SWAPPED, CAPITALS) if c in values and _same(values[c][name], given[name])]
    seen = [c for c in (NEGATED, SWAPPED, CAPITALS) if c in values and c not in blind]
    words = [f"sees: {', '.join(seen)}"] if seen else []
    words += [f"does not see: {', '.join(blind)}"] if blind else []
    return f"{name}: {said}; {'; '.join(words)}"


def _labels(labeler: Any, texts: Sequence[str]) -> pd.DataFrame:
    """What a labeler reads, as ``Status``."""
    try:
        read: pd.DataFrame = labeler.label(texts)
        missing = [label for label in labeler.vocabulary.labels if label not in read.columns]
        if missing or len(read) != len(texts):
            raise Broken(f"it gives {len(read)} rows for {len(texts)} texts, without {missing or 'nothing'}")
        return read[list(labeler.vocabulary.labels)].map(Status).reset_index(drop=True)
    except FAULTS as error:
        if isinstance(error, Broken):
            raise
        raise Broken(f"it fails: {type(error).__name__}: {error}") from error
