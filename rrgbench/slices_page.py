"""The page of `rrgbench slices`: for each score a table a way of cutting, with a dot and its interval a slice."""

from __future__ import annotations

from collections.abc import Sequence

from rrgbench import __version__, governance
from rrgbench.leaderboard.boards import nice_scale
from rrgbench.leaderboard.figures import number
from rrgbench.leaderboard.markup import Html, el, join
from rrgbench.leaderboard.page import SYNTHETIC, document
from rrgbench.slicing import LEAST, Gap, Slice, Sliced, SlicedRuns

TITLES = {
    "sex": "Sex",
    "age": "Age",
    "race": "Race",
    "view": "Views of the study",
    "prior": "Prior study",
    "normal": "Normal or abnormal",
    "length": "Length of the reference report",
    "label": "Label present",
}
WIDTH, MARGIN = 190, 4  # of a drawing, in its own units
ROW = 12

STYLE = """
.way { margin-top: 1.6rem; }
.way h3 small { color: var(--soft); font-weight: 400; font-size: .86rem; margin-left: .4em; }
.way table { width: auto; min-width: min(100%, 30rem); }
.way th[scope="row"] { min-width: 9rem; max-width: 16rem; overflow-wrap: anywhere; }
.way td.count { color: var(--soft); text-align: right; white-space: nowrap; }
.way td.score { min-width: 13.5rem; white-space: nowrap; }
.way .ends { color: var(--soft); font-size: .8rem; margin-left: .5em; }
.way .bar { width: 190px; height: 12px; background-size: 100% 1px; }
.way .bar .whole { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 2 2; fill: none; }
.way .scale { width: 190px; }
.way .whole th, .way .whole td { border-bottom: 1px solid var(--rule); }
.way td.none { white-space: normal; color: var(--soft); font-size: .86rem; max-width: 13.5rem; }
.gap { margin-top: .5rem; max-width: 60rem; font-size: .9rem; }
.gap p + p { margin-top: .2rem; }
.signature { color: var(--soft); font-size: .8rem; margin-top: .2rem; overflow-wrap: anywhere; }
@media (max-width: 40rem) {
  .way th[scope="row"] { min-width: 6.5rem; max-width: 8rem; }
  .way th:first-child { padding-left: 1rem; }
}
"""


def page(sliced: SlicedRuns, title: str) -> str:
    """The whole document; it loads nothing. Raises UsageError where data that is not open would show more than
    aggregates.
    """
    html = document(
        title,
        el("header", el("h1", title), el("p", ", ".join(dict.fromkeys(cut.run for cut in sliced.cuts)))),
        el("main", how_to_read(), *boards(sliced.cuts), notes("Not cut", sliced.notes)),
        el("footer", f"Made by rrgbench {__version__}. For research, not for clinical use."),
        style=Html(STYLE),
    )
    if sliced.terms != "open":
        governance.check_published(html, "The page (a name of a slice, of a system or of a folder)")
    return html


def how_to_read() -> Html:
    """What dots, gaps and averages mean."""
    points = (
        (
            "Dot and bar",
            "A slice's score and its 95% interval: patients are drawn among all studies of the run. The dashed line is"
            f" the score on all studies. A slice of fewer than {LEAST} patients gets no score.",
        ),
        (
            "Gap",
            "The worst and the best slice were chosen by looking. The interval of the gap allows for that: it is"
            " simultaneous over all pairs of slices. Where it begins at 0, all slices may be alike.",
        ),
        (
            "Not a cause",
            "Slices differ in more than their name: the old have more findings than the young, long reports say more"
            " than short ones. A gap says where to look.",
        ),
        (
            "Macro averages",
            "They change with the labels that a slice has: a macro F1 counts one that no study has as 0, so it falls on"
            " slices with few labels, whatever the system; a macro AUROC leaves it out. Micro averages don't.",
        ),
    )
    items = (el("div", el("dt", term), el("dd", meaning)) for term, meaning in points)
    return el("section", el("dl", *items), class_="how", aria_label="How to read this page")


def boards(cuts: Sequence[Sliced]) -> list[Html]:
    """A section a score on the same data under the same signature."""
    groups: dict[tuple[str, str, str], list[Sliced]] = {}
    for cut in cuts:
        groups.setdefault((cut.dataset_digest, cut.protocol, f"{cut.metric}|{cut.signature}"), []).append(cut)
    return [_score(together) for together in groups.values()]


def _score(cuts: Sequence[Sliced]) -> Html:
    """One score under one signature: a table a way of cutting, all on one scale."""
    first = cuts[0]
    ends = [
        end
        for cut in cuts
        for each in (cut.overall, *cut.slices)
        if each.value is not None
        for end in (each.value, *(each.ci or ()))
    ]
    scale = nice_scale((min(ends), max(ends))) if ends else (0.0, 1.0)
    ways = dict.fromkeys(cut.by for cut in cuts)
    better = "higher is better" if first.higher_is_better else "lower is better"
    return el(
        "section",
        el("h2", first.metric, " ", el("small", f"{better}; {first.dataset}, {first.protocol}")),
        el("p", el("code", first.signature), class_="signature"),
        el("p", SYNTHETIC, class_="synthetic", role="note") if first.synthetic else None,
        *(_way([cut for cut in cuts if cut.by == by], scale) for by in ways),
        class_="board",
    )


