"""The HTML document: what stands above, between and below the tables."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files

from rrgbench import __version__
from rrgbench.leaderboard.boards import Board
from rrgbench.leaderboard.entries import Problem
from rrgbench.leaderboard.figures import SAMPLE, many
from rrgbench.leaderboard.markup import Html, el, join
from rrgbench.leaderboard.quotes import quotes
from rrgbench.leaderboard.stages import stages
from rrgbench.leaderboard.table import badge, column_keys, menu, notes, scores_table

SYNTHETIC = "Synthetic: phantom radiographs drawn by code. These numbers say nothing about patients."


def page(boards: Sequence[Board], problems: Sequence[Problem], *, title: str, n_runs: int, built: datetime) -> str:
    """The whole document. It loads nothing: style and script are inside, and its policy allows only these two."""
    named = {f"b{number}": board for number, board in enumerate(boards, start=1)}
    return document(
        title,
        el(
            "header",
            el("h1", title),
            el("p", f"{many(n_runs, 'run')} on {many(len(boards), 'board')}"),
        ),
        el(
            "main",
            _how_to_read(),
            _contents(named) if len(boards) > 1 else None,
            *(_board(name, board) for name, board in named.items()),
            _left_out(problems),
        ),
        el(
            "footer",
            f"Made by rrgbench {__version__} on ",
            el("time", f"{built:%Y-%m-%d %H:%M} UTC", datetime=f"{built:%Y-%m-%dT%H:%M:%SZ}"),
            ". For research, not for clinical use.",
        ),
        style=Html("\n".join(_column_rules(name, board) for name, board in named.items())),
        script=_asset("page.js"),
    )


def document(title: str, *body: Html | None, style: Html, script: Html | None = None) -> str:
    """An HTML document in the look of the leaderboard. Its policy allows its own style and script, and nothing else."""
    style = join(_asset("page.css"), "\n", style)
    policy = (
        f"default-src 'none'; style-src '{_sha256(style)}'; script-src '{_sha256(script or '')}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=policy),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="generator", content=f"rrgbench {__version__}"),
        el("title", title),
        el("style", style),
    )
    content = el("body", *body, el("script", script) if script else None)
    return f'<!DOCTYPE html>\n<html lang="en">{head}{content}</html>\n'


def _asset(name: str) -> Html:
    return Html(files("rrgbench.leaderboard").joinpath(name).read_text(encoding="utf-8"))


def _sha256(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode("utf-8")).digest()).decode("ascii")


def _column_rules(name: str, board: Board) -> str:
    """A column whose box in the menu is empty is not shown."""
    return "".join(f"#{name}:has(#{name}-{key}:not(:checked)) .{key}{{display:none}}" for key in column_keys(board))


def _how_to_read() -> Html:
    points: tuple[tuple[tuple[object, ...], tuple[object, ...]], ...] = (
        (
            ("Interval ", el("span", SAMPLE, class_="sample")),
            (
                "The dot is the score, the bar its 95% interval: a bootstrap that draws patients, each with all of "
                "their studies. Bars of one column share the scale printed in its head.",
            ),
        ),
        (
            ("Rank",),
            (
                "The places that the intervals leave open: 1\u2060–\u20603 may be first or third. Bold scores may be "
                "the best of the ranked systems. That two intervals overlap or don’t is no test of a difference.",
            ),
        ),
        (
            ("Baseline ", badge("oracle")),
            (
                "What every system should beat (constant, template), or what none can (oracle: the dataset’s own "
                "labels in place of an encoder). Listed by score, never ranked.",
            ),
        ),
        (
            ("↑ ↓",),
            (
                "Higher or lower is better. Select a column’s head to sort by it; point at it for the signature: all "
                "that its numbers depend on. Another protocol, other studies or another signature never share a "
                "column.",
            ),
        ),
    )
    items = (el("div", el("dt", *term), el("dd", *meaning)) for term, meaning in points)
    return el("section", el("dl", *items), class_="how", aria_label="How to read this page")


def _contents(named: dict[str, Board]) -> Html:
    items = (
        el(
            "li",
            el("a", el("bdi", board.dataset), href=f"#{name}"),
            el("span", f" {_split(board)} · ", el("bdi", board.protocol), f" · {many(board.n, 'study')}"),
        )
        for name, board in named.items()
    )
    return el("nav", el("ul", *items), aria_label="Boards")


def _board(name: str, board: Board) -> Html:
    return el(
        "section",
        el("h2", el("bdi", board.dataset), " ", el("small", el("bdi", board.protocol), title="protocol")),
        _facts(board),
        el("p", SYNTHETIC, class_="synthetic", role="note") if board.synthetic else None,
        menu(name, board),
        el(
            "div",
            scores_table(board),
            class_="scroll",
            tabindex=0,
            role="region",
            aria_label=f"Scores on {board.dataset}, {board.protocol}: scrolls sideways",
        ),
        notes(board),
        stages(board),
        quotes(board),
        id=name,
        class_="board",
    )


def _facts(board: Board) -> Html:
    patients = f" of {many(board.n_patients, 'patient')}" if board.n_patients is not None else ""
    facts = (
        ("Dataset", el("code", board.dataset_spec)),
        ("Split", _split(board)),
        ("Studies", many(board.n, "study") + patients),
        *((("Counted", many(board.n_counted, "image")),) if board.n_counted is not None else ()),
        ("Digest", el("code", board.digest[:12], title=board.digest)),
        ("Terms", board.terms),
        ("Systems", len(board.rows)),
    )
    return el("dl", *(el("div", el("dt", term), el("dd", value)) for term, value in facts), class_="facts")


def _split(board: Board) -> str:
    return board.split if board.split is not None else "all splits"


def _left_out(problems: Sequence[Problem]) -> Html | None:
    if not problems:
        return None
    items = (el("li", el("code", problem.shown_path), ": ", el("bdi", problem.reason)) for problem in problems)
    return el(
        "section",
        el("h2", "Left out"),
        el("p", f"{many(len(problems), 'file')} could not be used."),
        el("ul", *items),
        class_="problems",
    )
