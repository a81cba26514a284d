"""Look a dataset over before it is used: is it complete, what is in it, and what does each protocol leave of it?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rrgbench import interfaces, parts, planning, plugins, protocols
from rrgbench.census import Census, Counts, Problem, plain
from rrgbench.errors import FAULTS, RRGBenchError, RunError, UsageError
from rrgbench.parts import Part
from rrgbench.protocols import Protocol, Step
from rrgbench.specs import Spec
from rrgbench.text.r2gen import UNKNOWN
from rrgbench.types import Status, Study

SAMPLE = 200  # images read where it is not said how many
DATASET = "dataset"  # the source of labels whose source has no name


@dataclass(frozen=True)
class Checked:
    """What was found: the dataset is complete where there are no problems. Notes are worth knowing, and no fault."""

    dataset: str
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()
    counts: tuple[Counts, ...] = ()  # by split
    total: Counts | None = None
    images_read: int = 0
    missing_images: Mapping[str, str] = field(default_factory=dict)  # why, by image_id
    unreadable_images: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Prepared:
    """What a protocol compares, and how much of a split each of its filters leaves."""

    name: str
    summary: str
    source: str
    unverified: str
    unit: str
    sections: tuple[str, ...]
    views: str
    steps: tuple[str, ...]
    limits: tuple[str, ...]
    warnings: tuple[str, ...]  # where the data lack what it asks for
    filters: tuple[Step, ...]


@dataclass(frozen=True)
class Info:
    """What a dataset is and holds. ``labels``: by source and label, how many studies have each status."""

    dataset: str
    terms: str
    synthetic: bool
    vocabulary: str
    notes: tuple[str, ...]
    splits: tuple[Step, ...]
    split: str | None  # the one that labels and protocols are counted in
    labels: Mapping[str, Mapping[str, Mapping[str, int]]]
    labels_in_use: str | None  # the source that the dataset's options choose
    protocols: tuple[Prepared, ...]


def check(dataset: str | Part, images: int | None = SAMPLE, seed: int = 0) -> Checked:
    """Whether a dataset, given as a spec or as a part that is built, is complete and can be read.

    ``images`` is how many are read, drawn by chance from ``seed``; None reads all. Raises UsageError for a spec that
    names no dataset, or an option or a value that it can't have; whatever else is wrong is a problem in the result.
    """
    if isinstance(dataset, Part):
        part = dataset
    else:
        spec = Spec.of(dataset)
        entry = plugins.catalogue().entry("dataset", spec.name)
        declared = parts.options(parts.load_class(entry), entry)
        what = f"dataset {spec.name!r}"
        parts.check_known(what, {**entry.defaults, **spec.options}, declared)
        for option in declared:
            if option.name in spec.options and not _takes_part(option):
                parts.coerce(what, option, spec.options[option.name], spec.raw.get(option.name))
        try:
            part = parts.build(plugins.catalogue(), "dataset", spec)
        except UsageError as error:
            return Checked(str(spec), (Problem(str(error), "It can't be opened; nothing else was looked at."),))
    census = Census(part.obj, images, seed)
    census.count_studies()
    census.read_images()
    return Checked(
        part.spec,
        (*_own_problems(part.obj, census.faults), *census.problems()),
        tuple(census.notes()),
        tuple(census.counts),
        census.total,
        len(census.drawn),
        census.missing,
        census.unreadable,
    )


def info(dataset: str | Part, split: str | None = None, names: Sequence[str] = ()) -> Info:
    """What a dataset, given as a spec or as a part that is built, is, and what each protocol leaves of a split.

    Without ``split``: test, or everything where there are no splits, as when it is run. ``names`` are those of
    protocols; none means all. Raises UsageError.
    """
    named = [protocols.protocol(name) for name in names] or list(protocols.PROTOCOLS.values())
    part = dataset if isinstance(dataset, Part) else parts.build(plugins.catalogue(), "dataset", dataset)
    split, studies = planning.select(part, split, None)
    chosen = [each.fitted(studies, None) for each in named]
    in_use = next((_source(study) for study in studies if study.labels), None)
    return Info(
        part.spec,
        part.obj.terms,
        bool(getattr(part.obj, "synthetic", False)),
        part.obj.vocabulary.name,
        tuple(part.obj.notes()) if hasattr(part.obj, "notes") else (),
        tuple(_size(name or "all", part.obj.load(name)) for name in part.obj.splits or (None,)),
        split,
        _labels(studies),
        in_use,
        tuple(
            Prepared(
                p.name,
                p.summary,
                p.source,
                p.unverified,
                p.unit,
                p.sections,
                p.views,
                p.steps,
                _limits(p),
                tuple(warning for warning in warnings if UNKNOWN not in warning),  # no vocabulary is counted here
                tuple(p.filters(studies)),
            )
            for p, warnings in chosen
        ),
    )


def make(name: str, folder: Path, studies: int, seed: int = 0) -> list[str]:
    """Write a synthetic tree in the layout of a dataset; returns the specs that it can be used with.

    The options that the dataset's own ``make`` returns, if any, are in them, beside its root or path.
    Raises UsageError for a dataset that can't, and for a folder with something in it.
    """
    catalogue = plugins.catalogue()
    cls = parts.load_class(catalogue.entry("dataset", name))
    if not hasattr(cls, "make"):
        can = []
        for entry in catalogue.of_kind("dataset"):
            with suppress(UsageError):
                can += [entry.name] if hasattr(parts.load_class(entry), "make") else []
        raise UsageError(f"The dataset {name!r} can't make a synthetic tree. These can: {', '.join(can) or 'none'}.")
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UsageError(f"{folder}: there is something already; a synthetic tree is written to an empty folder.")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        more = cls.make(folder, studies, seed)
    except RRGBenchError:
        raise
    except FAULTS as error:
        raise RunError(f"The dataset {name!r} could not write to {folder}: {type(error).__name__}: {error}") from error
    option = next((o.name for o in parts.options(cls) if o.required), "root")
    files = sorted(file for pattern in ("*.*", "*/*.*") for file in folder.glob(pattern) if file.is_file())
    for places in ([folder], files):  # most datasets are opened by their folder, the others by a file
        specs = [str(Spec(name, {option: str(place), **(more or {})})) for place in places]
        if found := [spec for spec in specs if _opens(spec)]:
            return found
    raise RunError(f"{folder}: what {name!r} wrote there can't be opened as {specs[0]!r}.")


def _opens(spec: str) -> bool:
    try:
        parts.build(plugins.catalogue(), "dataset", spec)
    except UsageError:
        return False
    return True


def _takes_part(option: parts.Option) -> bool:
    """Whether an option's value is a spec of another part, which can be checked only by building it."""
    return interfaces.__name__ in str(option.annotation)


