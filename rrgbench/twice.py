"""Which metrics score the same reports twice: with scores of one name, under one protocol, from different specs.

What a metric says of one report is the reduction of that report's row alone, so that a score of a corpus (BLEU) has a
value for each report, too.
"""

from __future__ import annotations

import itertools
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import pandas as pd

from rrgbench import judging, pairing, signatures, stats
from rrgbench.errors import FAULTS, UsageError
from rrgbench.pairing import Named
from rrgbench.stored import Scored

DECIMALS = 9  # values that are alike to so many differ by rounding only


class Side:
    """The rows of one metric in one run, under the name that it has here, and what they say of each report."""

    def __init__(self, name: str, run: Named, scored: Scored) -> None:
        self.name, self.run, self.scored = name, run, scored
        self.totals = {str(score): float(value) for score, value in scored.part.obj.reduce(scored.rows).items()}

    @property
    def key(self) -> tuple[str, str]:
        """By which they stand in order, whichever was scored first."""
        return self.scored.protocol, self.scored.spec

    @cached_property
    def values(self) -> pd.DataFrame:
        """Each score of each report alone, indexed as the rows are; NaN where it has none."""
        rows = self.scored.rows
        most = max(1, stats.CHUNK // max(1, len(rows)))
        parts = [] if len(rows) else [pd.DataFrame(columns=list(self.totals), dtype=float)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is undefined for a single report
            for start in range(0, len(rows), most):
                alone = np.eye(min(most, len(rows) - start), len(rows), start)
                parts.append(pd.DataFrame(self.scored.part.obj.reduce(rows, alone), dtype=float))
        values = pd.concat(parts).set_axis(rows.index)
        lacking = rows.isna().any(axis=1)
        if lacking.any() and hasattr(self.scored.part.obj, "judged"):  # it may have failed at a part of a report
            for name, failed in judging.failed(self.scored.part.obj, rows[lacking]).items():
                values.loc[lacking.index[lacking][failed], name] = np.nan
        return values.where(np.isfinite(values)).round(DECIMALS) + 0.0  # -0.0 is 0

    def signatures(self, name: str) -> set[str]:
        """The signatures that scores.json has for the value that the rows give; none where it has no such value."""
        alike = (s for s in self.run.run.scores if (s.metric, s.protocol) == (name, self.scored.protocol))
        total = self.totals[name]
        return {s.signature for s in alike if s.value is not None and np.isclose(s.value, total, rtol=1e-6, atol=1e-9)}


def check_same_reports(a: Named, b: Named) -> None:
    """Raise UsageError for two runs that don't hold the same reports of the same studies."""
    pairing.check_alike(a, b)
    digests = [each.run.summary.get("reports_digest") for each in (a, b)]
    if digests[0] != digests[1] or digests[0] is None:
        raise UsageError(
            f"{a.run.folder} and {b.run.folder} hold other reports, and judges can be compared on the same reports"
            f" only: score one folder by both (`rrgbench score {a.run.folder} --metric …`). Systems are compared by"
            " `rrgbench compare`."
        )


def _sides(run: Named, of_two: bool, notes: dict[str, None]) -> Iterator[Side]:
    """The metrics of a run that give a report a score of its own. Adds to ``notes`` which can't be used, and why."""
    usable: list[Scored] = []
    for (spec, protocol), scored in run.run.scored.items():
        try:
            if getattr(scored.part.obj, "resamplable", True):
                usable.append(scored)
        except UsageError as error:
            notes[f"{spec} under {protocol} is left out: {error}"] = None
    for scored in usable:
        public = _public(scored.spec)
        files = {each.spec for each in usable if _public(each.spec) == public}
        name = public if len(files) == 1 else scored.spec  # two files of one name: where they lie tells them apart
        try:
            yield Side(f"{name} of {run.name}" if of_two else name, run, scored)
        except FAULTS as error:
            why = f"its rows can't be read any more ({type(error).__name__})"
            notes[f"{name} under {scored.protocol} is left out: {why}"] = None


def _public(spec: str) -> str:
    """A spec with files by name only."""
    return re.sub(r"(?<==)/(?:[^/,'\"]+/)*", "", spec)


def pairs(runs: Sequence[Named], notes: dict[str, None]) -> list[tuple[Side, Side, list[str]]]:
    """Every two metrics with scores of one name, and these names. Raises UsageError where there are none."""
    sides = [sorted(_sides(run, len(runs) == 2, notes), key=lambda side: side.key) for run in runs]
    out = []
    for a, b in itertools.product(*sides) if len(runs) == 2 else itertools.combinations(sides[0], 2):
        again = a.scored.spec == b.scored.spec and not judging.is_judge(a.scored.part)  # the same computation
        shared = [name for name in a.totals if name in b.totals]
        if a.scored.protocol == b.scored.protocol and shared and not again:
            out.append((a, b, shared))
    if not out:
        where = " and ".join(str(run.run.folder) for run in runs)
        raise UsageError(
            f"{where}: no two metrics give the same score under one protocol. Have the reports judged by a second"
            " language model (`rrgbench score FOLDER --metric green:judge=…`), or by the same once more"
            " (`--metric green:judge=…,repeat=2`)."
        )
    return out


def chosen(a: Side, b: Side, shared: Sequence[str], metrics: Sequence[str] | None) -> Sequence[str]:
    """The names of the scores to look at."""
    if metrics:
        return shared if pairing.ALL in metrics else [name for name in shared if name in metrics]
    kept = [name for name in shared if name in a.scored.rows and name in b.scored.rows]
    headlines = [name for name in pairing.headlines() if name in shared]
    return kept or headlines or shared


def differ(a: Side, b: Side, names: Sequence[str]) -> tuple[str, ...]:
    """What the signatures of two don't share, in words; none where a value of both leaves open whose it is."""
    for name in names:
        one, two = a.signatures(name), b.signatures(name)
        if len(one) == len(two) == 1:
            return tuple(each.words for each in signatures.differences(*one, *two))
    return ()


def to_know(a: Side, b: Side, names: Sequence[str]) -> Iterator[str]:
    """What should be known of a pair."""
    for side in (a, b):
        usage = side.run.run.manifest.get("judges", {}).get(f"{side.scored.spec}@{side.scored.protocol}", {})
        if a.scored.spec == b.scored.spec and (cached := usage.get("calls_from_cache")):
            yield (
                f"{side.name}: {cached} of {usage['calls']} calls were answered from the cache. Replies to the same"
                " questions may be the other's, and agree with themselves: judge with repeat=2 to ask again."
            )
        other = [name for name in names if math.isfinite(side.totals[name]) and not side.signatures(name)]
        if other:
            yield (
                f"scores.json has other values of {', '.join(other)} than the rows of {side.name}: they were scored"
                " again since, from another file or by another version"
            )
