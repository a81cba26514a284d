"""`rrgbench compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rrgbench.comparing import Compared, Comparison, Moved

HEADER = ("score", "protocol", "A", "B", "B - A", "95 % interval", "p", "Holm", "BH", "could show", "+", "-", "=", "n")
LEGEND = """
95 % interval: paired bootstrap over patients ({resamples} resamples, BCa). p: paired randomisation ({swaps} swaps of
patients); Holm, BH: adjusted for the {many} tests shown. could show: the smallest true difference that these studies
would show with 80 % power. + - =: studies for which B's report makes the score better or worse than A's, or the same.
"""


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="A B…", help="Run folders. Each is compared with the first.")],
    metric: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A score, or all. Default: the headline scores.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare runs on the same studies: by how much they differ, and whether that is more than chance."""
    import sys
    from contextlib import redirect_stdout
    from dataclasses import asdict

    from rrgbench import comparing
    from rrgbench.cli import output

    with redirect_stdout(sys.stderr):  # what a metric prints is no result
        found = comparing.compare(runs, metric or None)
    if json:
        output.as_json(asdict(found))
    else:
        _print(found)


def _print(found: Compared) -> None:
    from rrgbench.cli import output

    mark = " (synthetic)" if found.synthetic else ""
    typer.echo(f"{found.dataset}{mark}, split {found.split or 'all'}\nA: {found.runs[0]}")
    for name in found.runs[1:]:
        mine = [each for each in found.comparisons if each.b == name]
        typer.echo(f"\nB: {name}")
        output.table([_row(each) for each in mine], HEADER)
        for reason in dict.fromkeys(each.reason for each in mine if each.reason):
            concerned = [f"{each.metric} ({each.protocol})" for each in mine if each.reason == reason]
            typer.echo(f"{', '.join(concerned)}: {reason}")
        if moved := next((each for each in mine if each.most_better or each.most_worse), None):
            typer.echo(
                f"studies that move {moved.metric} ({moved.protocol}) most (its change x the number of studies):"
            )
            typer.echo(f"  for B: {_studies(moved.most_better)}\n  for A: {_studies(moved.most_worse)}")
    tested = sum(each.p is not None for each in found.comparisons)
    typer.echo(LEGEND.format(swaps=f"{found.swaps:,}", resamples=f"{found.resamples:,}", many=tested).rstrip())
    for note in found.notes:
        typer.echo(note)


def _row(each: Comparison) -> tuple[str, ...]:
    return (
        each.metric + ("" if each.higher_is_better else " (lower is better)"),
        each.protocol,
        _number(each.value_a),
        _number(each.value_b),
        _number(each.difference, "+.3f"),
        "[{:+.3f}, {:+.3f}]".format(*each.ci) if each.ci else "none",
        *(_number(p, ".4f") for p in (each.p, each.p_holm, each.p_bh)),
        _number(each.smallest),
        *("n/a" if count is None else str(count) for count in (each.better, each.worse, each.same)),
        str(each.n),
    )


def _number(value: float | None, form: str = ".3f") -> str:
    return "n/a" if value is None else format(value, form)


def _studies(moved: Sequence[Moved]) -> str:
    return ", ".join(f"{each.study_id} ({each.gain:+.2f})" for each in moved) or "none"
