"""Who has what: the patients, their anatomy, and the conditions that each study shows.

Everything follows from (seed, patient number, visit number), so that any study can be made alone, in any process.
The prevalences are invented, near enough to those of CheXpert's frontal images to train and to score on; they
measure nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rrgbench.labels import NO_FINDING, SUPPORT_DEVICES

SPLITS = ("train", "validate", "test")
# Of every ten patients in a row, seven train, one validates and two test; a quarter come back.
_SPLIT_OF_TEN = ("train",) * 7 + ("validate",) + ("test",) * 2
_SECOND_VISIT = 0.25

CARDIOMEGALY = "Cardiomegaly"
MEDIASTINUM = "Enlarged Cardiomediastinum"
OPACITY = "Lung Opacity"
LESION = "Lung Lesion"
EDEMA = "Edema"
CONSOLIDATION = "Consolidation"
PNEUMONIA = "Pneumonia"
ATELECTASIS = "Atelectasis"
PNEUMOTHORAX = "Pneumothorax"
EFFUSION = "Pleural Effusion"
PLEURAL_OTHER = "Pleural Other"
FRACTURE = "Fracture"

# CheXpert's hierarchy (Irvin et al., AAAI 2019, figure 1): a child is never present without its parent.
PARENT = {
    CARDIOMEGALY: MEDIASTINUM,
    PNEUMONIA: CONSOLIDATION,
    CONSOLIDATION: OPACITY,
    EDEMA: OPACITY,
    LESION: OPACITY,
    ATELECTASIS: OPACITY,
}

# What is drawn of its own accord, in the order of the columns of _PROFILES. "Lung Opacity" here is one that is
# nothing more specific, "Consolidation" one that is no pneumonia, "Enlarged Cardiomediastinum" a wide upper part.
CONDITIONS = (
    CARDIOMEGALY,
    MEDIASTINUM,
    OPACITY,
    LESION,
    EDEMA,
    CONSOLIDATION,
    PNEUMONIA,
    ATELECTASIS,
    PNEUMOTHORAX,
    EFFUSION,
    PLEURAL_OTHER,
    FRACTURE,
    SUPPORT_DEVICES,
)


@dataclass(frozen=True)
class _Profile:
    """A kind of patient: how common, how old, and how likely each condition is, in percent."""

    name: str
    weight: float
    ages: tuple[int, int]
    bedside: float  # how likely the image is taken AP
    percent: tuple[int, ...]


_PROFILES = (
    #                                              car med opa les ede con pne ate ptx eff plo fra dev
    _Profile("healthy", 0.31, (18, 78), 0.10, (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6)),
    _Profile("heart failure", 0.19, (52, 92), 0.50, (72, 6, 4, 2, 60, 5, 6, 15, 1, 55, 3, 4, 40)),
    _Profile("infection", 0.15, (20, 90), 0.35, (12, 3, 22, 4, 4, 24, 62, 16, 2, 28, 3, 3, 20)),
    _Profile("injury", 0.14, (18, 88), 0.45, (8, 14, 10, 2, 2, 12, 4, 30, 45, 22, 4, 60, 26)),
    _Profile("cancer", 0.12, (40, 88), 0.20, (8, 25, 12, 68, 2, 6, 8, 18, 8, 34, 22, 5, 40)),
    _Profile("chronic", 0.09, (50, 93), 0.15, (40, 30, 16, 6, 4, 4, 4, 18, 3, 12, 55, 20, 26)),
)
_WEIGHTS = np.cumsum([profile.weight for profile in _PROFILES])

# The patient's left, right, or both; what is not listed has no side.
_SIDES: dict[str, tuple[float, float, float]] = {
    OPACITY: (0.42, 0.43, 0.15),
    LESION: (0.45, 0.55, 0.0),
    EDEMA: (0.0, 0.0, 1.0),
    CONSOLIDATION: (0.45, 0.5, 0.05),
    PNEUMONIA: (0.35, 0.4, 0.25),
    ATELECTASIS: (0.35, 0.25, 0.4),
    PNEUMOTHORAX: (0.47, 0.53, 0.0),
    EFFUSION: (0.35, 0.3, 0.35),
    PLEURAL_OTHER: (0.35, 0.35, 0.3),
    FRACTURE: (0.5, 0.5, 0.0),
}

# How a condition shows itself, evenly likely unless a form is listed twice.
_FORMS: dict[str, tuple[str, ...]] = {
    OPACITY: ("upper", "mid", "lower", "lower"),
    LESION: ("nodule", "nodule", "nodules", "mass", "mass"),
    CONSOLIDATION: ("upper", "mid", "lower", "lower"),
    PNEUMONIA: ("upper", "mid", "lower", "lower"),
    ATELECTASIS: ("linear", "linear", "basal"),
    PLEURAL_OTHER: ("apical thickening", "lateral thickening", "plaque"),
    FRACTURE: ("rib", "ribs", "ribs", "clavicle"),
    SUPPORT_DEVICES: ("pacemaker", "central line", "central line", "tube", "wires", "port"),
}

# In a second study: (resolved, smaller, unchanged, larger). What is not listed is acute.
_ACUTE = (0.3, 0.2, 0.25, 0.25)
_CHRONIC = (0.0, 0.05, 0.65, 0.3)
_FIXED = (0.0, 0.0, 1.0, 0.0)
_COURSE: dict[str, tuple[float, float, float, float]] = {
    CARDIOMEGALY: _CHRONIC,
    MEDIASTINUM: _CHRONIC,
    LESION: _CHRONIC,
    PLEURAL_OTHER: _FIXED,
    FRACTURE: _FIXED,
    SUPPORT_DEVICES: (0.3, 0.0, 0.7, 0.0),
}
_APPEARS = 0.3  # of a profile's likelihood, in a second study
# Extents are uniform numbers to this power: most findings are slight. With 1.25 (and less noise) a small CNN came to a
# macro AUROC of .96 after 170,000 drawings; what is drawn should leave a good encoder between .85 and .95.
_SUBTLETY = 2.2


@dataclass(frozen=True)
class Condition:
    """One thing that is drawn. ``extent`` runs from 0 (barely visible) to 1 (gross); ``at`` places it (0..1 each)."""

    label: str
    extent: float
    side: str | None
    form: str
    at: tuple[float, float, float, float]
    change: str | None = None  # since the prior study: "new", "larger", "smaller", "unchanged"

    @property
    def severity(self) -> str:
        """The extent in words: "mild", "moderate" or "severe"."""
        return "mild" if self.extent < 0.35 else "moderate" if self.extent < 0.7 else "severe"


@dataclass(frozen=True)
class Anatomy:
    """What stays the same from one study of a patient to the next; lengths as fractions of the image's side."""

    half_width: float  # of the thorax, inside the ribs, at its widest
    apex: float  # y of the lungs' top
    dome: float  # y of the right hemidiaphragm in full inspiration
    left_drop: float  # how much lower the left one is
    curve: float  # how domed they are
    heart: float  # cardiothoracic ratio where there is no cardiomegaly
    heart_tilt: float
    knob: float  # size of the aortic knob
    mediastinum: float  # half width of the upper mediastinum
    spine_bend: float
    rib_spacing: float
    rib_slope: float
    rib_contrast: float
    clavicle: float  # slope
    scapula: float  # how far it lies over the lung
    fat: float  # 0 thin .. 1 obese
    breast: float  # 0 none .. 1 large
    nipple: float  # contrast of the nipples' shadows, 0 for none
    bubble: float  # size of the stomach's gas bubble, 0 for none
    vessels: float  # prominence
    texture: int  # seed of the vessels' tree and of the tissue's texture


