"""Count what a dataset holds and collect what is wrong with it, in one look at every study.

Only what ``rrgbench.interfaces.Dataset`` promises is used, and whatever the dataset raises is collected, too.
"""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from rrgbench import progress
from rrgbench.errors import FAULTS, RRGBenchError
from rrgbench.types import Image, Study

TARGETS = ("findings", "impression", "report")  # the sections that make a report


@dataclass(frozen=True)
class Problem:
    """What is wrong, and what to do about it (nothing where what is wrong says it)."""

    what: str
    do: str = ""


@dataclass
class Counts:
    """How many studies of a split there are, and how many of them have what. ``official``: the published counts."""

    split: str | None  # None: those in no split
    official: Mapping[str, int] = field(default_factory=dict)
    studies: int = 0
    images: int = 0
    reports: int = 0  # studies with findings, an impression, or a report without sections
    without_images: int = 0
    without_labels: int = 0
    sections: Counter[str] = field(default_factory=Counter)
    people: set[str] = field(default_factory=set)

    @property
    def patients(self) -> int:
        """How many patients there are."""
        return len(self.people)

    def add(self, study: Study) -> None:
        """Count a study, but for its sections, which are read when they are looked at."""
        self.studies += 1
        self.images += len(study.images)
        self.people.add(study.patient_id)
        self.without_images += not study.images
        self.without_labels += study.labels is None

    def differences(self) -> dict[str, tuple[int, int]]:
        """Where the published counts say otherwise: of what, the number found and the published one."""
        found = {"studies": self.studies, "images": self.images, "patients": self.patients, "reports": self.reports}
        numbers = {what: (found.get(what, self.sections[what]), number) for what, number in self.official.items()}
        return {what: each for what, each in numbers.items() if each[0] != each[1]}


class Census:
    """What one look at a dataset gives: counts, problems, and notes that are worth knowing and no fault.

    ``images`` is how many images are drawn by chance (from ``seed``) to be read; None reads all.
    """

    def __init__(self, dataset: Any, images: int | None, seed: int) -> None:
        self._dataset = dataset
        self._most, self._chance = images, random.Random(seed)
        self.total = Counts(None, _official(dataset, None))
        self.counts: list[Counts] = []
        self.faults: dict[str, list[tuple[str, int]]] = {}  # where reading stopped, after how many studies, by fault
        self.missing: dict[str, str] = {}  # why, by image
        self.unreadable: dict[str, str] = {}
        self.drawn: list[Image] = []
        self._offered = 0  # images that could be drawn
        self._split_of: dict[str, str | None] = {}
        self._twice: dict[str, None] = {}
        self._crossing: dict[str, None] = {}
        self._bad_studies: dict[str, str] = {}
        self._texts: Counter[bytes] = Counter()
        self._image_ids: set[str] = set()
        self._repeated_images: dict[str, None] = {}  # in several studies
        self._doubled: dict[str, str] = {}  # in one study, which it gives

    def count_studies(self) -> None:
        """Split by split, as a run reads them, and then whatever is in no split."""
        said = time.monotonic()
        for split in (*self._dataset.splits, None):
            counts = Counts(split, _official(self._dataset, split) if split else {})
            seen: set[str] = set()
            for study in self._load(split):
                if study.study_id in seen:
                    self._twice[study.study_id] = None
                elif split is not None or study.study_id not in self._split_of:
                    try:
                        self._look_at(study, counts)
                    except FAULTS as error:
                        self._bad_studies[study.study_id] = plain(error)
                seen.add(study.study_id)
                if time.monotonic() - said >= progress.EVERY:
                    said = time.monotonic()
                    progress.say(f"count: {self.total.studies} studies")
            if split is not None or counts.studies:
                self.counts.append(counts)

    def _load(self, split: str | None) -> Iterator[Study]:
        """The studies of a split, up to where the dataset fails."""
        number = 0
        try:
            for study in self._dataset.load(split):
                if not isinstance(study, Study):
                    raise TypeError(f"a dataset gives studies, not {type(study).__name__}")
                yield study
                number += 1
        except FAULTS as error:
            what = f"the split {split!r}" if split else "all studies"
            self.faults.setdefault(plain(error), []).append((what, number))

    def _look_at(self, study: Study, counts: Counts) -> None:
        new = study.study_id not in self._split_of
        if not new:
            self._crossing[study.study_id] = None
        self._split_of[study.study_id] = counts.split
        counting = (counts, self.total) if new else (counts,)
        for each in counting:
            each.add(study)
        told = {name: text for name, text in study.sections.items() if text.strip()}
        for each in counting:
            each.sections.update(told.keys())
            each.reports += bool(told.keys() & set(TARGETS))
        if not new:
            return
        if text := "\n".join(" ".join(told.get(name, "").split()) for name in TARGETS).strip():
            self._texts[hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()] += 1
        mine: set[str] = set()
        for image in study.images:
            if image.image_id in mine:
                self._doubled[image.image_id] = study.study_id
            elif image.image_id in self._image_ids:
                self._repeated_images[image.image_id] = None
            mine.add(image.image_id)
            self._draw(image)
        self._image_ids |= mine

    def _draw(self, image: Image) -> None:
        """Keep an image or not, so that in the end each had the same chance (Vitter 1985, algorithm R)."""
        self._offered += 1
        if self._most is None or len(self.drawn) < self._most:
            self.drawn.append(image)
        elif (at := self._chance.randrange(self._offered)) < self._most:
            self.drawn[at] = image

    def read_images(self) -> None:
        """Read those that were drawn."""
        if not self.drawn:
            return
        with (
            ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
            progress.stage("read", len(self.drawn), "images") as advance,
        ):
            for image, (missing, fault) in zip(self.drawn, pool.map(_fault, self.drawn), strict=True):
                if fault:
                    (self.missing if missing else self.unreadable)[image.image_id] = fault
                advance(1)

    def problems(self) -> list[Problem]:
        """What is wrong."""
        out = [_stopped(fault, places) for fault, places in self.faults.items()]
        if not self.total.studies and not self.faults:
            out.append(Problem("There is no study at all.", "Look at the path and the options in the spec."))
        for counts in (*self.counts, self.total):
            if differences := counts.differences():
                out.append(_difference(f"split {counts.split}" if counts.split else "all studies", differences))
        read = f"images, of {len(self.drawn):,} that were read"
        more = "; `--images all` reads every one" if len(self.drawn) < self._offered else ""
        apart = "Keep each in one: what is tested must not be learnt from."
        found = (
            (
                self._twice,
                "Study ids that come twice in a split",
                "Give each study an id of its own; a run refuses these.",
            ),
            (self._doubled, "Image ids that come twice in a study", "Name each image of a study once."),
            (self._crossing, "Studies in two splits", apart),
            (self._shared(), "Patients in two splits", apart),
            (self._bad_studies, "Studies that can't be read", "Mend or replace what is named."),
            (self.missing, f"Missing {read}", f"Put the files where the data say they are{more}."),
            (self.unreadable, f"Unreadable {read}", f"Replace the files: each costs its study{more}."),
        )
        return out + [
            Problem(f"{what}: {len(which):,}, such as {_some(which)}", do) for which, what, do in found if which
        ]

    def notes(self) -> list[str]:
        """What is worth knowing and no fault."""
        out = []
        if getattr(self._dataset, "synthetic", False):
            out.append("Synthetic data: there are no official counts to compare with.")
        if same := [count for count in self._texts.values() if count > 1]:
            out.append(
                f"Texts that are the report of more than one study: {len(same):,}, of {sum(same):,} studies in all,"
                f" {max(same):,} of them with the commonest one."
            )
        if self._repeated_images:
            some = _some(self._repeated_images)
            out.append(f"Image ids that come in several studies: {len(self._repeated_images):,}, such as {some}")
        if self.drawn and not self.missing and not self.unreadable and len(self.drawn) < self._offered:
            # With none in n drawn, the share p below which 95 % of samples have one: (1 - p)^n = 0.05.
            most = 1 - 0.05 ** (1 / len(self.drawn))
            out.append(
                f"{len(self.drawn):,} of {self._offered:,} images were read and are sound: of all, fewer than"
                f" {most:.1%} are not, with 95 % confidence; `--images all` reads every one."
            )
        return out

    def _shared(self) -> dict[str, None]:
        """The patients who are in two splits or more, with the splits."""
        where: dict[str, list[str]] = {}
        for counts in self.counts:
            for patient in counts.people if counts.split else ():
                where.setdefault(patient, []).append(str(counts.split))
        return {f"{patient} in {' and '.join(in_)}": None for patient, in_ in sorted(where.items()) if len(in_) > 1}


