"""What the radiologists write: five styles, from the truth of a study.

A report never denies what is there and never asserts what is not; what is subtle may be hedged, and what is minor or
subtle may go unmentioned, as in life. Each sentence carries its claims, so that this can be tested.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import numpy as np

from rrgbench.datasets.phantom import population as who
from rrgbench.datasets.phantom.population import Condition, Visit
from rrgbench.labels import NO_FINDING, SUPPORT_DEVICES
from rrgbench.types import Status

_T = TypeVar("_T")

STYLES = ("terse", "systematic", "narrative", "numbered", "cautious")

# The parts of the chest in the order of a systematic report, and the labels that belong to each.
_PARTS: dict[str, tuple[str, ...]] = {
    "Lines and tubes": (SUPPORT_DEVICES,),
    "Heart": (who.CARDIOMEGALY, who.MEDIASTINUM),
    "Lungs": (who.EDEMA, who.PNEUMONIA, who.CONSOLIDATION, who.LESION, who.ATELECTASIS, who.OPACITY),
    "Pleura": (who.EFFUSION, who.PNEUMOTHORAX, who.PLEURAL_OTHER),
    "Bones": (who.FRACTURE,),
}

# How likely a condition goes unmentioned: (whatever its extent, where it is subtle besides).
_SILENCE: dict[str, tuple[float, float]] = {
    SUPPORT_DEVICES: (0.12, 0.0),
    who.FRACTURE: (0.2, 0.1),
    who.PLEURAL_OTHER: (0.2, 0.2),
}
_SUBTLE = 0.2  # the extent below which a condition is subtle


@dataclass(frozen=True)
class Sentence:
    """One sentence with what a reader (or a labeler) should take from it, and the part of the chest it belongs to."""

    text: str
    claims: Mapping[str, Status] = field(default_factory=dict)
    part: str = ""


@dataclass(frozen=True)
class Draft:
    """A report before its sentences are joined."""

    style: str
    indication: str
    findings: tuple[Sentence, ...]
    impression: tuple[Sentence, ...]
    compared: bool


@dataclass(frozen=True)
class _Phrase:
    """Words for a condition: a noun, with the labels that it asserts."""

    text: str
    labels: tuple[str, ...]
    number: Literal["one", "many", "mass"] = "one"

    def described(self, word: str) -> _Phrase:
        return _Phrase(f"{word} {self.text}", self.labels, self.number)

    @property
    def with_article(self) -> str:
        if self.number != "one":
            return self.text
        return f"{'an' if self.text[0] in 'aeiou' else 'a'} {self.text}"

    @property
    def be(self) -> str:
        return "are" if self.number == "many" else "is"

    @property
    def have(self) -> str:
        return "have" if self.number == "many" else "has"


def write(seed: int, visit: Visit) -> dict[str, str]:
    """The report's sections: "indication", "findings", "impression", and "comparison" for a second study."""
    report = draft(seed, visit)
    sections = {"indication": report.indication}
    if report.compared:
        sections["comparison"] = "Prior chest radiograph."
    if report.style == "systematic":
        parts = {part: [s.text for s in report.findings if s.part == part] for part in _PARTS}
        sections["findings"] = " ".join(f"{part}: {' '.join(texts)}" for part, texts in parts.items() if texts)
    else:
        sections["findings"] = " ".join(sentence.text for sentence in report.findings)
    if report.style == "numbered":
        sections["impression"] = " ".join(f"{i}. {sentence.text}" for i, sentence in enumerate(report.impression, 1))
    else:
        sections["impression"] = " ".join(sentence.text for sentence in report.impression)
    return sections


def draft(seed: int, visit: Visit) -> Draft:
    """Who writes, what is mentioned and how, sentence by sentence."""
    return _Radiologist(np.random.default_rng((seed, visit.number, 10 + visit.visit)), visit).draft()


