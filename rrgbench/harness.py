"""``run()``: the one main flow. Studies become findings, findings reports, reports scores, and a folder keeps it all.

Everything that can be wrong with a request is found while it is planned, before the first study is touched.
"""

from __future__ import annotations

import datetime
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from rrgbench import governance, plugins, progress, provenance, scoring, stats, tables
from rrgbench.asking import run_async, total
from rrgbench.cache import Cache
from rrgbench.config import RunConfig, check
from rrgbench.datasets.table import Table
from rrgbench.encoding import encode, encode_cached
from rrgbench.errors import RunError, UsageError
from rrgbench.evaluating import State, reports_digest, score_stage
from rrgbench.parts import Part, build
from rrgbench.planning import Plan, context, measures, plan, planned
from rrgbench.replanning import config_of, replanned
from rrgbench.runs import (
    SCHEMA_VERSION,
    Record,
    RunFolder,
    RunResult,
    RunResults,
    cache_of,
    findings_frame,
    findings_of,
    from_record,
    private_folder,
    score_record,
    slug,
    to_record,
)
from rrgbench.specs import Spec
from rrgbench.spending import Budget
from rrgbench.systems.reports_file import ReportsFile
from rrgbench.types import Failure, Findings, Report, Score, Study
from rrgbench.writing import checked, generate, write

NO_PARTS = dict.fromkeys(("system", "encoder", "renderer", "prompt", "llm"))


def run(config: RunConfig | Mapping[str, Any] | None = None, **given: Any) -> RunResults:
    """Run every system of a configuration, and score its reports. What `rrgbench run` does.

    ``config`` may be a mapping, or its keys may be given as keywords: ``run(encoder="oracle", limit=20)``. Raises
    ``UsageError`` before any work where the request is wrong. Reports that can't be made are recorded as failures.
    """
    if isinstance(config, RunConfig):
        config = config.model_dump()
    config = check(RunConfig, {**(config or {}), **given})
    catalogue = plugins.catalogue()
    runs, problems = [], []
    budget = Budget(config.budget, config.token_budget)
    for each in plan(config, catalogue):
        try:
            runs.append(run_one(each, catalogue, budget))
        except RunError as error:  # one system's server is down: the others of the grid go on
            problems.append(f"{each.label}: {error}")
    if problems and not runs:
        raise RunError("; ".join(problems))
    return RunResults(tuple(runs), tuple(problems))


def run_one(plan: Plan, catalogue: plugins.Catalogue, budget: Budget | None = None) -> RunResult:
    """One system on one dataset: encode, write, score; each stage goes on where an earlier run stopped."""
    path = plan.config.out / slug(plan.parts["dataset"].name) / f"{slug(plan.label)}-{plan.run_id}"
    progress.say(f"{plan.label} on {plan.parts['dataset'].name} ({len(plan.studies)} studies) in {path}")
    for part in plan.parts.values():
        governance.check_again(part.public, part.hosts, plan.hosts)
    if plan.terms != "open":
        private_folder(path.parent)
    with RunFolder(path, private=plan.terms != "open") as folder:
        state = State(warnings=list(plan.warnings))
        manifest = _manifest(plan) | {"attestations": _attestations(plan, folder)}
        folder.write_json("manifest.json", manifest)
        state.warnings += catalogue.call("rrgbench_run_started", manifest=manifest, folder=path)
        cache = None
        try:
            cache = Cache(plan.config.out / ".cache.sqlite")
            records = folder.records()
            findings = _encode_stage(plan, cache, state)
            if findings:
                folder.write_frame("findings.parquet", findings_frame({k: v for k, (v, _) in findings.items()}))
            _write_stage(plan, findings, records, folder, cache, state, budget)
            reports = {study.study_id: from_record(records[study.study_id]) for study in plan.studies}
            scores = score_stage(plan, {k: v for k, (v, _) in findings.items()}, reports, folder, state, cache, budget)
        except BaseException:
            folder.write_json("manifest.json", {**manifest, "status": "incomplete", "warnings": state.warnings})
            raise
        finally:
            if cache:
                cache.close()
        result = _finish(plan, manifest, records, scores, folder, state)
    for warning in catalogue.call("rrgbench_run_finished", result=result):
        progress.say(f"warning: {warning}")
    return result


