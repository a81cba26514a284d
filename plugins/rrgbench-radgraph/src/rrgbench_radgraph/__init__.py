"""The metric ``radgraph``. Registration only; torch is imported when a text is annotated."""

from __future__ import annotations

from rrgbench import hookimpl
from rrgbench.hookspecs import Register


@hookimpl
def rrgbench_register_metrics(register: Register) -> None:
    """Register it without needs: with annotations from files it works on the core's dependencies alone."""
    register(
        "radgraph",
        "rrgbench_radgraph.metric:RadGraph",
        summary="RadGraph F1: RG_E, RG_ER, RG_bar_ER and RadCliQ's variant, by the model or from annotation files",
    )
