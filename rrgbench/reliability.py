"""Reliability diagrams: what share of the studies that an encoder gives a probability do have the label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from rrgbench import __version__, governance, stored
from rrgbench.errors import UsageError
from rrgbench.leaderboard.figures import SAMPLE, grouped, many, number
from rrgbench.leaderboard.markup import Html, el, join
from rrgbench.leaderboard.page import SYNTHETIC, document
from rrgbench.metrics.calibration import BINS, Brier, Calibration, by_chance, reliability
from rrgbench.specs import Spec
from rrgbench.stored import StoredRun

LEAST = (
    5  # studies that a bin must have for a dot: of fewer the share says nothing, and of one it is that study's truth
)
SIDE, LEFT, TOP, FOOT = 150, 26, 6, 42  # of the square; what stands left of it, above it and below it
TALLEST = 22  # of the bars that count the studies

STYLE = Html("""
.reliability { display: grid; grid-template-columns: repeat(auto-fill, minmax(11.5rem, 1fr)); gap: 0 1.6rem; }
.reliability figure {
  display: grid; grid-row: span 2; grid-template-rows: subgrid; margin: 1.1rem 0 0; max-width: 15rem;
}
.reliability figcaption b { display: block; font-weight: 650; overflow-wrap: anywhere; }
.reliability figcaption { color: var(--soft); font-size: .8rem; line-height: 1.4; }
.reliability figcaption b { color: var(--ink); font-size: .93rem; }
.reliability svg { display: block; width: 100%; margin-top: .4rem; overflow: visible; }
.reliability text { fill: var(--soft); font: 9px var(--sans); }
.reliability .grid { stroke: var(--hair); fill: none; }
.reliability .even { stroke: var(--soft); stroke-dasharray: 3 3; fill: none; }
.reliability .ci { stroke: var(--bar); stroke-width: 4; stroke-opacity: .6; }
.reliability circle { fill: var(--mark); }
.reliability .count { fill: var(--soft); fill-opacity: .55; }
@media (max-width: 40rem) {
  .reliability { grid-template-columns: 1fr 1fr; column-gap: 1rem; }
}
.unseen { margin-top: .9rem; color: var(--soft); font-size: .86rem; }
""")


def page(folders: Sequence[Path], title: str = "Do the probabilities mean what they say?") -> str:
    """The diagrams of finished runs as a document that loads nothing. Raises UsageError for a run without any."""
    runs = [stored.read(folder) for folder in folders]
    html = document(
        title,
        el("header", el("h1", title), el("p", ", ".join(dict.fromkeys(run.name for run in runs)))),
        el("main", how_to_read(), *(_section(run) for run in runs)),
        el("footer", f"Made by rrgbench {__version__}. For research, not for clinical use."),
        style=STYLE,
    )
    if governance.strictest([run.summary["terms"] for run in runs]) != "open":
        governance.check_published(html, "The page (a name of a system or of a dataset)")
    return html


def how_to_read() -> Html:
    """What the marks of the diagrams mean."""
    points = (
        (
            ("Dot and bar ", el("span", SAMPLE, class_="sample")),
            "The studies whose probability (across) lies in one bin, and the share of them that have the label (up), "
            f"with its 95% interval (Wilson). Bins of fewer than {LEAST} studies have no dot.",
        ),
        (
            ("Dashed line",),
            "Probabilities that mean what they say. Dots below it: the encoder is too sure of the label.",
        ),
        (
            ("Calibration error",),
            "The expected calibration error: the mean distance from the line, weighted by the studies of each bin, "
            "small ones included. Then what honest probabilities would show on these studies by chance alone.",
        ),
        (("Grey bars",), "How the studies are spread over the bins."),
    )
    items = (el("div", el("dt", *term), el("dd", meaning)) for term, meaning in points)
    return el("section", el("dl", *items), class_="how", aria_label="How to read the diagrams")


def of_run(run: StoredRun) -> Html:
    """The diagrams of a finished run. Raises UsageError where it has no scores of ``calibration``."""
    for (spec, _), scored in run.scored.items():
        if Spec.of(spec).name == "calibration":
            return figure(scored.rows, scored.part.obj.bins)
    raise UsageError(
        f"{run.folder} holds no scores of calibration (its data have no labels, its system no encoder, or it was scored"
        f" by other metrics). Try: rrgbench score {run.folder} --metric calibration"
    )


def figure(rows: pd.DataFrame, bins: int = BINS) -> Html:
    """A diagram a label, from the rows of ``calibration``, for a page in the leaderboard's look with ``STYLE``."""
    curves, chance = reliability(rows, bins), by_chance(rows, bins)
    error, brier = Calibration(bins).reduce(rows), Brier().reduce(rows)
    drawn = [label for label in chance if (curves["label"] == label).any()]
    panels = []
    for label in drawn:
        curve = curves[curves["label"] == label]
        positive = round(float((curve["n"] * curve["observed"]).sum()))
        said = (
            f"error {number(float(error[f'ece_{label}']), 3)}, by chance {number(chance[label], 3)}",
            f"Brier score {number(float(brier[f'brier_{label}']), 3)}",
            f"{many(int(curve['n'].sum()), 'study')}, {grouped(positive)} with it",
        )
        caption = el("figcaption", el("b", _words(label)), *(el("div", each) for each in said))
        panels.append(el("figure", caption, _diagram(curve, bins, _words(label))))
    unseen = ", ".join(_words(label) for label in chance if label not in drawn)
    return join(
        el("div", *panels, class_="reliability"),
        el("p", f"Without any probability, or without any truth: {unseen}.", class_="unseen") if unseen else None,
    )


