"""Where the labels of report and reference come from: files, or the classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rrgbench import hub, tables
from rrgbench.cache import file_digest
from rrgbench.errors import UsageError, did_you_mean
from rrgbench.types import Case
from rrgbench_srrbert.labels import LABELS, MODELS, Level
from rrgbench_srrbert.sections import HEADERS

Said = Mapping[str, frozenset[str]]  # the labels of each section of a text; free text is the one section ""


@dataclass
class Labelling:
    """What a metric is given to label texts with.

    ``split`` gives the sentences of each section of a text; ``blank`` is what is said of an empty text that a file
    doesn't mention. Raises UsageError where files, models or labels are not as they should be.
    """

    metric: str
    level: Level
    report_labels: Path | None
    reference_labels: Path | None
    model: str | None
    tokenizer: str
    device: str
    batch: int
    split: Callable[[str], Mapping[str, Sequence[str]]]
    blank: Said
    _given: list[dict[str, Said] | None] = field(init=False)
    _folders: tuple[Path, Path] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise UsageError(f"{self.metric}: batch must be at least 1, not {self.batch}.")
        sides = self.report_labels, self.reference_labels
        self._given = [_read(path, self.level, sectioned=not self.blank) if path else None for path in sides]
        if None in self._given:
            otherwise = (
                f"Labels made elsewhere need no model: {self.metric}:report_labels=A.json,reference_labels=B.json."
            )
            self._folders = (
                hub.folder(self.metric, "model", self.model or MODELS[self.level], otherwise),
                hub.folder(self.metric, "tokenizer", self.tokenizer, otherwise),
            )

    @property
    def needs(self) -> tuple[str, ...]:
        """What a case must have."""
        return ("report",) if self.reference_labels else ("report", "reference")

    @property
    def signature(self) -> str:
        """The revisions of model and tokenizer, and the digest of the file of references."""
        pieces = []
        if self._folders:
            model, tokenizer = self._folders
            pieces = [f"model:{hub.revision(model, hub.WEIGHTS)}", f"tokenizer:{hub.revision(tokenizer, hub.WORDS)}"]
        if self.reference_labels:
            pieces.append(f"reference-labels:{file_digest(self.reference_labels)[:12]}")
        return "|".join([*pieces, *(["report-labels:file"] if self.report_labels else []), "zero-division:0"])

    def sides(self, cases: Sequence[Case]) -> tuple[list[Said | None], list[Said | None]]:
        """What is said of each report and of each reference; None where a file lacks it."""
        return (
            self._said(cases, [case.candidate for case in cases], self._given[0], self.report_labels),
            self._said(cases, [case.reference for case in cases], self._given[1], self.reference_labels),
        )

    def _said(
        self, cases: Sequence[Case], texts: Sequence[str | None], given: dict[str, Said] | None, path: Path | None
    ) -> list[Said | None]:
        if given is not None:
            return tables.said_of(given, str(path), cases, texts, self.blank)
        from rrgbench_srrbert.classifier import classifier

        assert self._folders is not None
        # Half a surrogate pair becomes ?: no tokenizer takes it.
        split = [self.split((text or "").encode("utf-8", "replace").decode()) for text in texts]
        sentences = [s for of_text in split for of_section in of_text.values() for s in of_section]
        found = classifier(*self._folders, self.level, self.device).labels(sentences, self.batch)
        return [
            {name: frozenset[str]().union(*(found[s] for s in of_section)) for name, of_section in of_text.items()}
            for of_text in split
        ]


def _read(path: Path, level: Level, *, sectioned: bool) -> dict[str, Said]:
    """A file of labels: study_id to a list of them or, where ``sectioned``, to section headers and their lists."""
    known = frozenset(LABELS[level])
    form = '{"Pleura": ["…"]}' if sectioned else '["Edema", "…"]'
    out: dict[str, Said] = {}
    for study_id, entry in tables.read_mapping(path).items():
        by_section: Any = entry if sectioned else {"": entry}
        if not isinstance(by_section, dict) or not all(_are_labels(labels) for labels in by_section.values()):
            raise UsageError(f"{path}, {study_id!r}: must be {form}.")
        if strange := [header for header in by_section if sectioned and header not in HEADERS]:
            hint = did_you_mean(strange[0], HEADERS)
            raise UsageError(f"{path}, {study_id!r}: {strange[0]!r} is no section of a structured report.{hint}")
        out[study_id] = {header: frozenset(labels) for header, labels in by_section.items()}
        if unknown := sorted(frozenset().union(*out[study_id].values()) - known):
            hint = did_you_mean(unknown[0], known, cutoff=0.5)
            raise UsageError(f"{path}, {study_id!r}: {unknown[0]!r} is none of the {len(known)} {level}.{hint}")
    return out


def _are_labels(labels: object) -> bool:
    return isinstance(labels, list) and all(isinstance(label, str) for label in labels)
