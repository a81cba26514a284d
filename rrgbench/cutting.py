"""Ways to cut a dataset's studies into slices: by sex, age, race, view, prior, normality, length, label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rrgbench.errors import UsageError, did_you_mean
from rrgbench.labels import NO_FINDING, SUPPORT_DEVICES
from rrgbench.protocols import PROTOCOLS
from rrgbench.types import Status, Study

WAYS = ("sex", "age", "race", "view", "prior", "normal", "length", "label")
BAND = 20  # years of an age band; the last begins at OLDEST
OLDEST = 80
MANY = 20  # a way that has more slices is no way to cut
_SEXES = {"f": "female", "female": "female", "m": "male", "male": "male"}

Of = Callable[[Study, str], tuple[str, ...]]
"""The slices that a study (or, where its second argument is no blank, one of its images) is in."""


@dataclass(frozen=True)
class Cut:
    """One way to cut. ``names`` has the slices in order; ``lacking`` says why there are none.

    ``source`` says where it was read, where that isn't plain. A study may be in several slices, or in none.
    """

    by: str
    names: tuple[str, ...]
    of: Of
    source: str = ""
    lacking: str | None = None


def cut(by: str, studies: Sequence[Study]) -> Cut:
    """The studies cut in one way: one of ``WAYS``, or the name of a demographic column of the dataset.

    Raises UsageError for a name that is neither.
    """
    match by:
        case "view":
            return _view(studies)
        case "prior":
            return _prior(studies)
        case "normal":
            return _normal(studies)
        case "length":
            return _thirds("length", {s.study_id: float(n) for s in studies if (n := _words(s))}, " words")
        case "label":
            return _label(studies)
    return _demographic(by, studies)


def _lacking(by: str, reason: str) -> Cut:
    return Cut(by, (), lambda study, image_id: (), lacking=reason)


def _by_study(by: str, names: Sequence[str], of: Mapping[str, tuple[str, ...]], source: str = "") -> Cut:
    return Cut(by, tuple(names), lambda study, image_id: of.get(study.study_id, ()), source)


def _demographic(by: str, studies: Sequence[Study]) -> Cut:
    """A column of the demographics, whatever the case of its name: bands of ages, thirds of other numbers, values."""
    keys = dict.fromkeys(key for study in studies for key in study.demographics)
    key = next((key for key in keys if key.lower() == by.lower()), None)
    if key is None:
        if by not in WAYS:
            known = [*WAYS, *keys]
            raise UsageError(
                f"There is no way {by!r} to cut studies.{did_you_mean(by, known)} There are: {', '.join(known)}."
            )
        return _lacking(by, f"the dataset does not say the patients' {by}")
    values = {study.study_id: study.demographics[key] for study in studies if key in study.demographics}
    numbers = {study_id: float(value) for study_id, value in values.items() if not isinstance(value, str)}
    if by == "age":
        if not numbers:
            return _lacking(by, "the ages are not numbers")
        bands = {study_id: min(int(age) // BAND * BAND, OLDEST) for study_id, age in numbers.items() if age >= 0}
        names = {
            low: f"{low} to {low + BAND - 1}" if low < OLDEST else f"{low} and over" for low in set(bands.values())
        }
        of_band = {study_id: (names[low],) for study_id, low in bands.items()}
        return _by_study(by, [names[low] for low in sorted(names)], of_band, "years")
    if len(numbers) == len(values) and len(set(numbers.values())) > MANY:
        return _thirds(by, numbers)
    texts = {study_id: str(value).strip() for study_id, value in values.items()}
    if by == "sex":
        texts = {study_id: _SEXES.get(text.lower(), text) for study_id, text in texts.items()}
    counted = Counter(texts.values())
    if len(counted) > MANY:
        return _lacking(by, f"the dataset's {key} has {len(counted)} different values")
    order = sorted(counted, key=lambda name: (-counted[name], name))
    return _by_study(by, order, {study_id: (text,) for study_id, text in texts.items()})


def _view(studies: Sequence[Study]) -> Cut:
    """The views of a study's images, or of the one image that is counted."""
    if not any(image.view for study in studies for image in study.images):
        return _lacking("view", "the dataset does not say the images' views")

    def of(study: Study, image_id: str) -> tuple[str, ...]:
        views = {image.view for image in study.images if image.view and image_id in ("", image.image_id)}
        return (" + ".join(sorted(views, key=lambda view: (view == "LATERAL", view))),) if views else ()

    # Whether a metric's rows are studies or images shows later: the names of both.
    counted = Counter(name for s in studies for i in ("", *(image.image_id for image in s.images)) for name in of(s, i))
    return Cut("view", tuple(sorted(counted, key=lambda name: (-counted[name], name))), of)


