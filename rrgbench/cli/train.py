"""`rrgbench train`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer


def train(
    config: Annotated[Path | None, typer.Option(help="A YAML file with encoder, dataset and recipe.")] = None,
    encoder: Annotated[str | None, typer.Option(metavar="SPEC")] = None,
    dataset: Annotated[str | None, typer.Option(metavar="SPEC")] = None,
    recipe: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="epochs=3,lr=1e-4 …: wins over the file. See `rrgbench info ENCODER`."),
    ] = None,
    folds: Annotated[int | None, typer.Option(help="Cross-validate by patient in so many parts instead.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where checkpoints go. Default: models.")] = None,
) -> None:
    """Train an encoder on a dataset's train split, choosing epoch and thresholds on validate.

    An encoder with a checkpoint is trained further. The same command goes on where an earlier one was killed. On
    several GPUs: `accelerate launch -m rrgbench train …`.
    """
    from rrgbench import crossvalidation, training
    from rrgbench.config import TrainConfig, load, with_recipe
    from rrgbench.specs import Spec

    loaded = load(TrainConfig, config, encoder=encoder, dataset=dataset, folds=folds, out=out)
    loaded = with_recipe(loaded, recipe)
    if loaded.folds is None:
        done = training.train(loaded)
        for name, value in done.checkpoint.scores.items():
            typer.echo(f"{name}: {value:.3f}")
        typer.echo(f"checkpoint: {done.checkpoint.path}")
        typer.echo(f"use it: {shlex.join(['rrgbench', 'run', '--encoder', str(done.spec)])}")
        return
    crossed = crossvalidation.crossvalidate(loaded)
    for number, each in enumerate(crossed.trained):
        typer.echo(f"fold {number}: {each.checkpoint.path}")
    for study_id, reason in crossed.failures.items():
        typer.echo(f"{study_id}: {reason}", err=True)
    options = {"path": str(crossed.predictions), "prefix": crossvalidation.PREFIX, "threshold": "fit"}
    typer.echo(f"held-out probabilities: {crossed.predictions}")
    command = ["rrgbench", "run", "--dataset", str(loaded.dataset)]
    if crossed.splits:  # of which test is no part, and validate is what the thresholds are fitted on
        command += ["--split", crossed.splits[0]]
    command += ["--encoder", str(Spec("findings", options)), "--metric", "classification"]
    typer.echo(f"score them: {shlex.join(command)}")
    if crossed.failures:
        raise typer.Exit(1)
