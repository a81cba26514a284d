"""``ensemble``: several encoders as one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice, tee
from statistics import fmean
from typing import TYPE_CHECKING, Literal

from rrgbench import calibration, encoding, progress
from rrgbench.encoders.oracle import CERTAINTY
from rrgbench.errors import FAULTS, RunError, UsageError
from rrgbench.interfaces import Encoder
from rrgbench.labels import counterparts, translate
from rrgbench.parts import Part
from rrgbench.planning import context
from rrgbench.plugins import BUILTIN
from rrgbench.thresholds import FittedThresholds, checked
from rrgbench.types import Context, Failure, Finding, Findings, Status, Study, Vocabulary

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

HALF = 0.5  # the threshold of a member that names none
_NOTHING = Context("")


class Ensemble:
    """The mean of its members, two or more encoders of any kind.

    ``mean`` is of their ``probabilities`` (arithmetic), of their ``logits`` (the sigmoid of the mean logit, of
    probabilities moved into 1e-6 .. 1 - 1e-6) or of their ``weights`` (one network, as the first member's ``averaged``
    makes it). The labels are the first member's; the others' are translated, and a label is averaged over the members
    that assess it. A finding without a probability counts as 1 where it is present, .5 uncertain, 0 absent, so that
    members without any vote.

    A label is present where the mean reaches its threshold: under ``members`` the same mean of their own thresholds
    (.5 of a member that names none; of a label that is several of theirs, the mean of those), a number, or under
    ``fit`` the best F1 on the dataset's validation split or, where it has none, cross-fitted by patient, as the
    encoder ``findings`` does. It is uncertain where all who assess it call it so. Side, severity and boxes of a present
    finding are those of the first member that gives any. A study that a member fails on is a failure.
    """

    version = "1"

    def __init__(
        self,
        members: list[Encoder],
        mean: Literal["probabilities", "logits", "weights"] = "probabilities",
        threshold: Literal["members", "fit"] | float = "members",
    ) -> None:
        if len(members) < 2:
            raise UsageError(f"An ensemble has at least two members, not {len(members)}: members=[vit,cnn].")
        self._members, self._mean = members, mean
        self._encoders = [_of_weights(members)] if mean == "weights" else members
        self._threshold = threshold if isinstance(threshold, str) else checked(float(threshold), "threshold=")
        self._fitted: FittedThresholds | None = None
        self._fitted_on: list[str] = []
        self.needs = tuple(dict.fromkeys(need for member in members for need in member.needs))
        self.batch = max(_batch(encoder) for encoder in self._encoders)
        self.cached = all(getattr(encoder, "cached", True) for encoder in self._encoders)
        notes = dict.fromkeys(getattr(member, "baseline", None) for member in members)
        self.baseline = "; ".join(f"a member {note}" for note in notes if note) or None
        self._limits()  # members whose thresholds can't be averaged are refused before any work

    @property
    def signature(self) -> str:
        """The digest of fitted thresholds; the members' own signatures are among the options."""
        return f"fitted:{self._fitted.digest[:12]}" if self._fitted else ""

    @property
    def vocabulary(self) -> Vocabulary:
        """The first member's, where it says it before it encodes."""
        vocabulary: Vocabulary = self._encoders[0].vocabulary  # type: ignore[attr-defined]
        return vocabulary

    @property
    def thresholds(self) -> Mapping[str, float]:
        """By label of the vocabulary. Raises UsageError for fitted ones, which may differ from patient to patient."""
        if self._threshold == "fit":
            raise UsageError(
                "An ensemble with threshold=fit has thresholds for each patient apart, so that they can't be averaged"
                " with other encoders'. Give threshold=fit to the outer ensemble only."
            )
        labels = self.vocabulary
        if isinstance(self._threshold, float):
            return dict.fromkeys(labels.labels, self._threshold)
        own = [
            _translated(limits, getattr(encoder, "vocabulary", labels), labels)
            for encoder, limits in zip(self._encoders, self._limits(), strict=True)
        ]
        of_label = {label: [limits[label] for limits in own if label in limits] for label in labels.labels}
        return {label: self._mean_of(limits or [HALF]) for label, limits in of_label.items()}

    @property
    def trained_on(self) -> str | None:
        """What the members were trained on, as far as they say it."""
        said = dict.fromkeys(getattr(member, "trained_on", None) for member in self._members)
        return " + ".join(each for each in said if each) or None

    def calibrate(self, studies: Sequence[Study]) -> list[str]:
        """Let members calibrate, then fit the thresholds of ``threshold=fit``; returns warnings.

        Fitting encodes the labelled ones of these studies, once for all the runs of a grid.
        """
        able = [encoder.calibrate for encoder in self._encoders if hasattr(encoder, "calibrate")]
        warnings = [warning for calibrate in able for warning in calibrate(studies) or []]
        if self._threshold != "fit":
            return warnings
        ids = [study.study_id for study in studies]
        if self._fitted is None or ids != self._fitted_on:
            self._fitted, self._fitted_on = self._fit(studies), ids
        return [*warnings, *self._fitted.warnings]

    def encode(self, contexts: Sequence[Context]) -> list[Findings | Failure]:
        """The mean findings of each context, or the failure of the first member that fails on it."""
        found = [self._said_by(at, contexts, ahead=False) for at in range(len(self._encoders))]
        return list(self._joined(contexts, found))

    def saliency(
        self, contexts: Sequence[Context], labels: Sequence[str], method: str = "grad-cam"
    ) -> list[dict[str, npt.NDArray[np.float32]] | Failure]:
        """Where the members look, on average: ``rrgbench.saliency.joining.of_members``."""
        from rrgbench.saliency import joining

        return joining.of_members(self._encoders, self.vocabulary, contexts, labels, method)

    def stream(self, contexts: Iterable[Context]) -> Iterator[list[Findings | Failure]]:
        """The same, a batch at a time; members that can read images ahead do."""
        own, *copies = tee(contexts, 1 + len(self._encoders))
        found = [self._said_by(at, copy, ahead=True) for at, copy in enumerate(copies)]
        joined = self._joined(own, found)
        while batch := list(islice(joined, self.batch)):
            yield batch

    def _fit(self, studies: Sequence[Study]) -> FittedThresholds:
        contexts = [context(study, self.needs) for study in studies if study.labels is not None]
        own = Part("encoder", "ensemble", "ensemble", self, BUILTIN, {}, "ensemble")
        with progress.stage("fit thresholds", len(contexts)) as advance:
            found = {study_id: each for study_id, (each, _) in encoding.encode(own, contexts, advance).items()}
        usable = {study_id: each for study_id, each in found.items() if isinstance(each, Findings)}
        failed = next((each.message for each in found.values() if isinstance(each, Failure)), None)
        if failed and not usable:
            raise UsageError(f"threshold=fit: the ensemble fails on each study that it is to be fitted on: {failed}")
        return FittedThresholds(
            "The ensemble",
            studies,
            next((each.vocabulary for each in usable.values()), Vocabulary("none", ())),
            {study_id: {f.label: f.probability for f in each} for study_id, each in usable.items()},
        )

    def _said_by(self, at: int, contexts: Iterable[Context], ahead: bool) -> Iterator[Findings | Failure]:
        """The findings of one encoder, which sees no more than it needs; in a stream where it may and can."""
        encoder = self._encoders[at]
        nothing = {need: getattr(_NOTHING, need) for need in self.needs if need not in encoder.needs}
        seen = (replace(each, **nothing) for each in contexts)
        batches: Iterable[Iterable[Findings | Failure]]
        if ahead and hasattr(encoder, "stream"):
            batches = encoder.stream(seen)
        else:
            batches = (_encoded(encoder, batch) for batch in iter(lambda: list(islice(seen, _batch(encoder))), []))
        for each in chain.from_iterable(batches):
            yield Failure(each.kind, f"{self._name(at)}: {each.message}") if isinstance(each, Failure) else each

    def _name(self, at: int) -> str:
        if self._mean == "weights":
            return "the mean of the members' weights"
        return f"member {at + 1} of {len(self._members)} ({type(self._members[at]).__name__})"

    def _limits(self) -> list[Mapping[str, float]]:
        """The thresholds that each encoder brings, by its own labels."""
        if self._threshold != "members":
            return [{}] * len(self._encoders)
        own = [getattr(member, "thresholds", {}) for member in self._members]
        if self._mean != "weights":
            return own
        return [{label: fmean(limits.get(label, HALF) for limits in own) for each in own for label in each}]

    def _joined(
        self, contexts: Iterable[Context], found: Sequence[Iterator[Findings | Failure]]
    ) -> Iterator[Findings | Failure]:
        limits = self._limits()
        for seen, *said in zip(contexts, *found, strict=True):
            failure = next((each for each in said if isinstance(each, Failure)), None)
            given = [each for each in said if isinstance(each, Findings)]
            yield failure or self._mean_findings(seen.study_id, given, limits)

    def _mean_findings(
        self, study_id: str, given: Sequence[Findings], limits: Sequence[Mapping[str, float]]
    ) -> Findings:
        vocabulary = given[0].vocabulary
        said = [
            (translate(each, vocabulary).by_label, _translated(own, each.vocabulary, vocabulary))
            for each, own in zip(given, limits, strict=True)
        ]
        fitted = self._fitted.of(study_id) if self._fitted else {}
        out = {}
        for label in vocabulary.labels:
            known = [(findings[label], own.get(label, HALF)) for findings, own in said if label in findings]
            known = [(finding, limit) for finding, limit in known if _probability(finding) is not None]
            if not known:
                continue
            if self._threshold == "members":
                threshold = self._mean_of([limit for _, limit in known])
            else:
                threshold = fitted.get(label, HALF) if self._threshold == "fit" else float(self._threshold)
            out[label] = self._finding(label, [finding for finding, _ in known], threshold)
        return Findings(vocabulary, out)

    def _finding(self, label: str, said: Sequence[Finding], threshold: float) -> Finding:
        p = self._mean_of([value for each in said if (value := _probability(each)) is not None])
        if all(each.status is Status.UNCERTAIN for each in said):
            return Finding(label, Status.UNCERTAIN, p)
        if p < threshold:
            return Finding(label, Status.ABSENT, p)
        told = next((each for each in said if each.side or each.severity or each.boxes), Finding(label, Status.PRESENT))
        return Finding(label, Status.PRESENT, p, told.side, told.severity, told.boxes)

    def _mean_of(self, values: Sequence[float]) -> float:
        """The mean of probabilities, or of thresholds (infinity, of a label that is never called, stays infinity)."""
        if self._mean != "logits" or math.inf in values:
            return fmean(values)
        return float(calibration.apply(calibration.logit(values).mean()))


