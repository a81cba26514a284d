"""`rrgbench leaderboard`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Make a page that compares runs.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _leaderboard() -> None:
    """Make a page that compares runs."""


@app.command("build")
def build(
    sources: Annotated[
        list[Path] | None, typer.Argument(help="Run folders, or folders of runs. Default: runs.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("leaderboards/leaderboard.html"),
    title: Annotated[str, typer.Option(help="The page's title.")] = "rrgbench leaderboard",
) -> None:
    """Build one HTML file from the scores.json of runs. It needs no network."""
    from rrgbench import leaderboard

    built = leaderboard.build(sources or [Path("runs")], out, title=title)
    for problem in built.problems:
        typer.echo(f"left out: {problem}", err=True)
    typer.echo(f"{built.n_runs} runs. Open {built.path.resolve().as_uri()}")
