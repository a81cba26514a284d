"""`rrgbench explain A B`: why two numbers of one name differ, and how much of it is the way they were computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rrgbench import plugins, scoring, signatures, stored
from rrgbench.errors import RRGBenchError, UsageError, did_you_mean
from rrgbench.leaderboard.entries import Entry, read_all
from rrgbench.parts import Part, build, load_class, options
from rrgbench.planning import Plan
from rrgbench.protocols import protocol
from rrgbench.replanning import config_of, replanned
from rrgbench.runs import RunFolder, findings_of, from_record
from rrgbench.signatures import Difference
from rrgbench.specs import Spec
from rrgbench.stored import StoredRun
from rrgbench.types import Failure, Findings, Report, Score

Side = Literal["A", "B"]


@dataclass(frozen=True)
class Recomputed:
    """The score of one side's stored reports by the other side's rules.

    ``moved`` is by how much that is from their own score. ``still`` are the fields in which the signature differs from
    the other side's all the same: other studies stay other studies.
    """

    whose: Side
    value: float
    n: int
    moved: float
    still: tuple[Difference, ...]


@dataclass(frozen=True)
class Explained:
    """Two scores of one name. Without ``differences`` they are comparable; ``caution`` says what else to know.

    ``reason`` says why nothing was recomputed where something could have been learnt from it.
    """

    metric: str
    a: Score
    b: Score
    differences: tuple[Difference, ...]
    caution: str | None = None
    recomputed: Recomputed | None = None
    reason: str | None = None

    @property
    def comparable(self) -> bool:
        """Whether both were computed in the same way on the same studies."""
        return not self.differences


@dataclass(frozen=True)
class Explanation:
    """All scores that both have. ``only_a`` and ``only_b`` name those that the other has not."""

    a: str
    b: str
    scores: tuple[Explained, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]


def explain(a: Path, b: Path, metrics: Sequence[str] | None = None, recompute: bool = True) -> Explanation:
    """Say of each score that both have whether the two can be compared, and if not, what differs.

    ``a`` and ``b`` are run folders or their scores.json. Where the way of computing differs and a run folder is there,
    its reports are scored again by the other's rules; nothing is written into it. Raises UsageError for what is no
    scored run, and for a metric that one of them lacks.
    """
    one, other = _Given(Path(a)), _Given(Path(b))
    named = [_by_name(each.entry) for each in (one, other)]
    wanted = list(metrics) if metrics else [name for name in named[0] if name in named[1]]
    for side, given, scores in (("A", one, named[0]), ("B", other, named[1])):
        if lacking := [name for name in wanted if name not in scores]:
            raise UsageError(
                f"{side} ({given.entry.path}) has no value of {lacking[0]!r}.{did_you_mean(lacking[0], scores)}"
            )
    found = []
    for name in wanted:
        found += [_explained(name, *pair, one, other, recompute) for pair in _pairs(named[0][name], named[1][name])]
    only = [tuple(name for name in mine if name not in others) for mine, others in (named, named[::-1])]
    return Explanation(one.entry.system, other.entry.system, tuple(found), only[0], only[1])


def _by_name(entry: Entry) -> dict[str, list[Score]]:
    out: dict[str, list[Score]] = {}
    for score in entry.scores:
        if score.value is not None:
            out.setdefault(score.metric, []).append(score)
    return out


def _pairs(a: Sequence[Score], b: Sequence[Score]) -> list[tuple[Score, Score]]:
    """Scores of one name, each of A with one of B: the likest first, so that equal signatures find each other."""
    ranked = sorted(
        ((len(signatures.differences(x.signature, y.signature)), x.protocol != y.protocol, i, j)
        for i, x in enumerate(a) for j, y in enumerate(b))
    )  # fmt: skip
    out: dict[int, int] = {}
    for *_, i, j in ranked:
        if i not in out and j not in out.values():
            out[i] = j
    return [(a[i], b[out[i]]) for i in sorted(out)]


def _explained(name: str, a: Score, b: Score, one: _Given, other: _Given, recompute: bool) -> Explained:
    found = signatures.differences(a.signature, b.signature)
    if not found:
        return Explained(name, a, b, (), _caution(a, b))
    rules = [each for each in found if each.field != "data"]
    if not rules:
        return Explained(name, a, b, found, reason="both were computed by the same rules, on other studies")
    if not recompute:
        return Explained(name, a, b, found)
    reasons = []
    for whose, given, own, others in (("A", one, a, b), ("B", other, b, a)):
        try:
            made = given.rescored(others)
        except RRGBenchError as error:
            reasons.append(f"{whose}: {error}")
            continue
        score = next((score for score in made if score.metric == name), None)
        if score is None or score.value is None or own.value is None:
            reasons.append(f"{whose}: {score.reason if score else made[0].reason}")
            continue
        side: Side = "A" if whose == "A" else "B"
        both = (score.signature, others.signature)
        still = signatures.differences(*(both if side == "A" else both[::-1]))
        recomputed = Recomputed(side, score.value, score.n, score.value - own.value, still)
        return Explained(name, a, b, found, recomputed=recomputed)
    return Explained(name, a, b, found, reason="; ".join(reasons))


def _caution(a: Score, b: Score) -> str | None:
    """Why two scores of one signature may still be means over different reports."""
    if a.n == b.n and a.n_failed == b.n_failed:
        return None
    return f"A is over {a.n} reports ({a.n_failed} failed), B over {b.n} ({b.n_failed} failed): not the same studies"


class _Given:
    """One side: its scores and, where it is a run folder, what it takes to score its reports again."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise UsageError(f"There is no {path}. Name a run folder, or its scores.json.")
        self._folder = path if path.is_dir() else path.parent
        file = path / "scores.json" if path.is_dir() else path
        if not file.exists():
            raise UsageError(f"{path} holds no scored run: it has no scores.json.")
        entries, problems = read_all([file])
        if not entries:
            raise UsageError(f"{problems[0]}")
        self.entry = entries[0]
        self._made: dict[tuple[str, str, str], list[Score] | RRGBenchError] = {}
        self._run: StoredRun | None = None
        self._texts: dict[str, Report | Failure] = {}
        self._findings: dict[str, Findings | Failure] = {}

    def rescored(self, like: Score) -> Sequence[Score]:
        """The scores of this side's reports by the rules of a score; without intervals. Raises what stands in the way.

        All scores of one metric come from one computation, which is kept.
        """
        of = signatures.fields(like.signature)
        key = (like.signature.split("|protocol:")[0], like.protocol, of.get("failures", "exclude"))
        if key not in self._made:
            try:
                self._made[key] = self._score_again(metric_of(like.signature), like.protocol, key[2])
            except RRGBenchError as error:
                self._made[key] = error
        made = self._made[key]
        if isinstance(made, RRGBenchError):
            raise made
        return made

    def _score_again(self, metric: Part, name: str, failures: str) -> list[Score]:
        run = self._read()
        config = config_of(run.folder, run.manifest, failures=failures)
        plan = replanned(run.folder, run.manifest, config, (protocol(name),), (metric,))
        lost = Failure("missing", "reports.jsonl has no line for this study")
        unfound = Failure("encoder", "no findings were made for this study")
        reports = {study.study_id: self._texts.get(study.study_id, lost) for study in plan.studies}
        findings = {s.study_id: self._findings.get(s.study_id, unfound) for s in plan.studies} if self._findings else {}
        cases = scoring.cases(plan.studies, findings, reports, plan.protocols[0], failures)
        done = scoring.score(metric, plan.protocols[0], cases, _terms(plan, failures))
        return list(done.scores)

    def _read(self) -> StoredRun:
        if self._run is None:
            if not (self._folder / "reports.jsonl").exists():
                raise UsageError(f"{self._folder} has no reports.jsonl, so nothing can be scored again")
            self._run = stored.read(self._folder)
            with RunFolder.existing(self._folder) as folder:
                self._texts = {key: from_record(record) for key, record in folder.records().items()}
                if (self._folder / "findings.parquet").exists():
                    self._findings = dict(findings_of(folder.read_frame("findings.parquet")))
        return self._run