class _Radiologist:
    def __init__(self, rng: np.random.Generator, visit: Visit) -> None:
        self.rng, self.visit = rng, visit
        self.style = self.pick(STYLES)
        self.truth = visit.labels()
        self.told = [condition for condition in visit.conditions if not self._silent(condition)]
        self.hedged = {condition.label for condition in self.told if self._unsure(condition)}

    def pick(self, options: Sequence[_T]) -> _T:
        return options[int(self.rng.integers(len(options)))]

    def chance(self, likely: float) -> bool:
        return bool(self.rng.random() < likely)

    def _silent(self, condition: Condition) -> bool:
        always, subtle = _SILENCE.get(condition.label, (0.0, 0.15))
        return self.chance(always + (subtle if condition.extent < _SUBTLE else 0.0))

    def _unsure(self, condition: Condition) -> bool:
        if condition.label in (SUPPORT_DEVICES, who.MEDIASTINUM) or condition.change == "unchanged":
            return False
        likely = {"mild": 0.3, "moderate": 0.08, "severe": 0.0}[condition.severity]
        return self.chance(min(1.0, likely * (2 if self.style == "cautious" else 1)))

    def draft(self) -> Draft:
        findings = []
        for part, labels in _PARTS.items():
            told = [c for label in labels for c in self.told if c.label == label]
            sentences = [self.state(condition) for condition in told]
            sentences += [s for c in self.visit.resolved if c.label in labels for s in self.resolution(c)]
            if part in _DENIALS:
                sentences += _DENIALS[part](self)
            findings += [Sentence(s.text, s.claims, part) for s in sentences]
        if not findings:
            findings = [self._something()]
        if self.style == "narrative" and self.chance(0.3):
            findings.insert(
                0,
                Sentence(self.pick(("A single frontal view of the chest was obtained.", "Frontal view of the chest."))),
            )
        return Draft(self.style, self.indication(), tuple(findings), tuple(self.impression()), self.visit.visit == 2)

    # What is there

    def state(self, condition: Condition, brief: bool = False) -> Sentence:
        """One condition, asserted or hedged, with its change if there is a prior study."""
        phrase = self.pick(_NOUNS[condition.label](condition))
        if condition.label in self.hedged:
            return self._hedge(condition, phrase)
        claims = dict.fromkeys(phrase.labels, Status.PRESENT)
        if condition.change:
            return Sentence(_capital(self._changed(phrase, condition.change, brief)), claims)
        clauses = _CLAUSES.get(condition.label)
        if clauses and not brief and self.style != "terse" and self.chance(0.6):
            return Sentence(self.pick(clauses)[condition.severity], {condition.label: Status.PRESENT})
        if brief or self.style == "terse":
            return Sentence(_capital(f"{phrase.text}."), claims)
        frames = [
            f"there {phrase.be} {phrase.with_article}.",
            f"{phrase.with_article} {phrase.be} present.",
            f"{phrase.with_article} {phrase.be} seen.",
        ]
        absent = who.PNEUMOTHORAX not in self.truth and condition.label == who.EFFUSION
        if absent and self.style in ("narrative", "cautious") and self.chance(0.5):
            claims[who.PNEUMOTHORAX] = Status.ABSENT
            return Sentence(f"There {phrase.be} {phrase.with_article} without pneumothorax.", claims)
        return Sentence(_capital(self.pick(frames)), claims)

    def _hedge(self, condition: Condition, phrase: _Phrase) -> Sentence:
        if condition.label == who.PNEUMONIA:
            where = _place(condition)
            text, claims = self.pick(
                (
                    (f"{_capital(where)} opacity may represent pneumonia.", {who.OPACITY: Status.PRESENT}),
                    (f"Patchy {where} opacity, suspicious for pneumonia.", {who.OPACITY: Status.PRESENT}),
                    (f"Developing {where} pneumonia cannot be excluded.", {}),
                )
            )
            return Sentence(text, {**claims, who.PNEUMONIA: Status.UNCERTAIN})
        if self.style == "terse":
            frames = [f"possible {phrase.text}.", f"questionable {phrase.text}."]
        else:
            frames = [
                f"there may be {phrase.with_article}.",
                f"{phrase.with_article} cannot be excluded.",
                f"possible {phrase.text}.",
                f"findings are suspicious for {phrase.text}.",
                f"subtle changes may represent {phrase.text}.",
            ]
        return Sentence(_capital(self.pick(frames)), dict.fromkeys(phrase.labels, Status.UNCERTAIN))

    def _changed(self, phrase: _Phrase, change: str, brief: bool) -> str:
        brief = brief or self.style == "terse"
        if change == "new":
            new = phrase.described(self.pick(("new", "interval development of")) if brief else "new")
            return f"{new.text}." if brief else f"there {phrase.be} {new.with_article}."
        if change == "unchanged":
            word = self.pick(("unchanged", "stable"))
            options = [f"{word} {phrase.text}.", f"{phrase.text}, {word} since the prior study."]
            return self.pick(options if brief else [*options, f"{phrase.with_article} {phrase.be} {word}."])
        word = self.pick(
            ("increased", "larger", "worsened") if change == "larger" else ("decreased", "smaller", "improved")
        )
        if word in ("larger", "smaller"):
            return (
                f"{phrase.text}, {word} than on the prior study."
                if brief
                else f"{phrase.with_article} {phrase.be} {word} than on the prior study."
            )
        if brief:
            return f"{phrase.text}, {word} since the prior study."
        return f"{phrase.with_article} {phrase.have} {word} since the prior study."

    def resolution(self, condition: Condition) -> list[Sentence]:
        """That something has gone, where nothing of the kind is left."""
        if condition.label == SUPPORT_DEVICES:
            return (
                [Sentence(_capital(f"the {_DEVICE_NAMES[condition.form]} has been removed."))]
                if self.chance(0.7)
                else []
            )
        phrase = self.pick(_NOUNS[condition.label](condition))
        if any(label in self.truth for label in phrase.labels):
            return []
        text = self.pick(
            (
                f"the previously seen {phrase.text} {phrase.have} resolved.",
                f"interval resolution of the {phrase.text}.",
                f"{phrase.text} seen on the prior study {phrase.have} resolved.",
            )
        )
        return [Sentence(_capital(text), dict.fromkeys(phrase.labels, Status.ABSENT))]

    # What is not there

    def deny(self, *things: str) -> Sentence:
        """That none of these labels is there; only for labels that are absent in truth."""
        words = [_ABSENT_WORDS[label] for label in things]
        claims = dict.fromkeys(things, Status.ABSENT)
        listed = " or ".join(words) if len(words) < 3 else f"{', '.join(words[:-1])}, or {words[-1]}"
        many = len(words) > 1
        both = " and ".join(words)
        frames = {
            "terse": [f"no {listed}."],
            "systematic": [f"no {listed} is seen.", f"no {listed}."],
            "narrative": [
                f"there is no {listed}.",
                f"there is no evidence of {listed}.",
                f"no {listed} is identified.",
            ],
            "numbered": [f"no {listed}.", f"{both} {'are' if many else 'is'} not seen."],
            "cautious": [f"no definite {listed}.", f"there is no {listed}.", f"no evidence of {listed}."],
        }
        return Sentence(_capital(self.pick(frames[self.style])), claims)

    def absent(self, *labels: str) -> list[str]:
        """Those of the labels that are absent in truth."""
        return [label for label in labels if label not in self.truth]

    def deny_heart(self) -> list[Sentence]:
        if who.MEDIASTINUM not in self.truth:
            claims = {who.CARDIOMEGALY: Status.ABSENT, who.MEDIASTINUM: Status.ABSENT}
            options = {
                "terse": ("Normal cardiomediastinal silhouette.", "Heart size normal."),
                "systematic": (
                    "Heart size is normal. Mediastinal contours are unremarkable.",
                    "The cardiomediastinal silhouette is within normal limits.",
                ),
                "narrative": (
                    "The cardiomediastinal silhouette is normal.",
                    "The heart is normal in size and the mediastinal contours are normal.",
                    "The cardiac and mediastinal silhouettes are unremarkable.",
                ),
                "numbered": (
                    "Cardiomediastinal silhouette is normal.",
                    "Heart size and mediastinal contours are within normal limits.",
                ),
                "cautious": (
                    "The cardiomediastinal silhouette is within normal limits.",
                    "Heart size is within normal limits.",
                ),
            }
            text = self.pick(options[self.style])
            if "mediastin" not in text.lower():
                del claims[who.MEDIASTINUM]
            return [Sentence(text, claims)] if self.chance(0.9) else []
        if who.CARDIOMEGALY not in self.truth and self.chance(0.6):
            return [
                Sentence(
                    self.pick(("Heart size is normal.", "The heart is not enlarged.")),
                    {who.CARDIOMEGALY: Status.ABSENT},
                )
            ]
        return []

    def deny_lungs(self) -> list[Sentence]:
        if who.OPACITY not in self.truth:
            text, denied = self.pick(
                (
                    ("The lungs are clear.", (who.OPACITY,)),
                    ("Lungs are clear.", (who.OPACITY,)),
                    ("The lungs are well expanded and clear.", (who.OPACITY,)),
                    ("The lungs are clear without focal consolidation.", (who.OPACITY, who.CONSOLIDATION)),
                    ("Lungs are clear. No pulmonary edema.", (who.OPACITY, who.EDEMA)),
                    ("", ()),
                )
            )
            if text:
                return [Sentence(text, dict.fromkeys(denied, Status.ABSENT))]
        out = []
        choices = self.absent(who.CONSOLIDATION, who.EDEMA, who.PNEUMONIA, who.LESION)
        keep = [label for label in choices if self.chance(0.6 if label == who.CONSOLIDATION else 0.25)]
        if keep:
            out.append(self.deny(*keep))
        return out

    def deny_pleura(self) -> list[Sentence]:
        absent = self.absent(who.EFFUSION, who.PNEUMOTHORAX)
        if len(absent) == 2 and self.chance(0.85):
            return [self.deny(*(absent if self.chance(0.7) else absent[::-1]))]
        if absent and self.chance(0.65):
            return [self.deny(absent[0])]
        return []

    def deny_bones(self) -> list[Sentence]:
        if who.FRACTURE in self.truth or not self.chance(0.45):
            return []
        options = {
            "terse": ("Osseous structures intact.", "No fracture."),
            "systematic": ("No acute osseous abnormality.", "Osseous structures are intact."),
            "narrative": ("The osseous structures are intact.", "No acute osseous abnormality is identified."),
            "numbered": ("No acute osseous abnormality.", "No displaced rib fracture is seen."),
            "cautious": ("No acute fracture is identified.", "Visualized osseous structures are intact."),
        }
        return [Sentence(self.pick(options[self.style]), {who.FRACTURE: Status.ABSENT})]

    def _something(self) -> Sentence:
        """A sentence for a report that would be empty: something that is truly absent, or no claim at all."""
        absent = self.absent(who.PNEUMOTHORAX, who.EFFUSION, who.CONSOLIDATION)
        return self.deny(absent[0]) if absent else Sentence("Single frontal view of the chest.")

    # The rest

    def impression(self) -> list[Sentence]:
        """The mentioned conditions, gravest first; or that there is nothing acute."""
        if NO_FINDING in self.truth:
            claims = {NO_FINDING: Status.PRESENT}
            text = self.pick(
                (
                    "No acute cardiopulmonary abnormality.",
                    "No acute cardiopulmonary process.",
                    "Normal chest radiograph."
                    if SUPPORT_DEVICES not in self.truth
                    else "No acute cardiopulmonary disease.",
                    "No acute cardiopulmonary disease.",
                    "No radiographic evidence of acute cardiopulmonary disease.",
                )
            )
            resolved = [s for c in self.visit.resolved for s in self.resolution(c)]
            return [*resolved[:1], Sentence(text, claims)]
        ranked = sorted(self.told, key=lambda c: (_MINOR.get(c.label, 0), -c.extent))
        grave = [c for c in ranked if not _MINOR.get(c.label) or self.chance(0.4)][:5]
        sentences = [self.state(condition, brief=True) for condition in grave]
        if any(c.label == who.LESION for c in grave) and self.chance(0.5):
            sentences.append(Sentence("CT is recommended for further evaluation."))
        if len(sentences) < 3 and self.chance(0.3):
            absent = self.absent(who.PNEUMOTHORAX, who.CONSOLIDATION)
            sentences += [self.deny(absent[0])] if absent else []
        return sentences or [self._something()]

    def indication(self) -> str:
        symptom = self.pick(_SYMPTOMS["any" if self.chance(0.35) else self.visit.profile])
        person = {"F": "woman", "M": "man"}[self.visit.sex]
        if self.style in ("terse", "numbered"):
            return _capital(f"{symptom}.")
        return f"{self.visit.age}-year-old {person} with {symptom}."


