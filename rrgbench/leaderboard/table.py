"""The table of a board: systems down, scores across; with the menu of its columns and the notes below it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from rrgbench.leaderboard.boards import Board, Column
from rrgbench.leaderboard.costs import COSTS, Cost
from rrgbench.leaderboard.entries import Entry
from rrgbench.leaderboard.figures import if_judged, interval, number, ranks, scale
from rrgbench.leaderboard.markup import Html, absent, el, join

NO_BREAK = "\u00a0"

_WORDS = {
    "ap": "AP",
    "auroc": "AUROC",
    "bertscore": "BERTScore",
    "bleu": "BLEU",
    "chexbert": "CheXbert",
    "chexprompt": "CheXprompt",
    "cider": "CIDEr",
    "crimson": "CRIMSON",
    "er": "ER",
    "f1": "F1",
    "gema": "GEMA",
    "green": "GREEN",
    "l": "L",
    "meteor": "METEOR",
    "radcliq": "RadCliQ",
    "radfact": "RadFact",
    "radgraph": "RadGraph",
    "radrscore": "RadRScore",
    "rouge": "ROUGE",
}


def metric_name(column: Column) -> Html:
    """A score's name in words, with its direction: "BLEU 4 ↑"."""
    words = " ".join(_WORDS.get(word, word) for word in column.metric.split("_"))
    mark = el("sup", column.mark) if column.mark else None
    return join(words, mark, NO_BREAK, _arrow(column.higher_is_better))


def _arrow(higher_is_better: bool) -> Html:
    arrow, words = ("↑", "higher") if higher_is_better else ("↓", "lower")
    return join(el("span", arrow, class_="arrow", aria_hidden="true"), el("span", f", {words} is better", class_="vh"))


def scores_table(board: Board) -> Html:
    """The table, sorted by the first column that is shown."""
    heads = [el("th", el("button", "Rank, system", type="button", data_first="text"), scope="col", class_="system")]
    heads += [_metric_head(i, column, column is board.sorted_by) for i, column in enumerate(board.columns)]
    heads += [_cost_head(cost) for cost in COSTS]
    names = Counter(row.system for row in board.rows)
    split = board.split if board.split is not None else "all splits"
    return el(
        "table",
        el("caption", f"{board.dataset}, {split}, {board.protocol}", class_="vh"),
        el("thead", el("tr", *heads)),
        el("tbody", *(_row(board, i, full=names[row.system] > 1) for i, row in enumerate(board.rows))),
    )


def column_keys(board: Board) -> list[str]:
    """The class of each column's cells."""
    return [*(f"c{i}" for i in range(len(board.columns))), *(cost.key for cost in COSTS)]


def _metric_head(index: int, column: Column, leads: bool) -> Html:
    better, first, order = ("higher", "down", "descending") if column.higher_is_better else ("lower", "up", "ascending")
    return el(
        "th",
        el("button", metric_name(column), type="button", data_first=first),
        scale(column),
        scope="col",
        class_=f"c{index} metric",
        aria_sort=order if leads else None,
        title=f"{column.metric}: {better} is better\nsignature {column.signature}",
    )


def _cost_head(cost: Cost) -> Html:
    first = "down" if cost.higher_is_better else "up"
    return el(
        "th",
        el("button", cost.label, NO_BREAK, _arrow(cost.higher_is_better), type="button", data_first=first),
        el("span", cost.unit, class_="unit"),
        scope="col",
        class_=f"{cost.key} cost",
        title=cost.about,
    )


def _row(board: Board, index: int, full: bool) -> Html:
    row = board.rows[index]
    places = board.sorted_by.ranks.get(index) if board.sorted_by else None
    chain = _chain(row, full)
    cells = [_metric_cell(i, column, index) for i, column in enumerate(board.columns)]
    cells += [el("td", cost.cell(row), class_=f"{cost.key} cost", data_v=_sortable(cost.value(row))) for cost in COSTS]
    return el(
        "tr",
        el(
            "th",
            el("span", ranks(places), class_="rank"),
            el(
                "span",
                el("bdi", _breakable(row.system), class_="name"),
                *(badge(word, note) for word, note in _baseline_words(row)),
                el("span", el("bdi", chain), class_="chain") if chain != row.system else None,
                class_="who",
            ),
            scope="row",
            class_="system",
            data_v=row.system,
            title=_about(row),
        ),
        *cells,
        class_="baseline" if row.baseline else None,
    )


def _breakable(name: str) -> Html:
    """A name that may go on in a new line after each plus sign."""
    first, *more = name.split("+")
    return join(first, *(join("+", el("wbr"), part) for part in more))


def badge(word: str, note: str | None = None) -> Html:
    """The mark of a baseline; the note says why it is one."""
    hidden = el("span", f", a baseline: {note}", class_="vh") if note else None
    return el("span", word, hidden, class_="badge", title=note, tabindex=0 if note else None)


