"""What a completion costs, by a dated list of prices: prices.yaml, or a file in its form."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rrgbench.config import read_yaml
from rrgbench.errors import UsageError

PACKAGED = Path(__file__).with_name("prices.yaml")
Dollars = Annotated[float, Field(ge=0)]


class Price(BaseModel):
    """The prices of one model, in US dollars per million tokens. prices.yaml says what each means."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: Dollars
    completion: Dollars
    cached_prompt: Dollars | None = None
    batch: Annotated[float, Field(gt=0, le=1)] | None = None
    date: Any
    source: str
    unverified: bool = False


@dataclass(frozen=True)
class Prices:
    """A list of prices by model."""

    models: dict[str, Price]

    @classmethod
    def read(cls, file: Path = PACKAGED) -> Prices:
        """The list of a YAML file. Raises UsageError, in words."""
        table = read_yaml(file, "list of prices")
        entries = table.get("models") if isinstance(table, dict) else None
        if not isinstance(entries, dict):
            raise UsageError(f"The list of prices {file} needs a mapping 'models', as in configs/prices.yaml.")
        models = {}
        for name, entry in entries.items():
            try:
                models[str(name)] = Price.model_validate(entry)
            except ValidationError as error:
                first = error.errors()[0]
                where = ", ".join(str(each) for each in (name, *first["loc"]))
                raise UsageError(f"The list of prices {file}: {where}: {first['msg']}.") from None
        return cls(models)

    def dollars(
        self, model: str, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0, batch: bool = False
    ) -> float | None:
        """The price of a completion in US dollars; None for a model (or a batch of it) that the list doesn't have.

        ``cached_tokens`` of the prompt were cached by the server.
        """
        price = self.models.get(model) or self.models.get(re.sub(r"-(\d{4}-\d{2}-\d{2}|\d{4})$", "", model))
        if price is None or (batch and price.batch is None):
            return None
        cached = price.prompt if price.cached_prompt is None else price.cached_prompt
        whole = (prompt_tokens - cached_tokens) * price.prompt + cached_tokens * cached
        return (whole + completion_tokens * price.completion) / 1e6 * ((price.batch or 1.0) if batch else 1.0)