def _way(cuts: Sequence[Sliced], scale: tuple[float, float]) -> Html:
    """Slices down, runs across."""
    first = cuts[0]
    names = dict.fromkeys(each.name for cut in cuts for each in cut.slices)
    several = len(cuts) > 1
    low, high = (f"{end + 0.0:.4g}".replace("-", "−") for end in scale)
    heads = [
        el(
            "th",
            cut.run if several else "score",
            el("span", el("span", low), el("span", high), class_="scale", aria_hidden="true"),
            scope="col",
        )
        for cut in cuts
    ]
    rows = [
        _row("all studies", [cut.overall for cut in cuts], cuts, scale, css="whole"),
        *(
            _row(name, [next((s for s in cut.slices if s.name == name), None) for cut in cuts], cuts, scale)
            for name in names
        ),
    ]
    table = el(
        "table",
        el("caption", f"{first.metric} by {first.by}", class_="vh"),
        el("thead", el("tr", el("th", "slice", scope="col"), el("th", _unit(first), scope="col"), *heads)),
        el("tbody", *rows),
    )
    source = el("small", first.source) if first.source else None
    gaps = (el("p", f"{cut.run}: " if several else "", said(cut)) for cut in cuts)
    return el(
        "section",
        el("h3", TITLES.get(first.by, first.by), source),
        el("div", table, class_="scroll", tabindex=0, role="region", aria_label=f"By {first.by}: scrolls sideways"),
        el("div", *gaps, class_="gap"),
        class_="way",
    )


def _unit(cut: Sliced) -> str:
    """What is counted."""
    return "images" if "unit:image" in cut.signature.split("|") else "studies"


def _row(
    name: str,
    slices: Sequence[Slice | None],
    cuts: Sequence[Sliced],
    scale: tuple[float, float],
    css: str | None = None,
) -> Html:
    counts = dict.fromkeys(str(each.n) for each in slices if each)
    cells = (_cell(each, cut, scale) for each, cut in zip(slices, cuts, strict=True))
    return el(
        "tr", el("th", el("bdi", name), scope="row"), el("td", ", ".join(counts), class_="count"), *cells, class_=css
    )


def _cell(each: Slice | None, cut: Sliced, scale: tuple[float, float]) -> Html:
    if each is None:
        return el("td", "–")
    if each.value is None:
        return el("td", each.reason, class_="score none")
    ends = f"{number(each.ci[0], 3)} to {number(each.ci[1], 3)}" if each.ci else "no interval"
    counts = f"{each.n} {_unit(cut)} of {each.n_patients} patients"
    words = f"{each.name}: {number(each.value, 3)}, 95% interval {ends}; {counts}"
    return el(
        "td",
        el("span", number(each.value, 3), class_="value"),
        el("span", ends, class_="ends"),
        _drawing(each, cut.overall, scale, words),
        class_="score",
    )


def _drawing(each: Slice, overall: Slice, scale: tuple[float, float], words: str) -> Html:
    low, high = scale

    def place(value: float) -> str:
        return f"{MARGIN + (WIDTH - 2 * MARGIN) * (value - low) / (high - low):.1f}"

    middle = ROW // 2
    whole = el("path", d=f"M{place(overall.value)} 0V{ROW}", class_="whole") if overall.value is not None else None
    line = el("path", d=f"M{place(each.ci[0])} {middle}H{place(each.ci[1])}") if each.ci else None
    dot = el("circle", cx=place(each.value), cy=middle, r="3") if each.value is not None else None
    drawn = join(whole, line, dot)
    return el("svg", el("title", words), drawn, class_="bar", viewBox=f"0 0 {WIDTH} {ROW}", role="img")


def said(cut: Sliced) -> str:
    """The gap, and what is in no slice, in a sentence or two."""
    outside = f" {cut.outside} of {cut.overall.n} are in no slice." if cut.outside else ""
    return _gap(cut.gap) + outside


def _gap(gap: Gap | None) -> str:
    if gap is None:
        return "No gap: fewer than two slices have a score."
    if gap.value == 0:
        return "No gap: all slices have the same score."
    said = f"Worst: {gap.worst}; best: {gap.best}; gap {number(gap.value, 3)}"
    if gap.ci is None:
        return f"{said}, descriptive: it has no interval."
    low, high = (number(end, 3) for end in gap.ci)
    alike = " All slices may be alike." if gap.ci[0] == 0 else ""
    return f"{said} (95% interval {low} to {high}, whichever two they had been).{alike}"


def notes(title: str, said: Sequence[str]) -> Html | None:
    """What has to be said of what is not shown."""
    if not said:
        return None
    return el("section", el("h2", title), el("ul", *(el("li", note) for note in said)), class_="problems")
