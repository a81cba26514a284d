"""The page of `rrgbench matrix`: encoders down, test sets across, then the slices of each test set."""

from __future__ import annotations

from dataclasses import replace

from rrgbench import __version__, governance, reliability, slices_page, stored
from rrgbench.leaderboard.figures import number
from rrgbench.leaderboard.markup import Html, el
from rrgbench.leaderboard.page import SYNTHETIC, document
from rrgbench.matrix import SCORE, Cell, Matrix

STYLE = (
    slices_page.STYLE
    + reliability.STYLE
    + """
.matrix td { white-space: nowrap; }
.matrix td.home { background: var(--hover); }
.matrix th[scope="row"] { max-width: 22rem; overflow-wrap: anywhere; }
.matrix th small { display: block; color: var(--soft); font-weight: 400; }
.matrix .ends { color: var(--soft); font-size: .8rem; display: block; }
"""
)


def page(done: Matrix, title: str) -> str:
    """The whole document; it loads nothing. Raises UsageError where data that is not open would show more than
    aggregates.
    """
    several = len({cell.encoder for cell in done.cells}) > 1
    cuts = [
        replace(cut, run=cell.name if several else f"trained on {cell.trained_on or 'unknown'}", dataset=cell.tested_on)
        for cell in done.cells
        for cut in cell.cuts
    ]
    html = document(
        title,
        el("header", el("h1", title), el("p", f"{SCORE}: the mean AUROC of the labels; higher is better.")),
        el(
            "main",
            _table(done),
            slices_page.notes("To know", done.notes),
            slices_page.how_to_read(),
            *slices_page.boards(cuts),
            reliability.how_to_read(),
            *(_reliability(cell) for cell in done.cells if cell.labels),
        ),
        el("footer", f"Made by rrgbench {__version__}. For research, not for clinical use."),
        style=Html(STYLE),
    )
    if done.terms != "open":
        governance.check_published(html, "The page (a name of an encoder, of a dataset or of a slice)")
    return html


def _reliability(cell: Cell) -> Html:
    assert cell.run.folder is not None  # the runs of a matrix keep theirs
    return el(
        "section",
        el("h2", "Reliability ", el("small", f"{cell.name}, tested on {cell.tested_on}")),
        el("p", SYNTHETIC, class_="synthetic", role="note") if cell.run.summary["synthetic"] else None,
        reliability.of_run(stored.read(cell.run.folder)),
        class_="board",
    )


def _table(done: Matrix) -> Html:
    tests = list(dict.fromkeys(cell.tested_on for cell in done.cells))
    rows: dict[tuple[str, str | None], dict[str, Cell]] = {}
    for cell in done.cells:
        rows.setdefault((cell.encoder, cell.trained_on), {})[cell.tested_on] = cell
    body = [
        el(
            "tr",
            el("th", el("bdi", trained_on or "unknown"), el("small", el("bdi", encoder)), scope="row"),
            *(_cell(cells.get(test)) for test in tests),
        )
        for (encoder, trained_on), cells in rows.items()
    ]
    table = el(
        "table",
        el("caption", "Trained on (down), tested on (across)", class_="vh"),
        el(
            "thead",
            el("tr", el("th", "trained on", scope="col"), *(el("th", el("bdi", test), scope="col") for test in tests)),
        ),
        el("tbody", *body),
    )
    synthetic = any(cell.run.summary["synthetic"] for cell in done.cells)
    return el(
        "section",
        el("h2", "Trained on, tested on ", el("small", "shaded: the same dataset")),
        el("p", SYNTHETIC, class_="synthetic", role="note") if synthetic else None,
        el("div", table, class_="scroll", tabindex=0, role="region", aria_label="The matrix: scrolls sideways"),
        class_="board matrix",
    )


def _cell(cell: Cell | None) -> Html:
    if cell is None:
        return el("td", "–")
    whole = cell.overall
    if whole.value is None:
        return el("td", whole.reason)
    ends = f"{number(whole.ci[0], 3)} to {number(whole.ci[1], 3)}" if whole.ci else "no interval"
    counts = f"{ends}; {whole.n} studies, {len(cell.labels)} labels"
    home = "home" if cell.tested_on == cell.trained_on else None
    return el("td", el("span", number(whole.value, 3), class_="value"), el("span", counts, class_="ends"), class_=home)
