"""`rrgbench saliency`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rrgbench.saliency.results import Saliency, SaliencyScore


def saliency(
    encoder: Annotated[list[str] | None, typer.Option(metavar="SPEC", help="Again for more. Default: vit.")] = None,
    dataset: Annotated[str, typer.Option(metavar="SPEC")] = "phantom",
    split: Annotated[str | None, typer.Option(help="Default: test, where there is one.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The first studies only.")] = None,
    label: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this label; again for more.")] = None,
    method: Annotated[str, typer.Option(help="grad-cam, hirescam or rollout; the encoder decides.")] = "grad-cam",
    out: Annotated[Path | None, typer.Option(help="Write maps, figures and a page to this new folder.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """See where encoders look, and score it against the dataset's boxes: pointing game and overlap."""
    from rrgbench.cli import output
    from rrgbench.saliency import looking

    found = looking.saliency(
        encoder or ["vit"], dataset, split=split, limit=limit, labels=label or (), method=method, out=out
    )
    if json:
        output.as_json(found.record())
    else:
        _print(found)
    for note in found.notes:
        typer.echo(note, err=True)
    for name, failed in found.failures.items():
        for study, why in list(failed.items())[:5]:
            typer.echo(f"{name} failed on {study}: {why}", err=True)
        if len(failed) > 5:
            typer.echo(f"{name} failed on {len(failed)} studies in all", err=True)
    if out and not json:
        typer.echo(f"\nOpen {(out / 'index.html').resolve().as_uri()}")


def _print(found: Saliency) -> None:
    from rrgbench.cli import output

    mark = " (synthetic)" if found.synthetic else ""
    typer.echo(f"\n{found.method} on {found.dataset}{mark}, split {found.split or 'all'}, n = {found.n}")
    if not found.scores:
        typer.echo("nothing to measure: no finding of these studies has a box of a label that an encoder assesses")
        return
    cells = {(score.metric, score.encoder): score for score in found.scores}
    rows = []
    for metric in dict.fromkeys(score.metric for score in found.scores):
        mine = [score for score in found.scores if score.metric == metric]
        counts = "/".join(dict.fromkeys(str(score.n) for score in mine))
        values = [_cell(cells.get((metric, name))) for name in found.encoders]
        rows.append((metric, counts, f"{mine[0].chance:.3f}", *values))
    output.table(rows, ("score", "n", "chance", *found.encoders))
    typer.echo(
        "\nchance: the share of the image that the boxes cover, which a random point gets in the pointing game, and a"
        "\nmap of everything in the overlap. Intervals: 95 %, patients drawn."
    )


def _cell(score: SaliencyScore | None) -> str:
    if score is None:
        return "-"
    return f"{score.value:.3f}" + (" [{:.2f}, {:.2f}]".format(*score.ci) if score.ci else "")
