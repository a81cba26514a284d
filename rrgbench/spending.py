"""What a command may spend on new replies. Replies from the cache are free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rrgbench import batching
from rrgbench.errors import LLMError, UsageError
from rrgbench.parts import Part
from rrgbench.types import Completion


@dataclass
class Budget:
    """The most that may be spent, in US dollars and in tokens (None: no limit), and what was spent.

    A call starts only where what was spent, and for each call in flight the mean of the replies so far, is less than
    the budget. So nothing but the first calls, which have no mean yet, and a reply dearer than the mean go beyond it.
    """

    dollars: float | None = None
    tokens: int | None = None
    spent_dollars: float = 0.0
    spent_tokens: int = 0
    replies: int = 0
    _in_flight: int = 0
    _unknown: str = ""

    @property
    def limited(self) -> bool:
        """Whether there is any limit."""
        return self.dollars is not None or self.tokens is not None

    def check(self, llm: Part) -> None:
        """Raise UsageError where this budget can't be kept with a language model."""
        if self.limited and batching.wanted(llm.obj):
            raise UsageError(
                f"A budget can't be kept with {llm.public}: a batch is paid before its replies are seen. See what it"
                " costs with --dry-run, and leave the budget out."
            )
        if self.dollars is not None and price(llm.obj, 1, 1) is None:
            raise UsageError(
                f"A budget in dollars can't be kept with {llm.public}: its price isn't known. Give a file of prices,"
                " where the LLM takes one (prices=FILE, like configs/prices.yaml), or a budget in tokens"
                " (--token-budget)."
            )

    def admit(self) -> None:
        """Count a call that starts. Raises ``LLMError("budget")`` where it may not."""
        ahead = 1 + self._in_flight / self.replies if self.replies else 1.0
        limits = ((self.dollars, self.spent_dollars), (self.tokens, self.spent_tokens))
        if self._unknown or any(most is not None and spent * ahead >= most - 1e-9 for most, spent in limits):
            raise LLMError("budget", self._unknown or "the budget is spent")
        self._in_flight += 1

    def settle(self, paid: Completion | None) -> None:
        """Count what a call that was admitted cost: None where it cost nothing."""
        self._in_flight -= 1
        if paid is None:
            return
        self.replies += 1
        self.spent_dollars += paid.cost or 0.0
        self.spent_tokens += (paid.prompt_tokens or 0) + (paid.completion_tokens or 0)
        if self.dollars is not None and paid.cost is None:
            self._unknown = f"the price of {paid.model}, which replied, isn't known"
        if self.tokens is not None and None in (paid.prompt_tokens, paid.completion_tokens):
            self._unknown = f"{paid.model} doesn't say how many tokens it used"

    def __str__(self) -> str:
        """What was spent, in words."""
        limits = [f"${self.dollars:g}"] if self.dollars is not None else []
        limits += [f"{self.tokens:,} tokens"] if self.tokens is not None else []
        spent = f"${self.spent_dollars:.4f} and {self.spent_tokens:,} tokens went on {self.replies:,} new replies"
        return f"{spent}, of a budget of {' and '.join(limits)}" if limits else spent


def price(llm: Any, prompt_tokens: int, completion_tokens: int) -> float | None:
    """What a reply costs in US dollars, as far as the language model knows. One in this process is free."""
    if hasattr(llm, "price"):
        cost: float | None = llm.price(prompt_tokens, completion_tokens)
        return cost
    return 0.0 if getattr(llm, "host", "") is None else None
