"""Arrange runs to boards. What can't be compared is kept apart here: this module holds the page's honesty.

A board is one dataset (its digest), split, number of studies and protocol. A column is one metric under one signature.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rrgbench.leaderboard.entries import Entry
from rrgbench.types import Score

# Shown at first, in this order: what the report says of the patient, then its words, then the encoder alone.
HEADLINE = (
    ("rulelabel_micro_f1_14", "rulelabel_micro_f1_all"),
    ("rulelabel_macro_f1_14", "rulelabel_macro_f1_all"),
    ("bleu_4",),
    ("meteor",),
    ("rouge_l",),
    ("cider",),
    ("auroc_macro",),
    ("chexbert_micro_f1_14",),
    ("radgraph_er",),
    ("radcliq_v1",),
    ("green",),
    ("radfact_logical_f1",),
    ("crimson",),
    ("chexprompt_significant_errors",),
    ("gema_objective",),
    ("radrscore",),
    ("bertscore_f1",),
)
MAX_SHOWN = 9

# The scores by which a swapped stage is measured; the first of each that the board has.
STAGE_METRICS = (
    ("rulelabel_micro_f1_14", "rulelabel_micro_f1_all", "chexbert_micro_f1_14"),
    ("rulelabel_macro_f1_14", "rulelabel_macro_f1_all", "chexbert_macro_f1_14"),
    ("bleu_4",),
    ("cider",),
)

FAMILIES = (
    ("rulelabel", "Findings stated in the report (rulelabel)"),
    ("chexbert", "Findings stated in the report (CheXbert)"),
    ("bleu|meteor|rouge|cider|bertscore", "Words shared with the reference"),
    ("radgraph|radcliq", "RadGraph and RadCliQ"),
    ("green|radfact|chexprompt|gema|crimson|radrscore", "LLM judges"),
    ("auroc", "Encoder: AUROC"),
    ("ap", "Encoder: average precision"),
    ("classification|precision|recall|f1", "Encoder: precision, recall, F1"),
    ("ece|brier", "Encoder: calibration"),
)


@dataclass(frozen=True)
class Column:
    """One metric under one signature.

    ``scores`` and ``ranks`` are by position of the row; a row that has no such score is not in ``scores``, a row that
    is not ranked (a baseline, or no value) is not in ``ranks``. ``mark`` tells columns of one name apart ("a", "b", …).
    """

    metric: str
    signature: str
    higher_is_better: bool
    mark: str
    family: str
    shown: bool
    scores: Mapping[int, Score]
    ranks: Mapping[int, tuple[int, int]]
    scale: tuple[float, float]
    decimals: int

    @property
    def empty(self) -> bool:
        """Whether no row has a value."""
        return all(score.value is None for score in self.scores.values())


@dataclass(frozen=True)
class Step:
    """Two rows that differ by one stage: ``before`` has the better-known part (oracle, template)."""

    stage: str  # "encoder" or "writer"
    before: int
    after: int


@dataclass(frozen=True)
class Board:
    """Runs that may be compared, best first by the first column shown."""

    dataset: str
    dataset_spec: str
    digest: str
    split: str | None
    protocol: str
    n: int
    n_counted: int | None  # images, where the protocol counts them
    n_patients: int | None
    terms: str
    synthetic: bool
    rows: tuple[Entry, ...]
    columns: tuple[Column, ...]
    sorted_by: Column | None
    steps: tuple[Step, ...]
    stage_columns: tuple[Column, ...]


def arrange(entries: Sequence[Entry]) -> list[Board]:
    """All boards, in an order that depends on their content only."""
    groups: dict[tuple[str, str, str, int, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        for protocol in {score.protocol for score in entry.scores}:
            groups[entry.dataset, entry.split or "", protocol, entry.n, entry.dataset_digest].append(entry)
    return [_board(groups[key], protocol=key[2]) for key in sorted(groups)]


def _board(entries: Sequence[Entry], protocol: str) -> Board:
    rows = sorted(entries, key=lambda e: (e.system, e.run_id, e.shown_path))
    lead = next((column for column in _columns(rows, protocol) if column.shown), None)
    if lead is not None:  # columns refer to rows by position, so they are made again once the order is known
        order = sorted(range(len(rows)), key=lambda i: _best_first(lead, i))
        rows = [rows[i] for i in order]
    columns = _columns(rows, protocol)
    first = rows[0]
    return Board(
        dataset=first.dataset,
        dataset_spec=min(row.dataset_spec for row in rows),
        digest=first.dataset_digest,
        split=first.split,
        protocol=protocol,
        n=first.n,
        n_counted=max(
            (s.n + s.n_failed for row in rows for s in row.scores if s.protocol == protocol and counts_images(s)),
            default=None,
        ),
        n_patients=max((row.n_patients for row in rows if row.n_patients is not None), default=None),
        terms=", ".join(sorted({row.terms for row in rows})),
        synthetic=any(row.synthetic for row in rows),
        rows=tuple(rows),
        columns=columns,
        sorted_by=next((column for column in columns if column.shown), None),
        steps=tuple(stage_steps(rows)),
        stage_columns=tuple(_first_of(STAGE_METRICS, [column for column in columns if not column.empty])),
    )


def counts_images(score: Score) -> bool:
    """Whether a score's protocol counts images, not studies."""
    return "unit:image" in score.signature.split("|")


