"""The columns of what a run took: coverage, seconds, tokens, dollars."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rrgbench.leaderboard.entries import Costs, Entry, Percentiles
from rrgbench.leaderboard.figures import grouped, many
from rrgbench.leaderboard.markup import Html, absent, el, join


@dataclass(frozen=True)
class Cost:
    """One such column: ``value`` is what it is sorted by, ``cell`` what is seen."""

    key: str
    label: str
    unit: str
    about: str
    value: Callable[[Entry], float | None]
    cell: Callable[[Entry], Html]
    higher_is_better: bool = False


def _coverage(row: Entry) -> Html:
    failures = ", ".join(f"{count} {kind}" for kind, count in sorted(row.failures.items()) if count)
    words = f"{row.coverage:.2%} of {many(row.n, 'study')} have a report; failures: {failures or 'none'}"
    below = el("span", failures, class_="below warn") if failures else None
    # Never rounded up to 100%: one failure in thousands must be seen.
    share = "100%" if row.coverage == 1 else f"{min(row.coverage, 0.999):.1%}"
    return el("span", share, below, title=words)


def _seconds(seconds: float) -> str:
    if seconds < 0.001:
        return "<0.001"
    return f"{seconds:.{3 if seconds < 1 else 2 if seconds < 10 else 1 if seconds < 100 else 0}f}"


def _usd(row: Entry) -> Html:
    usd, calls = row.costs.usd, row.costs.calls
    below = el("span", many(calls, "call"), class_="below") if calls else None
    if usd is None:
        why = "the price is not known" if calls else "nothing was called"
        return join(absent("–", why), below)
    return join(el("span", "0" if usd == 0 else f"{usd:.2f}" if usd >= 1 else f"{usd:.2g}"), below)


def _per_report(
    key: str,
    label: str,
    unit: str,
    about: str,
    of: Callable[[Costs], Percentiles | None],
    write: Callable[[float], str],
) -> Cost:
    """A column of percentiles over the reports. Two stages stay two columns: percentiles don't add up."""

    def value(row: Entry) -> float | None:
        both = of(row.costs)
        return both.p50 if both else None

    def cell(row: Entry) -> Html:
        both = of(row.costs)
        if both is None:
            return absent("–", "not recorded: this run has no such stage, or it reported nothing")
        return join(el("span", write(both.p50)), el("span", write(both.p95), class_="below"))

    return Cost(key, label, unit, f"{about} a report: the median, and the 95th percentile below it", value, cell)


COSTS = (
    Cost(
        "k-coverage",
        "coverage",
        "failures",
        "share of the studies that have a report; what failed is counted below it",
        lambda row: row.coverage,
        _coverage,
        higher_is_better=True,
    ),
    _per_report(
        "k-encode", "encode", "s, p50 p95", "seconds in the encoder", lambda costs: costs.encode_seconds, _seconds
    ),
    _per_report(
        "k-write",
        "write",
        "s, p50 p95",
        "seconds in the writer (LLM, template or whole system)",
        lambda costs: costs.write_seconds,
        _seconds,
    ),
    _per_report("k-tokens", "tokens", "p50 p95", "tokens of prompt and reply", lambda costs: costs.tokens, grouped),
    Cost("k-usd", "cost", "US$ in all", "US dollars and calls of the whole run", lambda row: row.costs.usd, _usd),
)