def _section(run: StoredRun) -> Html:
    summary = run.summary
    split = f", split {summary['split']}" if summary["split"] else ""
    return el(
        "section",
        el("h2", run.name, " ", el("small", f"{summary['dataset_spec']}{split}")),
        el("p", SYNTHETIC, class_="synthetic", role="note") if summary["synthetic"] else None,
        of_run(run),
        class_="board",
    )


def _words(label: str) -> str:
    return label.replace("_", " ").capitalize()


def _across(value: float) -> str:
    return f"{LEFT + SIDE * value:.1f}"


def _up(value: float) -> str:
    return f"{TOP + SIDE * (1 - value):.1f}"


def _diagram(curve: pd.DataFrame, bins: int, label: str) -> Html:
    held: list[Any] = list(curve.itertuples())
    seen = [each for each in held if each.n >= LEAST]
    words = "; ".join(
        f"of {each.n} at {number(each.predicted, 2)}: {number(each.observed, 2)}"
        f" ({number(each.ci_low, 2)} to {number(each.ci_high, 2)})"
        for each in seen
    )
    return el(
        "svg",
        el("title", f"{label}: share that has it, by probability. {words or 'No bin has enough studies.'}"),
        *_frame(),
        *(
            join(
                el("path", d=f"M{_across(e.predicted)} {_up(e.ci_low)}V{_up(e.ci_high)}", class_="ci"),
                el("circle", cx=_across(e.predicted), cy=_up(e.observed), r="3"),
            )
            for e in seen
        ),
        *_counts(curve, bins),
        viewBox=f"0 0 {LEFT + SIDE + 6} {TOP + SIDE + FOOT}",
        role="img",
    )


def _frame() -> list[Html]:
    out = []
    for value, said in ((0.0, "0"), (0.5, ".5"), (1.0, "1")):
        x, y = _across(value), _up(value)
        out.append(el("path", d=f"M{_across(0)} {y}H{_across(1)}M{x} {_up(0)}V{_up(1)}", class_="grid"))
        out.append(el("text", said, x=LEFT - 5, y=float(y) + 3, text_anchor="end"))
        out.append(el("text", said, x=x, y=TOP + SIDE + FOOT - 2, text_anchor="middle"))
    return [*out, el("path", d=f"M{_across(0)} {_up(0)}L{_across(1)} {_up(1)}", class_="even")]


def _counts(curve: pd.DataFrame, bins: int) -> list[Html]:
    """A bar a bin, hanging from under the square, as long as it holds studies."""
    held: list[Any] = list(curve.itertuples())
    width, most = SIDE / bins, float(curve["n"].max())
    top = TOP + SIDE + 6
    return [
        el(
            "rect",
            x=f"{LEFT + each.bin * width + 0.5:.1f}",
            y=top,
            width=f"{max(width - 1, 0.5):.1f}",
            height=f"{max(1.0, TALLEST * each.n / most):.1f}",
            class_="count",
        )
        for each in held
    ]
