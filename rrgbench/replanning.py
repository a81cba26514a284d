"""The plan of a finished run, made again: its studies, and what it takes to look at its reports in another way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rrgbench import governance, plugins
from rrgbench.config import RunConfig, check
from rrgbench.errors import RunError, UsageError
from rrgbench.parts import Part, build
from rrgbench.planning import Plan, planned
from rrgbench.protocols import Protocol

_KEPT = ("limit", "split", "seed", "failures", "resamples", "protocol")


def config_of(folder: Path, manifest: Mapping[str, Any], **changed: Any) -> RunConfig:
    """How the run of a folder was scored, with changes. Raises RunError for a damaged manifest."""
    if not manifest.keys() >= {"config", "parts", "dataset"}:
        raise RunError(f"{folder / 'manifest.json'} is damaged.")
    return check(RunConfig, {**{key: manifest["config"][key] for key in _KEPT}, **changed})


def replanned(
    folder: Path,
    manifest: Mapping[str, Any],
    config: RunConfig,
    protocols: tuple[Protocol, ...] = (),
    metrics: tuple[Part, ...] = (),
    unavailable: Mapping[str, str] | None = None,
) -> Plan:
    """The plan of a run with its dataset read again. Nothing is written.

    Raises UsageError where the dataset can't be read here, or is not what it was when the reports were made.
    """
    dataset = build(plugins.catalogue(), "dataset", manifest["parts"]["dataset"])
    terms = str(manifest["dataset"].get("terms"))
    governance.check_terms(str(folder / "manifest.json"), terms)
    again = planned(config, {"dataset": dataset}, protocols, metrics, unavailable or {}, terms=terms)
    if again.dataset_digest != manifest["dataset"]["digest"]:
        raise UsageError(f"{folder}: the dataset {dataset.spec} is not what it was when the reports were made.")
    return again
