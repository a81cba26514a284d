"""`rrgbench data`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rrgbench.census import Counts
    from rrgbench.examining import Checked, Info, Prepared

app = typer.Typer(help="Look datasets over before they are used.", no_args_is_help=True, rich_markup_mode=None)

Dataset = Annotated[str, typer.Argument(metavar="SPEC", help="A dataset, such as mimic-cxr:root=FOLDER.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

SECTIONS = ("findings", "impression", "report", "indication", "history", "technique", "comparison")


@app.callback()
def _data() -> None:
    """Look datasets over before they are used."""


@app.command("check")
def check(
    dataset: Dataset,
    images: Annotated[str, typer.Option(metavar="N", help="How many images to read: a number, all or none.")] = "200",
    seed: Annotated[int, typer.Option(help="Which images are drawn.")] = 0,
    json: Json = False,
) -> None:
    """Say whether a dataset is complete and can be read. Exit code 1 where there are problems.

    Counts studies, images, patients and reports by split, against the official numbers where they are known; looks for
    missing and unreadable images, patients in two splits, ids that come twice, reports that stand in many studies.
    """
    import sys
    from contextlib import redirect_stdout

    from rrgbench import examining
    from rrgbench.cli import output
    from rrgbench.errors import UsageError

    if images not in ("all", "none") and not (images.isascii() and images.isdigit()):
        raise UsageError(f"--images is how many images to read: a number, all or none; not {images!r}.")
    most = None if images == "all" else 0 if images == "none" else int(images)
    with redirect_stdout(sys.stderr):  # what a part prints is no result
        found = examining.check(dataset, most, seed)
    if json:
        output.as_json(_checked_record(found))
    else:
        _print_checked(found)
    if found.problems:
        raise typer.Exit(1)


@app.command("info")
def info(
    dataset: Dataset,
    split: Annotated[str | None, typer.Option(help="Default: test, or everything where there are no splits.")] = None,
    protocol: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Default: all protocols.")] = None,
    json: Json = False,
) -> None:
    """Show what a dataset is and holds, and for each protocol its unit, sections, filters and the n at each filter."""
    import sys
    from contextlib import redirect_stdout
    from dataclasses import asdict

    from rrgbench import examining
    from rrgbench.cli import output

    with redirect_stdout(sys.stderr):
        found = examining.info(dataset, split, protocol or ())
    if json:
        output.as_json(asdict(found))
    else:
        _print_info(found)


@app.command("make")
def make(
    name: Annotated[str, typer.Argument(help="A dataset whose layout to write, such as mimic-cxr.")],
    folder: Annotated[Path, typer.Argument(help="Where to: a new or an empty folder.")],
    studies: Annotated[int, typer.Option(min=1, help="How many studies.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Another seed gives other patients.")] = 0,
    json: Json = False,
) -> None:
    """Write a synthetic tree in the layout of a dataset, drawn and written by code, to try things on."""
    import shlex
    import sys
    from contextlib import redirect_stdout

    from rrgbench import examining
    from rrgbench.cli import output

    with redirect_stdout(sys.stderr):
        specs = examining.make(name, folder, studies, seed)
    if json:
        output.as_json({"datasets": specs})
        return
    typer.echo(f"{studies} synthetic studies are in {folder}. Try:")
    for spec in specs:
        typer.echo(f"  rrgbench run --dataset {shlex.quote(spec)} --encoder vit")


def _print_checked(found: Checked) -> None:
    from rrgbench.cli import output

    typer.echo(found.dataset)
    if found.total:
        typer.echo("")
        counts = [c for c in (*found.counts, found.total) if c.split or c is found.total or len(found.counts) > 1]
        names = [name for name in SECTIONS if found.total.sections[name]]
        names += sorted(found.total.sections.keys() - set(SECTIONS))
        header = ("split", "studies", "patients", "images", "reports", *names, "no image", "no labels")
        output.table([_count_row(each, names, each is found.total) for each in counts], header)
    for note in found.notes:
        typer.echo(f"\nnote: {note}")
    for problem in found.problems:
        typer.echo(f"\nproblem: {problem.what}" + (f"\n  {problem.do}" if problem.do else ""))
    many = {0: "no problems", 1: "1 problem"}.get(len(found.problems), f"{len(found.problems)} problems")
    typer.echo(f"\n{many}; {found.images_read:,} images read")


def _count_row(counts: Counts, sections: list[str], total: bool) -> tuple[str, ...]:
    """A line of the table; where an official number is known it stands behind what was found."""

    def cell(what: str, number: int) -> str:
        return f"{number:,} of {counts.official[what]:,}" if what in counts.official else f"{number:,}"

    return (
        "all" if total else counts.split or "in none",
        cell("studies", counts.studies),
        cell("patients", counts.patients),
        cell("images", counts.images),
        cell("reports", counts.reports),
        *(cell(name, counts.sections[name]) for name in sections),
        f"{counts.without_images:,}",
        f"{counts.without_labels:,}",
    )


def _checked_record(found: Checked) -> dict[str, Any]:
    from dataclasses import asdict, replace

    counts = {
        "counts": [_counts_record(each) for each in found.counts],
        "total": _counts_record(found.total) if found.total else None,
    }
    return asdict(replace(found, counts=(), total=None)) | counts


def _counts_record(counts: Counts) -> dict[str, Any]:
    kept = {key: value for key, value in vars(counts).items() if key != "people"}
    return kept | {"patients": counts.patients, "sections": dict(counts.sections), "official": dict(counts.official)}


def _print_info(found: Info) -> None:
    from rrgbench.cli import output

    typer.echo(f"{found.dataset}{' (synthetic)' if found.synthetic else ''}")
    typer.echo(f"terms: {found.terms}\nvocabulary: {found.vocabulary}")
    for note in found.notes:
        typer.echo(f"note: {note}")
    typer.echo("")
    sizes = [(s.name, f"{s.studies:,}", f"{s.images:,}", f"{s.patients:,}") for s in found.splits]
    output.table(sizes, ("split", "studies", "images", "patients"))
    where = f"split {found.split}" if found.split else "all studies"
    if found.labels:
        typer.echo(f"\nlabels, {where}: how many studies say what")
        output.table(_label_rows(found), ("source", "label", *_STATUSES))
    typer.echo(f"\nprotocols, {where}: what is counted, and what each filter leaves")
    rows = [row for each in found.protocols for row in _protocol_rows(each)]
    output.table(rows, ("protocol", "unit", "filter", "studies", "images", "patients"))
    for each in found.protocols:
        parts = [
            f"{each.name}: {each.summary}",
            f"a unit is one {each.unit}, the text {' and '.join(each.sections)}, prepared by {', '.join(each.steps)}",
            f"limits: {'; '.join(each.limits)}" if each.limits else "",
            *(f"warning: {warning}" for warning in each.warnings),
            f"source: {each.source}" if each.source else "",
            f"unverified: {each.unverified}" if each.unverified else "",
        ]
        typer.echo("\n" + "\n  ".join(part for part in parts if part))


_STATUSES = ("present", "absent", "uncertain", "not mentioned")


def _label_rows(found: Info) -> list[tuple[str, ...]]:
    """A line a label of each source."""
    several = len(found.labels) > 1
    return [
        (
            f"{source} (in use)" if several and source == found.labels_in_use else source,
            label,
            *(f"{told[status]:,}" for status in _STATUSES),
        )
        for source, by_label in found.labels.items()
        for label, told in by_label.items()
    ]


def _protocol_rows(protocol: Prepared) -> list[tuple[str, ...]]:
    return [
        (
            protocol.name if at == 0 else "",
            protocol.unit if at == 0 else "",
            step.name,
            f"{step.studies:,}",
            f"{step.images:,}",
            f"{step.patients:,}",
        )
        for at, step in enumerate(protocol.filters)
    ]