def _prior(studies: Sequence[Study]) -> Cut:
    if not any(study.prior for study in studies):
        return _lacking("prior", "the dataset gives no study's prior")
    of = {study.study_id: ("with a prior study" if study.prior else "without",) for study in studies}
    return _by_study("prior", ("with a prior study", "without"), of)


def _normal(studies: Sequence[Study]) -> Cut:
    """By No Finding; by a vocabulary without it: nothing present or uncertain, but for devices."""
    statuses, source = _statuses(studies)
    if not statuses:
        return _lacking("normal", source)

    def normal(of_label: Mapping[str, Status]) -> bool:
        if NO_FINDING in of_label:
            return of_label[NO_FINDING] is Status.PRESENT
        found = {label for label, status in of_label.items() if status in (Status.PRESENT, Status.UNCERTAIN)}
        return not found - {SUPPORT_DEVICES}

    of = {study_id: ("normal" if normal(of_label) else "abnormal",) for study_id, of_label in statuses.items()}
    return _by_study("normal", ("normal", "abnormal"), of, source)


def _label(studies: Sequence[Study]) -> Cut:
    """The labels that are present: a study is in as many slices."""
    statuses, source = _statuses(studies)
    if not statuses:
        return _lacking("label", source)
    of = {
        study_id: tuple(label for label, status in of_label.items() if status is Status.PRESENT)
        for study_id, of_label in statuses.items()
    }
    there = {label for present in of.values() for label in present}
    names = [label for label in next(iter(statuses.values())) if label in there]
    return _by_study("label", names, of, f"{source}; a study is in the slice of each label that is present")


def _statuses(studies: Sequence[Study]) -> tuple[dict[str, dict[str, Status]], str]:
    """The status of every label of each study that has labels, and whose labels these are.

    They are the dataset's own where it has any, else those that ``rulelabel`` reads in the reference reports.
    """
    labelled = [study for study in studies if study.labels is not None]
    if labelled:
        return {
            s.study_id: {label: s.labels.status(label) for label in s.labels.vocabulary.labels}
            for s in labelled
            if s.labels is not None
        }, "the dataset's labels"
    from rrgbench.labelers.rules import RuleLabeler

    texts = {study.study_id: text for study in studies if (text := PROTOCOLS["full-text"].reference(study))}
    if not texts:
        return {}, "the dataset has neither labels nor reference reports"
    read = RuleLabeler().label(list(texts.values()))
    records = read.to_dict("records")
    return {
        study_id: {str(label): Status(status) for label, status in record.items()}
        for study_id, record in zip(texts, records, strict=True)
    }, "labels that rulelabel reads in the reference"


def _words(study: Study) -> int:
    """Words of the reference report, findings and impression, as written."""
    return len((PROTOCOLS["full-text"].reference(study) or "").split())


def _thirds(by: str, numbers: Mapping[str, float], unit: str = "") -> Cut:
    """Three slices of about equal size by a number; equal numbers stay together, so there may be fewer."""
    if not numbers:
        return _lacking(by, "the dataset has no reference reports" if by == "length" else f"no study has a {by}")
    values = np.array(list(numbers.values()))
    edges = np.quantile(values, [1 / 3, 2 / 3])
    third = {study_id: int(np.searchsorted(edges, value, side="left")) for study_id, value in numbers.items()}
    names = {}
    for at in sorted(set(third.values())):
        mine = [numbers[study_id] for study_id in third if third[study_id] == at]
        names[at] = f"{min(mine):g} to {max(mine):g}{unit}"
    of = {study_id: (names[at],) for study_id, at in third.items()}
    return _by_study(by, list(dict.fromkeys(names.values())), of)