def _best_first(column: Column, row: int) -> tuple[bool, float]:
    score = column.scores.get(row)
    if score is None or score.value is None:
        return True, 0.0
    return False, -score.value if column.higher_is_better else score.value


def _columns(rows: Sequence[Entry], protocol: str) -> tuple[Column, ...]:
    found: dict[tuple[str, str, bool], dict[int, Score]] = defaultdict(dict)
    for index, row in enumerate(rows):
        for score in row.scores:
            if score.protocol == protocol:
                found[score.metric, score.signature, score.higher_is_better][index] = score
    # Columns of one metric: the one with most rows first.
    keys = sorted(found, key=lambda key: (_natural(key[0]), -len(found[key]), key[1], key[2]))
    of_name: dict[str, list[tuple[str, str, bool]]] = defaultdict(list)
    for key in keys:
        of_name[key[0]].append(key)
    baselines = {index for index, row in enumerate(rows) if row.baseline}
    columns = [
        Column(
            metric=metric,
            signature=signature,
            higher_is_better=higher,
            mark=_letter(of_name[metric].index((metric, signature, higher))) if len(of_name[metric]) > 1 else "",
            family=family(metric),
            shown=False,
            scores=scores,
            ranks=rank_ranges({i: s for i, s in scores.items() if i not in baselines}, higher),
            scale=nice_scale(_extent(scores.values())),
            decimals=_decimals(scores.values()),
        )
        for (metric, signature, higher), scores in ((key, found[key]) for key in keys)
    ]
    with_values = [column for column in columns if not column.empty]
    shown = list(_first_of(HEADLINE, with_values))[:MAX_SHOWN] or with_values[:MAX_SHOWN]
    chosen = {id(column) for column in shown}
    rest = [column for column in columns if id(column) not in chosen]
    rest.sort(key=lambda column: _family_order(column.family))
    return (*(replace(column, shown=True) for column in shown), *rest)


def _first_of(wanted: Iterable[Sequence[str]], columns: Sequence[Column]) -> Iterable[Column]:
    """For each set of names: all columns of the first name that there is."""
    for names in wanted:
        for name in names:
            matching = [column for column in columns if column.metric == name]
            if matching:
                yield from matching
                break


def _letter(index: int) -> str:
    return chr(ord("a") + index) if index < 26 else str(index + 1)


def family(metric: str) -> str:
    """The heading under which a metric stands in the list of columns."""
    for prefix, heading in FAMILIES:
        if re.match(rf"(?:{prefix})(?:_|$)", metric):
            return heading
    return f"{metric.split('_')[0]} …"


