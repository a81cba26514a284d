"""`rrgbench train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train(
    config: Annotated[Path | None, typer.Option(help="A YAML file with encoder, dataset and recipe.")] = None,
    encoder: Annotated[str | None, typer.Option(metavar="SPEC")] = None,
    dataset: Annotated[str | None, typer.Option(metavar="SPEC")] = None,
    out: Annotated[Path | None, typer.Option(help="Where checkpoints go. Default: models.")] = None,
) -> None:
    """Train an encoder on a dataset's train split, choosing epoch and thresholds on validate."""
    from rrgbench import training
    from rrgbench.config import TrainConfig, load

    done = training.train(load(TrainConfig, config, encoder=encoder, dataset=dataset, out=out))
    for name, value in done.checkpoint.scores.items():
        typer.echo(f"{name}: {value:.3f}")
    typer.echo(f"checkpoint: {done.checkpoint.path}")
    name = str(done.record["encoder"]).split(":")[0]
    typer.echo(f"use it: rrgbench run --encoder {name}:checkpoint={done.checkpoint.path}")
