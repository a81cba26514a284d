"""What each stage costs: pairs of runs that differ by one stage, with both scores and what lies between them."""

from __future__ import annotations

from collections.abc import Sequence

from rrgbench.leaderboard.boards import Board, Column, Step
from rrgbench.leaderboard.entries import Entry
from rrgbench.leaderboard.figures import number, pair, scale, signed
from rrgbench.leaderboard.markup import Html, absent, el
from rrgbench.leaderboard.table import metric_name

_STAGES = (
    ("encoder", "Encoder: from the dataset’s own labels to what an encoder sees"),
    ("writer", "Writer: from the template to a language model"),
)


def stages(board: Board) -> Html | None:
    """The section, or None where no two runs differ by one stage."""
    columns = [column for column in board.stage_columns if any(_both(column, step) for step in board.steps)]
    if not columns:
        return None
    bodies = []
    for stage, heading in _STAGES:
        rows = [_row(board, step, columns) for step in board.steps if step.stage == stage]
        if rows:
            head = el("tr", el("th", heading, scope="rowgroup", colspan=len(columns) + 1))
            bodies.append(el("tbody", head, *rows))
    heads = [el("th", el("div", el("span", metric_name(column)), scale(column)), scope="col") for column in columns]
    return el(
        "div",
        el("h3", "What each stage costs"),
        el(
            "p",
            "Each line swaps one stage of a system and keeps the others. The number is the second run’s score less "
            "the first’s; both are drawn with their 95% intervals, the first above. It is no test of the difference.",
        ),
        el(
            "div",
            el("table", el("thead", el("tr", el("th", "Swap", scope="col", class_="system"), *heads)), *bodies),
            class_="scroll",
            tabindex=0,
            role="region",
            aria_label="What each stage costs: scrolls sideways",
        ),
        class_="stages",
    )


def _row(board: Board, step: Step, columns: Sequence[Column]) -> Html:
    before, after = board.rows[step.before], board.rows[step.after]
    swapped, kept = ("encoder", "llm") if step.stage == "encoder" else ("llm", "encoder")
    lead = "written by" if kept == "llm" else "on"
    return el(
        "tr",
        el(
            "th",
            el("bdi", _part(board, before, swapped)),
            " → ",
            el("bdi", _part(board, after, swapped)),
            el("span", f"{lead} ", el("bdi", _part(board, after, kept)), class_="chain"),
            scope="row",
            class_="system",
            title=f"{before.system} (run {before.run_id})\n→ {after.system} (run {after.run_id})",
        ),
        *(_cell(column, step) for column in columns),
    )


def _part(board: Board, row: Entry, kind: str) -> str:
    """The part's name; its full spec where the board has the same part with other options."""
    name, spec = row.parts.get(kind), row.specs.get(kind)
    specs = {other.specs.get(kind) for other in board.rows if other.parts.get(kind) == name}
    return str(spec if len(specs) > 1 else name)


def _both(column: Column, step: Step) -> tuple[float, float] | None:
    before, after = column.scores.get(step.before), column.scores.get(step.after)
    if before is None or after is None or before.value is None or after.value is None:
        return None
    return before.value, after.value


def _cell(column: Column, step: Step) -> Html:
    both = _both(column, step)
    if both is None:
        return el("td", absent("–", "one of the two runs has no such score"))
    before, after = both
    written = (number(value, column.decimals) for value in both)
    return el(
        "td",
        el(
            "div",
            el(
                "span",
                el("span", signed(after - before, column.decimals), class_="value"),
                el("span", " → ".join(written), class_="fromto"),
            ),
            pair(column.scores[step.before], column.scores[step.after], column),
        ),
    )
