"""LLMs behind an OpenAI-compatible API: ``openai``, ``azure``, and presets of OpenAI's own models."""

from __future__ import annotations

from rrgbench import hookimpl
from rrgbench.hookspecs import Register


@hookimpl
def rrgbench_register_llms(register: Register) -> None:
    """Register ``openai`` (any model), ``azure`` and presets."""
    # No need "env:OPENAI_API_KEY": a server of one's own, named by base_url, works without a key.
    target = "rrgbench_openai.chat:OpenAIChat"
    needs = ("module:openai | pip install rrgbench-openai",)
    register(
        "openai",
        target,
        summary="any model of any OpenAI-compatible server: model=NAME, base_url=http://127.0.0.1:8000/v1",
        needs=needs,
    )
    register(
        "azure",
        target,
        summary="a deployment of Azure OpenAI: model=DEPLOYMENT (wants AZURE_OPENAI_ENDPOINT and AZURE_OPENAI_API_KEY;"
        " unverified: no key here)",
        needs=needs,
        azure=True,
    )
    for name, model in (("gpt4", "gpt-4"), ("gpt4o", "gpt-4o")):
        register(
            name,
            target,
            summary=f"OpenAI's {model} (wants OPENAI_API_KEY; sends text to api.openai.com; unverified: no key here)",
            needs=needs,
            model=model,
        )
