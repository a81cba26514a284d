"""The plan of a finished run, made again: its studies, and what it takes to look at its reports in another way."""

from __future__ import annotations

from rrgbench import governance, plugins
from rrgbench.config import RunConfig, check
from rrgbench.errors import RunError, UsageError
from rrgbench.parts import Part, build
from rrgbench.planning import Plan, planned
from rrgbench.protocols import Protocol
from rrgbench.stored import StoredRun

_KEPT = ("limit", "split", "seed", "failures", "resamples")


def replanned(
    run: StoredRun,
    protocols: tuple[Protocol, ...] = (),
    metrics: tuple[Part, ...] = (),
    failures: str | None = None,
) -> Plan:
    """The plan of a run with its dataset read again. Nothing is written.

    Raises UsageError where the dataset can't be read here, or is not what it was when the reports were made.
    """
    manifest = run.manifest
    if not manifest.keys() >= {"config", "parts", "dataset"}:
        raise RunError(f"{run.folder / 'manifest.json'} is damaged.")
    kept = {key: manifest["config"][key] for key in _KEPT}
    config = check(RunConfig, {**kept, **({"failures": failures} if failures else {})})
    dataset = build(plugins.catalogue(), "dataset", manifest["parts"]["dataset"])
    terms = str(manifest["dataset"].get("terms"))
    governance.check_terms(str(run.folder / "manifest.json"), terms)
    again = planned(config, {"dataset": dataset}, protocols, metrics, {}, terms=terms)
    if again.dataset_digest != manifest["dataset"]["digest"]:
        raise UsageError(f"{run.folder}: the dataset {dataset.spec} is not what it was when the reports were made.")
    return again
