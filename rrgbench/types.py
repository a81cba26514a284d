"""The records that flow from one stage to the next: study, findings, report, scores.

All are frozen dataclasses. Only numpy is needed to read pixels, and only when they are read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Role = Literal["system", "user", "assistant"]


class Status(StrEnum):
    """What is said of a label: of an image by an encoder, of a text by a labeler.

    ``NOT_MENTIONED`` is CheXpert's blank: nothing is said, which is not the same as absent.
    """

    PRESENT = "present"
    ABSENT = "absent"
    UNCERTAIN = "uncertain"
    NOT_MENTIONED = "not mentioned"


@dataclass(frozen=True)
class Vocabulary:
    """A named, ordered set of labels. Labels are always looked up by name, never by position."""

    name: str
    labels: tuple[str, ...]

    def __contains__(self, label: object) -> bool:
        return label in self.labels

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Box:
    """Where a finding is, as fractions (0..1) of the image's width and height, from the upper left."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Finding:
    """What is said of one label of one study.

    ``probability`` is the encoder's, 0..1, or None where there is none (a dataset's own labels).
    ``side`` is the patient's: "left", "right" or "bilateral". ``severity`` is "mild", "moderate" or "severe".
    """

    label: str
    status: Status
    probability: float | None = None
    side: str | None = None
    severity: str | None = None
    boxes: tuple[Box, ...] = ()

    def __post_init__(self) -> None:
        p = self.probability
        if p is not None and not (math.isfinite(p) and 0.0 <= p <= 1.0):
            raise ValueError(f"{self.label}: a probability must lie in 0..1, not {p}")


@dataclass(frozen=True)
class Findings:
    """Findings of one study by label name.

    A label of the vocabulary that has no entry was not assessed.
    """

    vocabulary: Vocabulary
    by_label: Mapping[str, Finding]

    def __post_init__(self) -> None:
        unknown = [label for label in self.by_label if label not in self.vocabulary]
        if unknown:
            raise ValueError(f"not in the vocabulary {self.vocabulary.name!r}: {', '.join(unknown)}")

    def __iter__(self) -> Any:
        return (self.by_label[label] for label in self.vocabulary.labels if label in self.by_label)

    def status(self, label: str) -> Status:
        """The label's status; ``NOT_MENTIONED`` where it was not assessed."""
        finding = self.by_label.get(label)
        return finding.status if finding else Status.NOT_MENTIONED

    def having(self, status: Status) -> tuple[Finding, ...]:
        """The findings of one status, in the order of the vocabulary."""
        return tuple(finding for finding in self if finding.status is status)

    def not_assessed(self) -> tuple[str, ...]:
        """The labels of the vocabulary that nothing is said of."""
        return tuple(label for label in self.vocabulary.labels if self.status(label) is Status.NOT_MENTIONED)


@dataclass(frozen=True)
class Image:
    """One radiograph, read when it is needed.

    ``read()`` gives float32 pixels of shape (height, width) in 0..1, air dark, bone bright.
    ``fingerprint()`` is a digest of the image's bytes (or of the recipe of a drawn one): a cached answer about an
    image is valid for this fingerprint only. Both are picklable, so that images can be read in worker processes.
    """

    image_id: str
    read: Callable[[], npt.NDArray[np.float32]]
    fingerprint: Callable[[], str]
    view: str | None = None  # "PA", "AP", "FRONTAL" (one of the two), "LATERAL"


@dataclass(frozen=True)
class Study:
    """One imaging study of one patient, with all that the dataset knows of it.

    ``images`` has the frontal ones first. ``sections`` holds the reference report by section name ("findings",
    "impression", "indication", ...), read when it is first looked at; a section that is missing or empty is not in the
    mapping. A report that is not sectioned is the section "report". ``labels`` are the dataset's own (the truth of the
    image); None where it has none. Where a dataset has several sets of labels, ``labels_by_source`` has them all, and
    ``labels`` is the one that its options choose. ``prior`` is the same patient's study before this one.
    """

    study_id: str
    patient_id: str
    split: str | None = None
    images: tuple[Image, ...] = ()
    sections: Mapping[str, str] = field(default_factory=dict)
    labels: Findings | None = None
    labels_by_source: Mapping[str, Findings] = field(default_factory=dict)
    demographics: Mapping[str, str | float] = field(default_factory=dict)
    prior: Study | None = None


@dataclass(frozen=True)
class Context:
    """What of a study a system may see: only what it declared in ``needs``.

    ``labels`` is filled for a part that declares the need "labels" (the oracle), which makes its run a baseline.
    The reference report is never here.
    """

    study_id: str
    images: tuple[Image, ...] = ()
    sections: Mapping[str, str] = field(default_factory=dict)  # indication, technique, comparison: never the target
    demographics: Mapping[str, str | float] = field(default_factory=dict)
    prior: Study | None = None
    labels: Findings | None = None
    image_ids: tuple[str, ...] = ()  # of all the study's images, seen or not


@dataclass(frozen=True)
class Message:
    """One message to an LLM."""

    role: Role
    content: str


@dataclass(frozen=True)
class Completion:
    """An LLM's reply and what it used.

    ``cost`` is in US dollars; None where the price is not known. ``logprob`` is the sum of the natural logarithms of
    its tokens' probabilities, where they were asked for. ``pause`` is how many seconds the server's rate limits ask to
    wait before the next call.
    """

    text: str
    model: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: float | None = None
    logprob: float | None = None
    pause: float = 0.0


@dataclass(frozen=True)
class Report:
    """A report. Only ``text`` is scored; ``reasoning`` is kept beside it.

    A system that writes a report an image gives them in ``by_image``, by image_id: protocols whose unit is the image
    score these, the others ``text``, which is then the first image's.
    """

    text: str
    sections: Mapping[str, str] = field(default_factory=dict)
    reasoning: str | None = None
    by_image: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """A report (or findings) that could not be made: a value of its own, never text, never scored as a report."""

    kind: str  # "image", "encoder", "llm", "refused", "unparsable", "timeout", "empty", "missing", "too long", ...
    message: str


@dataclass(frozen=True)
class Case:
    """What a metric sees of one study or, under a protocol whose unit is the image, of one image of it."""

    study: Study
    findings: Findings | Failure | None
    report: Report | Failure | None
    candidate: str | None  # the text that the protocol scores; None where there is no report
    reference: str | None  # the reference text under the protocol; None where the study has none
    image_id: str | None = None  # where the unit is the image


@dataclass(frozen=True)
class Score:
    """One number with all that it depends on. ``value`` is None, with a ``reason``, where it can't be computed."""

    metric: str
    protocol: str
    value: float | None
    ci: tuple[float, float] | None
    n: int
    n_failed: int
    higher_is_better: bool
    signature: str
    reason: str | None = None
    worst: float | None = None  # of a judge's score: the value if each report that it failed at were as bad as can be,
    best: float | None = None  # and as good as can be; None where it failed at none, and where there is no bound


@dataclass(frozen=True)
class Judged:
    """How far a judge got with one score.

    ``n`` reports have a value; at ``failed`` more the judge failed. ``worst`` and ``best`` are what the score would be
    if these, and what it failed at in the others, were as bad, and as good, as can be; NaN where there is no bound.
    """

    n: int
    failed: int
    worst: float
    best: float


@dataclass(frozen=True)
class Checkpoint:
    """What training an encoder gives: the file that ``checkpoint=`` takes, and what it reached on validation."""

    path: str
    scores: Mapping[str, float]
    history: Sequence[Mapping[str, float]] = ()
