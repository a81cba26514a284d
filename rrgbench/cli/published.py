"""`rrgbench published`."""

from __future__ import annotations

from typing import Annotated

import typer


def published(
    dataset: Annotated[str | None, typer.Option(metavar="NAME", help="mimic-cxr, iu-xray, chexpert-plus …")] = None,
    metric: Annotated[str | None, typer.Option(metavar="NAME", help="bleu_4, or as reported: BLEU4.")] = None,
    system: Annotated[str | None, typer.Option(metavar="TEXT", help="A part of the system's name.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List numbers that papers and boards report, with their sources. They are not comparable with recomputed ones."""
    from dataclasses import asdict

    from rrgbench import published as registry
    from rrgbench.cli import output

    rows = registry.select(dataset, metric, system)
    if json:
        output.as_json([asdict(row) for row in rows])
        return
    table = [
        (
            row.system,
            row.dataset,
            row.split_as_reported,
            row.protocol or f"its own ({row.section})",
            ", ".join(f"{name} {value:g}" for name, value in row.metrics.items()),
            f"{row.verified}: {row.source}",
        )
        for row in rows
    ]
    output.table(table, ("system", "dataset", "split", "protocol", "as reported", "read in"))
    for text in dict.fromkeys(text for row in rows for text in row.errata):
        typer.echo(f"erratum: {text}")
    typer.echo(f"{len(rows)} rows. " + "; ".join(f"{k}: {v}" for k, v in registry.verified_means().items()))