def score(
    reports: Path | Mapping[str, str] | pd.DataFrame,
    references: Path | Mapping[str, str] | pd.DataFrame | None = None,
    *,
    dataset: str | None = None,
    metrics: Sequence[Any] | None = None,
    out: Path | None = None,
    terms: str = "private",
    **given: Any,
) -> RunResult:
    """Score reports made elsewhere, against reference reports or against a dataset. What `rrgbench score` does.

    ``reports`` and ``references`` are files, mappings from study_id to text, or frames with the columns ``study_id``
    and ``report``; ``terms`` are theirs: "open", "private" or "credentialed". ``given`` may hold ``split``,
    ``protocol``, ``failures``, ``resamples``, ``seed``, ``timeout``, ``budget``, ``attestation``. Without ``out`` no
    folder is kept.
    """
    if (references is None) == (dataset is None):
        raise UsageError("Give either reference reports (--references FILE) or a dataset (--dataset SPEC).")
    catalogue = plugins.catalogue()
    values = {key: value for key, value in given.items() if value is not None}
    with tempfile.TemporaryDirectory() as scratch:
        config = check(RunConfig, {**values, "metric": metrics, "out": out or Path(scratch)})
        system = _made_elsewhere(catalogue, reports, terms)
        if references is None:
            source = build(catalogue, "dataset", dataset)
        else:
            source = _references(catalogue, references, terms)
        each = planned(config, {"dataset": source, "system": system}, *measures(config, catalogue))
        result = run_one(each, catalogue, Budget(config.budget, config.token_budget))
        return result if out else replace(result, folder=None)


def _made_elsewhere(catalogue: plugins.Catalogue, value: Path | Mapping[str, str] | pd.DataFrame, terms: str) -> Part:
    """The system that gives reports made elsewhere."""
    if isinstance(value, (str, Path)):
        return build(catalogue, "system", Spec("reports", {"path": str(value), "terms": terms}))
    system = ReportsFile.of_reports(_frame(value), "the reports given", terms)
    return Part("system", "reports", "reports", system, plugins.BUILTIN, {}, "reports")


def _references(catalogue: plugins.Catalogue, value: Path | Mapping[str, str] | pd.DataFrame, terms: str) -> Part:
    """The dataset that reference reports alone make."""
    if isinstance(value, (str, Path)):
        columns = {"report": "report"}
        if "patient_id" in tables.read_table(Path(value)).columns:
            columns["patient"] = "patient_id"
        return build(catalogue, "dataset", Spec("table", {"path": str(value), **columns, "terms": terms}))
    dataset = Table.of_reports(_frame(value), "the references given")
    dataset.terms = terms
    return Part("dataset", "references", "references", dataset, plugins.BUILTIN, {}, "references")


def _frame(value: Mapping[str, str] | pd.DataFrame) -> pd.DataFrame:
    if isinstance(value, pd.DataFrame):
        return value
    if not isinstance(value, Mapping):
        raise UsageError(
            f"Reports are a file, a mapping from study_id to text or a DataFrame, not a {type(value).__name__}."
        )
    return pd.DataFrame({"study_id": list(value), "report": list(value.values())}, dtype=object)


