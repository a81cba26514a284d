"""Report text to sentences by RuSH (Shi et al., AMIA 2016), which RaTEScore uses through medspacy."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from rrgbench.errors import UsageError

SHORTEST = 3  # characters; utils.py of RaTEScore drops what is shorter
HOW = "pip install --no-deps PyRuSH"


def sentences(text: str) -> list[str]:
    """The sentences of a text, in order, without those shorter than ``SHORTEST``.

    What lies between two sentences that RuSH finds is a sentence too, as in medspacy.
    """
    spans = _rush().segToSentenceSpans(text)
    cuts = sorted({0, len(text), *(span.begin for span in spans), *(span.end for span in spans)})
    pieces = [text[begin:end].strip() for begin, end in pairwise(cuts)]
    return [piece for piece in pieces if len(piece) >= SHORTEST]


def require() -> None:
    """Raise UsageError if RuSH is not installed."""
    _home()


def _home() -> Path:
    spec = importlib.util.find_spec("PyRuSH")
    if spec is None or spec.origin is None:
        raise UsageError(
            f"The metric 'ratescore' splits sentences by RuSH, which is not installed: {HOW} (without its dependency"
            " spaCy, which is not used and may not go with this Python's numpy). Entities made elsewhere don't need it:"
            " ratescore:report_entities=A.json,reference_entities=B.json."
        )
    return Path(spec.origin).parent


@lru_cache(maxsize=1)
def _rush() -> Any:
    """RuSH with its own rules. Its module is loaded past the package's ``__init__``, which imports spaCy."""
    home = _home()
    spec = importlib.util.spec_from_file_location("rrgbench_ratescore.rush", home / "RuSH.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.RuSH(str(home.parent / "conf" / "rush_rules.tsv"))
