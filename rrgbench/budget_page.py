"""The page of `rrgbench budget`: for each score a stacked bar a system, and each part of it with its interval."""

from __future__ import annotations

from collections.abc import Sequence

from rrgbench import __version__, governance
from rrgbench.budget import Budgeted, ErrorBudget, System
from rrgbench.budget_grid import ORACLE, system
from rrgbench.budget_split import Loss
from rrgbench.leaderboard.boards import nice_scale
from rrgbench.leaderboard.figures import many, number, signed
from rrgbench.leaderboard.markup import Html, absent, el, join
from rrgbench.leaderboard.page import SYNTHETIC, document
from rrgbench.slices_page import notes

BAR, DOT, MARGIN = 300, 120, 4  # widths of the two drawings and their margin, in their own units
PARTS = (("rest", "Labels and metric"), ("by_encoder", "Encoder"), ("by_writer", "Writer"))
ONE_ORDER = "a run is missing, so that this is counted in one order only"

STYLE = """
:root { --rest: #a9afb5; --encoder: #2f7fbf; --writer: #d0731a; }
@media (prefers-color-scheme: dark) { :root { --rest: #666e76; --encoder: #4d9bdb; --writer: #d9873a; } }
.budget table { width: auto; min-width: min(100%, 44rem); }
.budget td { white-space: nowrap; }
.budget .ends, .budget .share { color: var(--soft); font-size: .8rem; margin-left: .5em; }
.budget .share { margin-left: 0; display: block; min-height: 1.15rem; }
.budget .stack { display: block; width: 300px; height: 26px; margin-top: .2rem; overflow: visible; }
.stack .rest, .swatch.rest { fill: var(--rest); background: var(--rest); }
.stack .by_encoder, .swatch.by_encoder { fill: var(--encoder); background: var(--encoder); }
.stack .by_writer, .swatch.by_writer { fill: var(--writer); background: var(--writer); }
.stack .together, .swatch.together {
  fill: var(--encoder); fill-opacity: .45; stroke: var(--writer); stroke-dasharray: 3 2;
}
.stack .zero { stroke: var(--soft); fill: none; }
.stack .whisker { stroke: var(--ink); stroke-width: 1.5; fill: none; }
.budget .bar { width: 120px; height: 12px; background-size: 100% 1px; }
.budget .bar .zero { stroke: var(--soft); stroke-width: 1; }
.budget .bar.rest { --bar: var(--rest); --mark: var(--soft); }
.budget .bar.by_encoder { --bar: var(--encoder); --mark: var(--encoder); }
.budget .bar.by_writer { --bar: var(--writer); --mark: var(--writer); }
.budget .bar path { stroke-opacity: .6; }
.budget .scale { width: 120px; }
.budget .scale.wide { width: 300px; }
.swatch { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .4em; }
.of { margin-top: .3rem; max-width: 60rem; }
.signature { color: var(--soft); font-size: .8rem; margin-top: .2rem; overflow-wrap: anywhere; }
@media (max-width: 40rem) {
  .budget .stack, .budget .scale.wide { width: 150px; }
}
@media print { .swatch, .stack rect { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""


def page(found: ErrorBudget, title: str) -> str:
    """The whole document; it loads nothing. Raises UsageError where data that is not open would show more than
    aggregates.
    """
    split = f", split {found.split}" if found.split else ""
    lacking = [f"{each.system} would complete it: `rrgbench budget` prints the command" for each in found.missing]
    html = document(
        title,
        el("header", el("h1", title), el("p", el("bdi", found.dataset), split)),
        el(
            "main",
            _how_to_read(),
            el("p", SYNTHETIC, class_="synthetic", role="note") if found.synthetic else None,
            *(_board(each) for each in found.budgets),
            notes("Missing runs", lacking),
            notes("To know", found.notes),
        ),
        el("footer", f"Made by rrgbench {__version__}. For research, not for clinical use."),
        style=Html(STYLE),
    )
    if found.terms != "open":
        governance.check_published(html, "The page (a name of a system or of a folder)")
    return html


def _how_to_read() -> Html:
    points = (
        (
            "rest",
            "Labels and metric",
            "What is lost even by the dataset’s own labels written by the reference writer: what the labels can’t say, "
            "what the wording hides, what the metric can’t read. No other encoder wins it back.",
        ),
        (
            "by_encoder",
            "Encoder",
            "What is lost because the encoder’s findings stand in the place of the dataset’s labels (the oracle).",
        ),
        (
            "by_writer",
            "Writer",
            "What is lost because this writer writes from the findings and not the reference writer. Below 0 it wins.",
        ),
        (
            None,
            "Both orders",
            "Each stage’s loss is measured beside the other stage without and with its errors, and averaged; the "
            "interaction is the difference. Bars and ends are 95% intervals: the same patients are drawn for all runs.",
        ),
    )
    items = (
        el("div", el("dt", el("span", class_=f"swatch {css}") if css else None, term), el("dd", meaning))
        for css, term, meaning in points
    )
    return el("section", el("dl", *items), class_="how", aria_label="How to read this page")


def _board(each: Budgeted) -> Html:
    ends = [
        end
        for one in each.systems
        for _, loss in _losses(one)
        for end in (0.0, loss.value, *(loss.ci or ()), *(one.split.whole.ci or ()))
    ]
    scale = nice_scale((min(ends), max(ends)))
    shown = [part for part in PARTS if each.known or part[0] != "rest"]
    heads = [
        el("th", "System", scope="col", class_="system"),
        el("th", "Score", scope="col"),
        el("th", "Lost", _ends(scale, "scale wide"), scope="col"),
        *(el("th", name, _ends(scale, "scale"), scope="col") for _, name in shown),
        el("th", "Interaction", scope="col"),
    ]
    table = el(
        "table",
        el("caption", f"What each stage loses of {each.metric}", class_="vh"),
        el("thead", el("tr", *heads)),
        el("tbody", *(_row(one, each, [part for part, _ in shown], scale) for one in each.systems)),
    )
    unit = "image" if "unit:image" in each.signature.split("|") else "study"
    counts = f"{many(each.n, unit)} of {many(each.n_patients, 'patient')}"
    return el(
        "section",
        el("h2", each.metric, " ", el("small", f"{each.protocol}; {counts}")),
        el("p", said(each), class_="of"),
        el("p", el("code", each.signature), class_="signature"),
        el("div", table, class_="scroll", tabindex=0, role="region", aria_label=f"{each.metric}: scrolls sideways"),
        class_="board budget",
    )


def said(each: Budgeted) -> str:
    """What is counted from where, in words."""
    reference = system((ORACLE, each.reference))
    lower = "" if each.higher_is_better else "; lower is better"
    what = (
        f"counted from {each.ceiling:g}, the best value{lower}"
        if each.known
        else f"counted from {number(each.ceiling, 3)}, the score of {reference}, for no best value is known{lower}"
    )
    why = f" No intervals: {each.reason}." if each.reason else ""
    return f"Losses are {what}. Writers are measured against {each.reference}.{why}"


def _losses(one: System) -> list[tuple[str, Loss]]:
    """The parts that add up to the whole, as far as they are known, with what they are called."""
    parts = [(name, getattr(one.split, name)) for name, _ in PARTS]
    if one.split.order is None:
        parts.append(("together", one.split.together))
    return [(name, loss) for name, loss in parts if loss is not None]


def _ends(scale: tuple[float, float], css: str) -> Html:
    ends = (f"{end + 0.0:.4g}".replace("-", "−") for end in scale)
    return el("span", *(el("span", end) for end in ends), class_=css, aria_hidden="true")


def _row(one: System, each: Budgeted, parts: Sequence[str], scale: tuple[float, float]) -> Html:
    split = one.split
    reference = {"by_encoder": one.encoder == ORACLE, "by_writer": one.writer == each.reference, "rest": False}
    return el(
        "tr",
        el("th", el("bdi", *_breaking(system((one.encoder, one.writer))), class_="name"), scope="row", class_="system"),
        el("td", number(one.value, 3)),
        el("td", _numbers(split.whole), _stack(one, scale)),
        *(
            el("td", absent("–", "what the others are measured against"))
            if reference[part]
            else _part(one, part, scale)
            for part in parts
        ),
        el("td", _numbers(split.interaction) if split.interaction else "–"),
        class_="baseline" if reference["by_encoder"] else None,
    )


def _breaking(name: str) -> list[object]:
    """A name that may break after each +."""
    first, *rest = name.split("+")
    return [first, *(piece for part in rest for piece in ("+", el("wbr"), part))]


def _part(one: System, part: str, scale: tuple[float, float]) -> Html:
    loss: Loss | None = getattr(one.split, part)
    if loss is None:
        return el("td", absent("?", "runs are missing: only what both stages lose together is known", True))
    marked = el("sup", "*", title=ONE_ORDER) if one.split.order != "both" and part != "rest" else None
    share = ""
    if loss.share is not None:
        ends = f" [{_percent(loss.share_ci[0])}, {_percent(loss.share_ci[1])}]" if loss.share_ci else ""
        share = f"{_percent(loss.share)}{ends} %"
    return el("td", _numbers(loss), marked, el("span", share, class_="share"), _dot(loss, part, scale))


def _numbers(loss: Loss) -> Html:
    ends = f"{number(loss.ci[0], 3)} to {number(loss.ci[1], 3)}" if loss.ci else "no interval"
    return join(el("span", number(loss.value, 3), class_="value"), el("span", ends, class_="ends"))


def _percent(share: float) -> str:
    return number(100 * share, 0)


def _place(value: float, scale: tuple[float, float], width: int) -> float:
    low, high = scale
    return MARGIN + (width - 2 * MARGIN) * (value - low) / (high - low)


def _stack(one: System, scale: tuple[float, float]) -> Html:
    """The parts one after the other: what is lost to the right of 0, what is won to the left."""
    ends = {True: 0.0, False: 0.0}
    drawn = []
    for name, loss in _losses(one):
        start = ends[loss.value >= 0]
        ends[loss.value >= 0] = stop = start + loss.value
        left, right = sorted(_place(end, scale, BAR) for end in (start, stop))
        if right - left > 0.05:
            drawn.append(el("rect", class_=name, x=f"{left:.1f}", y=3, width=f"{right - left:.1f}", height=12))
    whole = one.split.whole
    whisker = None
    if whole.ci:
        low, middle, high = (f"{_place(end, scale, BAR):.1f}" for end in (whole.ci[0], whole.value, whole.ci[1]))
        whisker = el("path", d=f"M{low} 21H{high}M{low} 18V24M{high} 18V24M{middle} 16V26", class_="whisker")
    zero = f"{_place(0.0, scale, BAR):.1f}"
    words = "; ".join(f"{name.removeprefix('by_')} {signed(loss.value, 3)}" for name, loss in _losses(one))
    return el(
        "svg",
        el("title", f"lost {number(whole.value, 3)}: {words}"),
        *drawn,
        el("path", d=f"M{zero} 0V26", class_="zero"),
        whisker,
        class_="stack",
        viewBox=f"0 0 {BAR} 26",
        preserveAspectRatio="none",
        role="img",
    )


def _dot(loss: Loss, part: str, scale: tuple[float, float]) -> Html:
    zero, middle = (f"{_place(at, scale, DOT):.1f}" for at in (0.0, loss.value))
    line, ends = None, "none"
    if loss.ci:
        low, high = (f"{_place(end, scale, DOT):.1f}" for end in loss.ci)
        line = el("path", d=f"M{low} 6H{high}")
        ends = " to ".join(number(end, 3) for end in loss.ci)
    return el(
        "svg",
        el("title", f"{number(loss.value, 3)}, 95% interval {ends}"),
        el("path", d=f"M{zero} 0V12", class_="zero"),
        line,
        el("circle", cx=middle, cy=6, r="3"),
        class_=f"bar {part}",
        viewBox=f"0 0 {DOT} 12",
        role="img",
    )
