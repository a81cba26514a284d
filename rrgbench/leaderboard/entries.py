"""Find and read ``scores.json``. What is broken or foreign becomes a ``Problem``, never an exception."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from rrgbench import governance
from rrgbench.errors import UsageError
from rrgbench.types import Score

SCHEMA_VERSION = 1
MAX_BYTES = 32 * 2**20  # a run's scores are some 100 kB; anything far beyond is not one


class Percentiles(NamedTuple):
    """Median and 95th percentile over the reports of a run."""

    p50: float
    p95: float


@dataclass(frozen=True)
class Costs:
    """What a run took: seconds and tokens a report, US dollars in total. None where it is not known."""

    encode_seconds: Percentiles | None = None
    write_seconds: Percentiles | None = None
    tokens: Percentiles | None = None
    usd: float | None = None
    calls: int | None = None


@dataclass(frozen=True)
class Entry:
    """One ``scores.json``."""

    path: Path
    shown_path: str  # from the source's own name on: the page may be published, the folders above it not
    run_id: str
    dataset: str
    dataset_spec: str
    dataset_digest: str
    split: str | None
    system: str
    parts: Mapping[str, str | None]
    specs: Mapping[str, str | None]
    baseline: bool
    baseline_notes: tuple[str, ...]
    synthetic: bool
    terms: str
    n: int
    n_patients: int | None
    coverage: float
    failures: Mapping[str, int]
    created: str
    costs: Costs
    scores: tuple[Score, ...]


@dataclass(frozen=True)
class Problem:
    """A file that is not on the page, and why."""

    path: Path
    shown_path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class Unusable(Exception):
    """Why a file can't be used."""


def read_all(sources: Sequence[Path]) -> tuple[list[Entry], list[Problem]]:
    """The runs under the sources, each once, and what could not be used; both in an order of their own content.

    Of several files of one run on the same studies the newest is kept.
    """
    newest: dict[tuple[str, str, str, str | None, int], Entry] = {}
    problems = []
    for path, shown_path in _find(sources):
        try:
            record = _load(path)
            entry = _entry(record, path, shown_path)
        except Unusable as error:
            problems.append(Problem(path, shown_path, str(error)))
            continue
        if entry.terms != "open":
            governance.check_aggregates(record, str(path))
        key = (entry.run_id, entry.dataset, entry.dataset_digest, entry.split, entry.n)
        other = newest.get(key)
        if other is None:
            newest[key] = entry
            continue
        old, new = sorted((other, entry), key=lambda e: (e.created, e.shown_path))
        newest[key] = new
        problems.append(Problem(old.path, old.shown_path, f"the same run as {new.shown_path}, which is newer"))
    entries = sorted(newest.values(), key=lambda e: (e.system, e.run_id, e.shown_path))
    return entries, sorted(problems, key=lambda p: (p.shown_path, p.reason))