def _of_weights(members: Sequence[Encoder]) -> Encoder:
    first, *others = members
    if not hasattr(first, "averaged"):
        raise UsageError(
            f"mean=weights: {type(first).__name__} can't be averaged with other encoders by their weights (it has no"
            " method averaged). Use mean=probabilities or mean=logits."
        )
    averaged: Encoder = first.averaged(others)
    return averaged


def _encoded(encoder: Encoder, contexts: Sequence[Context]) -> list[Findings | Failure]:
    """Findings of each context; what is raised costs the studies that raise it alone, too."""
    try:
        found = list(encoder.encode(contexts))
        if len(found) != len(contexts):
            raise ValueError(f"it gave {len(found)} findings for {len(contexts)} studies")
        return found
    except (UsageError, RunError):
        raise  # it can't work as it was asked for, or not here: no study's fault
    except FAULTS as error:
        if len(contexts) == 1:
            return [encoding.failing(error, "encoder")]
        return [found for each in contexts for found in _encoded(encoder, [each])]


def _batch(encoder: Encoder) -> int:
    batch = getattr(encoder, "batch", encoding.BATCH)
    return batch if isinstance(batch, int) else encoding.BATCH  # one that finds its own says "auto"


def _probability(finding: Finding) -> float | None:
    """The finding's probability or, without one, its vote; None where nothing was said."""
    return CERTAINTY.get(finding.status) if finding.probability is None else finding.probability


def _translated(limits: Mapping[str, float], source: Vocabulary, target: Vocabulary) -> Mapping[str, float]:
    """Thresholds by the labels of another vocabulary, as far as there are any."""
    if source == target:
        return limits
    table = counterparts(source, target)
    known = {label: [limits[piece] for piece in pieces if piece in limits] for label, pieces in table.items()}
    return {label: fmean(values) for label, values in known.items() if values}
