"""The labeler ``chexbert`` and the metric ``chexbert_similarity``. Registration only; torch is imported when used.

The metric ``chexbert`` is rrgbench's own: it needs this labeler only where it isn't given files of labels.
"""

from __future__ import annotations

from rrgbench import hookimpl
from rrgbench.hookspecs import Register

_NEEDS = tuple(
    f"module:{module} | pip install rrgbench-chexbert" for module in ("torch", "tokenizers", "huggingface_hub")
)


@hookimpl
def rrgbench_register_labelers(register: Register) -> None:
    """Register ``chexbert``."""
    register(
        "chexbert",
        "rrgbench_chexbert.labeler:Chexbert",
        summary="CheXpert's 14 labels from text, by CheXbert (its weights are not included)",
        needs=_NEEDS,
    )


@hookimpl
def rrgbench_register_metrics(register: Register) -> None:
    """Register ``chexbert_similarity``."""
    register(
        "chexbert_similarity",
        "rrgbench_chexbert.similarity:ChexbertSimilarity",
        summary="cosine of CheXbert's vectors of report and reference (SembScore of RadCliQ)",
        needs=_NEEDS,
        labeler="chexbert",
    )
