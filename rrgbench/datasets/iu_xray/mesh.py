"""From the MeSH terms that annotators gave the IU reports to CheXpert's 14 labels: the map is data.

A term is a heading and qualifiers: ``Opacity/lung/base/left/mild``. Annotators coded "the most salient findings" of a
report, or ``normal`` (Demner-Fushman et al., JAMIA 23 (2016) 304; of the same, MRDM 2015, LNCS 9059, 99). They read
reports, not images, and coded no negations. So what they did not code is absent here, with two exceptions, which are
not assessed:

- a term that is near a label and is not the same (a blunted costophrenic angle may be an effusion) neither affirms nor
  denies it: the status ``NEAR`` below;
- a broader label is not denied where a narrower one is coded (``PARENT``: atelectasis is a lung opacity).

What a label means is taken from the instructions to CheXpert's annotators (stanfordmlgroup/chexpert-labeler, issue 26:
"Lung Lesion (Mass/Nodule)", "Pleural Other (Pleural Thickening, Fibrosis)", "Support Devices
(Tubes/Lines/Hardware/Pacer/Defibrillator)", granulomas and calcified nodules ignored) and from its labeler's phrases
(phrases/mention/*.txt: a cardiac shadow is Cardiomegaly's, heart failure and pulmonary congestion are Edema's, a
nodular opacity is Lung Lesion's). Fibrosis is near only: the words of this toolkit for Pleural Other are pleural.

No counterpart have, the commonest first: hypoinflated and hyperdistended lungs, calcifications, (calcified) granulomas
and granulomatous disease, degenerative changes, scoliosis and kyphosis, vessels and atherosclerosis, the diaphragm,
emphysema and COPD, hernias, foreign bodies, the technical quality of the image, and whatever ``MEANINGS`` lacks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rrgbench.datasets.phantom.population import PARENT
from rrgbench.labels import CHEXPERT, NO_FINDING, SUPPORT_DEVICES
from rrgbench.types import Finding, Findings, Status

NORMAL = "normal"
NOT_CODED = "No Indexing"  # 95 reports that nobody coded, nearly all of them normal
QUALITY = "Technical Quality of Image Unsatisfactory"
NEAR = Status.NOT_MENTIONED

# An opacity, a nodule or a mass in one of these is none of the lung.
_OUTSIDE = (
    "abdomen",
    "adipose tissue",
    "breast",
    "heart",
    "mediastinum",
    "paratracheal",
    "pleura",
    "pleural sinus",
    "thoracic vertebrae",
)


@dataclass(frozen=True)
class Meaning:
    """A label that a heading means. ``having``: one of these qualifiers must be there; ``lacking``: none of these."""

    label: str
    status: Status = Status.PRESENT
    having: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()

    def fits(self, qualifiers: Sequence[str]) -> bool:
        """Whether a term with these qualifiers means the label."""
        wanted = not self.having or any(q in qualifiers for q in self.having)
        return wanted and not any(q in qualifiers for q in self.lacking)


_DEVICE = (Meaning(SUPPORT_DEVICES),)
_NEAR_DEVICE = (Meaning(SUPPORT_DEVICES, NEAR),)
_PLEURAL_FLUID = Meaning("Pleural Effusion")
_NEAR_OPACITY = Meaning("Lung Opacity", NEAR)
_BLUNTED = tuple(
    Meaning(label, NEAR, having=("blunted", "obscured")) for label in ("Pleural Effusion", "Pleural Other")
)

MEANINGS: dict[str, tuple[Meaning, ...]] = {
    "Cardiomegaly": (Meaning("Cardiomegaly"),),
    "Cardiac Shadow": (Meaning("Cardiomegaly", having=("enlarged", "borderline")),),
    "Heart Atria": (Meaning("Cardiomegaly", NEAR),),
    "Heart Ventricles": (Meaning("Cardiomegaly", NEAR),),
    "Mediastinum": (
        Meaning(
            "Enlarged Cardiomediastinum",
            having=("prominent", "enlarged"),
            lacking=("lymph nodes", "paratracheal", "blood vessels"),
        ),
    ),
    "Pulmonary Edema": (Meaning("Edema"),),
    "Heart Failure": (Meaning("Edema"), Meaning("Cardiomegaly", NEAR)),
    "Pulmonary Congestion": (Meaning("Edema", Status.UNCERTAIN),),
    "Opacity": (Meaning("Lung Opacity", lacking=_OUTSIDE), Meaning("Lung Lesion", having=("round",), lacking=_OUTSIDE)),
    "Airspace Disease": (Meaning("Lung Opacity"),),
    "Infiltrate": (Meaning("Lung Opacity"),),
    "Cicatrix": (
        Meaning("Lung Opacity", lacking=("pleura", "breast", "ribs")),
        Meaning("Pleural Other", having=("pleura",)),
    ),
    "Density": (_NEAR_OPACITY, Meaning("Lung Lesion", NEAR, having=("round",))),
    "Markings": (_NEAR_OPACITY,),
    "Lung": (Meaning("Lung Opacity", NEAR, having=("interstitial",)),),
    "Lung Diseases, Interstitial": (_NEAR_OPACITY,),
    "Pulmonary Fibrosis": (_NEAR_OPACITY, Meaning("Pleural Other", NEAR)),
    "Fibrosis": (_NEAR_OPACITY, Meaning("Pleural Other", NEAR)),
    "Nodule": (Meaning("Lung Lesion", lacking=_OUTSIDE),),
    "Mass": (Meaning("Lung Lesion", lacking=_OUTSIDE),),
    "Cavitation": (Meaning("Lung Lesion", NEAR),),
    "Consolidation": (Meaning("Consolidation"),),
    "Pneumonia": (Meaning("Pneumonia"),),
    "Pulmonary Atelectasis": (Meaning("Atelectasis"),),
    "Volume Loss": (Meaning("Atelectasis", NEAR),),
    "Pneumothorax": (Meaning("Pneumothorax"),),
    "Hydropneumothorax": (Meaning("Pneumothorax"), _PLEURAL_FLUID),
    "Hemopneumothorax": (Meaning("Pneumothorax"), _PLEURAL_FLUID),
    "Hemothorax": (_PLEURAL_FLUID,),
    "Pleural Effusion": (_PLEURAL_FLUID,),
    "Costophrenic Angle": _BLUNTED,
    "Sulcus": _BLUNTED,
    "Pleura": tuple(Meaning(label, NEAR) for label in ("Pleural Effusion", "Pleural Other")),
    "Thickening": (Meaning("Pleural Other", having=("pleura",)),),
    "Fractures, Bone": (Meaning("Fracture"),),
    "Deformity": (
        Meaning(
            "Fracture",
            NEAR,
            having=("ribs", "clavicle", "humerus", "sternum", "spine", "thoracic vertebrae", "lumbar vertebrae"),
        ),
    ),
    "Catheters, Indwelling": _DEVICE,
    "Tube, Inserted": _DEVICE,
    "Implanted Medical Device": _DEVICE,
    "Medical Device": _DEVICE,
    "Stents": _NEAR_DEVICE,
    "Spinal Fusion": _NEAR_DEVICE,
    "Surgical Instruments": _NEAR_DEVICE,  # clips and wires, now and then a lead
    "Sutures": _NEAR_DEVICE,
}

_SIDES = ("left", "right", "bilateral")
_IMPLIED = {"lingula": "left", "middle lobe": "right"}
_SEVERITIES = ("mild", "moderate", "severe")
_SIZES = {"small": "mild", "large": "severe"}
_SIZED = ("Lung Lesion", "Pleural Effusion", "Pneumothorax")  # of an opacity, "small" says how far it reaches

_RANK = (Status.PRESENT, Status.UNCERTAIN, NEAR)


def split(term: str) -> tuple[str, tuple[str, ...]]:
    """A term's heading and its qualifiers.

    >>> split("Opacity/lung/base/left")
    ('Opacity', ('lung', 'base', 'left'))
    """
    heading, *qualifiers = (" ".join(piece.split()) for piece in term.split("/"))
    return heading, tuple(qualifiers)


def meanings(term: str) -> Iterator[tuple[str, Status]]:
    """The labels that a term means or is near to. A borderline finding is uncertain."""
    heading, qualifiers = split(term)
    for meaning in MEANINGS.get(heading, ()):
        if meaning.fits(qualifiers):
            hedged = meaning.status is Status.PRESENT and "borderline" in qualifiers
            yield meaning.label, Status.UNCERTAIN if hedged else meaning.status


def has_counterpart(term: str) -> bool:
    """Whether a term says that one of the 14 is present or uncertain (``normal``: No Finding)."""
    return split(term)[0] == NORMAL or any(status is not NEAR for _, status in meanings(term))


def findings(terms: Iterable[str]) -> Findings | None:
    """CheXpert's 14 from the terms of one report; a label that is not assessed has no entry. None where it is uncoded.

    >>> found = findings(["Cardiomegaly/borderline", "Pulmonary Atelectasis/base/left/mild", "Scoliosis"])
    >>> [f.label for f in found.having(Status.PRESENT)], found.by_label["Atelectasis"].side
    (['Atelectasis'], 'left')
    >>> found.status("Cardiomegaly").value, found.status("Edema").value, found.status("Lung Opacity").value
    ('uncertain', 'absent', 'not mentioned')
    """
    coded = [term for term in terms if split(term)[0] not in (NOT_CODED, QUALITY, "")]
    if not coded:
        return None
    said: dict[str, list[tuple[Status, str]]] = {}
    for term in coded:
        for label, status in meanings(term):
            said.setdefault(label, []).append((status, term))
    statuses = {label: _status(said.get(label, ())) for label in CHEXPERT.labels}
    for label in said:
        if statuses[label] in (Status.PRESENT, Status.UNCERTAIN):
            for broader in _broader(label):
                statuses[broader] = NEAR if statuses[broader] is Status.ABSENT else statuses[broader]
    statuses[NO_FINDING] = _no_finding(coded)
    return Findings(
        CHEXPERT,
        {
            label: _finding(label, status, [term for its, term in said.get(label, ()) if its is status])
            for label, status in statuses.items()
            if status is not NEAR
        },
    )


def _status(said: Sequence[tuple[Status, str]]) -> Status:
    found = {status for status, _ in said}
    return next((status for status in _RANK if status in found), Status.ABSENT)


def _broader(label: str) -> Iterator[str]:
    while label in PARENT:
        label = PARENT[label]
        yield label


def _no_finding(coded: Sequence[str]) -> Status:
    """Nothing but devices is No Finding, as CheXpert has it; what may be a device leaves it open."""
    said = [dict(meanings(term)) for term in coded if split(term)[0] != NORMAL]
    if any(set(labels) != {SUPPORT_DEVICES} for labels in said):
        return Status.ABSENT
    return NEAR if any(labels[SUPPORT_DEVICES] is NEAR for labels in said) else Status.PRESENT


def _finding(label: str, status: Status, terms: Sequence[str]) -> Finding:
    """A label with the side and the severity that its terms give: both sides make it bilateral, the worst counts."""
    qualifiers = [split(term)[1] for term in terms]
    sides = {side for each in qualifiers if (side := _side(each))}
    severities = [severity for each in qualifiers for q in each if (severity := _severity(label, q))]
    return Finding(
        label,
        status,
        side=None if not sides else sides.pop() if len(sides) == 1 else "bilateral",
        severity=max(severities, key=_SEVERITIES.index, default=None),
    )


def _side(qualifiers: Sequence[str]) -> str | None:
    stated = [q for q in qualifiers if q in _SIDES]
    return stated[0] if stated else next((_IMPLIED[q] for q in qualifiers if q in _IMPLIED), None)


def _severity(label: str, qualifier: str) -> str | None:
    if qualifier in _SEVERITIES:
        return qualifier
    return _SIZES.get(qualifier) if label in _SIZED else None
