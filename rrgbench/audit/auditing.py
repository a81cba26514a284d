"""``audit()``: how far each score moves when a report is given an error, and when it only says the same otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rrgbench import __version__, governance, judging, planning, plugins, progress, scoring, stats
from rrgbench.audit.corruptor import EXCHANGE, HARMFUL, HARMLESS, KINDS, Edit, Missed
from rrgbench.audit.subjects import Subject, edits, subjects
from rrgbench.cache import Cache
from rrgbench.config import RunConfig, check
from rrgbench.errors import FAULTS, UsageError
from rrgbench.parts import Part, build
from rrgbench.spending import Budget
from rrgbench.types import Case

LIMIT = 400
SAME = 1e-9  # moves that differ by less are equal
UNEDITED = "unedited"
_ALONE = 20  # reports that are scored once more, to see whether a score depends on the others
_READS = {"report", "reference", "reference|labels"}
_OF_MANY = ("_micro_f1_14", "_exact_match_14")  # of a metric with many scores, those that one report has

_NO_ERRORS = {"wording": "it describes how a system words its reports and knows no errors (ask for it by --metric)"}

Interval = tuple[float, float] | None


@dataclass(frozen=True)
class Tried:
    """How many reports a kind of edit was made of, and of how many it could not be made, by the reason."""

    made: int
    impossible: int
    unchecked: int


@dataclass(frozen=True)
class Move:
    """What one kind of edit does to one score. Positive moves are for the worse, whichever way the score runs.

    ``n`` reports were edited so and have the score before and after; ``n_undefined`` were edited and lack it (0/0, or
    the metric failed on the text). ``mean`` is in the score's own units. ``share`` is the mean over what exchanging the
    same reports for another patient's costs: 1 is as bad as that. ``unmoved`` is the share of the reports whose score
    did not get worse.
    ``seen``, of harmful kinds: the probability that the edit moves the score of a report more than a harmless edit of
    the same report does, ties counted half, averaged over the harmless kinds; ``against`` has each of them.
    """

    kind: str
    n: int
    n_undefined: int
    mean: float | None
    mean_ci: Interval
    share: float | None
    share_ci: Interval
    unmoved: float | None
    seen: float | None
    seen_ci: Interval
    against: Mapping[str, float]


@dataclass(frozen=True)
class Audited:
    """One score: its mean on the unedited reports, and how each kind of edit moves it."""

    score: str
    metric: str
    higher_is_better: bool
    unedited: float
    depends_on_corpus: bool
    by_construction: bool  # made by the labeler that checks the edits: it sees what it let through
    signature: str
    moves: tuple[Move, ...]

    def move(self, kind: str) -> Move:
        """What a kind of edit does."""
        return next(move for move in self.moves if move.kind == kind)


@dataclass(frozen=True)
class Audit:
    """What was found; ``edits`` by kind, one a report, is the log, which holds report text."""

    dataset: str
    synthetic: bool
    terms: str
    split: str | None
    protocol: str
    seed: int
    resamples: int
    n: int
    n_patients: int
    without_text: int
    tried: Mapping[str, Tried]
    scores: tuple[Audited, ...]
    left_out: Mapping[str, str]
    subjects: tuple[Subject, ...]
    edits: Mapping[str, Sequence[Edit | Missed]]

    def record(self) -> dict[str, Any]:
        """All but the edits: aggregates only."""
        kept = {key: value for key, value in vars(self).items() if key not in ("subjects", "edits", "tried", "scores")}
        tried = {kind: asdict(each) for kind, each in self.tried.items()}
        return {"rrgbench": __version__, **kept, "edits": tried, "scores": [asdict(score) for score in self.scores]}

    def log(self) -> list[dict[str, Any]]:
        """A line an edit: study, kind, label, each change with its place, what the labeler reads otherwise."""
        return [
            {"study_id": subject.study.study_id, **edit.record()}
            for kind in self.edits
            for subject, edit in zip(self.subjects, self.edits[kind], strict=True)
            if isinstance(edit, Edit)
        ]


def audit(
    dataset: str,
    *,
    split: str | None = None,
    protocol: str = "findings",
    metrics: Sequence[str] | None = None,
    limit: int = LIMIT,
    seed: int = 0,
    resamples: int = 1000,
    attestation: Path | None = None,
    budget: float | None = None,
    token_budget: int | None = None,
    out: Path = Path("runs"),
) -> Audit:
    """Edit the reference reports of a dataset and score each edited one against its own reference.

    Without ``metrics`` all that this machine allows and that read report text. What judges reply, for ``budget`` US
    dollars or ``token_budget`` tokens at most, is kept in the call cache of the folder ``out``. Raises UsageError.
    """
    catalogue = plugins.catalogue()
    given = {"split": split, "protocol": protocol, "metric": metrics, "limit": limit, "seed": seed}
    asked = {"attestation": attestation, "budget": budget, "token_budget": token_budget, "out": out}
    config = check(RunConfig, {**given, "resamples": resamples, **asked})
    data = build(catalogue, "dataset", dataset)
    plan = planning.planned(config, {"dataset": data}, *planning.measures(config, catalogue))
    left_out = dict(plan.unavailable)
    chosen = []
    for metric in plan.metrics:
        if why := _unfit(metric, asked=metrics is not None):
            left_out[metric.name] = why
        else:
            chosen.append(metric)
    fit = subjects(plan.studies, plan.protocols[0])
    if not fit:
        raise UsageError(f"No study of {data.spec} has the text that {protocol} compares: there is nothing to edit.")
    if not chosen:
        raise UsageError(f"No metric can be audited: {'; '.join(f'{name}: {why}' for name, why in left_out.items())}")
    made = {kind: edits(fit, kind, seed) for kind in KINDS}
    weights = scoring.resamples([subject.study for subject in fit], resamples, seed)
    scores: list[Audited] = []
    cache = Cache(out / ".cache.sqlite") if any(map(judging.is_judge, chosen)) else None
    spending = Budget(config.budget, config.token_budget)
    asking = judging.Judging(cache, config.timeout, plan.hosts, spending) if cache else None
    with progress.stage("audit", len(chosen), "metrics") as advance:
        for metric in chosen:
            governance.check_again(metric.public, metric.hosts, plan.hosts)
            try:
                scores += _audited(metric, fit, made, weights, f"{data.name}/{plan.split or 'all'}/{seed}", asking)
            except FAULTS as error:
                said = f": {error}" if plan.terms == "open" else ""  # it may quote a report
                left_out[metric.name] = f"it failed ({type(error).__name__}{said})"
            advance(1)
    if cache:
        cache.close()
    return Audit(
        dataset=data.public,
        synthetic=bool(getattr(data.obj, "synthetic", False)),
        terms=plan.terms,
        split=plan.split,
        protocol=protocol,
        seed=seed,
        resamples=resamples if weights is not None else 0,
        n=len(fit),
        n_patients=len({subject.study.patient_id for subject in fit}),
        without_text=len(plan.studies) - len(fit),
        tried={kind: _tried(of_kind) for kind, of_kind in made.items()},
        scores=tuple(scores),
        left_out=left_out,
        subjects=tuple(fit),
        edits=made,
    )


def _unfit(metric: Part, asked: bool) -> str | None:
    """Why a metric can't be audited, or None."""
    if other := set(metric.obj.needs) - _READS:
        return f"it needs {' and '.join(sorted(other))}: it doesn't read reports alone"
    if not getattr(metric.obj, "resamplable", True):
        return "it scores a corpus as a whole: no report has a score of its own"
    return None if asked else _NO_ERRORS.get(metric.name)