def _limits(protocol: Protocol) -> tuple[str, ...]:
    """What a protocol cuts and leaves out of both texts, in words."""
    out = []
    if protocol.max_length:
        out.append(f"at most {protocol.max_length - 1} words")  # of the ids the first is a mark that is dropped
    if protocol.min_count:
        out.append(f"{UNKNOWN} for words seen fewer than {protocol.min_count} times in training")
    return tuple(out)


def _own_problems(dataset: Any, known: Collection[str]) -> list[Problem]:
    """What the dataset itself finds, but for a fault that is known already."""
    try:
        return [Problem(sentence) for sentence in dataset.problems()] if hasattr(dataset, "problems") else []
    except FAULTS as error:
        fault = plain(error)
        if fault in known:
            return []
        return [Problem(fault if isinstance(error, RRGBenchError) else f"The dataset's own check failed: {fault}")]


def _size(name: str, studies: Iterable[Study]) -> Step:
    counts = Counts(name)
    for study in studies:
        counts.add(study)
    return Step(name, counts.studies, counts.images, counts.patients)


def _labels(studies: Iterable[Study]) -> dict[str, dict[str, dict[str, int]]]:
    """By source and label, how many of the studies that the source has labels of have each status."""
    counted: dict[str, dict[str, Counter[Status]]] = {}
    for study in studies:
        sources = dict(study.labels_by_source)
        if study.labels:
            sources[_source(study)] = study.labels
        for source, findings in sources.items():
            told = counted.setdefault(source, {label: Counter() for label in findings.vocabulary.labels})
            for label in findings.vocabulary.labels:
                told[label][findings.status(label)] += 1
    return {
        source: {label: {str(status): told[status] for status in Status} for label, told in labels.items()}
        for source, labels in counted.items()
    }


def _source(study: Study) -> str:
    """Which source a study's labels are from."""
    return next((source for source, findings in study.labels_by_source.items() if findings is study.labels), DATASET)
