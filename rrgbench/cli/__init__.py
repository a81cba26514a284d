"""The command line. Every command imports what it needs inside itself, so that `--help` answers at once."""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from rrgbench.cli import (
    agreement,
    audit,
    budget,
    compare,
    data,
    explain,
    leaderboard,
    machine,
    matrix,
    parts,
    published,
    run,
    saliency,
    show,
    slices,
    train,
)

app = typer.Typer(
    name="rrgbench",
    help="Compose, run, score and rank chest X-ray report-generation systems.",
    epilog="Begin with `rrgbench run`: it runs the embedded synthetic dataset. Exit codes: 0 done, 1 the work failed "
    "or is incomplete, 2 the request was wrong.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
app.command("run")(run.run)
app.command("score")(run.score)
app.command("train")(train.train)
app.command("matrix")(matrix.matrix)
app.command("list")(parts.list_parts)
app.command("info")(parts.info)
app.add_typer(parts.plugins, name="plugins")
app.add_typer(data.app, name="data")
app.add_typer(leaderboard.app, name="leaderboard")
app.command("compare")(compare.compare)
app.command("agreement")(agreement.agreement)
app.command("show")(show.show)
app.command("explain")(explain.explain)
app.command("budget")(budget.budget)
app.command("slices")(slices.slices)
app.command("saliency")(saliency.saliency)
app.command("published")(published.published)
app.add_typer(audit.app, name="audit")
app.command("doctor")(machine.doctor)


def _version(wanted: bool) -> None:
    if wanted:
        from rrgbench import __version__

        typer.echo(f"rrgbench {__version__}")
        raise typer.Exit


@app.callback()
def _global(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    pass


def main() -> NoReturn:
    """The entry point: an error is one message on stderr; a traceback only with --debug."""
    from rrgbench.errors import RRGBenchError, UsageError

    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app(arguments)
        sys.exit(0)
    except SystemExit as stop:
        if stop.code != 130:  # what typer makes of Ctrl-C
            raise
        _quit("Interrupted. The same command goes on where this one stopped.", 1, debug)
    except RRGBenchError as error:
        _quit(str(error), 2 if isinstance(error, UsageError) else 1, debug)
    except OSError as error:
        _quit(f"{error.filename or 'a file'}: {error.strerror or error}", 1, debug)
    except Exception as error:
        _quit(f"{type(error).__name__}: {error} (this is a fault of rrgbench: see it whole with --debug)", 1, debug)


def _quit(message: str, code: int, debug: bool) -> NoReturn:
    if debug:
        import traceback

        traceback.print_exc()
    typer.echo(f"rrgbench: {message}", err=True)
    sys.exit(code)
