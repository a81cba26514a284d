"""`rrgbench budget`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rrgbench.budget import Budgeted, ErrorBudget, System
    from rrgbench.budget_split import Loss

HEADER = ("system", "score", "lost", "labels and metric", "encoder", "writer", "interaction")
LEGEND = """
Points lost, their 95 % interval (paired bootstrap over patients, {resamples:,} resamples, BCa) and their share of what
the system loses. Each stage's loss is the mean of both orders; half of the interaction is in either. Below 0: won.
"""


def budget(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN…", help="Run folders: encoders (the oracle too) by writers.")
    ],
    metric: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A score, or all. Default: the headline scores.")
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(metavar="WRITER", help="What writers are measured against. Default: template; best: the best."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write a page with a picture to this HTML file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say which stage loses the points: the encoder, the writer, or the labels and the metric."""
    import sys
    from contextlib import redirect_stdout
    from dataclasses import asdict

    from rrgbench import budget as budgets
    from rrgbench import budget_page
    from rrgbench.cli import output
    from rrgbench.leaderboard.building import write_page

    with redirect_stdout(sys.stderr):  # what a metric prints is no result
        found = budgets.budget(runs, metric or None, reference=reference)
    if out:
        write_page(out, budget_page.page(found, "Which stage loses the points"))
    if json:
        output.as_json(asdict(found))
        return
    _print(found)
    for note in found.notes:
        typer.echo(note, err=True)
    for each in found.missing:
        typer.echo(f"\n{each.system} is missing. This makes it:\n  {each.command}", err=True)
    if out:
        typer.echo(f"\nOpen {out.resolve().as_uri()}")


def _print(found: ErrorBudget) -> None:
    from rrgbench.budget_page import said
    from rrgbench.cli import output

    mark = " (synthetic)" if found.synthetic else ""
    typer.echo(f"{found.dataset}{mark}, split {found.split or 'all'}")
    for each in found.budgets:
        typer.echo(f"\n{each.metric}, {each.protocol}, n = {each.n}. {said(each)}")
        output.table([_row(one, each) for one in each.systems], HEADER)
    typer.echo(LEGEND.format(resamples=found.resamples).rstrip())
    if any(one.split.order != "both" for each in found.budgets for one in each.systems):
        typer.echo("*: counted in one order only, or for both stages together, because a run is missing.")


def _row(one: System, each: Budgeted) -> tuple[str, ...]:
    from rrgbench.budget_grid import ORACLE, system

    split = one.split
    star = "" if split.order == "both" else "*"
    by_encoder = "-" if one.encoder == ORACLE else _points(split.by_encoder) + star
    by_writer = "-" if one.writer == each.reference else _points(split.by_writer) + star
    if split.order is None:
        by_encoder, by_writer = f"together {_points(split.together)}{star}", "?"
    return (
        system((one.encoder, one.writer)),
        f"{one.value:.3f}",
        _points(split.whole, share=False),
        _points(split.rest) if split.rest else "not known",
        by_encoder,
        by_writer,
        _points(split.interaction, share=False) if split.interaction else "-",
    )


def _points(loss: Loss | None, share: bool = True) -> str:
    if loss is None:
        return "?"
    interval = f" [{_number(loss.ci[0], 3)}, {_number(loss.ci[1], 3)}]" if loss.ci else ""
    percent = f" {_number(100 * loss.share, 0)} %" if share and loss.share is not None else ""
    return f"{_number(loss.value, 3)}{interval}{percent}"


def _number(value: float, decimals: int) -> str:
    """Rounded, and never a negative zero."""
    return f"{round(value, decimals) + 0.0:.{decimals}f}"
