"""`rrgbench list`, `rrgbench info` and `rrgbench plugins`."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rrgbench.plugins import Entry

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

plugins = typer.Typer(help="What is installed.", no_args_is_help=True, rich_markup_mode=None)


def list_parts(
    kind: Annotated[str | None, typer.Argument(help="dataset, encoder, renderer, prompt, llm, …")] = None,
    json: Json = False,
) -> None:
    """List the parts: what there is, where it comes from, and what it lacks on this machine."""
    from rrgbench.cli import output
    from rrgbench.errors import UsageError, did_you_mean
    from rrgbench.plugins import KINDS, catalogue

    wanted = kind.removesuffix("s") if kind else None
    if wanted and wanted not in KINDS:
        raise UsageError(f"There is no kind {kind!r}.{did_you_mean(wanted, KINDS)} There are: {', '.join(KINDS)}.")
    entries = [entry for each in ([wanted] if wanted else KINDS) for entry in catalogue().of_kind(each)]
    if json:
        output.as_json([_record(entry) for entry in entries])
        return
    rows = [(e.kind, e.name, e.distribution, "; ".join(e.missing()) or "ready", e.summary) for e in entries]
    output.table(rows, ("kind", "name", "from", "here", "what it is"))
    _broken()


def info(name: Annotated[str, typer.Argument(help="The name of a part.")], json: Json = False) -> None:
    """Show a part: what it is, its options with their types and defaults, and what it lacks."""
    from rrgbench import parts as building
    from rrgbench.cli import output
    from rrgbench.errors import UsageError, did_you_mean
    from rrgbench.plugins import catalogue

    found = catalogue().named(name)
    if not found:
        raise UsageError(f"There is no part {name!r}.{did_you_mean(name, catalogue().names())} See `rrgbench list`.")
    records = []
    for entry in found:
        record = _record(entry)
        if not record["missing"]:
            cls = building.load_class(entry)
            record["description"] = inspect.getdoc(cls) or ""
            record["options"] = [_option(option) for option in building.options(cls, entry)]
            if recipe := getattr(cls, "recipe", None):
                record["training"] = inspect.getdoc(recipe) or ""
                record["recipe"] = [_option(option) for option in building.keywords(recipe)]
        records.append(record)
    if json:
        output.as_json(records)
        return
    for record in records:
        typer.echo(f"{record['kind']} {record['name']} ({record['distribution']}): {record['summary']}")
        for sentence in record["missing"]:
            typer.echo(f"missing: {sentence}")
        if record.get("description"):
            typer.echo(f"\n{record['description']}\n")
        _options(record.get("options", []))
        if record.get("recipe"):
            typer.echo(f"\nRecipe (`rrgbench train --recipe KEY=VALUE`). {record['training']}\n")
            _options(record["recipe"])


@plugins.command("list")
def plugins_list(json: Json = False) -> None:
    """List the plugins found, what each registers, and why a broken one was left out."""
    from rrgbench.cli import output
    from rrgbench.plugins import catalogue

    found = catalogue().plugins
    if json:
        output.as_json(
            [
                {
                    "name": plugin.name,
                    "distribution": plugin.distribution,
                    "version": plugin.version,
                    "parts": [f"{entry.kind} {entry.name}" for entry in plugin.entries],
                    "problem": plugin.problem,
                }
                for plugin in found
            ]
        )
        return
    rows = [
        (
            p.distribution,
            p.version,
            p.name,
            f"left out: {p.problem}" if p.problem else ", ".join(e.name for e in p.entries),
        )
        for p in found
    ]
    output.table(rows, ("distribution", "version", "plugin", "parts"))


@plugins.callback()
def _plugins() -> None:
    """What is installed."""


def _record(entry: Entry) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "name": entry.name,
        "distribution": entry.distribution,
        "summary": entry.summary,
        "target": entry.target,
        "presets": dict(entry.defaults),
        "missing": entry.missing(),
    }


def _option(option: Any) -> dict[str, Any]:
    kind = option.annotation
    default = None if option.required else option.default
    if repr(default) == "<factory>":  # what dataclasses say of a list
        default = None
    return {
        "name": option.name,
        "type": kind.__name__ if inspect.isclass(kind) else str(kind).replace("typing.", "").replace("pathlib.", ""),
        "required": option.required,
        "default": default if isinstance(default, (str, int, float, bool, type(None))) else str(default),
    }


def _options(options: list[dict[str, Any]]) -> None:
    for option in options:
        default = "required" if option["required"] else f"default {option['default']!r}"
        typer.echo(f"  {option['name']:<18} {option['type']}, {default}")


def _broken() -> None:
    from rrgbench.plugins import catalogue

    for plugin in catalogue().plugins:
        if plugin.problem:
            typer.echo(f"left out: plugin {plugin.name} of {plugin.distribution}: {plugin.problem}", err=True)