_DENIALS: dict[str, Callable[[_Radiologist], list[Sentence]]] = {
    "Heart": _Radiologist.deny_heart,
    "Lungs": _Radiologist.deny_lungs,
    "Pleura": _Radiologist.deny_pleura,
    "Bones": _Radiologist.deny_bones,
}

_MINOR = {SUPPORT_DEVICES: 2, who.PLEURAL_OTHER: 1, who.FRACTURE: 1}

_ABSENT_WORDS = {
    who.CONSOLIDATION: "focal consolidation",
    who.EDEMA: "pulmonary edema",
    who.PNEUMONIA: "pneumonia",
    who.LESION: "pulmonary nodule",
    who.EFFUSION: "pleural effusion",
    who.PNEUMOTHORAX: "pneumothorax",
}

_SYMPTOMS: dict[str, tuple[str, ...]] = {
    "any": ("chest pain", "shortness of breath", "cough", "weakness", "abdominal pain", "altered mental status"),
    "healthy": ("chest pain", "cough", "a positive tuberculin test", "planned surgery", "palpitations", "dizziness"),
    "heart failure": ("shortness of breath", "leg swelling", "dyspnea on exertion", "orthopnea", "chest pain"),
    "infection": ("fever", "productive cough", "fever and cough", "leukocytosis", "hypoxia"),
    "injury": ("a fall", "a motor vehicle collision", "chest wall pain after trauma", "recent thoracic surgery"),
    "cancer": ("known malignancy", "weight loss", "hemoptysis", "planned chemotherapy", "shortness of breath"),
    "chronic": ("chronic cough", "long-standing dyspnea", "hypertension", "a history of asbestos exposure"),
}


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


