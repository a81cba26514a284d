"""What a part needs from the machine, and whether it is there, without importing it."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Sequence


def missing(needs: Sequence[str]) -> list[str]:
    """The needs that are not met, each as a sentence with how to get it.

    A need is ``module:NAME``, ``program:NAME`` or ``env:NAME``, and after `` | `` how to get it.
    """
    out = []
    for need in needs:
        what, _, hint = (piece.strip() for piece in need.partition("|"))
        kind, _, name = what.partition(":")
        if not _PRESENT[kind](name):
            out.append(f"{_WORDS[kind]} {name!r} is missing" + (f" ({hint})" if hint else ""))
    return out


def check_form(need: str) -> None:
    """Raise ValueError for a need that ``missing`` could not read."""
    kind, _, name = need.partition("|")[0].strip().partition(":")
    if kind not in _PRESENT or not name:
        raise ValueError(f"the need {need!r} must read module:NAME, program:NAME or env:NAME")


def _has_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


_PRESENT: dict[str, Callable[[str], bool]] = {
    "module": _has_module,
    "program": lambda name: shutil.which(name) is not None,
    "env": lambda name: bool(os.environ.get(name)),
}
_WORDS = {"module": "the Python module", "program": "the program", "env": "the environment variable"}
