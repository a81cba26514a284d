"""`rrgbench explain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rrgbench.explaining import Explained, Explanation

MOST = 8  # scores of a kind that are shown; all of them with --json


def explain(
    a: Annotated[Path, typer.Argument(metavar="A", help="A run folder, or its scores.json.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="The other.")],
    metric: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Default: all scores that both have.")
    ] = None,
    recompute: Annotated[bool, typer.Option(help="Score the reports of one by the rules of the other.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say why two numbers of one name differ: what was computed differently, and how much that moves the number."""
    import sys
    from contextlib import redirect_stdout

    from rrgbench import explaining
    from rrgbench.cli import output

    with redirect_stdout(sys.stderr):  # what a metric prints is no result
        found = explaining.explain(a, b, metric or None, recompute)
    if json:
        output.as_json(_record(found))
    else:
        _print(found, facets=bool(metric))


def _record(found: Explanation) -> dict[str, Any]:
    from dataclasses import asdict

    from rrgbench.signatures import facets

    scores = [
        {**asdict(each), "comparable": each.comparable, "a_facets": facets(each.a), "b_facets": facets(each.b)}
        for each in found.scores
    ]
    return {**asdict(found), "scores": scores}


def _print(found: Explanation, facets: bool) -> None:
    from rrgbench.cli import output

    typer.echo(f"A: {found.a}\nB: {found.b}")
    groups: dict[object, list[Explained]] = {}
    for each in found.scores:
        groups.setdefault((each.differences, each.caution, each.reason), []).append(each)
    for members in groups.values():
        first = members[0]
        typer.echo("")
        if first.comparable:
            typer.echo("Comparable: computed in the same way on the same studies.")
        for difference in first.differences:
            typer.echo(f"Differs: {difference.words}.")
        if first.caution:
            typer.echo(f"But {first.caution}.")
        if first.reason:
            typer.echo(f"Not recomputed: {first.reason}.")
        if facets:
            _facets(first)
        shown = _headlines(members)
        output.table([_row(each) for each in shown], ("score", "protocol", "A", "B", "B - A", "by the other's rules"))
        if len(shown) < len(members):
            typer.echo(f"and {len(members) - len(shown)} more (--metric NAME, or --json)")
        for difference in dict.fromkeys(d for each in members if each.recomputed for d in each.recomputed.still):
            typer.echo(f"Recomputed and still different: {difference.words}.")
    for side, only in (("A", found.only_a), ("B", found.only_b)):
        if only:
            typer.echo(f"\nOnly {side} has: {', '.join(only[:MOST])}{' …' if len(only) > MOST else ''}")
    if not found.scores:
        typer.echo("No score has a value in both.")


def _facets(each: Explained) -> None:
    from rrgbench.cli import output
    from rrgbench.signatures import facets

    one, other = facets(each.a), facets(each.b)
    output.table([("" if one[k] == other[k] else "*", k, one[k], other[k]) for k in one], ("", each.metric, "A", "B"))
    typer.echo("")


def _headlines(members: list[Explained]) -> list[Explained]:
    """The first few, headline scores before others."""
    from rrgbench.cli.output import HEADLINES

    known = {name: at for at, name in enumerate(HEADLINES)}
    return sorted(members, key=lambda each: known.get(each.metric, len(known)))[:MOST]


def _row(each: Explained) -> tuple[str, ...]:
    a, b = each.a.value, each.b.value
    assert a is not None and b is not None  # only scores with a value are explained
    moved = ""
    if made := each.recomputed:
        moved = f"{made.whose}'s reports {made.value:.3f} ({made.moved:+.3f}, n {made.n})"
    protocols = " / ".join(dict.fromkeys((each.a.protocol, each.b.protocol)))
    return each.metric, protocols, f"{a:.3f}", f"{b:.3f}", f"{b - a:+.3f}", moved