def _fault(image: Image) -> tuple[bool, str | None]:
    """Whether an image's file is missing, and what is wrong with it, or None."""
    try:
        pixels = image.read()
        low, high = float(pixels.min()), float(pixels.max())
    except FAULTS as error:
        return not _there(image), plain(error)
    if pixels.ndim != 2:
        return False, f"its shape is {pixels.shape}, not (height, width)"
    if not 0 <= low <= high <= 1:
        return False, f"its values go from {low:g} to {high:g}, not from 0 to 1"
    return False, "all its pixels are the same" if low == high else None


def _there(image: Image) -> bool:
    """Whether there are bytes of it, readable or not."""
    try:
        return bool(image.fingerprint())
    except FAULTS:
        return False


def _official(dataset: Any, split: str | None) -> Mapping[str, int]:
    """The published counts; those of the real data are none of a synthetic tree's."""
    official = None if getattr(dataset, "synthetic", False) else getattr(dataset, "official", None)
    return (official or {}).get(split) or {}


def _difference(where: str, found: Mapping[str, tuple[int, int]]) -> Problem:
    numbers = ", ".join(
        f"{number:,} {what} where officially {published:,}" for what, (number, published) in found.items()
    )
    if all(number < published for number, published in found.values()):
        return Problem(f"{where}: {numbers}", "Some are missing: fetch or unpack the rest.")
    return Problem(f"{where}: {numbers}", "Is it another release, or are there files that don't belong to it?")


def _stopped(fault: str, places: list[tuple[str, int]]) -> Problem:
    """A fault once, however often reading came upon it."""
    where = ", ".join(f"{what} stopped after {number:,} studies" for what, number in places)
    return Problem(f"Reading {where}: {fault}", "Mend what it names; what comes after it was not looked at.")


def _some(found: Mapping[str, str | None]) -> str:
    """The first three, and what is known of the first."""
    names = list(found)
    some = ", ".join([*names[:3], "…"] if len(names) > 3 else names)
    return f"{some} ({found[names[0]]})" if found[names[0]] else some


def plain(error: BaseException) -> str:
    """An error in one line; one of rrgbench's own needs no name."""
    text = " ".join(str(error).split())
    return text if isinstance(error, RRGBenchError) and text else f"{type(error).__name__}: {text}"
