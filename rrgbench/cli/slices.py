"""`rrgbench slices`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rrgbench.slicing import Slice, Sliced, SlicedRuns


def slices(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.")],
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WAY", help="sex, age, race, view, prior, normal, length, label, or a demographic column."
        ),
    ] = None,
    metric: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Default: the headline scores.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write a page with a picture to this HTML file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score parts of the studies: which slice is worst, and how far it is from the best."""
    from rrgbench import slices_page, slicing
    from rrgbench.cli import output
    from rrgbench.leaderboard.building import write_page

    found = slicing.slices(runs, by or None, metric or None)
    if out:
        write_page(out, slices_page.page(found, "Scores by slice"))
    if json:
        output.as_json(_record(found))
        return
    _print(found)
    for note in found.notes:
        typer.echo(note, err=True)
    if out:
        typer.echo(f"\nOpen {out.resolve().as_uri()}")


def _record(found: SlicedRuns) -> dict[str, Any]:
    from dataclasses import asdict

    return {"cuts": [{**asdict(cut), "folder": str(cut.folder)} for cut in found.cuts], "notes": list(found.notes)}


def _print(found: SlicedRuns) -> None:
    from rrgbench.cli import output
    from rrgbench.slices_page import said

    for run, metric, protocol, signature in dict.fromkeys(map(_key, found.cuts)):
        mine = [cut for cut in found.cuts if _key(cut) == (run, metric, protocol, signature)]
        typer.echo(f"\n{mine[0].run}: {metric}, {protocol}")
        rows = [("", *cells(mine[0].overall))]
        rows += [(cut.by, *cells(each)) for cut in mine for each in cut.slices]
        output.table(rows, ("by", "slice", "n", "patients", "score", "95 % interval"))
        for cut in mine:
            typer.echo(f"by {cut.by}: {said(cut)}")
    if found.cuts:
        typer.echo("\nThe worst and the best slice were chosen by looking; the gap's interval allows for it.")


def _key(cut: Sliced) -> tuple[Path, str, str, str]:
    return cut.folder, cut.metric, cut.protocol, cut.signature


def cells(each: Slice) -> tuple[str, ...]:
    """A slice's name, counts, score and interval, in words."""
    if each.value is None:
        return each.name, str(each.n), str(each.n_patients), "n/a", each.reason or ""
    interval = "[{:.3f}, {:.3f}]".format(*each.ci) if each.ci else "none"
    return each.name, str(each.n), str(each.n_patients), f"{each.value:.3f}", interval
