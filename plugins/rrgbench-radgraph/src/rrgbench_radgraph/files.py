"""Annotations made elsewhere: JSON in the radgraph package's own form, checked, and each joined to its report."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rrgbench.errors import UsageError
from rrgbench_radgraph.rewards import EMPTY, Annotation


def read(path: Path) -> dict[str, Annotation]:
    """The annotations of a file by their keys. Raises UsageError for whatever is not of the package's form."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except OSError as error:
        raise UsageError(f"{path}: can't be read ({error.strerror}).") from None
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError, too
        raise UsageError(f"{path}: not sound JSON ({error}).") from None
    if not isinstance(table, dict) or not table:
        raise UsageError(f"{path}: must map study_id (or 0, 1, …, as the package radgraph does) to annotations.")
    for key, annotation in table.items():
        if fault := _fault(annotation):
            raise UsageError(f"{path}, entry {key!r}: {fault}.")
    return table


def joined(
    table: Mapping[str, Annotation], source: str, ids: Sequence[str], texts: Sequence[str | None]
) -> list[Annotation | None]:
    """The annotation of each report, in order; None where the file has none. An empty text has no entities.

    A file is keyed by study_id, or as the package does: 0, 1, … in the order of the reports. Such a file must have as
    many entries as there are reports, of the same letters: anything else raises UsageError, because an annotation of
    another report would score in silence. Keyed by study_id, another text is only warned of: a protocol may have
    shortened it since.
    """
    by_position = list(table) == [str(at) for at in range(len(table))] and not set(ids) <= set(table)
    if by_position and len(table) != len(ids):
        raise UsageError(
            f"{source}: its keys are 0 to {len(table) - 1}, but {len(ids)} reports are scored, so that it can't be told"
            " which is whose; key it by study_id."
        )
    found: list[Annotation | None] = []
    strange: list[str] = []
    text_of: dict[str, str | None] = {}
    for at, (study_id, text) in enumerate(zip(ids, texts, strict=True)):
        annotation = table.get(str(at) if by_position else study_id)
        if text is not None and not text.strip():
            found.append(EMPTY)
            continue
        if not by_position and text_of.setdefault(study_id, text) != text:
            raise UsageError(
                f"{source}: the study {study_id} has several reports here (the protocol counts images), and a file"
                " keyed by study_id can't say which it is of; key it 0, 1, … in the order of the reports."
            )
        if annotation and text and annotation.get("text") and _letters(annotation["text"]) != _letters(text):
            strange.append(study_id)
        found.append(annotation)
    if strange and by_position:
        raise UsageError(
            f"{source}: {len(strange)} of the annotations keyed 0, 1, … are of another text than the report in their"
            f" place, the first that of the study {strange[0]}; key the file by study_id."
        )
    if strange:
        warnings.warn(
            f"{source}: {len(strange)} annotations are of another text than the one scored: {_some(strange)}.",
            stacklevel=2,
        )
    if lacking := [study_id for study_id, annotation in zip(ids, found, strict=True) if annotation is None]:
        warnings.warn(f"{source} has no annotation for {len(lacking)} reports: {_some(lacking)}.", stacklevel=2)
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys stand once. JSON allows more and keeps the last, which would drop an annotation."""
    out = dict(pairs)
    if len(out) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} stands twice")
    return out


def _fault(annotation: Any) -> str | None:
    """What is wrong with the form of an annotation."""
    entities = annotation.get("entities") if isinstance(annotation, dict) else None
    if not isinstance(entities, dict):
        return 'has no mapping "entities"'
    if not isinstance(annotation.get("text", ""), str):
        return 'its "text" is no text'
    for name, entity in entities.items():
        if not isinstance(entity, dict) or not all(isinstance(entity.get(key), str) for key in ("tokens", "label")):
            return f'the entity {name!r} lacks "tokens" or "label"'
        relations = entity.get("relations")
        if not isinstance(relations, list):
            return f'the entity {name!r} has no list "relations"'
        for relation in relations:
            if not (isinstance(relation, list) and len(relation) == 2 and all(isinstance(x, str) for x in relation)):
                return f"a relation of the entity {name!r} is not [name, entity]"
            if relation[1] not in entities:
                return f"a relation of the entity {name!r} leads to {relation[1]!r}, and there is no such entity"
    return None


def _letters(text: str) -> str:
    """A text's letters alone: the package splits and respells white space and punctuation."""
    return "".join(filter(str.isalpha, text.lower()))


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:5]) + (" …" if len(ids) > 5 else "")
