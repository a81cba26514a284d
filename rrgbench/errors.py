"""The errors that rrgbench raises on purpose. Each message says what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rrgbench.types import Completion


class RRGBenchError(Exception):
    """Base of all of them."""


class UsageError(RRGBenchError):
    """The request was wrong (exit code 2): no such part, an unknown option, a file without the column."""


class RunError(RRGBenchError):
    """The work failed (exit code 1) although the request was right."""


class ImageError(RRGBenchError):
    """An image could not be read. It costs its own study, which is recorded as a failure, and no other."""


class LLMError(RRGBenchError):
    """An LLM gave no usable reply.

    ``kind`` becomes the kind of the recorded failure; ``retry`` says whether asking again can help, and
    ``wait`` how many seconds the server asked for. ``paid`` is the reply that can't be used (cut, refused) and has its
    price all the same.
    """

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        retry: bool = False,
        wait: float | None = None,
        paid: Completion | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry = retry
        self.wait = wait
        self.paid = paid

    @property
    def fatal(self) -> bool:
        """Whether every other call would fail too: a wrong key, no model of that name, nothing left to spend."""
        return self.kind in ("auth", "model", "quota", "governance", "budget")


FAULTS = (Exception, SystemExit)
"""What a part may raise while it works: a plugin that calls sys.exit() must not end the run as if it were done."""


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """`` Did you mean 'x'?`` for the nearest known word, or an empty string. ``cutoff`` is difflib's likeness, 0..1."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return f" Did you mean {near[0]!r}?" if near else ""
