"""How results are printed: aligned text for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rrgbench.runs import RunResult

# Shown first, and alone where nothing was asked for by name: the rest is in scores.json.
HEADLINES = (
    "rulelabel_micro_f1_14",
    "rulelabel_macro_f1_14",
    "rulelabel_micro_f1_all",
    "rulelabel_macro_f1_all",
    "bleu_1",
    "bleu_4",
    "meteor",
    "rouge_l",
    "cider",
    "auroc_macro",
    "classification_macro_f1_14",
    "classification_macro_f1_all",
    "auroc_atelectasis",
    "auroc_cardiomegaly",
    "auroc_pneumothorax",
)


def table(rows: Sequence[Sequence[str]], header: Sequence[str]) -> None:
    """Print columns, aligned; the last one as long as it is."""
    widths = [max(len(row[at]) for row in (header, *rows)) for at in range(len(header) - 1)] + [0]
    rule = ["-" * max(width, len(name)) for width, name in zip(widths, header, strict=True)]
    for row in (header, rule, *rows):
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def as_json(value: Any) -> None:
    """Print JSON, and nothing else, on stdout."""
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False, allow_nan=False)
    sys.stdout.write("\n")


def results(runs: Sequence[RunResult]) -> None:
    """Print each run's headline scores, and all scores of a metric that has none among the headlines."""
    for run in runs:
        summary = run.summary
        mark = " (synthetic)" if summary["synthetic"] else ""
        typer.echo(f"\n{summary['system']} on {summary['dataset']}{mark}, n = {summary['n']}")
        for note in summary["baseline_notes"]:
            typer.echo(f"baseline: {note}")
        headed = {_family(score) for score in summary["scores"] if score["metric"] in HEADLINES}
        shown = [s for s in summary["scores"] if s["metric"] in HEADLINES or _family(s) not in headed]
        table([_row(score) for score in sorted(shown, key=_rank)], ("score", "value", "n", "protocol", "95 % interval"))
        _notes(run, len(summary["scores"]) - len(shown))


def _family(score: Mapping[str, Any]) -> str:
    """The metric that a score comes from."""
    return str(score["signature"]).split("|")[0]


def _rank(score: Mapping[str, Any]) -> tuple[str, int]:
    name = score["metric"]
    return score["protocol"], HEADLINES.index(name) if name in HEADLINES else len(HEADLINES)


def _row(score: Mapping[str, Any]) -> tuple[str, ...]:
    if score["value"] is None:
        return score["metric"], "n/a", str(score["n"]), score["protocol"], score["reason"]
    interval = "[{:.3f}, {:.3f}]".format(*score["ci"]) if score["ci"] else "none"
    return score["metric"], f"{score['value']:.3f}", str(score["n"]), score["protocol"], interval


def _notes(run: RunResult, hidden: int) -> None:
    summary = run.summary
    for warning in run.manifest["warnings"]:
        typer.echo(f"warning: {warning}", err=True)
    if summary["failures"]:
        kinds = ", ".join(f"{count} {kind}" for kind, count in summary["failures"].items())
        total = sum(summary["failures"].values())
        where = f" See reports.jsonl in {run.folder}." if run.folder else ""
        typer.echo(
            f"{total} of {summary['n']} reports could not be made ({kinds}); the same command tries them again.{where}",
            err=True,
        )
    if run.folder:
        more = f"; {hidden} more scores in scores.json" if hidden > 0 else ""
        typer.echo(f"run folder: {run.folder}{more}")