def _find(sources: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """Each ``scores.json`` once, with the path to show."""
    seen = set()
    for source in sources:
        if not source.exists():
            raise UsageError(f"There is no {source}. Name a run folder, a folder that holds runs, or a scores.json.")
        name = source.resolve().name
        if source.is_dir():
            found = []
            for folder, _, files in os.walk(source, followlinks=False):
                path = Path(folder, "scores.json")
                if "scores.json" in files and not path.is_symlink():
                    found.append((path, Path(name, path.relative_to(source)).as_posix()))
        else:
            found = [(source, f"{source.resolve().parent.name}/{name}")]
        for path, shown_path in found:
            if path.resolve() not in seen:
                seen.add(path.resolve())
                yield path, shown_path


def _load(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise Unusable(f"larger than {MAX_BYTES // 2**20} MB: not the scores of a run")
        record = json.loads(path.read_bytes().decode("utf-8-sig"), parse_constant=_reject_constant)
    except OSError as error:
        raise Unusable(f"can't be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise Unusable(f"not JSON: {error}") from error
    if not isinstance(record, dict):
        raise Unusable("not a JSON object")
    return record


def _reject_constant(name: str) -> NoReturn:
    raise Unusable(f"holds {name}, which is no JSON number (a value that can't be computed is null with a reason)")


def _entry(record: Mapping[str, Any], path: Path, shown_path: str) -> Entry:
    if "schema_version" not in record:
        raise Unusable("no schema_version: not written by rrgbench")
    if record["schema_version"] != SCHEMA_VERSION:
        raise Unusable(
            f"schema_version {_brief(record['schema_version'])}; this rrgbench reads {SCHEMA_VERSION}. "
            "Score the run again with this version."
        )
    dataset = _text(record, "dataset")
    parts = _names(record, "parts")
    coverage = _number(record, "coverage")
    if not 0 <= coverage <= 1:
        raise Unusable(f"coverage is {coverage:g}, not within 0..1")
    return Entry(
        path=path,
        shown_path=shown_path,
        run_id=_text(record, "run_id"),
        dataset=dataset,
        dataset_spec=_text(record, "dataset_spec", dataset),
        dataset_digest=_text(record, "dataset_digest"),
        split=None if _get(record, "split") is None else _text(record, "split"),
        system=_text(record, "system"),
        parts=parts,
        specs={**parts, **_names(record, "specs", {})},
        baseline=_flag(record, "baseline"),
        baseline_notes=tuple(
            _text({"baseline_notes": note}, "baseline_notes") for note in _list(record, "baseline_notes", ())
        ),
        synthetic=_flag(record, "synthetic"),
        terms=_text(record, "terms", "not stated"),
        n=_count(record, "n"),
        n_patients=None if record.get("n_patients") is None else _count(record, "n_patients"),
        coverage=coverage,
        failures={kind: _count(_mapping(record, "failures"), kind) for kind in _mapping(record, "failures", {})},
        created=_text(record, "created", ""),
        costs=_costs(_mapping(record, "costs", {})),
        scores=_scores(_list(record, "scores")),
    )


def _costs(record: Mapping[str, Any]) -> Costs:
    def percentiles(key: str) -> Percentiles | None:
        if record.get(key) is None:
            return None
        both = _mapping(record, key)
        return Percentiles(_number(both, "p50"), _number(both, "p95"))

    return Costs(
        encode_seconds=percentiles("encode_seconds"),
        write_seconds=percentiles("write_seconds"),
        tokens=percentiles("tokens"),
        usd=None if record.get("usd") is None else _number(record, "usd"),
        calls=None if record.get("calls") is None else _count(record, "calls"),
    )


def _scores(records: Sequence[Any]) -> tuple[Score, ...]:
    scores: dict[tuple[str, str, str], Score] = {}
    for index, record in enumerate(records):
        try:
            if not isinstance(record, dict):
                raise Unusable("not an object")
            score = _score(record)
            key = (score.metric, score.protocol, score.signature)
            if key in scores:
                raise Unusable(f"a second {_brief(score.metric)} under the same protocol and signature")
        except Unusable as error:
            raise Unusable(f"scores[{index}]: {error}") from error
        scores[key] = score
    return tuple(scores.values())


def _score(record: Mapping[str, Any]) -> Score:
    value = None if _get(record, "value") is None else _number(record, "value")
    reason = None if record.get("reason") is None else _text(record, "reason")
    if value is None and not reason:
        raise Unusable("value is null without a reason")
    ci = None
    if _get(record, "ci") is not None:
        ends = _list(record, "ci")
        if len(ends) != 2:
            raise Unusable("ci must be null or [low, high]")
        low, high = (_number({"ci": end}, "ci") for end in ends)
        if low > high:
            raise Unusable(f"ci is [{low:g}, {high:g}]: low above high")
        ci = (low, high)
    return Score(
        metric=_text(record, "metric"),
        protocol=_text(record, "protocol"),
        value=value,
        ci=ci,
        n=_count(record, "n"),
        n_failed=_count(record, "n_failed"),
        higher_is_better=_flag(record, "higher_is_better"),
        signature=_text(record, "signature"),
        reason=reason,
        **{end: None if record.get(end) is None else _number(record, end) for end in ("worst", "best")},
    )


_REQUIRED = object()


def _get(record: Mapping[str, Any], key: str, default: Any = _REQUIRED) -> Any:
    if key in record:
        return record[key]
    if default is _REQUIRED:
        raise Unusable(f"the key {_brief(key)} is missing")
    return default


def _text(record: Mapping[str, Any], key: str, default: Any = _REQUIRED) -> str:
    value = _get(record, key, default)
    if not isinstance(value, str):
        raise Unusable(f"{_brief(key)} is {_brief(value)}, not a text")
    return value


def _flag(record: Mapping[str, Any], key: str) -> bool:
    value = _get(record, key)
    if not isinstance(value, bool):
        raise Unusable(f"{_brief(key)} is {_brief(value)}, not true or false")
    return value


def _number(record: Mapping[str, Any], key: str) -> float:
    value = _get(record, key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unusable(f"{_brief(key)} is {_brief(value)}, not a number")
    if not abs(value) <= 1e12:  # infinite, or an integer that no float holds
        raise Unusable(f"{_brief(key)} is {_brief(value)}, out of any score's range")
    return float(value)


def _count(record: Mapping[str, Any], key: str) -> int:
    value = _get(record, key)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 10**12:
        raise Unusable(f"{_brief(key)} is {_brief(value)}, not a count")
    return value


def _mapping(record: Mapping[str, Any], key: str, default: Any = _REQUIRED) -> Mapping[str, Any]:
    value = _get(record, key, default)
    if not isinstance(value, dict):
        raise Unusable(f"{_brief(key)} is {_brief(value)}, not an object")
    return value


def _list(record: Mapping[str, Any], key: str, default: Any = _REQUIRED) -> Sequence[Any]:
    value = _get(record, key, default)
    if not isinstance(value, list | tuple):
        raise Unusable(f"{_brief(key)} is {_brief(value)}, not a list")
    return value


def _names(record: Mapping[str, Any], key: str, default: Any = _REQUIRED) -> Mapping[str, str | None]:
    found = _mapping(record, key, default)
    return {name: None if found[name] is None else _text(found, name) for name in found}


def _brief(value: Any) -> str:
    """A value as JSON, cut to what fits on a line."""
    text = json.dumps(value) if not isinstance(value, int) or value.bit_length() < 200 else "a huge integer"
    return text if len(text) <= 60 else text[:59] + "…"
