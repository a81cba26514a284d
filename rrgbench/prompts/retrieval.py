"""``retrieval``: the training studies that are most like this one stand before it, with their reports."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rrgbench.errors import UsageError
from rrgbench.interfaces import Ask, Encoder, Renderer
from rrgbench.labels import NO_FINDING, translate
from rrgbench.metrics.label_sets import comparable
from rrgbench.planning import context as seen
from rrgbench.prompts import texts
from rrgbench.prompts.exemplars import Exemplar, between, digest, turns, usable
from rrgbench.prompts.instructions import SECTIONS, Target, read_report, told
from rrgbench.types import Context, Failure, Finding, Findings, Report, Status, Study, Vocabulary

Vectors = npt.NDArray[np.float32]

_STATUS = {Status.PRESENT: 1.0, Status.UNCERTAIN: 0.5, Status.ABSENT: 0.0, Status.NOT_MENTIONED: 0.0}
_SIDES = {"left": (1.0, 0.0), "right": (0.0, 1.0), "bilateral": (1.0, 1.0), None: (0.5, 0.5)}
_SEVERITY = {"mild": 0.0, "moderate": 0.5, "severe": 1.0, None: 0.5}
_SIDE_WEIGHT = 0.125  # of each of two numbers: left from right is a quarter of absent from present
_SEVERITY_WEIGHT = 0.25  # mild from severe is a quarter, too
_DECIMALS = 5  # what differs by less is a tie: the order of a sum is not the same on every machine


class Retrieval:
    """One call, after the ``k`` nearest training studies, the nearest last; findings and report as ``icil`` shows them.

    ``by=findings``: nearest by the sum over the labels that both vocabularies have (but No Finding) of the differences
    of ``vector``: this study's findings against the training studies' labels. ``by=features``: by the cosine of what
    ``encoder`` gives as ``features`` of the images; its weights should have seen no evaluated patient either.
    Ties fall by study id. The training split is read once; features are made when the first report is written. A study
    whose features can't be had is a failure; a training study without is passed over.

    ``text`` is a file of the user's own in the place of texts/report.md.
    """

    version = "1"

    def __init__(
        self,
        k: int = 3,
        by: Literal["findings", "features"] = "findings",
        encoder: Encoder | None = None,
        target: Target = "both",
        indication: bool = False,
        text: Path | None = None,
    ) -> None:
        if k < 1:
            raise UsageError(
                f"retrieval needs at least one exemplar, not k={k}; without any, use the prompt zero-shot."
            )
        if (by == "features") != (encoder is not None):
            raise UsageError("retrieval takes by=features together with encoder=…, whose features it compares.")
        if encoder is not None and not hasattr(encoder, "features"):
            raise UsageError(f"The encoder of retrieval, a {type(encoder).__name__}, has no features to compare.")
        self.k = k
        self.target: Target = target
        self.needs: tuple[str, ...] = (*(("sections",) if indication else ()), *(encoder.needs if encoder else ()))
        self._encoder: Any = encoder
        self._indication = indication
        self._text = texts.load("report", texts.OF_A_STUDY, texts.FINDINGS, text)
        self.signature = self._text.signature
        self._renderer: Renderer | None = None
        self._index: list[Exemplar] = []
        self._by_vocabulary: dict[Vocabulary, tuple[Vocabulary, Vectors]] = {}
        self._features: tuple[list[Exemplar], Vectors] | None = None

    def prepare(self, train: Iterable[Study], renderer: Renderer) -> None:
        """Index the training studies that have labels and a reference. Raises UsageError where they are too few."""
        self._index, self._renderer = usable(train, self.target), renderer
        self._by_vocabulary, self._features = {}, None
        if len(self._index) < self.k:
            wanted = " and ".join(SECTIONS[self.target])
            raise UsageError(
                f"retrieval wants {self.k} exemplars and the training split has {len(self._index)} studies with labels "
                f"and a reference {wanted}. Take a dataset with such a split (train), set k, or use zero-shot."
            )
        lines = [f"{each.study.study_id} {vector(each.labels, each.labels.vocabulary)}" for each in self._index]
        self.signature = f"{self._text.signature}|index:{digest(lines)}"

    async def write(self, findings: Findings, text: str, context: Context, ask: Ask) -> Report | Failure:
        """The report of one call, or why there is none."""
        if self._renderer is None:
            raise UsageError("retrieval has no index yet: call prepare(train, renderer) first.")
        nearest = self._by_findings(findings) if self._encoder is None else self._by_features(context)
        if isinstance(nearest, Failure):
            return nearest
        shown = context if self._indication else replace(context, sections={})
        before = [
            message
            for exemplar in reversed(nearest)
            for message in turns(exemplar, self._text, self._renderer, self.target, self._indication)
        ]
        messages = between(self._text.fill(**told(text, shown, self.target)), before)
        return read_report((await ask(messages)).text, self.target)

    def _by_findings(self, findings: Findings) -> list[Exemplar] | Failure:
        if findings.vocabulary not in self._by_vocabulary:
            shared = comparable(self._index[0].labels.vocabulary, findings.vocabulary)
            made = np.array([vector(each.labels, shared) for each in self._index], dtype=np.float32)
            self._by_vocabulary[findings.vocabulary] = shared, made
        shared, rows = self._by_vocabulary[findings.vocabulary]
        if not rows.shape[1]:
            return Failure("prompt", "retrieval: the findings and the training labels have no label in common")
        distances = np.abs(rows - np.array(vector(findings, shared), dtype=np.float32)).sum(axis=1)
        return self._first(distances, self._index)

    def _by_features(self, context: Context) -> list[Exemplar] | Failure:
        if self._features is None:
            self._features = self._indexed()
        exemplars, vectors = self._features
        if len(exemplars) < self.k:
            return Failure("prompt", f"retrieval: only {len(exemplars)} training studies have features")
        (own,) = self._encoder.features([context])
        if isinstance(own, Failure):
            return own
        return self._first(-(vectors @ _unit(own)), exemplars)

    def _indexed(self) -> tuple[list[Exemplar], Vectors]:
        """The training studies whose features can be had, and these, each of length 1."""
        size = getattr(self._encoder, "batch", 32)
        found: list[Vectors | Failure] = []
        for start in range(0, len(self._index), size):
            batch = [seen(each.study, self._encoder.needs) for each in self._index[start : start + size]]
            found += self._encoder.features(batch)
        kept = [(each, _unit(v)) for each, v in zip(self._index, found, strict=True) if not isinstance(v, Failure)]
        return [each for each, _ in kept], np.array([v for _, v in kept], dtype=np.float32)

    def _first(self, distances: Vectors, exemplars: Sequence[Exemplar]) -> list[Exemplar]:
        return [exemplars[at] for at in np.argsort(distances.round(_DECIMALS), kind="stable")[: self.k]]


def vector(findings: Findings, vocabulary: Vocabulary) -> list[float]:
    """Four numbers for each label but No Finding, whose sum of differences is the distance of two studies.

    The first is the status: present 1, uncertain 1/2, absent or not assessed 0; where there is a probability, the mean
    of the two, so that a threshold still counts. Then side and severity of a present or uncertain finding, so weighted
    that left from right, or mild from severe, is a quarter of absent from present; one that isn't known lies between.
    """
    translated = translate(findings, vocabulary)
    found = {label: translated.by_label.get(label) for label in vocabulary.labels if label != NO_FINDING}
    return [number for finding in found.values() for number in _numbers(finding)]


def _numbers(finding: Finding | None) -> tuple[float, ...]:
    if finding is None:
        return (0.0, *_extent(None, None))
    status = _STATUS[finding.status]
    value = status if finding.probability is None else (status + finding.probability) / 2
    return (value, *(_extent(finding.side, finding.severity) if status else _extent(None, None)))


def _extent(side: str | None, severity: str | None) -> tuple[float, ...]:
    left, right = _SIDES.get(side, _SIDES[None])
    return _SIDE_WEIGHT * left, _SIDE_WEIGHT * right, _SEVERITY_WEIGHT * _SEVERITY.get(severity, _SEVERITY[None])


def _unit(vector: Vectors) -> Vectors:
    flat = np.asarray(vector, dtype=np.float32).ravel()
    length = float(np.linalg.norm(flat))
    return flat / np.float32(length) if length else flat
