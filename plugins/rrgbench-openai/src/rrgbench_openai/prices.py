"""What a completion costs: OpenAI's list prices, dated, in prices.yaml."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import yaml


def dollars(model: str, prompt_tokens: int, completion_tokens: int) -> float | None:
    """The list price of a completion in US dollars; None for a model that prices.yaml doesn't list."""
    prices = _prices()
    undated = re.sub(r"-(\d{4}-\d{2}-\d{2}|\d{4})$", "", model)
    price = prices.get(model) or prices.get(undated)
    return (prompt_tokens * price[0] + completion_tokens * price[1]) / 1e6 if price else None


@cache
def _prices() -> dict[str, tuple[float, float]]:
    table = yaml.safe_load(Path(__file__).with_name("prices.yaml").read_text(encoding="utf-8"))
    return {model: (float(prompt), float(completion)) for model, (prompt, completion) in table["models"].items()}
