"""What others report on a board's data: quoted in a block of its own, and never ranked with what was computed here."""

from __future__ import annotations

import re

from rrgbench.leaderboard.boards import Board
from rrgbench.leaderboard.figures import many
from rrgbench.leaderboard.markup import Html, el, join
from rrgbench.published import Published, quotable, verified_means

OPEN = 15  # rows up to which they are shown at once


def quotes(board: Board) -> Html | None:
    """Reported numbers on the board's dataset and split, of the metrics that it has; None where there are none."""
    if board.synthetic:
        return None
    scores = {column.metric for column in board.columns if not column.empty}
    rows = quotable(_dataset(board), board.split, scores)
    if not rows:
        return None
    means = "; ".join(f"{word}: {meaning}" for word, meaning in verified_means().items())
    return el(
        "details",
        el("summary", f"As reported elsewhere: {many(len(rows), 'row')}, not ranked"),
        el(
            "p",
            "Copied from where they were printed, with the scale and the name of the metric there. Other texts, other"
            " implementations and other studies: none of these may be compared with a number above.",
        ),
        el("ul", *(_row(row) for row in rows)),
        el("p", means),
        class_="quotes",
        open=len(rows) <= OPEN,
    )


def _dataset(board: Board) -> str:
    """The dataset's name; where a file of R2Gen's is, the corpus that its spec ends with: ``… (iu-xray)``."""
    corpus = re.search(r"\(([\w-]+)\)$", board.dataset_spec)
    return corpus[1] if corpus else board.dataset


def _row(row: Published) -> Html:
    """No table: columns would invite to rank what can't be ranked."""
    numbers = (el("span", el("code", name), f" {value:g}") for name, value in row.metrics.items())
    under = f"under {row.protocol}" if row.protocol else f"under a protocol of its own, {row.section}"
    errata = (el("span", f"Erratum: {text}", class_="erratum") for text in row.errata)
    return el(
        "li",
        el("bdi", row.system),
        el("span", *(join(number, " ") for number in numbers), class_="numbers"),
        el("span", f"{under}; {row.split_as_reported}. {row.source} ({row.verified}).", *errata),
    )
