"""`rrgbench run` and `rrgbench score`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rrgbench.planning import Plan
    from rrgbench.runs import RunResult

Specs = Annotated[list[str] | None, typer.Option(metavar="SPEC")]
Json = Annotated[bool, typer.Option("--json", help="Print scores.json on stdout, and nothing else.")]
Protocols = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="full-text, findings, r2gen, rexrank …: see `rrgbench data info`."),
]
Metrics = Annotated[list[str] | None, typer.Option(metavar="SPEC", help="Default: all that data and machine allow.")]
Split = Annotated[str | None, typer.Option(help="Default: test, or everything where there are no splits.")]
Failures = Annotated[
    str | None, typer.Option(help="A report that could not be made: exclude it, or count it as empty.")
]
Resamples = Annotated[int | None, typer.Option(help="Bootstrap resamples. Default: 1000.")]
Out = Annotated[Path | None, typer.Option(help="Where run folders go. Default: runs.")]
Timeout = Annotated[float | None, typer.Option(help="Seconds that one LLM call may take. Default: 300.")]
Dollars = Annotated[float | None, typer.Option(help="US dollars that new replies of an LLM may cost, a judge's too.")]
Tokens = Annotated[int | None, typer.Option(help="Tokens that new replies of an LLM may use, a judge's too.")]
Attestation = Annotated[
    Path | None, typer.Option(help="A YAML file that says what a remote host guarantees (docs/governance.md).")
]


def run(
    dataset: Specs = None,
    split: Split = None,
    encoder: Specs = None,
    renderer: Specs = None,
    prompt: Specs = None,
    llm: Specs = None,
    system: Specs = None,
    protocol: Protocols = None,
    metric: Metrics = None,
    config: Annotated[Path | None, typer.Option(help="A YAML file; the command line wins over it.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first N studies.")] = None,
    out: Out = None,
    seed: Annotated[int | None, typer.Option(help="Default: 0.")] = None,
    failures: Failures = None,
    resamples: Resamples = None,
    timeout: Timeout = None,
    budget: Dollars = None,
    token_budget: Tokens = None,
    attestation: Attestation = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done and what the LLM would cost, and stop.")
    ] = False,
    json: Json = False,
) -> None:
    """Compose a system, generate reports for a dataset, score them.

    A part is written NAME or NAME:key=value,key=value. One that is given twice makes a grid. Without any option the
    embedded synthetic dataset is run with a small ViT and the template writer. The same command goes on where an
    earlier one stopped. `rrgbench list` shows the parts.
    """
    from rrgbench import harness, planning, plugins
    from rrgbench.cli import output
    from rrgbench.config import RunConfig, load

    given = {key: value for key, value in locals().items() if key in RunConfig.model_fields}
    loaded = load(RunConfig, config, **given)
    if dry_run:
        plans = planning.plan(loaded, plugins.catalogue())
        if json:
            output.as_json([_description(plan) for plan in plans])
        else:
            for plan in plans:
                output.description(_description(plan))
        return
    with redirect_stdout(sys.stderr):  # what a part prints is no result
        done = harness.run(loaded)
    if json:
        summaries = [result.summary for result in done.runs]
        output.as_json(summaries[0] if len(summaries) == 1 else summaries)
    else:
        output.results(done.runs)
    output.notes(done.runs)
    if not json:
        typer.echo(f"\ncompare systems: rrgbench leaderboard build {loaded.out}")
    for problem in done.problems:
        typer.echo(f"rrgbench: {problem}", err=True)
    _exit(done.runs, done.problems)


def score(
    folder: Annotated[Path | None, typer.Argument(help="A run folder, to score again or by further metrics.")] = None,
    reports: Annotated[Path | None, typer.Option(help="CSV, JSONL or JSON with study_id and report.")] = None,
    references: Annotated[Path | None, typer.Option(help="The same, with the reference reports.")] = None,
    dataset: Annotated[str | None, typer.Option(metavar="SPEC", help="Instead of --references.")] = None,
    terms: Annotated[
        str | None, typer.Option(help="Of the files given here: open, private (the default) or credentialed.")
    ] = None,
    split: Split = None,
    protocol: Protocols = None,
    metric: Metrics = None,
    failures: Failures = None,
    resamples: Resamples = None,
    out: Out = None,
    timeout: Timeout = None,
    budget: Dollars = None,
    token_budget: Tokens = None,
    attestation: Attestation = None,
    json: Json = False,
) -> None:
    """Score reports that were made elsewhere, or a run folder again."""
    from rrgbench import harness
    from rrgbench.cli import output
    from rrgbench.errors import UsageError

    given: dict[str, Any] = {
        "protocol": protocol or None,
        "failures": failures,
        "resamples": resamples,
        "timeout": timeout,
        "budget": budget,
        "token_budget": token_budget,
        "attestation": attestation,
    }
    if folder and reports is None:
        other = {"--references": references, "--dataset": dataset, "--terms": terms, "--split": split, "--out": out}
        if unused := [name for name, value in other.items() if value is not None]:
            raise UsageError(f"A run folder is scored on its own dataset, in its place: leave {', '.join(unused)} out.")
        result = harness.rescore(folder, metrics=metric or None, **given)
    elif reports and folder is None:
        result = harness.score(
            reports,
            references,
            dataset=dataset,
            metrics=metric or None,
            split=split,
            out=out or Path("runs"),
            terms=terms or "private",
            **given,
        )
    else:
        raise UsageError("Say what to score: a run folder, or --reports FILE with --references FILE or --dataset SPEC.")
    if json:
        output.as_json(result.summary)
    else:
        output.results([result])
    output.notes([result])
    _exit([result])


def _exit(results: Sequence[RunResult], problems: Sequence[str] = ()) -> None:
    if problems or not all(result.complete for result in results):
        raise typer.Exit(1)


def _description(plan: Plan) -> dict[str, Any]:
    from dataclasses import asdict

    from rrgbench.estimating import estimate
    from rrgbench.judging import is_judge

    expected = estimate(plan)
    judges = [metric.name for metric in plan.metrics if is_judge(metric)]
    hosts = sorted({host for part in (*plan.parts.values(), *plan.metrics) for host in part.hosts})
    return {
        "system": plan.label,
        "run_id": plan.run_id,
        "parts": {kind: part.spec for kind, part in plan.parts.items()},
        "split": plan.split,
        "studies": len(plan.studies),
        "patients": len({study.patient_id for study in plan.studies}),
        "estimate": asdict(expected) if expected else "no call of a language model" + " but of judges" * bool(judges),
        "terms": plan.terms,
        "sent to": hosts or "nobody: all stays on this machine",
        "protocols": [protocol.name for protocol in plan.protocols],
        "metrics": [metric.spec for metric in plan.metrics],
        **({"judges": f"{', '.join(judges)}: their calls are not in the estimate"} if judges else {}),
        "left out": dict(plan.unavailable),
        "warnings": list(plan.warnings),
    }
