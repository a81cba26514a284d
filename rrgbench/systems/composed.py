"""``classify-then-generate``: encoder, renderer, prompt and LLM. The harness drives the four stages itself."""

from __future__ import annotations


class ClassifyThenGenerate:
    """The system that the options --encoder, --renderer, --prompt and --llm compose."""

    version = "1"
    needs = ()