def rescore(folder: Path, metrics: Sequence[Any] | None = None, **given: Any) -> RunResult:
    """Score the reports of a run folder again, or by further metrics. Needs its dataset, not what made the reports."""
    catalogue = plugins.catalogue()
    with RunFolder.existing(folder) as run_folder:
        manifest, summary = run_folder.read_json("manifest.json"), run_folder.read_json("scores.json")
        if manifest is None or summary is None:
            raise UsageError(f"{folder} holds no finished run: it has no scores.json.")
        changed = {key: value for key, value in given.items() if value is not None}
        config = config_of(folder, manifest, **changed, metric=metrics, out=folder)
        again = replanned(folder, manifest, config, *measures(config, catalogue))
        if again.terms != "open":
            run_folder.keep_private()
        records = run_folder.records()
        lost = Failure("missing", "reports.jsonl has no line for this study")
        there = {study_id: from_record(record) for study_id, record in records.items()}
        reports = {study.study_id: there.get(study.study_id, lost) for study in again.studies}
        findings: dict[str, Findings | Failure] = {}
        if (file := folder / "findings.parquet").exists():
            missing = Failure("encoder", "no findings were made for this study")
            findings = {s.study_id: missing for s in again.studies} | findings_of(run_folder.read_frame(file.name))
        state = State(warnings=list(again.warnings))
        manifest["dataset"]["terms"] = again.terms
        manifest["attestations"] = _attestations(again, run_folder)
        run_folder.write_json("manifest.json", manifest)  # before anything is sent by them
        cache = Cache(cache_of(folder))
        try:
            budget = Budget(config.budget, config.token_budget)
            scores = score_stage(again, findings, reports, run_folder, state, cache, budget)
        finally:
            cache.close()
        summary |= {
            "terms": again.terms,
            "failures_count_as": config.failures,
            "resamples": config.resamples,
            "intervals": scoring.INTERVALS,
            "scores": [score_record(each) for each in scores],
        }
        run_folder.write_json("scores.json", summary)
        complete = not summary["failures"] and not (state.faults and metrics is not None)
        manifest |= {
            "status": "complete" if complete else "incomplete",
            "warnings": state.warnings,
            "faults": state.faults,
            "judges": manifest.get("judges", {}) | state.judges,
        }
        run_folder.write_json("manifest.json", manifest)
    return RunResult(folder, manifest, summary, tuple(scores))


# --- encode -----------------------------------------------------------------------------------------------------------


def _encode_stage(plan: Plan, cache: Cache, state: State) -> dict[str, tuple[Findings | Failure, float]]:
    """Findings of every study, and the seconds each took; none for a system without an encoder."""
    if "encoder" not in plan.parts:
        return {}
    encoder = plan.parts["encoder"]
    contexts = [context(study, encoder.obj.needs) for study in plan.studies]
    started = time.monotonic()
    with progress.stage("encode", len(contexts)) as advance:
        if getattr(encoder.obj, "cached", True):
            found = encode_cached(encoder, contexts, cache, advance)
        else:
            found = encode(encoder, contexts, advance)
    state.seconds["encode"] = time.monotonic() - started
    return found


# --- write ----


def _write_stage(
    plan: Plan,
    findings: Mapping[str, tuple[Findings | Failure, float]],
    records: dict[str, Record],
    folder: RunFolder,
    cache: Cache,
    state: State,
    budget: Budget | None,
) -> None:
    """A report or a failure for every study that has no report yet. Failures of an earlier run are tried again."""
    wanted = {study.study_id for study in plan.studies}
    for study_id in [study_id for study_id in records if study_id not in wanted or records[study_id]["failure"]]:
        del records[study_id]
    todo = [study for study in plan.studies if study.study_id not in records]
    started = time.monotonic()
    with progress.stage("write", len(plan.studies), "reports", done=len(records)) as advance:

        def keep(study: Study, outcome: Report | Failure, **usage: Any) -> None:
            record = to_record(study.study_id, checked(outcome), **usage)
            folder.append(record)
            records[study.study_id] = record
            advance(1)

        if "encoder" not in plan.parts:
            generate(plan.parts["system"], todo, keep)
        else:
            run_async(write(plan, findings, todo, cache, keep, budget))
    state.seconds["write"] = time.monotonic() - started


# --- what the folder says ---------------------------------------------------------------------------------------------


def _manifest(plan: Plan) -> dict[str, Any]:
    """What is known of a run before it begins."""
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": plan.run_id,
        "status": "running",
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "system": plan.label,
        "config": plan.config.model_dump(mode="json")
        | NO_PARTS
        | {kind: part.spec for kind, part in plan.parts.items()},
        "parts": {kind: part.spec for kind, part in plan.parts.items()},
        "signatures": {kind: part.signature for kind, part in plan.parts.items()},
        "dataset": {
            "split": plan.split,
            "digest": plan.dataset_digest,
            "terms": plan.terms,
            "studies": len(plan.studies),
            "patients": len({study.patient_id for study in plan.studies}),
        },
        "versions": provenance.versions(set().union(*(part.distributions for part in plan.parts.values()))),
        "git": provenance.git_revision(),
        "warnings": list(plan.warnings),
    }


