"""`rrgbench agreement`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rrgbench.agreement import Agreed, Agreement, Interval, Pair

COUNTS = ("both", "only A", "only B")
INTERVAL = "95 % interval"
HEADER = ("score", *COUNTS, "A", "B", "B - A", INTERVAL, "tau-b", INTERVAL, "alpha", INTERVAL, "same")
LEGEND = """
both, only A, only B: reports that have the score from both or from one alone; all else is of those that have both.
A, B: means. tau-b: Kendall's; 1: the same order, 0: no common order. alpha: Krippendorff's for interval data; 1: the
same values, 0: as far apart as values drawn at random. same: share of the reports with the very same value.
95 % interval: bootstrap over patients ({resamples} resamples, BCa).
"""


def agreement(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, its reports judged at least twice.")],
    other: Annotated[
        Path | None, typer.Argument(metavar="RUN2", help="A folder of the same reports, judged otherwise.")
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(metavar="SCORE", help="A score, or all. Default: what rows hold of a report.")
    ] = None,
    top: Annotated[int, typer.Option(min=0, help="How many reports to name where two part most.")] = 10,
    resamples: Annotated[int, typer.Option(min=0, help="Bootstrap resamples; 0: no intervals.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the resamples.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Do two judges, or one judge twice, say the same of the same reports? And where do they part?"""
    import sys
    from contextlib import redirect_stdout

    from rrgbench import agreement as agreeing
    from rrgbench.cli import output

    with redirect_stdout(sys.stderr):  # what a metric prints is no result
        found = agreeing.agreement(run, other, metric or None, top=top, resamples=resamples, seed=seed)
    if json:
        output.as_json(found.record())
    else:
        _print(found, every=bool(metric))


def _print(found: Agreement, every: bool) -> None:
    mark = " (synthetic)" if found.synthetic else ""
    typer.echo(f"{found.dataset}{mark}, split {found.split or 'all'}: {', '.join(found.runs)}")
    for pair in found.pairs:
        _pair(pair, every)
    typer.echo(LEGEND.format(resamples=f"{found.resamples:,}").rstrip())
    for note in found.notes:
        typer.echo(note)


def _pair(pair: Pair, every: bool) -> None:
    """The table; in words, the first score, or every one that was asked for."""
    from rrgbench.cli import output

    typer.echo(f"\n{pair.protocol}\nA: {pair.a}\nB: {pair.b}")
    for words in pair.differ:
        typer.echo(f"   {words}")
    output.table([_row(each) for each in pair.scores], HEADER)
    for reason in dict.fromkeys(each.reason for each in pair.scores if each.reason):
        typer.echo(f"{', '.join(each.metric for each in pair.scores if each.reason == reason)}: {reason}")
    for each in pair.scores if every else pair.scores[:1]:
        typer.echo(f"{each.metric}: {each.pattern}")
        if each.parted:
            apart = (
                f"{p.study_id}{f'/{p.image_id}' if p.image_id else ''} ({p.a:.3g}, {p.b:.3g})" for p in each.parted
            )
            typer.echo(f"  part most (A, B): {', '.join(apart)}")


def _row(each: Agreed) -> tuple[str, ...]:
    return (
        each.metric + ("" if each.higher_is_better else " (lower is better)"),
        *map(str, (each.n, each.only_a, each.only_b)),
        _number(each.mean_a),
        _number(each.mean_b),
        _number(each.difference, "+.3f"),
        _interval(each.difference_ci, "+.3f"),
        _number(each.tau),
        _interval(each.tau_ci),
        _number(each.alpha),
        _interval(each.alpha_ci),
        _number(each.same, ".0%"),
    )


def _number(value: float | None, form: str = ".3f") -> str:
    return "n/a" if value is None else format(value, form)


def _interval(ends: Interval, form: str = ".3f") -> str:
    return f"[{ends[0]:{form}}, {ends[1]:{form}}]" if ends else "none"
