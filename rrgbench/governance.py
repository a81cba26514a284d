"""What may leave this machine: text derived from data that is not open never goes to a remote host."""

from __future__ import annotations

from collections.abc import Iterable

from rrgbench.errors import UsageError

TERMS = ("open", "private", "credentialed")


def check_terms(terms: str) -> None:
    """Raise UsageError for terms that are not known."""
    if terms not in TERMS:
        raise UsageError(f"The terms of a dataset are one of {', '.join(TERMS)}, not {terms!r}.")


def check_hosts(dataset: str, terms: str, part: str, hosts: Iterable[str]) -> None:
    """Raise UsageError where what is derived from a dataset that is not open would go to a remote host."""
    if terms != "open" and (host := next(iter(hosts), None)):
        raise UsageError(
            f"The dataset {dataset} is {terms}, and {part} sends what is derived from it to {host}."
            " PhysioNet's guidance of 2025-09-24 forbids that for MIMIC data without zero data retention, and the"
            " terms of other data may too. Use an LLM on this machine (--llm local, --llm template, or a base_url on"
            " 127.0.0.1); if the data is your own and free to share, say so in its spec: terms=open."
        )
