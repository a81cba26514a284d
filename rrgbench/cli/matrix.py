"""`rrgbench matrix`."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

Specs = Annotated[list[str] | None, typer.Option(metavar="SPEC")]


def matrix(
    encoder: Specs = None,
    train: Annotated[
        list[str] | None, typer.Option(metavar="SPEC", help="A dataset to train each encoder on. Default: none.")
    ] = None,
    test: Annotated[
        list[str] | None, typer.Option(metavar="SPEC", help="A dataset to test on. Default: those of --train.")
    ] = None,
    by: Annotated[
        list[str] | None, typer.Option(metavar="WAY", help="Cut by. Default: sex, age, view. See `rrgbench slices`.")
    ] = None,
    recipe: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Of the trainings.")] = None,
    config: Annotated[Path | None, typer.Option(help="A YAML file; the command line wins over it.")] = None,
    split: Annotated[str | None, typer.Option(help="Default: test, or everything where there are no splits.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first N studies of each test set.")] = None,
    models: Annotated[Path | None, typer.Option(help="Where checkpoints go. Default: models.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where run folders go. Default: runs.")] = None,
    resamples: Annotated[int | None, typer.Option(help="Bootstrap resamples. Default: 1000.")] = None,
    page: Annotated[Path | None, typer.Option(help="Write a page with pictures to this HTML file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Train encoders on some datasets, test them on others, whole and by slice: one table.

    Trainings and runs that are there already are not made again.
    """
    from rrgbench import matrix as matrices
    from rrgbench import matrix_page
    from rrgbench.cli import output
    from rrgbench.cli.slices import cells
    from rrgbench.config import MatrixConfig, load, with_recipe
    from rrgbench.leaderboard.building import write_page

    given = {key: value for key, value in locals().items() if key in MatrixConfig.model_fields and key != "recipe"}
    loaded = with_recipe(load(MatrixConfig, config, **given), recipe)
    with redirect_stdout(sys.stderr):  # what a part prints is no result
        done = matrices.matrix(loaded)
    frame = done.frame()
    if page:
        write_page(page, matrix_page.page(done, "Trained here, tested there"))
    if json:
        rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
        output.as_json({"rows": rows, "notes": list(done.notes)})
        return
    table = []
    for cell in done.cells:
        head = (cell.encoder, cell.trained_on or "unknown", cell.tested_on)
        table.append((*head, *cells(cell.overall)))
        table += [("", "", "", *cells(each)) for cut in cell.cuts for each in cut.slices]
    output.table(
        table, ("encoder", "trained on", "tested on", "slice", "n", "patients", matrices.SCORE, "95 % interval")
    )
    for note in done.notes:
        typer.echo(note, err=True)
    if page:
        typer.echo(f"\nOpen {page.resolve().as_uri()}")
