"""``iu-xray``: the Indiana University chest X-ray collection, as Open-i distributes it.

Demner-Fushman et al., "Preparing a collection of radiology examinations for distribution and retrieval", JAMIA 23
(2016) 304. CC BY-NC-ND 4.0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NoReturn

from rrgbench import images as image_files
from rrgbench import quoting, tables
from rrgbench.cache import digest, file_digest
from rrgbench.datasets.iu_xray import making, mesh, reports
from rrgbench.datasets.iu_xray.reports import XMLReport
from rrgbench.errors import ImageError, UsageError, did_you_mean
from rrgbench.labels import CHEXPERT
from rrgbench.types import Image, Study

SPLITS = ("train", "validate", "test")
PNG_FOLDER = "NLMCXR_png"
# Reports and images as Open-i counts them (its FAQ); studies by split as in R2Gen's annotation.json.
REPORTS, IMAGES = 3955, 7470
R2GEN = {"train": 2069, "validate": 296, "test": 590}


class IUXray:
    """Reports, MeSH labels and images of the Indiana University collection: ``iu-xray:root=FOLDER``.

    ``root`` is NLMCXR_reports.tgz itself, which is read as it is, or a folder that holds it or what it unpacks to
    (ecgen-radiology). ``images`` is the folder of the PNGs (NLMCXR_png.tgz unpacked); without it they are looked for
    in ``root/NLMCXR_png`` and in ``root``. An image that is not there is still counted; reading it is a failure of its
    study. ``split`` is a table with the columns report_id and split (train, val or validate, test), such as R2Gen's;
    reports that it leaves out are in no split. Sections: findings, impression, indication, comparison, as far as they
    are not empty, the text as it stands. Labels: source "mesh", see ``rrgbench.datasets.iu_xray.mesh``.
    """

    version = "1"
    terms = "open"
    vocabulary = CHEXPERT

    def __init__(self, root: Path, images: Path | None = None, split: Path | None = None) -> None:
        self._root = root
        self._reports = reports.read(root)
        self._folder = _image_folder(root, images)
        self._split = _read_split(split, {report.uid for report in self._reports}) if split else {}
        self.splits = tuple(name for name in SPLITS if name in self._split.values())
        self.synthetic = any(report.synthetic for report in self._reports)
        contents = digest([[r.uid, r.sections, r.terms, r.image_ids] for r in self._reports])
        self.signature = f"reports:{contents[:12]}" + (f"|split_file:{file_digest(split)[:12]}" if split else "")
        self.official: dict[str | None, dict[str, int]] = {None: {"studies": REPORTS, "images": IMAGES}}
        if split:
            self.official |= {name: {"studies": count} for name, count in R2GEN.items()}

    def load(self, split: str | None) -> Iterable[Study]:
        """The studies of a split, or all for None, by the number of their report."""
        if split is not None and split not in self.splits:
            there = ", ".join(self.splits) or "none; give split=FILE"
            raise UsageError(f"iu-xray has no split {split!r}.{did_you_mean(split, self.splits)} It has: {there}.")
        return self._studies(split)

    def _studies(self, split: str | None) -> Iterator[Study]:
        for report in self._reports:
            its_split = self._split.get(report.uid)
            if split is not None and split != its_split:
                continue
            labels = mesh.findings(report.terms)
            yield Study(
                study_id=report.uid,
                patient_id=report.uid,
                split=its_split,
                images=tuple(self._image(report.uid, image_id) for image_id in report.image_ids),
                sections=report.sections,
                labels=labels,
                labels_by_source={"mesh": labels} if labels else {},
            )

    def _image(self, uid: str, image_id: str) -> Image:
        if self._folder is None:
            absent = partial(_absent, uid, image_id, str(self._root))
            return Image(image_id, absent, absent)
        file = image_files.from_file(self._folder, f"{image_id}.png", None, f"report {uid}")
        return replace(file, image_id=image_id)

    def notes(self) -> list[str]:
        """What was found, what the labels are, and what is unverified."""
        lacks = [{"findings", "impression"} - report.sections.keys() for report in self._reports]
        marked = sum("XXXX" in report.sections.get("findings", "") for report in self._reports)
        out = [
            "The licence is CC BY-NC-ND 4.0 (Demner-Fushman et al., JAMIA 23 (2016) 304): for non-commercial use, and"
            " changed copies may not be passed on.",
            f"{len(self._reports):,} reports: {sum('findings' in each for each in lacks):,} without findings,"
            f" {sum('impression' in each for each in lacks):,} without impression, {sum(len(e) == 2 for e in lacks):,}"
            f" with neither; {marked:,} have the de-identification mark XXXX in the findings.",
            self._images(),
            self._repeats(),
            self._coding(),
            "Nothing in the files names the patient: each report counts as a patient of its own (unverified).",
            "The files don't say which image is frontal and which lateral: images come in the order of the file.",
        ]
        return [*out, self._shared_texts()] if "test" in self.splits else out

    def _coding(self) -> str:
        terms = [term for report in self._reports for term in report.terms]
        lacking = Counter(
            heading
            for term in terms
            if not mesh.has_counterpart(term) and (heading := mesh.split(term)[0]) != mesh.NOT_CODED
        )
        named = ", ".join(f"{heading} {count}" for heading, count in lacking.most_common(10))
        more = ", …" if len(lacking) > 10 else ""
        headings = f" (by heading: {named}{more})" if named else ""
        uncoded = sum(mesh.findings(report.terms) is None for report in self._reports)
        return (
            "The labels are MeSH terms that annotators gave to the reports' text, not to the images."
            f" {lacking.total():,} of {len(terms):,} terms mean none of CheXpert's 14{headings};"
            f" {uncoded} reports are not coded and have no labels. What is not coded counts as absent; that the coding"
            " is so complete is unverified."
        )

    def _shared_texts(self) -> str:
        learnt = {_text(r) for r in self._reports if self._split.get(r.uid) == "train"}
        tested = [_text(r) for r in self._reports if self._split.get(r.uid) == "test"]
        same = sum(text in learnt for text in tested)
        return f"{same} of {len(tested)} test reports repeat findings and impression of a training report word by word."

    def problems(self) -> list[str]:
        """Images that a report names twice, and those that are not there, where there is a folder of them."""
        out = []
        if twice := [report for report in self._reports if report.repeated]:
            named = f"{quoting.name(twice[0].repeated[0])} of {quoting.name(twice[0].uid)}"
            out.append(f"{len(twice):,} reports name an image twice, first {named}; it is kept once.")
        missing = _missing(self._folder, self._image_ids()) if self._folder else []
        if missing:
            total = len(self._image_ids())
            out.append(f"{len(missing):,} of {total:,} images are not in {self._folder}, first {missing[0]}.png.")
        return out

    def _image_ids(self) -> list[str]:
        return [image_id for report in self._reports for image_id in report.image_ids]

    def _repeats(self) -> str:
        same = Counter(_text(report) for report in self._reports if report.sections.keys() & {"findings", "impression"})
        twice = [count for count in same.values() if count > 1]
        return (
            f"{sum(twice):,} reports share findings and impression with another; one pair stands in"
            f" {max(twice, default=1)} reports."
        )

    def _images(self) -> str:
        none = sum(not report.image_ids for report in self._reports)
        there = f"They are looked for in {self._folder}." if self._folder else "For the images give images=FOLDER."
        return f"{len(self._image_ids()):,} images are named, and {none} reports name none. {there}"

    @staticmethod
    def make(folder: Path, studies: int, seed: int) -> dict[str, str]:
        """Write a synthetic tree of this layout, marked as such: reports, images and a table of splits like R2Gen's.

        Returns the option that gives the splits.
        """
        return {"split": str(making.make(folder, studies, seed))}


def _text(report: XMLReport) -> tuple[str, str]:
    return report.sections.get("findings", ""), report.sections.get("impression", "")


def _image_folder(root: Path, images: Path | None) -> Path | None:
    """The folder of the PNGs, or None where there is none."""
    if images is not None:
        if not images.is_dir():
            raise UsageError(f"{images}: images=… is the folder of the PNGs (NLMCXR_png.tgz unpacked), and it is none.")
        return images
    if (root / PNG_FOLDER).is_dir():
        return root / PNG_FOLDER
    return root if root.is_dir() and next(root.glob("CXR*.png"), None) else None


def _absent(uid: str, image_id: str, root: str) -> NoReturn:
    raise ImageError(
        f"report {uid}: the image {image_id!r} is not here: {root} has reports only; give images=FOLDER with the PNGs."
    )


def _missing(folder: Path, image_ids: Sequence[str]) -> list[str]:
    there = {file.name for file in folder.glob("*.png")}
    return [image_id for image_id in image_ids if f"{image_id}.png" not in there]


def _read_split(file: Path, known: set[str]) -> dict[str, str]:
    """The split of each report that a table names. Raises UsageError."""
    source = str(file)
    frame = tables.read_table(file)
    tables.require(frame, source, split="split")
    out = {}
    for row, (uid, cell) in enumerate(tables.by_id(frame, source, "report_id")["split"].items(), 1):
        name = {"val": "validate"}.get(cell.strip(), cell.strip())
        if name not in SPLITS:
            raise UsageError(
                f"{source}, row {row}: the split {quoting.cell(cell)} is not train, val, validate or test."
            )
        if uid not in known:
            raise UsageError(
                f"{source}, row {row}: the report {quoting.name(str(uid))} is not among the reports that were read."
            )
        out[str(uid)] = name
    return out
