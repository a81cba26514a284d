"""The grid of an error budget: runs on the same studies by what encoded and by what wrote, and what it lacks."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rrgbench import pairing
from rrgbench.config import CLASSIFY_THEN_GENERATE, RunConfig
from rrgbench.errors import UsageError
from rrgbench.pairing import Named

ORACLE, TEMPLATE = "oracle", "template"
_MADE_BY = ("renderer", "prompt", "llm")
_SAME = ("split", "limit", "protocol", "metric", "failures", "attestation")

Cell = tuple[str, str]  # the names of an encoder and of a writer


@dataclass(frozen=True)
class Missing:
    """A run that the budget lacks, and the command that makes it."""

    system: str
    command: str


@dataclass(frozen=True)
class Grid:
    """Runs by encoder and writer. A writer is renderer, prompt and LLM together, or what writes without an LLM."""

    cells: Mapping[Cell, Named]

    @property
    def writers(self) -> tuple[str, ...]:
        """The names of the writers, ``template`` first."""
        names = dict.fromkeys(writer for _, writer in self.cells)
        return tuple(sorted(names, key=lambda name: name != TEMPLATE))

    def missing(self, cell: Cell) -> Missing:
        """What is said of a run that is not there."""
        encoder, writer = cell
        beside = next((run for at, run in self.cells.items() if at[0] == encoder), next(iter(self.cells.values())))
        alike = next((run for at, run in self.cells.items() if at[1] == writer), None)
        config, parts = beside.run.manifest["config"], beside.run.manifest["parts"]
        words = ["rrgbench", "run", "--dataset", parts["dataset"]]
        words += ["--encoder", ORACLE if encoder == ORACLE else parts["encoder"]]
        made_by = alike.run.manifest["parts"] if alike else {"llm": writer}
        words += [word for kind in _MADE_BY if kind in made_by for word in (f"--{kind}", made_by[kind])]
        defaults = RunConfig().model_dump(mode="json")
        for key in _SAME:
            value = config.get(key)
            if value is not None and value != defaults[key]:
                words += [word for each in _listed(value) for word in (f"--{key}", str(each))]
        return Missing(system(cell), shlex.join([*words, "--out", str(config["out"])]))


def system(cell: Cell) -> str:
    """What an encoder and a writer are called together."""
    return "+".join(cell)


def grid(runs: Sequence[Named], notes: dict[str, None]) -> Grid:
    """The grid of runs. Adds to ``notes`` which have no place in it. Raises UsageError where nothing has."""
    composed = []
    for named in runs:
        if named.run.summary["parts"].get("encoder"):
            composed.append(named)
        else:
            notes[f"{named.name} is left out: it has no encoder and no writer"] = None
    if not composed:
        raise UsageError(
            "A budget needs runs of an encoder and a writer, such as those of `rrgbench run --encoder oracle --encoder"
            " vit --llm template`."
        )
    for other in composed[1:]:
        pairing.check_alike(composed[0], other)
    encoders = _names([_encoder(each) for each in composed])
    writers = _names([_writer(each) for each in composed])
    cells: dict[Cell, Named] = {}
    for named in composed:
        cell = (encoders[_encoder(named)], writers[_writer(named)])
        if cell not in cells:
            cells[cell] = named
        elif cells[cell].run.manifest["run_id"] != named.run.manifest["run_id"]:
            notes[f"{named.run.folder} is left out: {cells[cell].run.folder} is the same system"] = None
    return Grid(cells)


@dataclass(frozen=True)
class _Made:
    """A stage of a run: what its output depends on, and what it may be called, from short to long."""

    signature: str
    names: tuple[str, ...]


def _encoder(named: Named) -> _Made:
    summary = named.run.summary
    name, spec = summary["parts"]["encoder"], summary["specs"]["encoder"]
    signature = ORACLE if name == ORACLE else named.run.manifest["signatures"]["encoder"]
    return _Made(signature, (name, spec, f"{spec} [{signature}]"))


def _writer(named: Named) -> _Made:
    summary, signatures = named.run.summary, named.run.manifest["signatures"]
    system_spec = summary["specs"].get("system") or CLASSIFY_THEN_GENERATE
    kinds = [kind for kind in _MADE_BY if summary["parts"].get(kind)]
    parts, specs = ([summary[of][kind] for kind in kinds] for of in ("parts", "specs"))
    signature = "+".join([system_spec, *(signatures[kind] for kind in kinds)])
    short = "+".join(parts[-2:])  # the renderer is named only where it makes the difference
    return _Made(signature, (short, "+".join(specs[-2:]), "+".join(specs), f"{'+'.join(specs)} [{signature}]"))


def _names(stages: Sequence[_Made]) -> dict[_Made, str]:
    """The shortest name of each that no other one has."""
    out = {}
    for stage in stages:
        others = {other.names for other in stages if other.signature != stage.signature}
        free = (n for at, n in enumerate(stage.names) if n not in {names[at] for names in others})
        out[stage] = next(free, stage.names[-1])
    return out


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]