def _attestations(plan: Plan, folder: RunFolder) -> list[dict[str, Any]]:
    """The attestations of a run, whole: those by which something was sent before, and those of now."""
    earlier = (folder.read_json("manifest.json") or {}).get("attestations", [])
    now = [each.model_dump(mode="json") for each in plan.attestations]
    return [*earlier, *(each for each in now if each not in earlier)]


def _finish(
    plan: Plan,
    manifest: dict[str, Any],
    records: Mapping[str, Record],
    scores: list[Score],
    folder: RunFolder,
    state: State,
) -> RunResult:
    """Write scores.json and the manifest's last form."""
    mine = [records[study.study_id] for study in plan.studies]
    failures = pd.Series([r["failure"]["kind"] for r in mine if r["failure"]], dtype=object).value_counts().to_dict()
    reported = [r for r in mine if not r["failure"]]
    notes = [note for part in plan.makers.values() if (note := part.baseline)]
    summary = {
        "schema_version": SCHEMA_VERSION,
        "run_id": plan.run_id,
        "dataset": plan.parts["dataset"].name,
        "dataset_spec": _dataset_spec(plan.parts["dataset"]),
        "dataset_digest": plan.dataset_digest,
        "split": plan.split,
        "system": plan.label,
        "parts": NO_PARTS | {kind: part.name for kind, part in plan.makers.items()},
        "specs": NO_PARTS | {kind: part.public for kind, part in plan.makers.items()},
        "baseline": bool(notes),
        "baseline_notes": notes,
        "synthetic": bool(getattr(plan.parts["dataset"].obj, "synthetic", False)),
        "terms": plan.terms,
        "n": len(plan.studies),
        "n_patients": manifest["dataset"]["patients"],
        "coverage": len(reported) / len(mine),
        "failures": failures,
        "failures_count_as": plan.config.failures,
        "resamples": plan.config.resamples,
        "intervals": scoring.INTERVALS,
        "created": manifest["created"],
        "costs": _costs(mine),
        "reports_digest": reports_digest({r["study_id"]: from_record(r) for r in mine}),
        "scores": [score_record(score) for score in scores],
    }
    folder.write_json("scores.json", summary)
    complete = not failures and not (state.faults and plan.config.metric is not None)
    manifest |= {
        "status": "complete" if complete else "incomplete",
        "counts": {"studies": len(mine), "reports": len(reported), "failures": failures},
        "cost": summary["costs"]["usd"],
        "seconds": {stage: round(seconds, 3) for stage, seconds in state.seconds.items()},
        "warnings": state.warnings,
        "faults": state.faults,
        "judges": state.judges,
    }
    folder.write_json("manifest.json", manifest)
    return RunResult(folder.path, manifest, summary, tuple(scores))


def _dataset_spec(dataset: Part) -> str:
    """The spec as pages show it, with what the dataset alone knows of itself (which corpus a file holds)."""
    about = getattr(dataset.obj, "about", "")
    return f"{dataset.public} ({about})" if about else dataset.public


def _costs(records: Sequence[Record]) -> dict[str, Any]:
    """Seconds and tokens: the median and 95th percentile a report. Calls and US dollars: in all, failures included."""
    reported = [record for record in records if not record["failure"]]
    tokens = [
        record["prompt_tokens"] + record["completion_tokens"]
        for record in reported
        if record.get("prompt_tokens") is not None and record.get("completion_tokens") is not None
    ]
    asked = [record for record in records if record.get("calls")]
    return {
        "encode_seconds": stats.quantiles([r["encode_seconds"] for r in reported if "encode_seconds" in r]),
        "write_seconds": stats.quantiles([r["write_seconds"] for r in reported if "write_seconds" in r]),
        "tokens": stats.quantiles(tokens),
        "usd": total([record["cost"] for record in asked]),
        "calls": sum(record["calls"] for record in asked),
    }
