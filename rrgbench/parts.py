"""From a spec to the part itself: import its class, check and coerce its options, construct it."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pydantic

from rrgbench import governance, interfaces
from rrgbench.errors import RRGBenchError, UsageError, did_you_mean
from rrgbench.plugins import Catalogue, Entry
from rrgbench.specs import Spec

# A constructor argument of one of these types takes a spec and receives the part.
_KIND_OF = {
    interfaces.Dataset: "dataset",
    interfaces.Encoder: "encoder",
    interfaces.Renderer: "renderer",
    interfaces.Prompt: "prompt",
    interfaces.LLM: "llm",
    interfaces.System: "system",
    interfaces.Labeler: "labeler",
    interfaces.Metric: "metric",
}


@dataclass(frozen=True)
class Part:
    """A part that has been built.

    ``shown`` holds its options, defaults included, as the signature shows them.
    """

    kind: str
    name: str
    spec: str  # with whole paths, so that it means the same from another folder
    obj: Any
    distribution: str
    shown: Mapping[str, Any]
    public: str  # the spec with files by name only, for pages: where a file lies is nobody else's affair
    nested: tuple[Part, ...] = ()  # the parts that it was given

    @property
    def hosts(self) -> tuple[str, ...]:
        """The remote hosts that it, or a part that it was given, sends text or images to, as of now."""
        own = governance.host_of(self.obj)
        return (*([own] if own else ()), *(host for part in self.nested for host in part.hosts))

    @property
    def terms(self) -> str:
        """The strictest terms of the data that it, or a part that it was given, holds; open where they hold none."""
        own = getattr(self.obj, "terms", "open")
        governance.check_terms(self.public, own)
        return governance.strictest([own, *(part.terms for part in self.nested)])

    @property
    def distributions(self) -> set[str]:
        """The distributions that it, and the parts that it was given, come from."""
        return {self.distribution}.union(*(part.distributions for part in self.nested))

    @property
    def signature(self) -> str:
        """All that this part's output depends on, in one line. It can grow while the part learns (exemplars)."""
        return _signature(self.name, self.obj, self.shown)

    @property
    def baseline(self) -> str | None:
        """Why this part makes a run a baseline, or None."""
        note = getattr(self.obj, "baseline", None)
        return f"{self.name}: {note}" if note else None


@dataclass(frozen=True)
class Option:
    """One option of a part, as its constructor declares it."""

    name: str
    annotation: Any
    default: Any  # inspect.Parameter.empty where it must be given

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is inspect.Parameter.empty


def load_class(entry: Entry) -> type:
    """The class that an entry names. Raises UsageError for what is missing and for a target that isn't there."""
    if lacking := entry.missing():
        raise UsageError(f"The {entry.kind} {entry.name!r} can't be used here: {'; '.join(lacking)}.")
    module, _, attribute = entry.target.partition(":")
    try:
        return typing.cast(type, getattr(import_module(module), attribute))
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"The {entry.kind} {entry.name!r} of {entry.distribution} can't be loaded from {entry.target}: "
            f"{type(error).__name__}: {error}"
        ) from error


def options(cls: type, entry: Entry | None = None) -> list[Option]:
    """The options of a part's class, with the presets of its entry as their defaults."""
    return keywords(cls, entry.defaults if entry else {})


def keywords(function: Any, defaults: Mapping[str, Any] | None = None) -> list[Option]:
    """The named arguments of a function (or of a class's constructor), typed."""
    target = function.__init__ if inspect.isclass(function) else function
    try:
        hints = typing.get_type_hints(target)
    except NameError:  # an annotation that is imported for type checkers only: taken as it comes
        hints = {}
    out = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            default = (defaults or {}).get(parameter.name, parameter.default)
            out.append(Option(parameter.name, hints.get(parameter.name, Any), default))
    return out


def build(catalogue: Catalogue, kind: str, value: Any) -> Part:
    """The part that a spec names. Raises UsageError, in words, for whatever is wrong with the request."""
    spec = Spec.of(value)
    entry = catalogue.entry(kind, spec.name)
    cls = load_class(entry)
    declared = options(cls, entry)
    given = {**entry.defaults, **spec.options}
    what = f"{kind} {spec.name!r}"
    governance.check_options(what, given)
    values, given_parts = arguments(catalogue, what, declared, Spec(spec.name, given, spec.raw))
    shown = {option.name: values.get(option.name, option.default) for option in declared}
    shown |= {key: "+".join(f"({part.signature})" for part in built) for key, built in given_parts.items()}
    try:
        obj = cls(**values)
    except RRGBenchError:
        raise
    except Exception as error:
        raise UsageError(f"The {what} can't be made from {str(spec)!r}: {_one_line(error)}") from error
    paths = {key: value for key, value in shown.items() if key in spec.options and isinstance(value, Path)}
    named = {key: built for key, built in given_parts.items() if key in spec.options}
    many = {key: isinstance(spec.options[key], (list, tuple)) for key in named}
    placed = _with(
        spec,
        {key: str(path.resolve()) for key, path in paths.items() if path.exists()}
        | {key: [part.spec for part in built] if many[key] else built[0].spec for key, built in named.items()},
    )
    public = _with(
        spec,
        {key: path.name for key, path in paths.items()}
        | {key: [part.public for part in built] if many[key] else built[0].public for key, built in named.items()},
    )
    nested = tuple(part for built in given_parts.values() for part in built)
    return Part(kind, spec.name, str(placed), obj, entry.distribution, shown, str(public), nested)


