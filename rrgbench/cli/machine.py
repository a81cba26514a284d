"""`rrgbench doctor`."""

from __future__ import annotations

from typing import Annotated

import typer


def doctor(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Say what works on this machine, proved by running it: metrics and labelers on reports of known scores.

    Each line is ok, unavailable (it says what to install or set) or broken, which makes the exit code 1.
    """
    from dataclasses import asdict

    from rrgbench import doctor as checks
    from rrgbench.cli import output

    found = checks.examine()
    if json:
        output.as_json([asdict(check) for check in found])
    else:
        output.table([(c.state, c.what, c.detail) for c in found], ("", "what", "how it went"))
    if any(check.state == "broken" for check in found):
        raise typer.Exit(1)
