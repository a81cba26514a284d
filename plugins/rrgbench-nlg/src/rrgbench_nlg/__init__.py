"""The metrics ``sacrebleu``, ``rouge_score`` and ``meteor_nltk``. Registration only."""

from __future__ import annotations

from rrgbench import hookimpl
from rrgbench.hookspecs import Register


@hookimpl
def rrgbench_register_metrics(register: Register) -> None:
    """Register the three. ``meteor_nltk`` looks for NLTK's data when it is made."""
    for name, target, module, summary in (
        ("sacrebleu", "rrgbench_nlg.sacre:SacreBleu", "sacrebleu", "corpus BLEU of sacreBLEU, 0 to 100"),
        ("rouge_score", "rrgbench_nlg.rouge:RougeScore", "rouge_score", "ROUGE-1, -2 and -L of Google's rouge-score"),
        ("meteor_nltk", "rrgbench_nlg.meteor:MeteorNltk", "nltk", "METEOR of NLTK (not METEOR 1.5); needs WordNet"),
    ):
        register(name, target, summary=summary, needs=(f"module:{module} | pip install rrgbench-nlg",))
