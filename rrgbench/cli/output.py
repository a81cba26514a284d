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
    "chexbert_micro_f1_14",
    "chexbert_macro_f1_14",
    "chexbert_micro_f1_all",
    "chexbert_macro_f1_all",
    "bleu_1",
    "bleu_4",
    "meteor",
    "rouge_l",
    "cider",
    "green",
    "green_upstream",
    "radfact_logical_precision",
    "radfact_logical_recall",
    "radfact_logical_f1",
    "radfact_spatial_f1",
    "chexprompt_errors",
    "chexprompt_significant_errors",
    "chexprompt_significant_error_free",
    "gema_judge",
    "gema_objective",
    "crimson",
    "radrscore",
    "auroc_macro",
    "classification_macro_f1_14",
    "classification_macro_f1_all",
    "auroc_atelectasis",
    "auroc_cardiomegaly",
    "auroc_pneumothorax",
)

# The columns of a grid, as far as there are any; else the first few of what there is.
GRID = (
    "chexbert_micro_f1_14",
    "rulelabel_micro_f1_14",
    "rulelabel_micro_f1_all",
    "bleu_4",
    "rouge_l",
    "cider",
    "auroc_macro",
)
MOST = 5
_LASTING = {"missing", "labels", "findings"}  # kinds of failure that the same files give again


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


def description(record: Mapping[str, Any]) -> None:
    """Print a record, a line a key; what would make a long line, a line an entry."""
    typer.echo("")
    for key, value in record.items():
        entries = [f"{k} {v}" for k, v in value.items()] if isinstance(value, Mapping) else value
        if isinstance(entries, list) and sum(map(len, entries)) <= 200:
            entries = ["; ".join(entries)]
        first, *more = entries if isinstance(entries, list) else [entries]
        typer.echo(f"{key:<10} {first}".rstrip())
        for entry in more:
            typer.echo(f"{'':<10} {entry}")


def results(runs: Sequence[RunResult]) -> None:
    """Print one run in full; of a grid a line a system."""
    if len(runs) == 1:
        _one(runs[0])
    else:
        _grid(runs)


def _one(run: RunResult) -> None:
    """The headline scores, and all scores of a metric that has none among the headlines."""
    typer.echo(f"\n{run.summary['system']} on {_dataset(run)}")
    for note in run.summary["baseline_notes"]:
        typer.echo(f"baseline: {note}")
    everything = run.summary["scores"]
    lacking = dict.fromkeys(s["metric"] for s in everything if (s["reason"] or "").startswith("unavailable: "))
    scores = [score for score in everything if score["metric"] not in lacking]
    headed = {_family(score) for score in scores if score["metric"] in HEADLINES}
    shown = [s for s in scores if s["metric"] in HEADLINES or _family(s) not in headed]
    table([_row(score) for score in sorted(shown, key=_rank)], ("score", "value", "n", "protocol", "95 % interval"))
    if run.folder:
        typer.echo(f"{len(scores) - len(shown)} more scores in {run.folder / 'scores.json'}")
    if lacking:
        typer.echo(f"can't be used here (`rrgbench list metric` says why): {', '.join(lacking)}")


def _grid(runs: Sequence[RunResult]) -> None:
    """A line a system under each dataset and protocol; the leaderboard page has the rest."""
    for digest in dict.fromkeys(run.summary["dataset_digest"] for run in runs):
        mine = [run for run in runs if run.summary["dataset_digest"] == digest]
        for protocol in dict.fromkeys(score["protocol"] for run in mine for score in run.summary["scores"]):
            found = [_by_name(run, protocol) for run in mine]
            names = [name for name in GRID if any(name in scores for scores in found)]
            names = names or list(dict.fromkeys(name for scores in found for name in scores))[:MOST]
            typer.echo(f"\n{_dataset(mine[0])}, {protocol}: values with 95 % intervals; * marks a baseline")
            rows = [
                (run.summary["system"] + ("*" if run.summary["baseline"] else ""), *(_cell(s.get(n)) for n in names))
                for run, s in zip(mine, found, strict=True)
            ]
            table(rows, ("system", *names))


def _by_name(run: RunResult, protocol: str) -> dict[str, Mapping[str, Any]]:
    """The scores of a run by name; of two of one name that of this command, which comes first."""
    found: dict[str, Mapping[str, Any]] = {}
    for score in run.summary["scores"]:
        if score["protocol"] == protocol:
            found.setdefault(score["metric"], score)
    return found


def _dataset(run: RunResult) -> str:
    mark = " (synthetic)" if run.summary["synthetic"] else ""
    return f"{run.summary['dataset_spec']}{mark}, n = {run.summary['n']}"


def _cell(score: Mapping[str, Any] | None) -> str:
    if score is None or score["value"] is None:
        return "n/a" if score else "-"
    return f"{score['value']:.3f}" + (" [{:.2f}, {:.2f}]".format(*score["ci"]) if score["ci"] else "")


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
    if ends := [f"{score[end]:.3f} at {end}" for end in ("worst", "best") if end in score]:
        interval += f"; judged in full {', '.join(ends)}"
    n = f"{score['n']} ({score['n_failed']} failed)" if score["n_failed"] else str(score["n"])
    return score["metric"], f"{score['value']:.3f}", n, score["protocol"], interval


def notes(runs: Sequence[RunResult]) -> None:
    """Say on stderr what went wrong in each run."""
    for run in runs:
        _notes(run)


def _notes(run: RunResult) -> None:
    summary = run.summary
    for warning in run.manifest["warnings"]:
        typer.echo(f"warning: {summary['system']}: {warning}", err=True)
    if summary["failures"]:
        kinds = ", ".join(f"{count} {kind}" for kind, count in summary["failures"].items())
        total = sum(summary["failures"].values())
        where = f" See {run.folder / 'reports.jsonl'}." if run.folder else ""
        again = "" if summary["failures"].keys() <= _LASTING else " The same command tries them again."
        typer.echo(
            f"{summary['system']}: {total} of {summary['n']} reports could not be made ({kinds}).{again}{where}",
            err=True,
        )
