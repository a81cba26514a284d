"""What the judges share: where the replies come from, what is asked, and how a score is bounded where they failed."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from rrgbench import stats
from rrgbench.errors import UsageError
from rrgbench.interfaces import LLM
from rrgbench.judging import Recorded
from rrgbench.prompts import texts
from rrgbench.prompts.texts import PromptText
from rrgbench.types import Judged


class LLMJudge:
    """Base of the judges of this plugin.

    ``judge``: the language model that is asked. ``replies``: a file of recorded replies in its place (``study_id`` and
    ``reply``; a run folder's replies.jsonl is one). ``text``: a file in the place of what the judge is told.
    ``repeat``: 2 asks a second time what was asked before, to see whether a judge agrees with itself.
    """

    version = "1"
    needs: tuple[str, ...] = ("report", "reference")
    neutral: tuple[str, ...] = ("replies",)
    name: ClassVar[str]
    higher_is_better: Mapping[str, bool]
    # The files in texts/ that hold what is asked, each with the placeholders that must stand in it.
    asks: ClassVar[Mapping[str, tuple[str, ...]]]

    def __init__(
        self, judge: LLM | None = None, replies: Path | None = None, text: Path | None = None, repeat: int = 1
    ) -> None:
        if (judge is None) == (replies is None):
            both = "not both" if judge else "or what one replied, in a file"
            raise UsageError(
                f"{self.name} asks a language model: {self.name}:judge=local (`rrgbench list llms` has more), {both}:"
                f" {self.name}:replies=FILE with study_id and reply."
            )
        if replies and repeat != 1:
            raise UsageError(f"{self.name}: repeat asks a judge once more; recorded replies are what they are.")
        if repeat < 1:
            raise UsageError(f"{self.name}: repeat must be 1 or more, not {repeat}.")
        self.repeat = repeat
        self.recorded = Recorded(replies) if replies else None
        self.texts: dict[str, PromptText] = {}
        for name, placeholders in self.asks.items():
            own = text if len(self.asks) == 1 else None
            self.texts[name] = loaded = texts.load(name, placeholders, placeholders, own, "rrgbench_judges")
            told = "".join(message.content for message in loaded.messages)
            if lacking := [p for p in ("candidate", "reference") if p in placeholders and f"{{{p}}}" not in told]:
                raise UsageError(f"{own}: lacks {{{lacking[0]}}}, without which the judge can't compare two reports.")

    def bounds(self, name: str) -> tuple[float, float]:
        """What one report can have of a score at worst and at best; NaN: no bound. Shares, and counts of errors."""
        return (0.0, 1.0) if self.higher_is_better[name] else (np.nan, 0.0)

    def witness(self, name: str) -> str:
        """The column that a report lacks where the judge failed at a score; others may be undefined without a fault."""
        return name

    def reduce(self, rows: pd.DataFrame, weights: stats.Array | None = None) -> Mapping[str, stats.Array]:
        """The mean over the reports of each score."""
        return means(rows, list(self.higher_is_better), weights)

    def judged(self, rows: pd.DataFrame) -> Mapping[str, Judged]:
        """How far the judge got with each score, within its ``bounds``."""
        return {
            name: judged_mean(column(rows, name), np.isnan(column(rows, self.witness(name))), *self.bounds(name))
            for name in self.higher_is_better
        }

    @property
    def examples(self) -> list[str]:
        """The replies that the prompts show: a judge that gives one back has not judged."""
        return [m.content for text in self.texts.values() for m in text.messages if m.role == "assistant"]

    @property
    def signature(self) -> str:
        """What is asked, by version and digest, and whose replies these are where they were recorded."""
        recorded = [self.recorded.signature] if self.recorded else []
        asked = "+".join(text.signature.removeprefix("text:") for text in self.texts.values())
        return "|".join([f"prompt:{asked}", *recorded])


def form(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON schema of an object with all of these keys and no others."""
    keys = list(properties)
    return {"type": "object", "properties": properties, "required": keys, "additionalProperties": False}


def shown(text: str | None) -> str:
    """A report as a judge is shown it: it can't end the element that it stands in, whatever is written in it."""
    return html.escape((text or "").strip(), quote=False)


def means(rows: pd.DataFrame, columns: Sequence[str], weights: stats.Array | None) -> Mapping[str, stats.Array]:
    """The mean of each column over the rows that have it, as ``reduce`` gives it."""
    drawn = stats.unit_weights(weights, len(rows))
    out = {name: stats.mean(column(rows, name), drawn) for name in columns}
    return out if weights is not None else {name: value[0] for name, value in out.items()}


def column(rows: pd.DataFrame, name: str) -> stats.Array:
    """A column of the rows; NaN throughout where no row has it."""
    return rows[name].to_numpy(float) if name in rows else np.full(len(rows), np.nan)


def judged_mean(values: stats.Array, failed: stats.Array, worst: float, best: float) -> Judged:
    """How far a judge got with a mean. ``worst`` and ``best`` are those of one report; NaN: no bound."""
    known, lacking = values[~np.isnan(values)], int(failed.sum())
    every = len(known) + lacking

    def filled(value: float) -> float:
        return float((known.sum() + (lacking * value if lacking else 0.0)) / every) if every else float("nan")

    return Judged(len(known), lacking, filled(worst), filled(best))
