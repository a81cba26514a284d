"""The metric ``ratescore``. Registration only; torch is imported when a text is read by the models."""

from __future__ import annotations

from rrgbench import hookimpl
from rrgbench.hookspecs import Register


@hookimpl
def rrgbench_register_metrics(register: Register) -> None:
    """Register it without needs: with entities and embeddings from files it works on the core's dependencies alone."""
    register(
        "ratescore",
        "rrgbench_ratescore.metric:RaTEScore",
        summary="RaTEScore: typed medical entities matched by meaning, by its two models or from files",
    )
