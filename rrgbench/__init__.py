"""rrgbench: compose, run, score and rank chest X-ray report-generation systems."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rrgbench.hookspecs import hookimpl

if TYPE_CHECKING:
    from rrgbench.comparing import compare
    from rrgbench.harness import run, score

__version__ = "0.1.0"
__all__ = ["__version__", "compare", "hookimpl", "run", "score"]

_LAZY = {"compare": "rrgbench.comparing", "run": "rrgbench.harness", "score": "rrgbench.harness"}


def __getattr__(name: str) -> Any:
    # They need pandas and pydantic; `from rrgbench import hookimpl` and `rrgbench --help` must not.
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'rrgbench' has no attribute {name!r}")
