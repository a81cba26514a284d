"""The metrics ``bleu``, ``meteor``, ``rouge_l`` and ``cider`` of pycocoevalcap. Registration only."""

from __future__ import annotations

from rrgbench import hookimpl
from rrgbench.hookspecs import Register

_PYCOCOEVALCAP = "module:pycocoevalcap | pip install rrgbench-coco"


@hookimpl
def rrgbench_register_metrics(register: Register) -> None:
    """Register the four. Only METEOR always needs Java; the others ask for it when they are made with ``ptb``."""
    for name, target, summary in (
        ("bleu", "rrgbench_coco.bleu:Bleu", "Corpus BLEU-1 to BLEU-4 of pycocoevalcap"),
        ("rouge_l", "rrgbench_coco.rouge_l:RougeL", "ROUGE-L of pycocoevalcap (beta 1.2)"),
        ("cider", "rrgbench_coco.cider:Cider", "CIDEr of pycocoevalcap (CIDEr-D, 0 to 10); depends on the corpus"),
    ):
        register(name, target, summary=summary, needs=(_PYCOCOEVALCAP,))
    register(
        "meteor",
        "rrgbench_coco.meteor:Meteor",
        summary="METEOR 1.5, the Java program, as pycocoevalcap calls it",
        needs=(_PYCOCOEVALCAP, "program:java | install a Java runtime, e.g. apt install default-jre-headless"),
    )