def _family_order(heading: str) -> tuple[int, str]:
    known = [title for _, title in FAMILIES]
    return (known.index(heading) if heading in known else len(known), heading)


def _natural(name: str) -> list[tuple[int, str]]:
    """A sort key that puts bleu_2 before bleu_10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def rank_ranges(scores: Mapping[int, Score], higher_is_better: bool) -> dict[int, tuple[int, int]]:
    """For each row with a value the places it may take: from the best to the worst that the intervals leave open.

    A row is surely ahead of another only where its whole interval is; a value without an interval is never surely
    ahead of, or behind, any other.
    """
    sign = 1.0 if higher_is_better else -1.0
    ends: dict[int, tuple[float, float]] = {}
    for row, score in scores.items():
        if score.value is not None:
            low, high = score.ci or (-math.inf, math.inf)
            ends[row] = (low, high) if higher_is_better else (sign * high, sign * low)
    places = {}
    for row, (low, high) in ends.items():
        ahead = sum(other_low > high for other_low, _ in ends.values())
        behind = sum(other_high < low for _, other_high in ends.values())
        places[row] = (1 + ahead, len(ends) - behind)
    return places


def _extent(scores: Iterable[Score]) -> tuple[float, float]:
    values = [x for score in scores if score.value is not None for x in (score.value, *(score.ci or ()))]
    return (min(values), max(values)) if values else (0.0, 1.0)


def nice_scale(extent: tuple[float, float]) -> tuple[float, float]:
    """The ends of an axis over ``extent``, at multiples of a step of 1, 2 or 5 times a power of ten."""
    low, high = extent
    span = high - low
    if span < 1e-6 * max(1.0, abs(low), abs(high)):
        span = 0.1 * max(1.0, abs(low))
        low, high = (max(0.0, low - span), high + span) if low >= 0 else (low - span, high + span)
    least = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(least))
    step = next((power * k for k in (1, 2, 5) if power * k >= least), power * 10)
    start, end = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    return start, 1.0 if extent[1] <= 1 < end else end  # most scores end at 1: promise no more


def _decimals(scores: Iterable[Score]) -> int:
    """As many as give three figures after a leading 0, fewer for scores that run to 100 or further."""
    largest = max((abs(end) for end in _extent(scores)), default=0.0)
    return 3 if largest < 10 else 2 if largest < 100 else 1


def stage_steps(rows: Sequence[Entry]) -> Iterable[Step]:
    """Pairs of rows that differ by one stage only.

    The encoder's step goes from the oracle to an encoder with the same renderer, prompt and LLM, by preference the
    template (the plainest writer, and one that adds no errors of its own). The writer's goes from the template to an
    LLM on the same encoder; the template needs no renderer and no prompt, so they belong to the LLM's side.
    """
    composed = [i for i, row in enumerate(rows) if row.parts.get("encoder") and row.parts.get("llm")]

    def part(i: int, kind: str) -> str | None:
        return rows[i].parts.get(kind)

    def spec(i: int, *kinds: str) -> tuple[str | None, ...]:
        return tuple(rows[i].specs.get(kind) for kind in kinds)

    by_name = sorted(composed, key=lambda i: (part(i, "encoder") != "oracle", rows[i].system, rows[i].run_id))
    oracles = [i for i in by_name if part(i, "encoder") == "oracle"]
    templates = [i for i in by_name if part(i, "llm") == "template"]
    others = {spec(i, "encoder"): None for i in by_name if i not in oracles}
    for encoder in others:
        steps = [
            Step("encoder", before, after)
            for after in by_name
            if spec(after, "encoder") == encoder
            for before in oracles
            if spec(before, "system", "renderer", "prompt", "llm") == spec(after, "system", "renderer", "prompt", "llm")
        ]
        yield from [step for step in steps if step.after in templates] or steps
    for after in by_name:
        if after not in templates:
            yield from (
                Step("writer", before, after)
                for before in templates
                if spec(before, "encoder") == spec(after, "encoder")
            )