def _tried(made: Sequence[Edit | Missed]) -> Tried:
    outcomes = Counter(each if isinstance(each, Missed) else None for each in made)
    return Tried(outcomes[None], outcomes[Missed.IMPOSSIBLE], outcomes[Missed.UNCHECKED])


# --- one metric -------------------------------------------------------------------------------------------------------


def _audited(
    metric: Part,
    fit: Sequence[Subject],
    made: Mapping[str, Sequence[Edit | Missed]],
    weights: stats.Array | None,
    data: str,
    asking: judging.Judging | None,
) -> list[Audited]:
    unedited = [subject.case(subject.text) for subject in fit]
    sets = {
        kind: [
            subject.case(edit.text) if isinstance(edit, Edit) else case
            for subject, edit, case in zip(fit, of_kind, unedited, strict=True)
        ]
        for kind, of_kind in made.items()
    }
    every = {UNEDITED: unedited, **sets}
    scored = dict(zip(every, of_each(metric, list(every.values()), asking), strict=True))
    base = scored[UNEDITED]
    names = [n for n in base if n.endswith(_OF_MANY)] if len(base) > scoring.MANY else []
    names = names or list(base)
    (few,) = of_each(metric, [sets[EXCHANGE][:_ALONE]], asking)
    depends = {n: not np.allclose(few[n], scored[EXCHANGE][n][:_ALONE], SAME, SAME, equal_nan=True) for n in names}
    if any(depends.values()):  # such a metric sees one report of each study at a time, edited or not
        scored = {kind: of_each(metric, [cases], asking)[0] for kind, cases in every.items()}
        base = scored[UNEDITED]
    after = {
        kind: {n: np.where([isinstance(edit, Edit) for edit in made[kind]], scored[kind][n], np.nan) for n in names}
        for kind in made
    }
    out = []
    for name in names:
        better = metric.obj.higher_is_better.get(name, True)
        worse = {kind: (base[name] - scored[name]) * (1 if better else -1) for kind, scored in after.items()}
        made_of = {kind: sum(isinstance(edit, Edit) for edit in made[kind]) for kind in made}
        out.append(
            Audited(
                score=name,
                metric=metric.public,
                higher_is_better=better,
                unedited=float(np.nanmean(base[name])),
                depends_on_corpus=depends[name],
                by_construction="labeler:(rulelabel" in metric.signature,
                signature=f"{metric.signature}|{fit[0].protocol.signature}|audit:{data}",
                moves=tuple(_move(kind, worse, made_of[kind], weights) for kind in worse),
            )
        )
    return out