_SMALL = {"mild": ("small", "trace"), "moderate": ("moderate",), "severe": ("large",)}
_DEGREE = {"mild": ("mild",), "moderate": ("moderate",), "severe": ("severe", "marked")}


def _place(condition: Condition) -> str:
    """Where in the lungs: "left lower lobe", "bilateral upper lobe", "right mid lung"."""
    where = {"upper": "upper lobe", "mid": "mid lung", "lower": "lower lobe"}[condition.form]
    return f"{condition.side} {where}"


def _cardiomegaly(c: Condition) -> list[_Phrase]:
    return [_Phrase(f"{word} cardiomegaly", (c.label,), "mass") for word in _DEGREE[c.severity]] + [
        _Phrase(f"{word} enlargement of the cardiac silhouette", (c.label,), "mass") for word in _DEGREE[c.severity]
    ]


def _mediastinum(c: Condition) -> list[_Phrase]:
    return [_Phrase("mediastinal widening", (c.label,), "mass"), _Phrase("widened mediastinum", (c.label,))]


def _opacity(c: Condition) -> list[_Phrase]:
    number: Literal["one", "many"] = "many" if c.side == "bilateral" else "one"
    word = "opacities" if number == "many" else "opacity"
    return [
        _Phrase(f"{_place(c)} {word}", (c.label,), number),
        _Phrase(f"hazy {_place(c)} {word}", (c.label,), number),
        _Phrase(f"ill-defined {word} in the {_place(c)}{'s' if number == 'many' else ''}", (c.label,), number),
    ]


