"""Which token comes next, row by row: what shares a batch with a row has no part in it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import torch
from transformers import LogitsProcessor, StoppingCriteria, TemperatureLogitsWarper, TopPLogitsWarper


def generator(seed: int | None, prompt: Sequence[int], sample: int = 0) -> torch.Generator:
    """The random numbers of a reply, from seed, prompt and the sample's number; without a seed new each time."""
    made = torch.Generator()
    if seed is None:
        made.seed()
    else:
        made.manual_seed(int(hashlib.sha256(f"{seed + sample}:{list(prompt)}".encode()).hexdigest()[:15], 16))
    return made


class Chooser(LogitsProcessor):
    """Chooses each row's next token and leaves only that one to choose, so that a greedy search takes it.

    ``rows`` has a generator for each row, or None for the likeliest token. One uniform number decides over a row's
    distribution, at ``temperature`` and cut to the likeliest tokens with a total probability of ``top_p``.
    """

    def __init__(
        self, temperature: float, top_p: float, rows: Sequence[torch.Generator] | None, logprobs: bool
    ) -> None:
        self._warpers: list[LogitsProcessor] = [TemperatureLogitsWarper(temperature)] if rows else []
        if top_p < 1.0:
            self._warpers.append(TopPLogitsWarper(top_p))
        self._rows = rows
        self._keep = logprobs
        self._logprobs: list[torch.Tensor] = []
        self._broken: torch.Tensor | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Shapes (rows, tokens so far) and (rows, vocabulary); the scores are float32."""
        broken = ~scores.amax(dim=-1).isfinite()  # NaN wins in amax
        self._broken = broken if self._broken is None else self._broken | broken
        chosen = scores.argmax(dim=-1) if self._rows is None else self._drawn(input_ids, scores)
        if self._keep:
            self._logprobs.append(scores.log_softmax(dim=-1).gather(-1, chosen[:, None])[:, 0])
        return torch.full_like(scores, -torch.inf).scatter(-1, chosen[:, None], 0.0)

    def _drawn(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        for warper in self._warpers:
            scores = warper(input_ids, scores)
        wide = scores.cpu() if scores.device.type == "mps" else scores  # which has no float64
        below = wide.double().softmax(dim=-1).cumsum(dim=-1)
        uniform = torch.stack([torch.rand(1, dtype=torch.float64, generator=row) for row in self._rows or ()])
        # The first token whose sum passes the number: one of probability 0 never does.
        drawn = torch.searchsorted(below, uniform.to(below.device) * below[:, -1:], right=True)[:, 0]
        return drawn.clamp(max=scores.shape[-1] - 1).to(scores.device)

    def broken(self, row: int) -> bool:
        """Whether the row's scores were no numbers at some step."""
        return self._broken is not None and bool(self._broken[row])

    def logprob(self, row: int, tokens: int) -> float | None:
        """The sum of the natural logarithms of the row's first tokens' probabilities, at temperature 1, uncut."""
        return float(torch.stack(self._logprobs[:tokens])[:, row].double().sum()) if self._keep and tokens else None


class Abandoned(StoppingCriteria):
    """Ends a generation that nobody waits for."""

    def __init__(self, abandoned: Callable[[], bool]) -> None:
        self._abandoned = abandoned

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: object) -> torch.Tensor:
        """Whether each row is to end."""
        return torch.full((input_ids.shape[0],), self._abandoned(), device=input_ids.device, dtype=torch.bool)
