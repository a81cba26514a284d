"""The last stage of a run: every metric under every protocol, the scores and the rows that stay in the run folder."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pandas as pd

from rrgbench import governance, judging, progress, scoring
from rrgbench.cache import Cache, digest
from rrgbench.planning import Plan
from rrgbench.protocols import Protocol
from rrgbench.runs import RunFolder, score_of
from rrgbench.spending import Budget
from rrgbench.types import Case, Failure, Findings, Report, Score


@dataclass
class State:
    """What a run has cost so far, a stage at a time, and what went wrong."""

    seconds: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)  # what metrics that failed said
    judges: dict[str, dict[str, Any]] = field(default_factory=dict)  # what was asked of judges, by metric and protocol


def score_stage(
    plan: Plan,
    findings: Mapping[str, Findings | Failure],
    reports: Mapping[str, Report | Failure],
    folder: RunFolder,
    state: State,
    cache: Cache,
    budget: Budget | None = None,
) -> list[Score]:
    """Score every metric under every protocol. Scores of other metrics of the same reports stay."""
    started = time.monotonic()
    config = plan.config
    asking = judging.Judging(cache, config.timeout, plan.hosts, budget)
    terms = scoring.Terms(
        dataset=f"{plan.parts['dataset'].name}/{plan.split or 'all'}/{plan.dataset_digest[:12]}",
        failures=config.failures,
        weights=scoring.resamples(plan.studies, config.resamples, config.seed),
        position={study.study_id: at for at, study in enumerate(plan.studies)},
        open=plan.terms == "open",
        judging=asking,
    )
    made_of = reports_digest(reports)
    earlier = folder.read_json("scores.json") or {}
    same = earlier.get("reports_digest") == made_of and earlier.get("failures_count_as") == config.failures
    rows = _units(plan)
    scores: list[Score] = []
    total = len(plan.metrics) * len(plan.protocols)
    with progress.stage("score", total, "metrics") as advance:
        for each in plan.protocols:
            cases = scoring.cases(plan.studies, findings, reports, each, config.failures)
            state.warnings += _without_text(cases, each)
            for metric in plan.metrics:
                governance.check_again(metric.public, metric.hosts, plan.hosts)
                done = scoring.score(metric, each, cases, terms)
                if config.metric is None and not done.scores[0].n and done.scores[0].n_failed == 0:
                    advance(1)
                    continue  # nothing asked for it, and the data don't allow it
                scores += done.scores
                if done.fault:
                    # Warnings are printed, and logs are read by others: what was raised may quote a report.
                    # A RunError is the core's own, of a language model that can't go on: it quotes none.
                    whole = plan.terms == "open" or done.fault.startswith("RunError: ")
                    said = done.fault if whole else done.fault.partition(":")[0]
                    state.warnings.append(f"the metric {metric.spec} failed under {each.name}: {said}")
                    state.faults.append(f"{metric.spec}@{each.name}: {done.fault}")
                rows = rows.join(done.rows.add_prefix(f"{metric.spec}@{each.name}/"))
                state.seconds[f"score {metric.spec}@{each.name}"] = done.seconds
                advance(1)
            scores += [scoring.unavailable(n, each, why, len(cases)) for n, why in plan.unavailable.items()]
    if same:
        new = {(score.metric, score.protocol, score.signature) for score in scores}
        old = [score_of(entry) for entry in earlier["scores"]]
        scores += [s for s in old if (s.metric, s.protocol, s.signature) not in new and s.value is not None]
    if not scores:
        state.warnings.append("nothing was scored: the dataset has neither labels nor reports that a metric could use")
    if same and (folder.path / "rows.parquet").exists():
        rows = _with_kept(rows, folder.read_frame("rows.parquet"))
    folder.write_frame("rows.parquet", rows.reset_index())
    _keep_replies(asking, folder, same)
    state.judges = asking.usage
    state.warnings += _judge_warnings(asking)
    state.seconds["score"] = time.monotonic() - started
    return scores


def _keep_replies(asking: judging.Judging, folder: RunFolder, same: bool) -> None:
    """What judges said of these reports, in replies.jsonl; what they said of others goes."""
    kept = judging.merged(folder.read_lines("replies.jsonl") if same else [], asking.lines)
    if kept or (folder.path / "replies.jsonl").exists():
        folder.write_lines("replies.jsonl", kept)


_FEW, _SAME = 10, 0.8  # replies that tell nothing yet; the share of equal ones that is odd for different reports


def _judge_warnings(asking: judging.Judging) -> list[str]:
    """Warnings of judges that failed at some reports, and of those that say the same of all."""
    out = []
    for name, usage in asking.usage.items():
        lost = usage["questions"] - usage["read"]
        said = f"{lost} of {usage['questions']} questions had no reply that could be read" if lost else ""
        if failures := usage["failures"]:
            kinds = ", ".join(f"{number} {kind}" for kind, number in failures.items())
            said = f"{sum(failures.values())} could not be judged ({kinds}){f'; {said}' if said else ''}"
        if said:
            out.append(f"{name}: {said}; replies.jsonl says why")
        if usage["read"] >= _FEW and usage["most_alike"] > _SAME * usage["read"]:
            out.append(
                f"{name}: {usage['most_alike']} of {usage['read']} replies are word for word the same; look whether the"
                " judge judges, or repeats an example"
            )
    return out


def _units(plan: Plan) -> pd.DataFrame:
    """The patient of each study and, where a protocol counts images, of each image, indexed as metrics' rows are."""
    units = [(study, "") for study in plan.studies]
    if any(protocol.unit == "image" for protocol in plan.protocols):
        units += [(s, image_id) for s in plan.studies for image_id in dict.fromkeys(i.image_id for i in s.images)]
    index = pd.MultiIndex.from_tuples([(study.study_id, image_id) for study, image_id in units], names=scoring.UNIT)
    return pd.DataFrame({"patient_id": [study.patient_id for study, _ in units]}, index=index)


def _with_kept(rows: pd.DataFrame, kept: pd.DataFrame) -> pd.DataFrame:
    """The rows with those that an earlier scoring of the same reports left, the new ones first."""
    if "image_id" not in kept:  # a folder of before protocols could count images
        kept = kept.assign(image_id="")
    kept = kept.set_index(list(scoring.UNIT))
    order = rows.index.append(kept.index.difference(rows.index, sort=False))
    rows = rows.join(kept[kept.columns.difference(rows.columns, sort=False)], how="outer").reindex(order)
    rows["patient_id"] = rows["patient_id"].fillna(kept["patient_id"])
    return rows


def _without_text(cases: Sequence[Case], protocol: Protocol) -> list[str]:
    """A warning where reports were made and the protocol finds nothing in them to score."""
    bare = sum(isinstance(case.report, Report) and not case.candidate for case in cases)
    if not bare:
        return []
    what = f"{bare} of {len(cases)} {scoring.UNITS[protocol.unit]}"
    return [f"{protocol.name}: the reports of {what} have no text that it scores: they count as failed"]


def reports_digest(reports: Mapping[str, Report | Failure]) -> str:
    """A digest of all reports of a run: scores of other reports are not theirs."""
    return digest(sorted((study_id, asdict(report)) for study_id, report in reports.items()))
