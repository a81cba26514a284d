"""LLM judges: ``green``, ``chexprompt``, ``radfact``, ``gema``, ``crimson``, ``radrscore``. Registration only."""

from __future__ import annotations

from rrgbench import hookimpl
from rrgbench.hookspecs import Register


@hookimpl
def rrgbench_register_metrics(register: Register) -> None:
    """Register them without needs: with recorded replies they work on the core's dependencies alone."""
    register(
        "green",
        "rrgbench_judges.green:Green",
        summary="GREEN: matched findings against clinically significant errors, as a judge counts them",
    )
    register(
        "chexprompt",
        "rrgbench_judges.chexprompt:CheXprompt",
        summary="CheXprompt: errors of six types that a judge counts, significant and not",
    )
    register(
        "radfact",
        "rrgbench_judges.radfact:RadFact",
        summary="RadFact: is each phrase of one report entailed by the other, and is it where that says?",
    )
    register(
        "gema",
        "rrgbench_judges.gema:GEMA",
        summary="GEMA-Score: entities, locations, severities and certainties, and how the report reads",
    )
    register(
        "crimson",
        "rrgbench_judges.crimson:Crimson",
        summary="CRIMSON: abnormal findings weighted by what they mean for the patient, errors against what is right",
    )
    register(
        "radrscore",
        "rrgbench_judges.radrscore:RadRScore",
        summary="RadRScore: is the reasoning of a report factual, complete and to the point?",
    )