def _baseline_words(row: Entry) -> list[tuple[str, str]]:
    """Each note of a baseline with its first word: "oracle: sees the labels" is marked "oracle"."""
    if not row.baseline:
        return []
    words = [(note.split(":")[0].strip(), note) for note in row.baseline_notes]
    return [(word if 0 < len(word) <= 16 else "baseline", note) for word, note in words] or [("baseline", "a baseline")]


def _chain(row: Entry, full: bool) -> str:
    """The parts in the order in which they work; for runs of one name their full specs, and the run."""
    source = row.specs if full else row.parts
    stages = [stage for kind in ("encoder", "renderer", "prompt", "llm") if (stage := source.get(kind))]
    chain = " → ".join(stages) or source.get("system") or row.system
    return f"{chain} · run {row.run_id[:12]}" if full else chain


def _about(row: Entry) -> str:
    lines = [row.system, *(f"{kind}: {spec}" for kind, spec in row.specs.items() if spec), f"run: {row.run_id}"]
    return "\n".join([*lines, *([f"made: {row.created}"] if row.created else [])])


_UNJUDGED = "what it would be if each report that the judge failed at were as bad, and as good, as a report can be"


def _metric_cell(column_index: int, column: Column, row_index: int) -> Html:
    score = column.scores.get(row_index)
    css = f"c{column_index} metric"
    if score is None:
        return el("td", absent("–", "this run has no such score"), class_=css)
    if score.value is None:
        return el("td", absent("n/a", score.reason or "no reason given", focusable=True), class_=css)
    places = column.ranks.get(row_index)
    fewer = score.n < max(other.n for other in column.scores.values())
    return el(
        "td",
        el(
            "b" if places and places[0] == 1 and len(column.ranks) > 1 else "span",
            number(score.value, column.decimals),
            class_="value",
        ),
        el("span", f"n {score.n}", class_="fewer") if fewer else None,
        el("span", f"({judged})", class_="fewer", title=_UNJUDGED) if (judged := if_judged(score, column)) else None,
        interval(score, column),
        class_=css,
        data_v=_sortable(score.value),
        data_rank=ranks(places) or None,
    )


def _sortable(value: float | None) -> str | None:
    return None if value is None else repr(value)


def menu(name: str, board: Board) -> Html:
    """A box a column. The style sheet hides the columns whose box is empty, so it works without the script."""
    families: dict[str, list[Html]] = defaultdict(list)
    for i, column in enumerate(board.columns):
        mark = el("sup", column.mark) if column.mark else None
        families[column.family].append(_box(f"{name}-c{i}", join(el("code", column.metric), mark), column.shown))
    families["What a run takes"] = [_box(f"{name}-{cost.key}", cost.label, True) for cost in COSTS]
    shown = sum(column.shown for column in board.columns) + len(COSTS)
    return el(
        "details",
        el("summary", "Columns: ", el("span", f"{shown} of {len(board.columns) + len(COSTS)}", class_="count")),
        el("div", *(el("fieldset", el("legend", title), *boxes) for title, boxes in families.items())),
        class_="menu",
    )


def _box(key: str, label: object, checked: bool) -> Html:
    return el("label", el("input", type="checkbox", id=key, checked=checked, autocomplete="off"), el("span", label))


def notes(board: Board) -> Html | None:
    """Why some columns share a name, and what no system has a value of."""
    items = []
    for differences, metrics in _computed_in_several_ways(board.columns).items():
        ways = [
            join("; " if i else "", el("sup", mark), " ", el("code", difference) if difference else "the plain form")
            for i, (mark, difference) in enumerate(differences)
        ]
        items.append(
            el("li", "Computed in more than one way, so in columns apart: ", _codes(metrics), " (", *ways, ")")
        )
    for reason, metrics in _never_computed(board.columns).items():
        items.append(el("li", "No value for any system: ", _codes(metrics), " (", reason, ")"))
    return el("ul", *items, class_="notes") if items else None


def _codes(words: Sequence[str]) -> Html:
    return join(*(join(", " if i else "", el("code", word)) for i, word in enumerate(words)))


def _computed_in_several_ways(columns: Sequence[Column]) -> dict[tuple[tuple[str, str], ...], list[str]]:
    """Metrics with several columns, by their marks and the fields of the signature that not all of them have."""
    by_name: dict[str, list[Column]] = defaultdict(list)
    for column in columns:
        if column.mark:
            by_name[column.metric].append(column)
    found: dict[tuple[tuple[str, str], ...], list[str]] = defaultdict(list)
    for metric, ways in by_name.items():
        ways = sorted(ways, key=lambda column: column.mark)
        fields = [column.signature.split("|") for column in ways]
        common = set(fields[0]).intersection(*fields[1:])
        own = ["|".join(field for field in one if field not in common) for one in fields]
        found[tuple((column.mark, field) for column, field in zip(ways, own, strict=True))].append(metric)
    return found


def _never_computed(columns: Sequence[Column]) -> dict[str, list[str]]:
    """Metrics without a single value by their reasons; they can be switched on all the same."""
    found: dict[str, list[str]] = defaultdict(list)
    for column in columns:
        if column.empty:
            reasons = sorted({score.reason or "no reason given" for score in column.scores.values()})
            found["; ".join(reasons)].append(column.metric)
    return found