def of_each(
    metric: Part, sets: Sequence[Sequence[Case]], asking: judging.Judging | None = None
) -> list[dict[str, stats.Array]]:
    """Each score of each case on its own, for several sets of cases that are read in one call.

    It is the reduction of a set's rows, weighted by the identity matrix.
    """
    rows = judging.rows_of(metric, [case for cases in sets for case in cases], asking)
    ends = np.cumsum([len(cases) for cases in sets])
    out = []
    for cases, end in zip(sets, ends, strict=True):
        reduced = metric.obj.reduce(rows.iloc[end - len(cases) : end], np.eye(len(cases)))
        out.append({str(name): np.asarray(values, float) for name, values in reduced.items()})
    return out


def _move(kind: str, worse: Mapping[str, stats.Array], made: int, weights: stats.Array | None) -> Move:
    mine, known = worse[kind], ~np.isnan(worse[kind])
    against = {other: _won(mine, worse[other]) for other in HARMLESS if kind in HARMFUL}
    with_each = np.array(list(against.values()))
    won = stats.divide(np.nansum(with_each, axis=0), (~np.isnan(with_each)).sum(axis=0)) if against else None

    def both(values: stats.Array, over: stats.Array | None = None) -> tuple[float | None, Interval]:
        """A mean, or the ratio of two on the reports that have both, with its interval."""
        common = ~np.isnan(values) if over is None else ~np.isnan(values) & ~np.isnan(over)

        def figure(drawn: stats.Array) -> stats.Array:
            top = stats.mean(np.where(common, values, np.nan), drawn)
            if over is None:
                return top
            bottom = stats.mean(np.where(common, over, np.nan), drawn)
            return stats.divide(top, np.where(np.abs(bottom) > SAME, bottom, 0.0))

        value = float(figure(np.ones((1, len(values))))[0])
        if not np.isfinite(value):
            return None, None
        return value, stats.percentile_interval(figure(weights)) if weights is not None else None

    mean, mean_ci = both(mine)
    share, share_ci = both(mine, worse[EXCHANGE])
    seen, seen_ci = both(won) if won is not None else (None, None)
    return Move(
        kind=kind,
        n=int(known.sum()),
        n_undefined=made - int(known.sum()),
        mean=mean,
        mean_ci=mean_ci,
        share=share,
        share_ci=share_ci,
        unmoved=float((mine[known] <= SAME).mean()) if known.any() else None,
        seen=seen,
        seen_ci=seen_ci,
        against={other: float(np.nanmean(each)) for other, each in against.items() if not np.isnan(each).all()},
    )


def _won(harmful: stats.Array, harmless: stats.Array) -> stats.Array:
    """1 where the harmful edit moved a report's score more, ½ where both moved it alike, NaN where one is lacking."""
    difference = harmful - harmless
    won = np.where(np.abs(difference) <= SAME, 0.5, difference > 0)
    return np.where(np.isnan(difference), np.nan, won)