def _terms(plan: Plan, failures: str) -> scoring.Terms:
    return scoring.Terms(
        dataset=f"{plan.parts['dataset'].name}/{plan.split or 'all'}/{plan.dataset_digest[:12]}",
        failures=failures,
        weights=None,
        position={},
        open=plan.terms == "open",
    )


def metric_of(signature: str) -> Part:
    """The metric that a signature names, with its options, as it is here.

    Raises UsageError where it is not here, has another version, or read a file, whose place no signature tells.
    """
    of = signatures.fields(signature)
    catalogue = plugins.catalogue()
    name = of[signatures.METRIC]
    if hasattr(load_class(catalogue.entry("metric", name)), "row"):
        raise UsageError("it asks a language model; `rrgbench score FOLDER --metric …` asks it, or takes replies=FILE")
    try:
        part = build(catalogue, "metric", name)
    except UsageError:
        part = None  # it may need an option
    if part is None or not signature.startswith(f"{part.signature}|"):
        part = build(catalogue, "metric", _spec(catalogue.entry("metric", name), of, catalogue))
    if not signature.startswith(f"{part.signature}|"):
        made_by = signature.split("|protocol:")[0]
        raise UsageError(f"it was made by {made_by}, and what is here is {part.signature}")
    return part


def _spec(entry: plugins.Entry, of: Mapping[str, str], catalogue: plugins.Catalogue) -> Spec:
    """The spec that gives a part this signature, as far as options are in it."""
    known = {option.name for option in options(load_class(entry), entry)} - set(entry.defaults)
    given = {key: _option(value, catalogue) for key, value in of.items() if key in known}
    return Spec(entry.name, given, given)


def _option(value: str, catalogue: plugins.Catalogue) -> str:
    """The value of an option as a spec has it; the signature of a part, in brackets, becomes its spec."""
    if not (value.startswith("(") and value.endswith(")")):
        return value
    of = signatures.fields(value[1:-1])
    named = {entry.kind: entry for entry in catalogue.named(of[signatures.METRIC])}
    entry = next((named[kind] for kind in ("labeler", "llm", "metric") if kind in named), None)
    return str(_spec(entry, of, catalogue)) if entry else value