def _lesion(c: Condition) -> list[_Phrase]:
    if c.form == "mass":
        return [_Phrase(f"{c.side} lung mass", (c.label,)), _Phrase(f"mass in the {c.side} lung", (c.label,))]
    if c.form == "nodules":
        return [
            _Phrase("multiple pulmonary nodules", (c.label,), "many"),
            _Phrase("several lung nodules", (c.label,), "many"),
        ]
    size = "small " if c.extent < 0.35 else ""
    return [
        _Phrase(f"{size}{c.side} pulmonary nodule", (c.label,)),
        _Phrase(f"{size}nodule in the {c.side} lung", (c.label,)),
    ]


def _edema(c: Condition) -> list[_Phrase]:
    phrases = [_Phrase(f"{word} pulmonary edema", (c.label,), "mass") for word in _DEGREE[c.severity]]
    if c.severity == "mild":
        phrases += [
            _Phrase("mild interstitial edema", (c.label,), "mass"),
            _Phrase("mild pulmonary vascular congestion", (c.label,), "mass"),
        ]
    return phrases


def _consolidation(c: Condition) -> list[_Phrase]:
    return [
        _Phrase(f"{_place(c)} consolidation", (c.label,), "mass"),
        _Phrase(f"dense consolidation in the {_place(c)}{'s' if c.side == 'bilateral' else ''}", (c.label,), "mass"),
        _Phrase(f"{_place(c)} airspace consolidation", (c.label,), "mass"),
    ]


def _pneumonia(c: Condition) -> list[_Phrase]:
    both = (who.PNEUMONIA, who.CONSOLIDATION)
    return [
        _Phrase(f"{_place(c)} pneumonia", (c.label,), "mass"),
        _Phrase(f"patchy {_place(c)} consolidation consistent with pneumonia", both, "mass"),
        _Phrase(f"{_place(c)} consolidation compatible with pneumonia", both, "mass"),
    ]


def _atelectasis(c: Condition) -> list[_Phrase]:
    base = "bibasilar" if c.side == "bilateral" else f"{c.side} basilar"
    kind = "linear" if c.form == "linear" else _DEGREE[c.severity][0]
    return [
        _Phrase(f"{base} atelectasis", (c.label,), "mass"),
        _Phrase(f"{kind} {base} atelectasis", (c.label,), "mass"),
        _Phrase(
            f"{base} subsegmental atelectasis" if c.form == "linear" else f"{base} atelectasis with volume loss",
            (c.label,),
            "mass",
        ),
    ]


