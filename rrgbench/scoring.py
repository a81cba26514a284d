"""From cases to scores: each metric's rows, its reduction, and the interval that resampling patients gives."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rrgbench import judging, stats
from rrgbench.errors import FAULTS, UsageError
from rrgbench.parts import Part, build, load_class, options
from rrgbench.plugins import Catalogue
from rrgbench.protocols import Protocol
from rrgbench.types import Case, Failure, Findings, Judged, Report, Score, Study

# What the data must have, and what the system must have made: the lack of the first leaves a study out of a metric,
# the lack of the second is a failure.
_MADE = ("report", "findings")
_NEEDS = (*_MADE, "reference", "labels")

UNIT = ("study_id", "image_id")  # the index of kept rows; image_id is blank where the unit is the study
UNDEFINED = "undefined on these studies (of a label: no positive or no negative case)"
_FAILED = "no report could be judged ({} failed; replies.jsonl in the run folder says why)"
_UNJUDGED = "undefined: no report has what it is computed from"
UNITS = {"study": "studies", "image": "images"}
INTERVALS = "bca"  # how they are made, as scores.json says it: docs/statistics.md
MANY = 10  # a metric with more scores than this says once, under its own name, that it could not be computed


@dataclass(frozen=True)
class Scored:
    """What one metric gave under one protocol."""

    scores: tuple[Score, ...]
    rows: pd.DataFrame
    seconds: float
    fault: str | None = None  # what the metric raised; kept out of scores.json, for it may name studies and files


@dataclass(frozen=True)
class Terms:
    """What scores depend on beside the metric and the protocol."""

    dataset: str  # name, split and digest of the dataset, as the signature shows them
    failures: str  # "exclude" or "empty"
    weights: stats.Array | None  # how often each study is drawn, (resamples, studies); None: no intervals
    position: Mapping[str, int]  # of each study among the weights
    open: bool  # whether what a metric says of its input may be published
    judging: judging.Judging | None = None  # how judges are asked


def choose(catalogue: Catalogue, metrics: Sequence[Any] | None) -> tuple[list[Part], dict[str, str]]:
    """The metrics asked for; without any, all that need no option and no language model, and why some can't be used."""
    if metrics is not None:
        asked: dict[str, Part] = {}
        for part in (build(catalogue, "metric", metric) for metric in metrics):
            twin = asked.setdefault(part.signature, part)
            if judging.is_judge(part) and twin.spec != part.spec:
                raise UsageError(
                    f"The scores of {twin.public} and {part.public} could not be told apart: say in a column 'model' of"
                    " each file whose replies these are."
                )
        return [_checked(part) for part in asked.values()], {}
    parts, unavailable = [], {}
    for entry in catalogue.of_kind("metric"):
        try:
            cls = load_class(entry)
            if hasattr(cls, "row") or any(option.required for option in options(cls, entry)):
                continue
            parts.append(_checked(build(catalogue, "metric", entry.name)))
        except UsageError as error:
            unavailable[entry.name] = str(error).replace(str(Path.home()), "~")  # this goes onto pages
    return parts, unavailable


def _checked(metric: Part) -> Part:
    """The metric, if it says what it needs in words that are known."""
    for need in metric.obj.needs:
        if unknown := [word for word in need.split("|") if word not in _NEEDS]:
            raise UsageError(f"The metric {metric.name} can't need {unknown[0]!r}: {', '.join(_NEEDS)}.")
    return metric


def cases(
    studies: Sequence[Study],
    findings: Mapping[str, Findings | Failure],
    reports: Mapping[str, Report | Failure],
    protocol: Protocol,
    failures: str,
) -> list[Case]:
    """A case for each unit of the protocol. With ``failures="empty"`` a lacking report counts as an empty text."""
    out = []
    for study in studies:
        found, report, reference = findings.get(study.study_id), reports.get(study.study_id), protocol.reference(study)
        for image_id in protocol.units(study):
            candidate = protocol.candidate(report, image_id) if isinstance(report, Report) else None
            if candidate is None and failures == "empty":
                candidate = ""
            out.append(Case(study, found, report, candidate, reference, image_id))
    return out


