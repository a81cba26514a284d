"""From run folders to one HTML file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rrgbench import governance
from rrgbench.errors import UsageError
from rrgbench.leaderboard.boards import arrange
from rrgbench.leaderboard.entries import Problem, read_all
from rrgbench.leaderboard.page import page


@dataclass(frozen=True)
class Built:
    """What was built. ``problems`` names each scores.json that is not on the page, and why; the page lists them too."""

    path: Path
    n_runs: int
    problems: tuple[Problem, ...]


def build(sources: Sequence[Path], out: Path, *, title: str = "rrgbench leaderboard") -> Built:
    """Write the leaderboard of all runs under ``sources`` to the file ``out``.

    A source is a run folder, a folder that holds runs (searched for ``scores.json``, links not followed) or a
    ``scores.json``. A file that is broken or was not written by rrgbench is left out and named in the problems.

    Raises ``UsageError`` where a source does not exist, ``out`` is a folder, or no run is left to show.
    """
    _check_file(Path(out))
    entries, problems = read_all([Path(source) for source in sources])
    if not entries:
        where = ", ".join(str(source) for source in sources) or "(no folder given)"
        left_out = "".join(f"\n  left out: {problem}" for problem in problems)
        raise UsageError(
            f"No scored run found in {where}: there is no usable scores.json.{left_out}\n"
            "Make one with `rrgbench run`, or score reports made elsewhere with `rrgbench score`; "
            "then name the folder that holds the runs."
        )
    boards = arrange(entries)
    html = page(boards, problems, title=title, n_runs=len(entries), built=datetime.now(UTC))
    if any(entry.terms != "open" for entry in entries):
        governance.check_published(html, "The page (title, paths of what was left out, or a run of open data)")
    write_page(Path(out), html)
    return Built(Path(out), len(entries), tuple(problems))


def write_page(out: Path, html: str) -> None:
    """Write a page, whole or not at all. Raises UsageError where ``out`` is a folder."""
    _check_file(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        partial.write_text(html, encoding="utf-8")
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def _check_file(out: Path) -> None:
    if out.is_dir():
        raise UsageError(f"{out} is a folder. Name the HTML file to write, such as {out / 'page.html'}.")
