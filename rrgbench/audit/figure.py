"""The audit as one SVG: which errors each score sees, and how far each edit moves it. In light and dark by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rrgbench.audit.auditing import Audit, Audited, Move
from rrgbench.audit.corruptor import HARMFUL, HARMLESS, KINDS
from rrgbench.leaderboard.markup import Html, el, join

_LEFT, _COLUMN, _ROW, _HEAD = 176, 72, 30, 74  # of the names, a column, a row, a panel's title and heads
_SCALE = 52  # of a drawn interval, 0 to 100 %
_WIDTH = _LEFT + _COLUMN * len(KINDS) + 16

STYLE = Html(
    ".audit{--paper:#fdfdfb;--ink:#1a1d21;--soft:#59616b;--hair:#dcdedc;--sees:#2f7fbf;--fooled:#c9731a;--harmless:#8a6a1f}"
    "@media(prefers-color-scheme:dark){.audit{--paper:#14171a;--ink:#e5e7e9;--soft:#9da5ae;--hair:#33393f;--sees:#4d9bdb;"
    "--fooled:#d9873a;--harmless:#d2ac55}}"
    ".audit text{fill:var(--ink);font:12px system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif;"
    "font-variant-numeric:tabular-nums}"
    ".audit .title{font-weight:650;font-size:14px}.audit .soft{fill:var(--soft);font-size:11px}"
    ".audit .mid{text-anchor:middle}.audit .end{text-anchor:end}.audit .n{fill:var(--soft);font-size:10px}"
    ".audit .cell{fill-opacity:.75;font-size:10px}.audit .paper{fill:var(--paper)}"
    ".audit .rule{stroke:var(--hair);fill:none}.audit .sees{fill:var(--sees)}.audit .fooled{fill:var(--fooled)}"
    ".audit .move{stroke:var(--sees);fill:var(--sees)}.audit .harmless .move{stroke:var(--harmless);"
    "fill:var(--harmless)}.audit .move path{stroke-width:3;stroke-opacity:.55}"
)


def figure(audit: Audit) -> Html:
    """The whole figure as an SVG element that can stand alone in a file."""
    rows = audit.scores
    panel = _HEAD + _ROW * len(rows)
    said = notes(audit)
    height = 2 * panel + 48 + 16 * len(said)
    return el(
        "svg",
        el("title", f"Which errors each score sees: {audit.n} reports of {audit.dataset}"),
        el("style", STYLE),
        el("rect", class_="paper", width=_WIDTH, height=height),
        _panel(
            rows,
            HARMFUL,
            0,
            "Which errors does a score see?",
            "How often an error costs a report more than a harmless edit of it (mean of the four kinds, ties half). "
            "50 %: blind; less: fooled.",
            _seen,
            audit,
        ),
        _panel(
            rows,
            tuple(KINDS),
            panel + 32,
            "How far does an edit move it?",
            "Mean move for the worse, of that by another patient’s report (= 100 %). Blue: errors; ochre: harmless "
            "edits. Bars: 95 % intervals.",
            _moved,
            audit,
        ),
        *(el("text", note, class_="soft", x=2, y=2 * panel + 54 + 16 * at) for at, note in enumerate(said)),
        class_="audit",
        viewBox=f"0 0 {_WIDTH} {height}",
        xmlns="http://www.w3.org/2000/svg",
        role="img",
    )


def notes(audit: Audit) -> list[str]:
    """What the marks * and † of the figure mean, as far as they are there."""
    out = []
    if any(score.depends_on_corpus for score in audit.scores):
        out.append("* A report’s score depends on the other reports that are scored with it.")
    if any(score.by_construction for score in audit.scores):
        out.append("† Made by the labeler that checks the edits: what it sees and what it doesn’t is by construction.")
    return out


def _panel(
    rows: Sequence[Audited],
    kinds: Sequence[str],
    top: int,
    title: str,
    said: str,
    cell: Callable[[Audited, Move, int, int], Html],
    audit: Audit,
) -> Html:
    heads = []
    for at, kind in enumerate(kinds):
        middle = _LEFT + _COLUMN * at + _COLUMN / 2
        heads.append(el("text", kind, el("title", KINDS[kind].summary), class_="mid", x=middle, y=top + 54))
        heads.append(el("text", f"n {audit.tried[kind].made}", class_="mid n", x=middle, y=top + 67))
    lines = []
    for number, score in enumerate(rows):
        y = top + _HEAD + _ROW * number
        lines.append(el("path", d=f"M0 {y}H{_LEFT + _COLUMN * len(kinds)}", class_="rule"))
        name = score.score + (" *" if score.depends_on_corpus else "") + (" †" if score.by_construction else "")
        lines.append(el("text", name, x=2, y=y + _ROW / 2 + 4))
        for at, kind in enumerate(kinds):
            lines.append(cell(score, score.move(kind), _LEFT + _COLUMN * at, y))
    return join(
        el("text", title, class_="title", x=2, y=top + 16),
        el("text", said, class_="soft", x=2, y=top + 33),
        *heads,
        *lines,
    )


def percent(value: float | None) -> str:
    """A share as a whole percentage; a dash for none."""
    return "–" if value is None else f"{100 * value:.0f}".replace("-0", "0").replace("-", "−")


def interval(ci: tuple[float, float] | None) -> str:
    """Two ends as percentages; empty for none."""
    return f"{percent(ci[0])}–{percent(ci[1])}" if ci else ""


def pairs(move: Move) -> str:
    """How an error fares against each kind of harmless edit, as percentages."""
    return ", ".join(f"against {kind} {percent(value)}" for kind, value in move.against.items())


def _seen(score: Audited, move: Move, x: int, y: int) -> Html:
    middle = x + _COLUMN / 2
    if move.seen is None:
        return el("text", "–", class_="mid soft", x=middle, y=y + 19)
    strength = round(abs(move.seen - 0.5) * 1.3, 3)
    words = f"{score.score}, {move.kind}, n {move.n}: {percent(move.seen)} % ({interval(move.seen_ci)}), {pairs(move)}"
    return el(
        "g",
        el("title", words),
        el(
            "rect",
            class_="sees" if move.seen > 0.5 else "fooled",
            fill_opacity=strength,
            x=x + 1,
            y=y + 1,
            width=_COLUMN - 2,
            height=_ROW - 2,
        ),
        el("text", percent(move.seen), class_="mid", x=middle, y=y + 14),
        el("text", interval(move.seen_ci), class_="mid cell", x=middle, y=y + 25),
    )


def _moved(score: Audited, move: Move, x: int, y: int) -> Html:
    middle, left = x + _COLUMN / 2, x + (_COLUMN - _SCALE) / 2
    if move.share is None:
        return el("text", "–", class_="mid soft", x=middle, y=y + 19)

    def place(value: float) -> str:
        return f"{left + _SCALE * min(max(value, -0.1), 1.1):.1f}"

    words = f"{score.score}, {move.kind}: {percent(move.share)} % ({interval(move.share_ci)}), n {move.n}"
    line = el("path", d=f"M{place(move.share_ci[0])} {y + 22}H{place(move.share_ci[1])}") if move.share_ci else None
    return el(
        "g",
        el("title", words),
        el("path", d=f"M{left} {y + 22}H{left + _SCALE}", class_="rule"),
        el("text", percent(move.share), class_="mid", x=middle, y=y + 14),
        el("g", line, el("circle", cx=place(move.share), cy=y + 22, r=3, stroke="none"), class_="move"),
        class_="harmless" if move.kind in HARMLESS else None,
    )
