"""Language models of Hugging Face in this process: ``transformers``."""

from __future__ import annotations

from rrgbench import hookimpl
from rrgbench.hookspecs import Register


@hookimpl
def rrgbench_register_llms(register: Register) -> None:
    """Register ``transformers``."""
    register(
        "transformers",
        "rrgbench_transformers.model:CausalLM",
        summary="a causal language model of Hugging Face in this process: model=FOLDER or a name on the hub",
        needs=("module:transformers | pip install rrgbench-transformers", "module:accelerate | pip install accelerate"),
    )