def score(metric: Part, protocol: Protocol, all_cases: Sequence[Case], terms: Terms) -> Scored:
    """Score one metric. A metric that raises gives null scores with the reason: it costs no other metric."""
    started = time.monotonic()
    needs = _resolved(metric.obj.needs, all_cases)
    asked = [case for case in all_cases if all(_asked(case, need) for need in needs)]
    usable = [case for case in asked if all(_has(case, need) for need in needs)]
    rows, values, intervals, described = pd.DataFrame(), {}, {}, []
    reason = fault = None
    if not asked:
        reason = _lacking(needs, all_cases, protocol)
        fault = reason if "reference" in reason else None
    elif not usable:
        wanted = " and ".join(need for need in needs if need in _MADE)
        reason = f"none of the {len(asked)} {UNITS[protocol.unit]} has a usable {wanted}"
    else:
        try:
            rows = judging.rows_of(metric, usable, terms.judging, protocol.name)
            _check_rows(rows, usable)
            values = {str(name): float(value) for name, value in metric.obj.reduce(rows).items()}
            intervals = _intervals(metric, rows, values, usable, terms)
            described = [metric.obj.describe(rows)] if hasattr(metric.obj, "describe") else []
        except FAULTS as error:
            fault = f"{type(error).__name__}: {error}"
            reason = f"the metric failed ({type(error).__name__}; the warnings in manifest.json say more)"
            if isinstance(error, UsageError) and terms.open:
                reason = str(error)
            rows, values = pd.DataFrame(), {}
    directions = metric.obj.higher_is_better
    signature = "|".join(
        [
            metric.signature,
            *described,
            protocol.signature,
            *(f"reference:{'report' if need == 'reference' else need}" for need in needs if need not in _MADE),
            f"failures:{terms.failures}",
            f"data:{terms.dataset}",
        ]
    )
    given = len(rows.dropna(how="all"))
    reached = metric.obj.judged(rows) if values and judging.is_judge(metric) else {}
    if lost := [of.failed for name, of in reached.items() if of.failed and not np.isfinite(values[name])]:
        fault = _FAILED.format(max(lost))
    units = [(case.study.study_id, case.image_id or "") for case in usable[: len(rows)]]
    rows.index = pd.MultiIndex.from_tuples(units, names=UNIT)
    emptied = sum(1 for case in usable if "report" in needs and not case.candidate)
    scores = []
    for name in values or (directions if len(directions) <= MANY else {metric.name: True}):
        value = values.get(name)
        defined = value is not None and np.isfinite(value)
        of = reached.get(name) or Judged(given, len(usable) - given, np.nan, np.nan)
        scores.append(
            Score(
                metric=name,
                protocol=protocol.name,
                value=value if defined else None,
                ci=intervals.get(name) if defined else None,
                n=of.n,
                n_failed=len(asked) - len(usable) + of.failed + emptied,
                higher_is_better=directions.get(name, True),
                signature=signature,
                reason=None if defined else reason or _undefined(reached.get(name)),
                **_bounds(of),
            )
        )
    return Scored(tuple(scores), rows, time.monotonic() - started, fault)


def _undefined(of: Judged | None) -> str:
    """Why a score has no value; ``of``, how far a judge got with it."""
    if of is None:
        return UNDEFINED
    return _FAILED.format(of.failed) if of.failed else _UNJUDGED


def _bounds(of: Judged) -> dict[str, float]:
    """The ends of what a judge's score may be, where it failed at anything."""
    if not of.failed and np.isclose(of.worst, of.best, equal_nan=True):
        return {}
    return {name: end for name, end in (("worst", of.worst), ("best", of.best)) if np.isfinite(end)}


def _lacking(needs: Sequence[str], all_cases: Sequence[Case], protocol: Protocol) -> str:
    """Why a metric can be asked of no study."""
    lacking = [need for need in needs if not any(_asked(case, need) for case in all_cases)] or list(needs)
    reason = f"no study has {' and '.join(lacking)}"
    if "reference" in lacking:
        reason = f"no reference report has the section {' or '.join(protocol.sections)} that {protocol.name} compares"
        if any("report" in case.study.sections for case in all_cases):
            reason += ": they have no headings; write FINDINGS: before them, or take the protocol full-text"
    return reason


def unavailable(name: str, protocol: Protocol, reason: str, n: int) -> Score:
    """The null score of a metric that can't be used on this machine."""
    return Score(name, protocol.name, None, None, 0, n, True, name, f"unavailable: {reason}")


def _resolved(needs: Sequence[str], all_cases: Sequence[Case]) -> list[str]:
    """The needs, with each alternative ("reference|labels") settled for all studies alike: the first there is."""
    out = []
    for need in needs:
        options = need.split("|")
        out.append(next((o for o in options if any(_has(case, o) for case in all_cases)), options[0]))
    return out


def _asked(case: Case, need: str) -> bool:
    """Whether a metric with this need is asked of a study. A system without an encoder owes no findings."""
    return case.findings is not None if need == "findings" else need == "report" or _has(case, need)


def _has(case: Case, need: str) -> bool:
    match need:
        case "report":
            return case.candidate is not None
        case "reference":
            return case.reference is not None
        case "labels":
            return case.study.labels is not None
        case "findings":
            return isinstance(case.findings, Findings)
    raise AssertionError(need)


def _check_rows(rows: pd.DataFrame, usable: Sequence[Case]) -> None:
    """Raise ValueError for rows that can't be kept beside the others."""
    if list(rows.index) != [case.study.study_id for case in usable]:
        raise ValueError("the metric's rows are not one a case, in order, indexed by study_id")
    if not rows.columns.is_unique or not all(isinstance(column, str) for column in rows.columns):
        raise ValueError("the columns of the metric's rows must have names of their own")
    try:
        rows.to_parquet(io.BytesIO())
    except Exception as error:
        raise ValueError(f"the metric's rows can't be written to a file: {error}") from error


def resamples(studies: Sequence[Study], number: int, seed: int) -> stats.Array | None:
    """The weights of ``number`` draws of the studies' patients, for every metric alike; None where they say nothing."""
    patients = [study.patient_id for study in studies]
    return stats.patient_weights(patients, number, seed) if number and len(set(patients)) > 1 else None


def _intervals(
    metric: Part, rows: pd.DataFrame, values: Mapping[str, float], usable: Sequence[Case], terms: Terms
) -> dict[str, tuple[float, float] | None]:
    """95 % intervals, from the draws of those studies that the metric has rows of."""
    if terms.weights is None or not getattr(metric.obj, "resamplable", True):
        return {}
    drawn = metric.obj.reduce(rows, terms.weights[:, [terms.position[case.study.study_id] for case in usable]])
    left_out = metric.obj.reduce(rows, stats.left_out_weights([case.study.patient_id for case in usable]))
    return {name: stats.bca_interval(value, drawn[name], left_out[name]) for name, value in values.items()}