@dataclass(frozen=True)
class Acquisition:
    """How one image was taken."""

    view: str
    inspiration: float  # 1 full .. 0 poor
    magnify: float  # of what lies in front: the heart and the mediastinum
    supine: float  # how much lying down fills the upper vessels
    exposure: float
    contrast: float
    noise: float
    blur: float
    angle: float  # degrees
    zoom: float
    shift: tuple[float, float]
    turn: float  # of the patient about the long axis; shifts the midline structures
    skin_fold: float  # contrast, 0 for none
    marker: str  # the side marker's place
    grain: int  # seed of the noise


@dataclass(frozen=True)
class Visit:
    """One study of one patient, as truth."""

    number: int
    visit: int
    sex: str
    age: int
    profile: str
    anatomy: Anatomy
    acquisition: Acquisition
    conditions: tuple[Condition, ...]
    resolved: tuple[Condition, ...] = ()

    def labels(self) -> frozenset[str]:
        """The CheXpert labels that are present."""
        present = set()
        for condition in self.conditions:
            label: str | None = condition.label
            while label:
                present.add(label)
                label = PARENT.get(label)
        return frozenset(present if present - {SUPPORT_DEVICES} else present | {NO_FINDING})


@dataclass(frozen=True)
class Site:
    """How a hospital differs from the usual one.

    ``exposure`` is added to that of every image (darker above 0; images vary by some .1 of themselves); ``prevalence``
    times each condition's.
    """

    exposure: float = 0.0
    prevalence: float = 1.0