def _with(spec: Spec, changed: Mapping[str, Any]) -> Spec:
    """The spec with other values for some options."""
    return Spec(spec.name, {**spec.options, **changed}, {k: raw for k, raw in spec.raw.items() if k not in changed})


def nested_options(catalogue: Catalogue, kind: str, spec: Spec) -> dict[str, Any]:
    """Those of a spec's options that are parts themselves."""
    entry = catalogue.entry(kind, spec.name)
    taking = {option.name for option in options(load_class(entry), entry) if _part_kind(option.annotation)[0]}
    return {name: value for name, value in spec.options.items() if name in taking}


def check_known(what: str, given: Mapping[str, Any], declared: Sequence[Option]) -> None:
    """Raise UsageError for an option that is not declared, or one that is required and not given."""
    names = [option.name for option in declared]
    for name in given:
        if name not in names:
            takes = f"It takes: {', '.join(names)}." if names else "It takes none."
            raise UsageError(f"The {what} has no option {name!r}.{did_you_mean(name, names)} {takes}")
    if lacking := [option.name for option in declared if option.required and option.name not in given]:
        raise UsageError(f"The {what} needs the option {lacking[0]!r}: write {what.split()[-1][1:-1]}:{lacking[0]}=….")


def coerce(what: str, option: Option, value: Any, raw: str | None = None) -> Any:
    """An option's value as its annotation wants it; text stays text (``"007"`` is not 7). Raises UsageError."""
    adapter: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(
        option.annotation, config=pydantic.ConfigDict(arbitrary_types_allowed=True)
    )
    try:
        out = adapter.validate_python(value)
    except pydantic.ValidationError as error:
        try:
            out = adapter.validate_python(raw if raw is not None else str(value))
        except pydantic.ValidationError:
            reason = error.errors()[0]["msg"]
            raise UsageError(f"The option {option.name!r} of {what} can't be {value!r}: {reason}.") from None
    return out.expanduser() if isinstance(out, Path) else out


def arguments(
    catalogue: Catalogue, what: str, declared: Sequence[Option], spec: Spec
) -> tuple[dict[str, Any], dict[str, list[Part]]]:
    """The arguments that the spec's options become, and the parts that were built for them. Raises UsageError."""
    check_known(what, spec.options, declared)
    values: dict[str, Any] = {}
    parts: dict[str, list[Part]] = {}
    for option in declared:
        if option.name not in spec.options:
            continue
        value = spec.options[option.name]
        kind, many = _part_kind(option.annotation)
        if kind is None or value is None:
            raw = spec.raw.get(option.name)
            values[option.name] = coerce(what, option, value, raw) if kind is None else None
            continue
        built = [build(catalogue, kind, each) for each in (value if many and not isinstance(value, str) else [value])]
        parts[option.name] = built
        values[option.name] = [part.obj for part in built] if many else built[0].obj
    return values, {name: built for name, built in parts.items() if built}


def _part_kind(annotation: Any) -> tuple[str | None, bool]:
    """The kind of part that an annotation asks for, and whether it asks for several."""
    if annotation in _KIND_OF:
        return _KIND_OF[annotation], False
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        kinds = [_part_kind(arg) for arg in typing.get_args(annotation) if arg is not type(None)]
        return next((found for found in kinds if found[0]), (None, False))
    if origin in (list, tuple, Sequence):
        kind, _ = _part_kind(typing.get_args(annotation)[0])
        return kind, kind is not None
    return None, False


def _signature(name: str, obj: Any, shown: Mapping[str, Any]) -> str:
    """Name, options, what the part itself adds (the digest of a file), version.

    Options that a class lists in ``neutral`` (a batch size, a time limit) don't change its output and are left out.
    """
    neutral = getattr(obj, "neutral", ())
    pieces = [name]
    for key in sorted(shown):
        value = shown[key]
        if key in neutral or value is None:
            continue
        if isinstance(value, Path):
            value = value.name  # where a file lies is no property of the result; the part adds its digest
        elif isinstance(value, bool):
            value = "yes" if value else "no"
        pieces.append(f"{key}:{value}")
    if own := getattr(obj, "signature", ""):
        pieces.append(own)
    pieces.append(f"v:{obj.version}")
    return "|".join(pieces)


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
