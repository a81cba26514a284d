"""Which scores of two runs may be compared: of the same studies, computed alike, and still given by the kept rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rrgbench import judging, signatures
from rrgbench.errors import UsageError, did_you_mean
from rrgbench.leaderboard.boards import HEADLINE
from rrgbench.stored import Scored, StoredRun
from rrgbench.types import Score

ALL = "all"
_STALE = "its rows don't give the value of scores.json (score the folder again: `rrgbench score FOLDER`)"

Key = tuple[str, str, str]  # name, protocol and signature of a score


@dataclass(frozen=True)
class Named:
    """A run, and what it is called beside the others."""

    name: str
    run: StoredRun


@dataclass(frozen=True)
class Figure:
    """A score of a run, and the rows that give it."""

    score: Score
    scored: Scored


@dataclass(frozen=True)
class Shared:
    """Scores that two runs have in common, and the rows of the metric that gives them all."""

    scores: tuple[Score, ...]
    a: Scored
    b: Scored


def named(runs: Sequence[StoredRun]) -> list[Named]:
    """Each run under its system's name, with the folder's where two have the same."""
    systems = [run.name for run in runs]
    twice = {name for name in systems if systems.count(name) > 1}
    return [Named(f"{run.name} ({run.folder.resolve().name})" if run.name in twice else run.name, run) for run in runs]


def check_alike(a: Named, b: Named) -> None:
    """Raise UsageError for two runs of which no number can be compared."""
    one, two = a.run.summary, b.run.summary
    if one["dataset_digest"] != two["dataset_digest"]:
        said = [f"{s['n']} of {s['dataset_spec']}, split {s['split'] or 'all'}" for s in (one, two)]
        why = "" if said[0] != said[1] else "; the studies, their reports or their labels are not the same ones"
        raise UsageError(
            f"These runs are not on the same studies: {a.name} is on {said[0]}, {b.name} on {said[1]}{why}. Run both on"
            " the same data."
        )
    if one["failures_count_as"] != two["failures_count_as"]:
        raise UsageError(
            f"A report that could not be made counts otherwise: failures are {one['failures_count_as']} in {a.name},"
            f" {two['failures_count_as']} in {b.name}. Score one of them again:"
            f" `rrgbench score FOLDER --failures {one['failures_count_as']}`."
        )
    protocols = [list(dict.fromkeys(score.protocol for score in each.run.scores)) for each in (a, b)]
    if not set(protocols[0]) & set(protocols[1]):
        raise UsageError(
            f"{a.name} is scored under {', '.join(protocols[0])}, {b.name} under {', '.join(protocols[1])}: no protocol"
            f" in common. Score one again: `rrgbench score FOLDER --protocol {protocols[0][0]}`."
        )


def figures(of: Named, metrics: Sequence[str] | None, notes: dict[str, None]) -> dict[Key, Figure]:
    """The scores of a run that its rows still give: those of ``metrics``, by default the headline scores.

    Adds to ``notes`` what is left out. Raises UsageError for a score that was asked for and is not there.
    """
    there = {score.metric: None for score in of.run.scores if score.value is not None}
    wanted = _wanted(list(there), metrics)
    if lacking := [name for name in wanted if name not in there]:
        raise UsageError(f"{of.name} has no value of {lacking[0]!r}.{did_you_mean(lacking[0], there)}")
    sought = [(score, score.value) for score in of.run.scores if score.metric in wanted and score.value is not None]
    out: dict[Key, Figure] = {}
    unusable: dict[str, str] = {}
    for (spec, protocol), scored in of.run.scored.items():
        here = [(score, value) for score, value in sought if score.protocol == protocol]
        try:
            if not {score.metric for score, _ in here} & set(scored.part.obj.higher_is_better):
                continue
            signature, values = scored.part.signature, scored.part.obj.reduce(scored.rows)
        except UsageError as error:
            unusable[spec.partition(":")[0]] = str(error)
            continue
        for score, value in here:
            # Two tokenizers give scores of one name: the value tells whose rows these are and, in a tie, the signature.
            given = np.isclose(values.get(score.metric, np.nan), value, rtol=1e-6, atol=1e-9)
            if given and (_key(score) not in out or score.signature.startswith(signature)):
                out[_key(score)] = Figure(score, scored)
    for score, _ in sought:
        if _key(score) not in out:
            why = unusable.get(score.signature.partition("|")[0], _STALE)
            notes[f"{score.metric} under {score.protocol} of {of.name} is left out: {why}"] = None
    return out


def _wanted(there: Sequence[str], metrics: Sequence[str] | None) -> Sequence[str]:
    """The names of the scores to compare, of those that are there."""
    if metrics:
        return there if ALL in metrics else metrics
    return [name for name in headlines() if name in there] or there


def headlines() -> list[str]:
    """The names of the headline scores, in the order of a leaderboard's columns."""
    return [name for names in HEADLINE for name in names]


def _key(score: Score) -> Key:
    return score.metric, score.protocol, score.signature


def shared(
    a: Named,
    b: Named,
    ours: Mapping[Key, Figure],
    theirs: Mapping[Key, Figure],
    metrics: Sequence[str] | None,
    notes: dict[str, None],
) -> list[Shared]:
    """The scores that both have under one signature.

    Adds to ``notes`` which are left out. Raises UsageError where none is left, or one that was asked for is not.
    """
    unlike = list(_unlike(a, b, ours, theirs))
    both = [key for key in ours if key in theirs]
    if unlike and (not both or (metrics and ALL not in metrics)):
        raise UsageError(f"{unlike[0]}. `rrgbench explain A B` says more.")
    if not both:
        raise UsageError(f"{a.name} and {b.name} have no score in common: score both by the same metrics.")
    notes.update(dict.fromkeys(f"left out: {each}" for each in unlike))
    groups: dict[tuple[int, int], list[Key]] = {}
    for key in both:
        groups.setdefault((id(ours[key].scored), id(theirs[key].scored)), []).append(key)
    return [
        Shared(tuple(ours[key].score for key in keys), ours[keys[0]].scored, theirs[keys[0]].scored)
        for keys in groups.values()
    ]


def judged_alike(shared: Shared) -> list[Shared]:
    """The same, with those reports left out of each score of a judge at which it failed for one of the two."""
    if not hasattr(shared.a.part.obj, "judged"):
        return [shared]
    failed = [judging.failed(side.part.obj, side.rows) for side in (shared.a, shared.b)]
    groups: dict[tuple[bytes, ...], list[Score]] = {}
    for score in shared.scores:
        groups.setdefault(tuple(each[score.metric].tobytes() for each in failed), []).append(score)
    out = []
    for scores in groups.values():
        sides = [
            replace(side, rows=side.rows[~each[scores[0].metric]])
            for side, each in zip((shared.a, shared.b), failed, strict=True)
        ]
        out.append(Shared(tuple(scores), *sides))
    return out


def _unlike(a: Named, b: Named, ours: Mapping[Key, Figure], theirs: Mapping[Key, Figure]) -> Iterator[str]:
    """The scores of one name and protocol that were not computed alike, in words."""
    for name, protocol, signature in ours.keys() - theirs.keys():
        for other in (key[2] for key in theirs.keys() - ours.keys() if key[:2] == (name, protocol)):
            differ = "; ".join(each.words for each in signatures.differences(signature, other))
            yield f"{name} under {protocol} is not computed alike in A ({a.name}) and B ({b.name}): {differ}"
