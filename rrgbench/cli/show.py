"""`rrgbench show`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rrgbench.showing import Made, OpenedRun, Told


def show(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    study: Annotated[str | None, typer.Argument(metavar="STUDY", help="Print this study with its messages.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the page of the run to this file or folder. Default: into the run's.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a run: a page with each report beside its reference, or the exact messages of one study.

    No language model is asked: replies come from the call cache.
    """
    import sys
    from contextlib import redirect_stdout

    from rrgbench import show_page, showing
    from rrgbench.cli import output
    from rrgbench.errors import UsageError

    if study is not None and out is not None:
        raise UsageError("Give a STUDY to print it, or --out to write the page of the run: not both.")
    with redirect_stdout(sys.stderr):  # what a part prints is no result
        opened = showing.open_run(run)
        if study is not None:
            made = opened.of(study)
            told = opened.told(made)
    if opened.terms != "open":
        typer.echo(f"The data of this run is {opened.terms}: what is shown here must not leave this machine.", err=True)
    if study is not None:
        if json:
            output.as_json(_record(opened, made, told))
        else:
            _print(opened, made, told)
        return
    if json:
        output.as_json([_record(opened, made, None) for made in opened.made])
        return
    file = show_page.write(opened, out)
    if opened.terms != "open":
        typer.echo(f"{file} is yours alone to read, and lies in the run's private folder.", err=True)
    typer.echo(f"Open {file.resolve().as_uri()}")


def _record(run: OpenedRun, made: Made, told: Told | None) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "run_id": run.manifest["run_id"],
        "system": run.manifest["system"],
        "study_id": made.study.study_id,
        "prompt": asdict(told) if told else None,
        "report": made.record or None,
        "findings": [asdict(finding) for finding in made.findings] if made.findings else None,
        "reference": dict(made.study.sections),
        "judges": list(made.replies),
    }


def _print(run: OpenedRun, made: Made, told: Told | None) -> None:
    from rrgbench.types import Failure

    _say(f"study {made.study.study_id} of {run.manifest['system']} (run {run.manifest['run_id']})")
    if told:
        _say(f"prompt {told.spec}: {told.signature}")
        _say(f"calls: {len(told.calls)}, hash of their messages: {told.hash or 'none'}")
        for note in told.notes:
            _say(f"note: {note}")
        for number, call in enumerate(told.calls, 1):
            again = f", sample {call.sample}" if call.sample > 1 else ""
            _heading(f"call {number}{again}")
            for message in call.messages:
                _say(f"[{message.role}]\n{message.content}\n")
            if call.schema:
                _say(f"[schema]\n{call.schema}\n")
            if call.reply:
                _say(f"[reply of {call.reply.model}]\n{call.reply.text}")
            else:
                _say("[no reply in the call cache]")
    elif "prompt" not in run.manifest["parts"]:
        _say("no prompt: no language model was sent anything")
    _heading("report")
    if isinstance(made.outcome, Failure):
        _say(f"none: {made.outcome.kind}: {made.outcome.message}")
    else:
        _texts(made.outcome.by_image or made.outcome.sections or {"": made.outcome.text})
        if made.outcome.reasoning:
            _heading("reasoning")
            _say(made.outcome.reasoning)
    _heading("findings")
    for finding in made.findings or ():
        known = (
            f"{finding.probability:.3f}" if finding.probability is not None else "",
            finding.side,
            finding.severity,
        )
        _say(f"{finding.label}: {finding.status}" + "".join(f", {each}" for each in known if each))
    if made.findings is None:
        _say("none")
    _heading("reference")
    _texts(made.study.sections or {"": "none"})
    if made.replies:
        _heading("judges")
    for line in made.replies:
        _say(f"[{line.get('metric')}]\n{line.get('reply') or 'no reply'}")
        if why := line.get("unreadable") or line.get("why"):
            _say(f"{line.get('failure') or 'not read'}: {why}")


def _texts(sections: Any) -> None:
    for name, text in sections.items():
        _say(f"{name.upper()}: {text}" if name else text)


def _heading(title: str) -> None:
    typer.echo(f"\n--- {title} ---")


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def _say(text: str) -> None:
    """Print text of others: what would steer a terminal is shown as a mark."""
    typer.echo(_CONTROL.sub("\ufffd", text))
