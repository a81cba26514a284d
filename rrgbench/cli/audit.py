"""`rrgbench audit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rrgbench.audit.auditing import Audit
    from rrgbench.audit.checking import Checked

app = typer.Typer(rich_markup_mode=None)

Dataset = Annotated[str, typer.Option(metavar="SPEC", help="Whose reports are edited.")]
Split = Annotated[str | None, typer.Option(help="Default: test, or everything where there are no splits.")]
Protocol = Annotated[str, typer.Option(metavar="NAME", help="What text is compared: see `rrgbench data info`.")]
Seed = Annotated[int, typer.Option(min=0, help="Another seed makes other edits.")]
Resamples = Annotated[int, typer.Option(min=0, help="Bootstrap resamples of the patients.")]
Attestation = Annotated[
    Path | None, typer.Option(help="A YAML file that says what a remote host guarantees (docs/governance.md).")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback(invoke_without_command=True)
def audit(
    context: typer.Context,
    dataset: Dataset = "phantom",
    split: Split = None,
    protocol: Protocol = "findings",
    metric: Annotated[
        list[str] | None, typer.Option(metavar="SPEC", help="Default: all that read reports and work here.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Only the first N studies.")] = 400,
    seed: Seed = 0,
    resamples: Resamples = 1000,
    attestation: Attestation = None,
    budget: Annotated[float | None, typer.Option(help="US dollars that new replies of a judge may cost.")] = None,
    token_budget: Annotated[int | None, typer.Option(help="Tokens that new replies of a judge may use.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="A folder for the page, the figure, the numbers and the log of the edits.")
    ] = None,
    json: Json = False,
) -> None:
    """Show which errors a metric can see: edit reports, harmfully and harmlessly, and see how the scores move.

    `rrgbench audit check` lets an LLM find the errors instead.
    """
    if context.invoked_subcommand:
        from rrgbench.errors import UsageError

        sources = {name: context.get_parameter_source(name) for name in context.params}
        if misplaced := [name for name, source in sources.items() if source and source.name == "COMMANDLINE"]:
            raise UsageError(f"--{misplaced[0]} stands before the word {context.invoked_subcommand}: put it behind.")
        return
    import sys
    from contextlib import redirect_stdout

    from rrgbench.audit import auditing, page
    from rrgbench.cli import output

    with redirect_stdout(sys.stderr):  # what a part prints is no result
        done = auditing.audit(
            dataset,
            split=split,
            protocol=protocol,
            metrics=metric or None,
            limit=limit,
            seed=seed,
            resamples=resamples,
            attestation=attestation,
            budget=budget,
            token_budget=token_budget,
        )
        if out:
            page.write(done, out)
    if json:
        output.as_json(done.record())
    else:
        _print_audit(done)
        if out:
            typer.echo(f"\nOpen {(out / 'audit.html').resolve().as_uri()}")


@app.command("check")
def check(
    dataset: Dataset = "phantom",
    llm: Annotated[
        str | None, typer.Option(metavar="SPEC", help="Without one a rule answers: report labels against findings.")
    ] = None,
    encoder: Annotated[str, typer.Option(metavar="SPEC", help="What sees the image.")] = "vit",
    renderer: Annotated[str, typer.Option(metavar="SPEC", help="What puts its findings in words.")] = "sentences",
    split: Split = None,
    protocol: Protocol = "findings",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N studies.")] = None,
    seed: Seed = 0,
    resamples: Resamples = 1000,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds that one LLM call may take.")] = 300.0,
    attestation: Attestation = None,
    out: Annotated[Path, typer.Option(help="Where the answers and their cache go.")] = Path("runs"),
    json: Json = False,
) -> None:
    """Report error-checking: does a report hold an error, and of which type?

    Half of the reports get one error: a finding inserted, removed or substituted. The LLM is shown the encoder's
    findings and the report. Exit code 1 where it gave no answer to some of them.
    """
    import sys
    from contextlib import redirect_stdout

    from rrgbench.audit import checking
    from rrgbench.cli import output

    with redirect_stdout(sys.stderr):
        done = checking.check_reports(
            dataset,
            llm=llm,
            encoder=encoder,
            renderer=renderer,
            split=split,
            protocol=protocol,
            limit=limit,
            seed=seed,
            resamples=resamples,
            timeout=timeout,
            attestation=attestation,
            out=out,
        )
    if json:
        output.as_json(done.record())
    else:
        _print_checked(done)
    if done.failures:
        raise typer.Exit(1)


def _print_audit(done: Audit) -> None:
    from rrgbench.audit.corruptor import HARMFUL, KINDS
    from rrgbench.audit.figure import interval, percent
    from rrgbench.cli import output

    mark = " (synthetic)" if done.synthetic else ""
    typer.echo(f"{done.dataset}{mark}, {done.protocol}: {done.n} reports of {done.n_patients} patients, each edited\n")
    rows = [(k, str(t.made), str(t.impossible), str(t.unchecked), KINDS[k].summary) for k, t in done.tried.items()]
    output.table(rows, ("edit", "made", "no place", "not read as meant", "what it does"))
    typer.echo("\nhow often an error costs a report more than a harmless edit, % (50: blind)")
    seen = [
        (score.score, *(_cell(percent(m.seen), interval(m.seen_ci)) for m in score.moves if m.kind in HARMFUL))
        for score in done.scores
    ]
    output.table(seen, ("score", *HARMFUL))
    typer.echo("\nmean move for the worse, % of that by another patient's report")
    output.table([(s.score, *(percent(m.share) for m in s.moves)) for s in done.scores], ("score", *KINDS))
    if depend := [score.score for score in done.scores if score.depends_on_corpus]:
        typer.echo(f"\nof a report these depend on the other reports scored with it: {', '.join(depend)}")
    if own := [score.score for score in done.scores if score.by_construction]:
        typer.echo(f"\nmade by the labeler that checks the edits, so as it is by construction: {', '.join(own)}")
    for name, why in done.left_out.items():
        typer.echo(f"left out: {name}: {why}", err=True)


def _cell(value: str, ends: str) -> str:
    return f"{value} [{ends}]" if ends else value


def _print_checked(done: Checked) -> None:
    from rrgbench.cli import output

    mark = " (synthetic)" if done.synthetic else ""
    typer.echo(f"{done.system} on {done.dataset}{mark}, {done.protocol}: {done.n} reports")
    typer.echo("; ".join(f"{name} {count}" for name, count in done.by_type.items()))
    typer.echo(f"always the same answer would have an accuracy of {done.always:.3f}\n")
    rows = [
        (
            score.metric,
            "n/a" if score.value is None else f"{score.value:.3f}",
            str(score.n),
            "[{:.3f}, {:.3f}]".format(*score.ci) if score.ci else (score.reason or "none"),
        )
        for score in done.scores
    ]
    output.table(rows, ("score", "value", "n", "95 % interval"))
    typer.echo(f"answers: {done.folder / 'answers.jsonl'}")
    for kind, count in done.failures.items():
        typer.echo(f"{count} reports have no answer ({kind}): see {done.folder / 'answers.jsonl'}", err=True)
