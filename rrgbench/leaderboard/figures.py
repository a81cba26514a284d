"""Numbers in words, and intervals in small drawings."""

from __future__ import annotations

from rrgbench.leaderboard.boards import Column, counts_images
from rrgbench.leaderboard.markup import Html, el, join
from rrgbench.types import Score

WIDTH = 76  # of a drawing, in its own units; the style sheet says how large it is seen
MARGIN = 3  # so that a dot at the end of the scale is whole
THIN_SPACE = "\u202f"


def number(value: float, decimals: int) -> str:
    """Rounded, with a true minus sign, and never a negative zero."""
    written = f"{value:.{decimals}f}"
    return written.replace("-", "−") if float(written) else written.lstrip("-")


def signed(value: float, decimals: int) -> str:
    """A difference: always with its sign."""
    written = number(value, decimals)
    return f"+{written}" if value > 0 and float(f"{value:.{decimals}f}") else written


def grouped(value: float) -> str:
    """A whole number with its thousands apart."""
    return f"{value:,.0f}".replace(",", THIN_SPACE)


def many(count: int, noun: str) -> str:
    """``1 study``, ``2 studies``."""
    plural = "studies" if noun == "study" else f"{noun}s"
    return f"{grouped(count)} {noun if count == 1 else plural}"


def ranks(places: tuple[int, int] | None) -> str:
    """``2`` or ``1–3``; empty for what is not ranked."""
    if places is None:
        return ""
    best, worst = places
    return str(best) if best == worst else f"{best}–{worst}"


def said(score: Score, column: Column) -> str:
    """A score with its interval, in words."""
    if score.value is None:
        return f"no value: {score.reason}"
    value, judged = number(score.value, column.decimals), if_judged(score, column)
    unsure = f"; {judged} if what the judge failed at were as bad, and as good, as can be" if judged else ""
    if score.ci is None:
        return f"{value}, no interval{unsure}"
    low, high = (number(end, column.decimals) for end in score.ci)
    return f"{value}, 95% interval {low} to {high}{unsure}"


def if_judged(score: Score, column: Column) -> str:
    """What a score would be at worst and at best if its judge had not failed at any report; empty where it did not."""
    ends = [number(end, column.decimals) if end is not None else "no bound" for end in (score.worst, score.best)]
    return " to ".join(ends) if (score.worst, score.best) != (None, None) else ""


def interval(score: Score, column: Column) -> Html:
    """A score's dot and interval on the column's scale."""
    unit = "image" if counts_images(score) else "study"
    lacking = "a report or a judgement" if if_judged(score, column) else "a report"
    counts = f"{many(score.n, unit)} scored, {score.n_failed} without {lacking}"
    return _drawing(_bar(score, column, 5), f"{said(score, column)}; {counts}", height=10)


def pair(before: Score, after: Score, column: Column) -> Html:
    """Two scores on the column's scale, the first above the second."""
    words = f"{said(before, column)}; then {said(after, column)}"
    bars = join(el("g", _bar(before, column, 4), class_="before"), el("g", _bar(after, column, 12)))
    return _drawing(bars, words, height=16)


def scale(column: Column) -> Html:
    """The two ends of the column's scale, to stand above its drawings."""
    low, high = column.scale
    ends = (f"{end + 0.0:.4g}".replace("-", "−") for end in (low, high))  # + 0.0: no negative zero
    return el("span", *(el("span", end) for end in ends), class_="scale", aria_hidden="true")


SAMPLE = Html(
    f'<svg class="bar" viewBox="0 0 {WIDTH} 10" aria-hidden="true">'
    '<path d="M20 5H56"/><circle cx="36" cy="5" r="2.6"/></svg>'
)


def _bar(score: Score, column: Column, y: int) -> Html:
    low, high = column.scale

    def place(value: float) -> str:
        return f"{MARGIN + (WIDTH - 2 * MARGIN) * (value - low) / (high - low):.1f}"

    line = el("path", d=f"M{place(score.ci[0])} {y}H{place(score.ci[1])}") if score.ci else None
    dot = el("circle", cx=place(score.value), cy=y, r="2.6") if score.value is not None else None
    return join(line, dot)


def _drawing(content: Html, words: str, height: int) -> Html:
    return el("svg", el("title", words), content, class_="bar", viewBox=f"0 0 {WIDTH} {height}", role="img")
