"""``phantom``: synthetic frontal chest radiographs with reports, drawn by code, with known truth.

Nothing here comes from a patient. Numbers reached on it say whether a pipeline works, not how well it reads
radiographs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial

import numpy as np
import numpy.typing as npt

from rrgbench.datasets.phantom import drawing, population
from rrgbench.datasets.phantom.reports import write
from rrgbench.errors import UsageError, did_you_mean
from rrgbench.labels import CHEXPERT, SUPPORT_DEVICES
from rrgbench.types import Finding, Findings, Image, Status, Study


class Phantom:
    """Drawn chest radiographs with truth and reports: ``phantom:n=1000,seed=0,size=128``.

    ``n`` is the number of studies in all splits together (70 % of the patients train, 10 % validate, 20 % test),
    ``size`` the images' side in pixels. A patient's split depends on the seed and the patient's number only: the
    training patients of one ``n`` are never test patients of another. ``exposure`` (darker above 0, brighter below;
    -0.5 to 0.5) and ``prevalence`` (times each condition's; 0 to 3) make another hospital of it, for tests of how well
    an encoder travels. Raises ``UsageError`` for a number that makes no sense.
    """

    version = "1"
    terms = "open"
    synthetic = True
    vocabulary = CHEXPERT
    splits = population.SPLITS

    def __init__(
        self, n: int = 1000, seed: int = 0, size: int = 128, exposure: float = 0.0, prevalence: float = 1.0
    ) -> None:
        if n < 1:
            raise UsageError(f"phantom: n={n}, but it is a number of studies: 1 or more")
        if seed < 0:
            raise UsageError(f"phantom: seed={seed}, but a seed is 0 or more")
        if not 32 <= size <= 2048:
            raise UsageError(f"phantom: size={size}, but images are 32 to 2048 pixels wide")
        if not -0.5 <= exposure <= 0.5:
            raise UsageError(f"phantom: exposure={exposure}, but it lies in -0.5 to 0.5")
        if not 0 <= prevalence <= 3:
            raise UsageError(f"phantom: prevalence={prevalence}, but it lies in 0 to 3")
        self.n, self.seed, self.size = n, seed, size
        self._site = population.Site(exposure, prevalence)

    def load(self, split: str | None = None) -> Iterator[Study]:
        """The studies of a split, or of all for None, by patient and then by date."""
        if split is not None and split not in self.splits:
            raise UsageError(
                f"phantom has no split {split!r}; it has {', '.join(self.splits)}.{did_you_mean(split, self.splits)}"
            )
        return self._studies(split)

    def _studies(self, split: str | None) -> Iterator[Study]:
        for number, its_split, visits in population.roster(self.seed, self.n):
            if split not in (None, its_split):
                continue
            first = self._study(number, 1, its_split, None)
            yield first
            if visits == 2:
                yield self._study(number, 2, its_split, first)

    def _study(self, number: int, which: int, split: str, prior: Study | None) -> Study:
        visit = population.visit(self.seed, number, which, self._site)
        patient_id = f"p{number:06d}"
        study_id = f"{patient_id}-{which}"
        recipe = (self.seed, number, which, self.size, self._site)
        image_id = study_id if self._site == population.USUAL else f"{study_id}-{self._site.exposure:g}"
        image = Image(image_id, partial(_read, *recipe), partial(_fingerprint, *recipe), visit.acquisition.view)
        return Study(
            study_id=study_id,
            patient_id=patient_id,
            split=split,
            images=(image,),
            sections=write(self.seed, visit),
            labels=_findings(visit),
            demographics={"age": visit.age, "sex": visit.sex},
            prior=prior,
        )


def _read(seed: int, number: int, which: int, size: int, site: population.Site) -> npt.NDArray[np.float32]:
    return drawing.draw(population.visit(seed, number, which, site), size)


def _fingerprint(seed: int, number: int, which: int, size: int, site: population.Site) -> str:
    recipe = f"phantom {Phantom.version} seed={seed} patient={number} study={which} size={size}"
    if site != population.USUAL:
        recipe += f" {site}"
    return hashlib.sha256(recipe.encode()).hexdigest()


def _findings(visit: population.Visit) -> Findings:
    """The truth of the image: each of the fourteen labels is present or absent."""
    present = visit.labels()
    places = drawing.boxes(visit)
    shown: dict[str, list[population.Condition]] = {}
    for condition in visit.conditions:
        label: str | None = condition.label
        while label:
            shown.setdefault(label, []).append(condition)
            label = population.PARENT.get(label)
    by_label = {}
    for label in CHEXPERT.labels:
        conditions = shown.get(label, [])
        by_label[label] = Finding(
            label,
            Status.PRESENT if label in present else Status.ABSENT,
            side=_side(conditions),
            severity=_severity(label, conditions),
            boxes=places.get(label, ()),
        )
    return Findings(CHEXPERT, by_label)


def _side(conditions: list[population.Condition]) -> str | None:
    sides = {condition.side for condition in conditions} - {None}
    if not sides:
        return None
    return sides.pop() if len(sides) == 1 else "bilateral"


def _severity(label: str, conditions: list[population.Condition]) -> str | None:
    if not conditions or label in (population.FRACTURE, SUPPORT_DEVICES):
        return None
    return max(conditions, key=lambda condition: condition.extent).severity
