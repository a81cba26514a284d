"""The hooks: all that a plugin can do. docs/plugins.md describes each with a runnable example.

A plugin is a module named by an entry point of the group ``rrgbench``. It registers parts by the *name* of their
class, ``"package.module:Class"``, so that listing them imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pluggy

if TYPE_CHECKING:
    from rrgbench.runs import RunResult

hookspec = pluggy.HookspecMarker("rrgbench")
hookimpl = pluggy.HookimplMarker("rrgbench")


class Register(Protocol):
    """What a ``rrgbench_register_*`` hook is given to call, once a part."""

    def __call__(
        self, name: str, target: str, *, summary: str = "", needs: Sequence[str] = (), **defaults: Any
    ) -> None:
        """Register the class ``target`` ("package.module:Class") under ``name``.

        ``needs`` says what must be there for it to work: "module:timm", "program:java", "env:OPENAI_API_KEY"; after
        `` | `` how to get it. ``defaults`` are options that this name presets.
        """


@hookspec
def rrgbench_register_datasets(register: Register) -> None:
    """Register datasets (``rrgbench.interfaces.Dataset``)."""


@hookspec
def rrgbench_register_encoders(register: Register) -> None:
    """Register encoders (``rrgbench.interfaces.Encoder``)."""


@hookspec
def rrgbench_register_renderers(register: Register) -> None:
    """Register renderers (``rrgbench.interfaces.Renderer``)."""


@hookspec
def rrgbench_register_prompts(register: Register) -> None:
    """Register prompts (``rrgbench.interfaces.Prompt``)."""


@hookspec
def rrgbench_register_llms(register: Register) -> None:
    """Register LLMs (``rrgbench.interfaces.LLM``) and what stands in for one (``rrgbench.interfaces.Writer``)."""


@hookspec
def rrgbench_register_systems(register: Register) -> None:
    """Register systems (``rrgbench.interfaces.System``)."""


@hookspec
def rrgbench_register_labelers(register: Register) -> None:
    """Register labelers of report text (``rrgbench.interfaces.Labeler``)."""


@hookspec
def rrgbench_register_metrics(register: Register) -> None:
    """Register metrics (``rrgbench.interfaces.Metric``)."""


@hookspec
def rrgbench_run_started(manifest: Mapping[str, Any], folder: Path) -> None:
    """A run begins, or goes on. ``manifest`` is what manifest.json says so far."""


@hookspec
def rrgbench_run_finished(result: RunResult) -> None:
    """A run is over: complete, or incomplete with its failures recorded."""


@hookspec
def rrgbench_training_logged(folder: Path, event: Mapping[str, Any]) -> None:
    """A training goes on. ``event["stage"]`` is "started", "read", "epoch", ..., "finished"; then come figures."""