USUAL = Site()


def roster(seed: int, studies: int) -> Iterator[tuple[int, str, int]]:
    """Patients in order, as (number, split, number of studies), until there are so many studies.

    A patient's split depends on the seed and the patient's number only.
    """
    left, number = studies, 0
    while left > 0:
        rng = np.random.default_rng((seed, number // 10, 1))
        splits = [_SPLIT_OF_TEN[i] for i in rng.permutation(10)]
        returns = rng.random(10) < _SECOND_VISIT
        for split, again in zip(splits, returns, strict=True):
            if left > 0:
                visits = min(left, 2 if again else 1)
                yield number, split, visits
                left -= visits
            number += 1


def visit(seed: int, number: int, which: int, site: Site = USUAL) -> Visit:
    """The truth of a patient's first (1) or second (2) study.

    At another site the same patients have other conditions and other films, but the same bodies.
    """
    rng = np.random.default_rng((seed, number, 2))
    profile = _profile(rng.random())
    sex = "F" if rng.random() < 0.48 else "M"
    age = int(rng.integers(profile.ages[0], profile.ages[1] + 1))
    anatomy = _anatomy(rng, sex, age)
    uniform = rng.random((len(CONDITIONS), 8)).tolist()
    conditions = tuple(
        _condition(label, row)
        for label, percent, row in zip(CONDITIONS, profile.percent, uniform, strict=True)
        if row[0] * 100 < percent * site.prevalence
    )
    conditions = _exclusive(conditions)
    resolved: tuple[Condition, ...] = ()
    rng = np.random.default_rng((seed, number, 2 + which))
    if which == 2:
        if profile.name == "healthy":
            profile = _profile(rng.random())
        conditions, resolved = _course(conditions, profile, rng.random((len(CONDITIONS), 8)).tolist(), site.prevalence)
        age += int(rng.random() < 0.3)
    acquisition = _acquisition(rng, profile)
    acquisition = replace(acquisition, exposure=acquisition.exposure + site.exposure)
    return Visit(number, which, sex, age, profile.name, anatomy, acquisition, conditions, resolved)


def _profile(uniform: float) -> _Profile:
    return _PROFILES[min(int(np.searchsorted(_WEIGHTS, uniform * _WEIGHTS[-1])), len(_PROFILES) - 1)]


def _condition(label: str, row: Sequence[float], change: str | None = None) -> Condition:
    side = None
    if label in _SIDES:
        left, right, _ = _SIDES[label]
        side = "left" if row[2] < left else "right" if row[2] < left + right else "bilateral"
    forms = _FORMS.get(label, ("",))
    form = forms[int(row[3] * len(forms))]
    if form == "nodules":
        side = "bilateral"
    return Condition(label, row[1] ** _SUBTLETY, side, form, (row[4], row[5], row[6], row[7]), change)


def _exclusive(conditions: tuple[Condition, ...]) -> tuple[Condition, ...]:
    """A pneumonia's consolidation is the one consolidation, so that the words for it can't be mistaken."""
    has = {condition.label for condition in conditions}
    return tuple(c for c in conditions if not (c.label == CONSOLIDATION and PNEUMONIA in has))


def _course(
    before: tuple[Condition, ...], profile: _Profile, uniform: Sequence[Sequence[float]], prevalence: float
) -> tuple[tuple[Condition, ...], tuple[Condition, ...]]:
    """What has become of a patient's conditions: (those present now, those resolved)."""
    earlier = {condition.label: condition for condition in before}
    now, resolved = [], []
    for label, percent, row in zip(CONDITIONS, profile.percent, uniform, strict=True):
        old = earlier.get(label)
        if old is None:
            if row[0] * 100 < percent * _APPEARS * prevalence and not (label == CONSOLIDATION and PNEUMONIA in earlier):
                now.append(_condition(label, row, "new"))
            continue
        gone, smaller, unchanged, _ = np.cumsum(_COURSE.get(label, _ACUTE))
        step = 0.2 + 0.3 * row[1]
        if row[0] < gone:
            resolved.append(replace(old, change=None))
        elif row[0] < smaller and old.extent > step + 0.05:
            now.append(replace(old, extent=old.extent - step, change="smaller"))
        elif row[0] >= unchanged and old.extent + step < 1:
            now.append(replace(old, extent=old.extent + step, change="larger"))
        else:
            now.append(replace(old, change="unchanged"))
    return _exclusive(tuple(now)), tuple(resolved)


def _anatomy(rng: np.random.Generator, sex: str, age: int) -> Anatomy:
    u = rng.random(20).tolist()
    fat = u[15] ** 1.3
    return Anatomy(
        half_width=0.34 + 0.06 * u[0],
        apex=0.085 + 0.045 * u[1],
        dome=0.7 + 0.08 * u[2],
        left_drop=0.005 + 0.03 * u[3],
        curve=0.05 + 0.05 * u[4],
        heart=0.39 + 0.108 * u[5] ** 0.8,
        heart_tilt=0.3 + 0.45 * u[6],
        knob=(0.012 + 0.02 * u[7]) * (0.7 + 0.006 * age),
        mediastinum=0.04 + 0.022 * u[8],
        spine_bend=0.02 * (u[9] - 0.5) * (3 if u[9] > 0.95 else 1),
        rib_spacing=0.078 + 0.014 * u[10],
        rib_slope=0.07 + 0.13 * u[11],
        rib_contrast=0.6 + 0.6 * u[12],
        clavicle=0.12 + 0.25 * u[13],
        scapula=0.8 * u[14],
        fat=fat,
        breast=0.25 + 0.75 * u[16] if sex == "F" else 0.25 * fat if fat > 0.6 else 0.0,
        nipple=0.05 + 0.07 * u[17] if u[17] < 0.25 else 0.0,
        bubble=0.02 + 0.045 * u[18] if u[18] > 0.35 else 0.0,
        vessels=0.65 + 0.85 * u[19],
        texture=int(rng.integers(2**31)),
    )


def _acquisition(rng: np.random.Generator, profile: _Profile) -> Acquisition:
    u = rng.random(16).tolist()
    bedside = u[0] < profile.bedside
    return Acquisition(
        view="AP" if bedside else "PA",
        inspiration=1 - (0.9 if bedside else 0.6) * u[1] ** 1.5,
        magnify=1.03 + 0.14 * u[14] if bedside else 1 + 0.04 * u[14],
        supine=0.4 * u[15] if bedside else 0.0,
        exposure=(0.26 if bedside else 0.2) * (u[2] - 0.5),
        contrast=(0.8 if bedside else 0.95) + 0.3 * u[3],
        noise=0.02 + (0.036 if bedside else 0.022) * u[4],
        blur=(0.0042 if bedside else 0.003) * u[5] ** 2,
        angle=(7 if bedside else 4) * (u[6] - 0.5),
        zoom=0.95 + 0.14 * u[7],
        shift=(0.06 * (u[8] - 0.5), 0.06 * (u[9] - 0.5)),
        turn=(0.05 if bedside else 0.025) * (u[10] - 0.5),
        skin_fold=0.03 + 0.05 * u[11] if u[11] < (0.3 if bedside else 0.08) else 0.0,
        marker=("left", "right", "none")[int(u[12] * 3)],
        grain=int(rng.integers(2**31)),
    )
