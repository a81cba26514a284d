"""The metric ``bertscore``. Registration only."""

from __future__ import annotations

from rrgbench import hookimpl
from rrgbench.hookspecs import Register


@hookimpl
def rrgbench_register_metrics(register: Register) -> None:
    """Register it. Whether the model's weights are here is asked when it is made."""
    register(
        "bertscore",
        "rrgbench_bertscore.metric:BertScore",
        summary="BERTScore; distilbert-base-uncased, layer 5, rescaled, unless options say otherwise",
        needs=("module:bert_score | pip install rrgbench-bertscore",),
    )
