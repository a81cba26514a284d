"""The metrics ``srr_bert_structeval`` and ``srr_bert_radeval``. Registration only; torch is imported when used."""

from __future__ import annotations

from rrgbench import hookimpl
from rrgbench.hookspecs import Register


@hookimpl
def rrgbench_register_metrics(register: Register) -> None:
    """Register both without needs: with labels from files they work on the core's dependencies alone."""
    register(
        "srr_bert_structeval",
        "rrgbench_srrbert.structeval:StructEval",
        summary="F1-SRR-BERT of structured reports, section by section, as StructEval computes it",
    )
    register(
        "srr_bert_radeval",
        "rrgbench_srrbert.radeval:RadEval",
        summary="F1-SRR-BERT of free text, weighted over labels, as RadEval computes it",
    )
