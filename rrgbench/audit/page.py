"""The audit as a page that loads nothing, and the files that `rrgbench audit --out` leaves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from rrgbench import __version__
from rrgbench.audit.auditing import Audit, Audited
from rrgbench.audit.corruptor import HARMFUL, KINDS
from rrgbench.audit.figure import figure, interval, percent
from rrgbench.leaderboard.markup import Html, el
from rrgbench.leaderboard.page import SYNTHETIC
from rrgbench.runs import private_folder

_TITLE = "Which errors can a metric see?"


def write(audit: Audit, folder: Path) -> None:
    """audit.json, audit.svg and audit.html hold aggregates; edits.jsonl, the log, holds report text.

    The folder of data that is not open is made its owner's alone. Raises UsageError where it can't be.
    """
    if audit.terms != "open":
        private_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    record = json.dumps(audit.record(), indent=2, ensure_ascii=False, allow_nan=False)
    log = "".join(f"{json.dumps(edit, ensure_ascii=False)}\n" for edit in audit.log())
    named = {"json": f"{record}\n", "svg": f"{figure(audit)}\n", "html": page(audit)}
    for name, text in {**{f"audit.{kind}": text for kind, text in named.items()}, "edits.jsonl": log}.items():
        (folder / name).write_text(text, encoding="utf-8")


def page(audit: Audit) -> str:
    """The whole document."""
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el(
            "meta",
            http_equiv="Content-Security-Policy",
            content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
        ),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", _TITLE),
        el("style", Html(files("rrgbench.audit").joinpath("page.css").read_text(encoding="utf-8"))),
    )
    split = f" ({audit.split})" if audit.split else ""
    asked = f"{audit.n} reports of {audit.n_patients} patients of "
    body = el(
        "body",
        el(
            "header",
            el("h1", _TITLE),
            el("p", asked, el("code", audit.dataset), split, f", protocol {audit.protocol}, seed {audit.seed}"),
        ),
        el("p", SYNTHETIC, class_="synthetic", role="note") if audit.synthetic else None,
        el(
            "main",
            el(
                "p",
                "Each reference report is edited by rule and scored against itself unedited. An error should cost more "
                "than the same report said otherwise. Point at a cell for its numbers.",
                class_="said",
            ),
            _scrolling(figure(audit), "The figure"),
            el("h2", "The edits"),
            _scrolling(_edits_table(audit), "The edits"),
            el("h2", "All numbers"),
            _scrolling(_numbers_table(audit), "All numbers"),
            *_left_out(audit),
        ),
        el("footer", f"Made by rrgbench {__version__}. For research, not for clinical use."),
    )
    return f'<!DOCTYPE html>\n<html lang="en">{head}{body}</html>\n'


def _scrolling(content: Html, label: str) -> Html:
    return el("div", content, class_="scroll", tabindex=0, role="region", aria_label=f"{label}: scrolls sideways")


def _edits_table(audit: Audit) -> Html:
    heads = ("edit", "", "what it does", "made", "no place for it", "not read as meant")
    rows = [
        (name, "error" if kind.harmful else "harmless", kind.summary, tried.made, tried.impossible, tried.unchecked)
        for name, kind in KINDS.items()
        for tried in [audit.tried[name]]
    ]
    return _table(heads, rows, numbers_from=3)


def _numbers_table(audit: Audit) -> Html:
    heads = (
        "score",
        "edit",
        "n",
        "undefined",
        "move",
        "of an exchange, %",
        "not worse, %",
        "seen, %",
        "seen against each",
    )
    rows = [
        (
            score.score,
            move.kind,
            move.n,
            move.n_undefined,
            _with(_plain(move.mean), f"{_plain(move.mean_ci[0])} to {_plain(move.mean_ci[1])}" if move.mean_ci else ""),
            _with(percent(move.share), interval(move.share_ci)),
            percent(move.unmoved),
            _with(percent(move.seen), interval(move.seen_ci)) if move.kind in HARMFUL else "",
            ", ".join(f"{kind} {percent(value)}" for kind, value in move.against.items()),
        )
        for score in audit.scores
        for move in score.moves
    ]
    return _table(heads, rows, numbers_from=2)


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value + 0.0:.3f}".replace("-", "−")


def _with(value: str, ends: str) -> Html:
    return el("span", value, el("span", f" {ends}", class_="soft") if ends else None)


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]], numbers_from: int) -> Html:
    def cell(tag: str, at: int, value: object) -> Html:
        return el(tag, value, class_="number" if at >= numbers_from else None)

    return el(
        "table",
        el("thead", el("tr", *(cell("th", at, head) for at, head in enumerate(heads)))),
        el("tbody", *(el("tr", *(cell("td", at, value) for at, value in enumerate(row))) for row in rows)),
    )


def _left_out(audit: Audit) -> list[Html]:
    signatures = el("ul", *(el("li", el("code", _signed(score))) for score in audit.scores), class_="left-out soft")
    out = [el("h2", "Signatures"), signatures]
    if audit.left_out:
        items = (el("li", el("code", name), f": {why}") for name, why in audit.left_out.items())
        out += [el("h2", "Left out"), el("ul", *items, class_="left-out soft")]
    return out


def _signed(score: Audited) -> str:
    return f"{score.score}: {score.signature}"
