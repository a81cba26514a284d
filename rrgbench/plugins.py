"""Find plugins, load each under a guard of its own, and keep the catalogue of parts.

A broken plugin contributes nothing and breaks nothing; it is listed with its distribution and the reason. Each
plugin has a pluggy manager of its own, so that one can be validated, called and left out without the others.
"""

from __future__ import annotations

import contextlib
import functools
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any

import pluggy

from rrgbench import hookspecs, needs
from rrgbench.errors import UsageError, did_you_mean

KINDS = ("dataset", "encoder", "renderer", "prompt", "llm", "system", "labeler", "metric")
ENTRY_POINT_GROUP = "rrgbench"
BUILTIN = "rrgbench"

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class Entry:
    """One registered part: a name for a class that is imported when it is used."""

    kind: str
    name: str
    target: str
    summary: str
    needs: tuple[str, ...]
    defaults: Mapping[str, Any]
    distribution: str

    def missing(self) -> list[str]:
        """What this part needs and the machine lacks, as sentences."""
        return needs.missing(self.needs)


@dataclass(frozen=True)
class Plugin:
    """One plugin as found: what it registered, or why it was left out."""

    name: str
    distribution: str
    version: str
    entries: tuple[Entry, ...] = ()
    problem: str | None = None
    manager: pluggy.PluginManager | None = field(default=None, repr=False, compare=False)


class Catalogue:
    """All parts by kind and name, and the plugins that they come from."""

    def __init__(self, plugins: Sequence[Plugin]) -> None:
        self.plugins = tuple(plugins)
        self._entries = {(e.kind, e.name): e for plugin in plugins for e in plugin.entries}

    def of_kind(self, kind: str) -> list[Entry]:
        """The parts of a kind, by name."""
        return sorted((e for e in self._entries.values() if e.kind == kind), key=lambda e: e.name)

    def named(self, name: str) -> list[Entry]:
        """The parts of any kind that have this name."""
        return [self._entries[kind, name] for kind in KINDS if (kind, name) in self._entries]

    def names(self) -> set[str]:
        """Every name, whatever its kind."""
        return {name for _, name in self._entries}

    def entry(self, kind: str, name: str) -> Entry:
        """The part of this kind and name. Raises UsageError, which names what there is and what is broken."""
        if found := self._entries.get((kind, name)):
            return found
        names = [e.name for e in self.of_kind(kind)]
        message = f"There is no {kind} {name!r}.{did_you_mean(name, names)} There are: {', '.join(names)}."
        if others := self.named(name):
            message += f" ({name!r} is a {others[0].kind}.)"
        if broken := [p.distribution for p in self.plugins if p.problem]:
            message += f" Left out as broken: {', '.join(broken)} (see `rrgbench plugins list`)."
        elif not names or kind in ("encoder", "llm", "metric", "labeler"):
            more = (
                "-timm, -openai, -local, -coco, -nlg, -bertscore, -chexbert, -radgraph, -ratescore, -srrbert, -judges"
            )
            message += f" A plugin may have more: pip install rrgbench{more}."
        raise UsageError(message)

    def call(self, hook: str, **arguments: Any) -> list[str]:
        """Call a run hook of each plugin under a guard. Returns what went wrong, one sentence a plugin."""
        problems = []
        for plugin in self.plugins:
            if plugin.manager is not None:
                with _guard() as caught:
                    getattr(plugin.manager.hook, hook)(**arguments)
                problems += [f"{plugin.distribution}: {hook} raised {reason}" for reason in caught]
        return problems


@functools.cache
def catalogue() -> Catalogue:
    """The parts of rrgbench itself and of every plugin that is installed here."""
    return load(sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda e: (_distribution(e)[0], e.name)))


def load(points: Sequence[EntryPoint]) -> Catalogue:
    """The catalogue of the built-in parts and these entry points. Never raises for what a plugin does."""
    from rrgbench import __version__, builtin

    plugins = [_register(BUILTIN, BUILTIN, __version__, lambda: builtin, taken={})]
    for point in points:
        taken = {(e.kind, e.name): e.distribution for plugin in plugins for e in plugin.entries}
        plugins.append(_register(point.name, *_distribution(point), point.load, taken))
    return Catalogue(plugins)


def _register(
    name: str, distribution: str, version: str, find: Callable[[], object], taken: Mapping[tuple[str, str], str]
) -> Plugin:
    """Load one plugin and call its hooks, all or nothing."""
    entries: list[Entry] = []
    manager = pluggy.PluginManager("rrgbench")
    manager.add_hookspecs(hookspecs)
    with _guard() as caught:
        module = find()
        manager.register(module, name)
        _check_hook_names(module)
        for kind in KINDS:
            hook = getattr(manager.hook, f"rrgbench_register_{kind}s")
            hook(register=functools.partial(_add, entries, kind, distribution))
        for entry in entries:
            if owner := taken.get((entry.kind, entry.name)):
                raise ValueError(f"the {entry.kind} name {entry.name!r} is already taken by {owner}")
    if caught:
        return Plugin(name, distribution, version, problem=caught[0])
    return Plugin(name, distribution, version, tuple(entries), manager=manager)


def _add(
    entries: list[Entry],
    kind: str,
    distribution: str,
    name: str,
    target: str,
    *,
    summary: str = "",
    needs: Sequence[str] = (),
    **defaults: Any,
) -> None:
    from rrgbench.needs import check_form

    if not _NAME.fullmatch(name):
        raise ValueError(f"a {kind}'s name must be lower-case letters, digits, '-', '_' or '.', not {name!r}")
    if not isinstance(target, str) or not _TARGET.fullmatch(target):
        raise ValueError(f"the target of {kind} {name!r} must read 'package.module:Class', not {target!r}")
    if any((e.kind, e.name) == (kind, name) for e in entries):
        raise ValueError(f"the {kind} {name!r} is registered twice")
    if isinstance(needs, str):
        raise ValueError(f"the needs of {kind} {name!r} must be a sequence of strings, not one string")
    for need in needs:
        check_form(need)
    entries.append(Entry(kind, name, target, summary, tuple(needs), MappingProxyType(dict(defaults)), distribution))


def _check_hook_names(module: object) -> None:
    """Pluggy passes over a misspelt or unmarked hook in silence; its author should hear of it."""
    known = {name for name in vars(hookspecs) if name.startswith("rrgbench_")}
    for name in dir(module):
        value = getattr(module, name, None)
        marked = hasattr(value, "rrgbench_impl")
        if (marked or name.startswith("rrgbench_register_")) and callable(value):
            if name not in known:
                raise ValueError(f"there is no hook {name!r}.{did_you_mean(name, known)}")
            if not marked:
                raise ValueError(f"{name} lacks the decorator @hookimpl (from rrgbench import hookimpl)")


@contextlib.contextmanager
def _guard() -> Iterator[list[str]]:
    """Collect what is raised, SystemExit too, as text; keep a plugin's prints off stdout, which is for results."""
    caught: list[str] = []
    with contextlib.redirect_stdout(sys.stderr):
        try:
            yield caught
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plugin may raise anything, SystemExit included
            text = " ".join(str(error).split())
            caught.append(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def _distribution(point: EntryPoint) -> tuple[str, str]:
    return (point.dist.name, point.dist.version) if point.dist else (point.value, "unknown")
