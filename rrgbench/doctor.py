"""`rrgbench doctor`: what works on this machine, proved by running it."""

from __future__ import annotations

import os
import platform
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rrgbench import harness, planning, plugins, scoring
from rrgbench.config import RunConfig
from rrgbench.errors import RRGBenchError
from rrgbench.parts import build, load_class, options
from rrgbench.types import Context, Findings

State = Literal["ok", "missing", "broken"]


@dataclass(frozen=True)
class Check:
    """One thing tried: "ok", "missing" (something must be installed or set first) or "broken"."""

    what: str
    state: State
    detail: str


def examine() -> list[Check]:
    """Try everything: plugins, parts, each encoder on a drawn radiograph, each metric on two pairs of reports."""
    catalogue = plugins.catalogue()
    checks = [Check("python", "ok", f"{platform.python_version()} on {platform.machine()}, {os.cpu_count()} cores")]
    for plugin in catalogue.plugins:
        state: State = "broken" if plugin.problem else "ok"
        checks.append(Check(f"plugin {plugin.distribution}", state, plugin.problem or f"{len(plugin.entries)} parts"))
    for kind in plugins.KINDS:
        checks += [_part(catalogue, entry) for entry in catalogue.of_kind(kind) if kind != "metric"]
    return [*checks, *_metrics(catalogue)]


def _part(catalogue: plugins.Catalogue, entry: plugins.Entry) -> Check:
    what = f"{entry.kind} {entry.name}"
    if lacking := entry.missing():
        return Check(what, "missing", "; ".join(lacking))
    try:
        if needed := [option.name for option in options(load_class(entry), entry) if option.required]:
            return Check(what, "ok", f"loads; not tried, for it needs {', '.join(needed)}")
        part = build(catalogue, entry.kind, entry.name)
        if entry.kind == "encoder":
            return Check(what, "ok", _encoded(part.obj))
        return Check(what, "ok", "can be made")
    except RRGBenchError as error:
        return Check(what, "missing", str(error))
    except Exception as error:
        return Check(what, "broken", f"{type(error).__name__}: {error}")


def _encoded(encoder: object) -> str:
    from rrgbench.datasets.phantom import Phantom
    from rrgbench.interfaces import Encoder

    assert isinstance(encoder, Encoder)
    study = next(iter(Phantom(n=20).load("train")))
    seen: Context = planning.context(study, encoder.needs)
    found = encoder.encode([seen])[0]
    if not isinstance(found, Findings):
        raise RuntimeError(found.message)
    return f"gave {len(found.by_label)} labels for a drawn radiograph"


def _metrics(catalogue: plugins.Catalogue) -> list[Check]:
    """Each metric on the template's reports of a few drawn studies: the whole way, in a scratch folder."""
    parts, unavailable = scoring.choose(catalogue, None)
    checks = [Check(f"metric {name}", "missing", reason) for name, reason in unavailable.items()]
    with tempfile.TemporaryDirectory() as scratch:
        config = RunConfig.model_validate(
            {"encoder": "oracle", "dataset": "phantom:n=40", "resamples": 0, "out": Path(scratch)}
        )
        summary = harness.run(config).runs[0].summary
    for part in parts:
        mine = [s for s in summary["scores"] if s["signature"].startswith(part.signature)]
        values = [f"{s['metric']} {s['value']:.3f}" for s in mine if s["value"] is not None]
        if values:
            checks.append(Check(f"metric {part.name}", "ok", ", ".join(values[:4])))
        else:
            checks.append(Check(f"metric {part.name}", "broken", mine[0]["reason"] if mine else "gave no score"))
    return checks
