"""`rrgbench doctor`: what works on this machine, proved by running it."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rrgbench import harness, judging, planning, plugins, scoring, sentinels
from rrgbench.config import RunConfig
from rrgbench.errors import FAULTS, RRGBenchError
from rrgbench.parts import Part, build, load_class, options
from rrgbench.types import Context, Findings

State = Literal["ok", "unavailable", "broken"]


@dataclass(frozen=True)
class Check:
    """One thing tried: "ok", "unavailable" (something must be installed or set first) or "broken"."""

    what: str
    state: State
    detail: str


def examine() -> list[Check]:
    """Try everything: plugins, parts, each encoder on a drawn radiograph, each metric and labeler on sentinels."""
    catalogue = plugins.catalogue()
    checks = [Check("python", "ok", f"{platform.python_version()} on {platform.machine()}, {os.cpu_count()} cores")]
    for plugin in catalogue.plugins:
        state: State = "broken" if plugin.problem else "ok"
        checks.append(Check(f"plugin {plugin.distribution}", state, plugin.problem or f"{len(plugin.entries)} parts"))
    for kind in plugins.KINDS:
        checks += [_part(catalogue, entry) for entry in catalogue.of_kind(kind)]
    return [*checks, _run()]


def _part(catalogue: plugins.Catalogue, entry: plugins.Entry) -> Check:
    what = f"{entry.kind} {entry.name}"
    if lacking := entry.missing():
        return Check(what, "unavailable", "; ".join(lacking))
    try:
        if needed := [option.name for option in options(load_class(entry), entry) if option.required]:
            return Check(what, "ok", f"loads; not tried, for it needs {', '.join(needed)}")
        part = _built(catalogue, entry)
        if part.hosts:
            return Check(what, "ok", f"can be made; not tried, for it would send text to {', '.join(part.hosts)}")
        if judging.is_judge(part):
            return Check(what, "ok", "can be made; not tried, for it asks a language model")
        return Check(what, "ok", _TRIED[entry.kind](part) if entry.kind in _TRIED else "can be made")
    except RRGBenchError as error:
        return Check(what, "unavailable", str(error).replace(str(Path.home()), "~"))
    except sentinels.Broken as error:
        return Check(what, "broken", str(error))
    except FAULTS as error:
        return Check(what, "broken", f"{type(error).__name__}: {error}")


def _built(catalogue: plugins.Catalogue, entry: plugins.Entry) -> Part:
    """The part. Of a metric it is checked, too, that what it needs is something that there is."""
    if entry.kind == "metric":
        return scoring.choose(catalogue, [entry.name])[0][0]
    return build(catalogue, entry.kind, entry.name)


def _encoded(part: Part) -> str:
    from rrgbench.datasets.phantom import Phantom
    from rrgbench.interfaces import Encoder

    encoder = part.obj
    assert isinstance(encoder, Encoder)
    study = next(iter(Phantom(n=20).load("train")))
    seen: Context = planning.context(study, encoder.needs)
    found = encoder.encode([seen])[0]
    if not isinstance(found, Findings):
        raise sentinels.Broken(found.message)
    return f"gave {len(found.by_label)} labels for a drawn radiograph"


_TRIED: dict[str, Callable[[Part], str]] = {
    "encoder": _encoded,
    "labeler": sentinels.examine_labeler,
    "metric": sentinels.examine_metric,
}


def _run() -> Check:
    """The whole way, from drawn studies to scores, in a scratch folder."""
    config = {"encoder": "oracle", "dataset": "phantom:n=40", "metric": "rulelabel", "resamples": 0}
    try:
        with tempfile.TemporaryDirectory() as scratch:
            summary = harness.run(RunConfig.model_validate({**config, "out": Path(scratch)})).runs[0].summary
    except FAULTS as error:
        return Check("run", "broken", f"{type(error).__name__}: {error}")
    values = {score["metric"]: score["value"] for score in summary["scores"]}
    return Check(
        "run", "ok", f"{summary['n']} drawn studies: rulelabel_micro_f1_14 {values['rulelabel_micro_f1_14']:.3f}"
    )