def _pneumothorax(c: Condition) -> list[_Phrase]:
    phrases = [_Phrase(f"{size} {c.side} pneumothorax", (c.label,)) for size in _SMALL[c.severity]]
    if c.severity == "mild":
        phrases.append(_Phrase(f"small {c.side} apical pneumothorax", (c.label,)))
    return phrases


def _effusion(c: Condition) -> list[_Phrase]:
    if c.side == "bilateral":
        return [_Phrase(f"{size} bilateral pleural effusions", (c.label,), "many") for size in _SMALL[c.severity]]
    return [_Phrase(f"{size} {c.side} pleural effusion", (c.label,)) for size in _SMALL[c.severity]] + [
        _Phrase(f"{c.side} pleural effusion", (c.label,))
    ]


def _pleural_other(c: Condition) -> list[_Phrase]:
    side = "bilateral" if c.side == "bilateral" else c.side
    if c.form == "apical thickening":
        apex = "biapical" if c.side == "bilateral" else f"{side} apical"
        return [
            _Phrase(f"{apex} pleural thickening", (c.label,), "mass"),
            _Phrase(f"{apex} pleural scarring", (c.label,), "mass"),
        ]
    if c.form == "lateral thickening":
        return [_Phrase(f"{side} pleural thickening", (c.label,), "mass")]
    return [
        _Phrase(f"{side} calcified pleural plaques", (c.label,), "many"),
        _Phrase(f"{side} calcified pleural thickening", (c.label,), "mass"),
    ]


def _fracture(c: Condition) -> list[_Phrase]:
    if c.form == "clavicle":
        return [
            _Phrase(f"{c.side} clavicle fracture", (c.label,)),
            _Phrase(f"fracture of the {c.side} clavicle", (c.label,)),
        ]
    if c.form == "rib":
        return [_Phrase(f"{c.side} rib fracture", (c.label,)), _Phrase(f"fracture of a {c.side} rib", (c.label,))]
    return [
        _Phrase(f"{c.side} rib fractures", (c.label,), "many"),
        _Phrase(f"multiple {c.side} rib fractures", (c.label,), "many"),
    ]


_DEVICE_NAMES = {
    "pacemaker": "pacemaker",
    "central line": "central venous catheter",
    "port": "port catheter",
    "tube": "endotracheal tube",
    "wires": "sternotomy wires",
}


def _device(c: Condition) -> list[_Phrase]:
    if c.form == "wires":
        return [
            _Phrase("median sternotomy wires", (c.label,), "many"),
            _Phrase("intact sternotomy wires", (c.label,), "many"),
        ]
    words = {
        "pacemaker": ("cardiac pacemaker", "pacemaker with leads over the heart"),
        "central line": ("central venous catheter with its tip in the superior vena cava", "central venous line"),
        "port": ("right chest wall port catheter", "port catheter with its tip in the superior vena cava"),
        "tube": ("endotracheal tube above the carina", "endotracheal tube"),
    }
    return [_Phrase(word, (c.label,)) for word in words[c.form]]


_NOUNS: dict[str, Callable[[Condition], list[_Phrase]]] = {
    who.CARDIOMEGALY: _cardiomegaly,
    who.MEDIASTINUM: _mediastinum,
    who.OPACITY: _opacity,
    who.LESION: _lesion,
    who.EDEMA: _edema,
    who.CONSOLIDATION: _consolidation,
    who.PNEUMONIA: _pneumonia,
    who.ATELECTASIS: _atelectasis,
    who.PNEUMOTHORAX: _pneumothorax,
    who.EFFUSION: _effusion,
    who.PLEURAL_OTHER: _pleural_other,
    who.FRACTURE: _fracture,
    SUPPORT_DEVICES: _device,
}

# Whole sentences that some conditions are put in, by severity.
_CLAUSES: dict[str, tuple[dict[str, str], ...]] = {
    who.CARDIOMEGALY: (
        {
            "mild": "The cardiac silhouette is mildly enlarged.",
            "moderate": "The cardiac silhouette is moderately enlarged.",
            "severe": "The cardiac silhouette is markedly enlarged.",
        },
        {
            "mild": "The heart is mildly enlarged.",
            "moderate": "The heart is enlarged.",
            "severe": "The heart is severely enlarged.",
        },
    ),
    who.MEDIASTINUM: (dict.fromkeys(("mild", "moderate", "severe"), "The mediastinum is widened."),),
}
