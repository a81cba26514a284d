"""``mimic-cxr``: MIMIC-CXR and MIMIC-CXR-JPG, in the layout of PhysioNet's files."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Literal

from rrgbench import roots
from rrgbench.cache import digest, file_digest
from rrgbench.datasets.mimic_cxr import index as indexing
from rrgbench.datasets.mimic_cxr import layout, making
from rrgbench.datasets.mimic_cxr.labels import FILES, Labels, Source
from rrgbench.datasets.mimic_cxr.layout import METADATA, SPLIT
from rrgbench.datasets.official import Sections
from rrgbench.images import from_file
from rrgbench.labels import CHEXPERT
from rrgbench.text.mimic_sections import Rules, parse
from rrgbench.types import Image, Study


class MimicCXR:
    """MIMIC-CXR below a folder: ``mimic-cxr:root=FOLDER``.

    ``root`` holds the split and metadata files of MIMIC-CXR-JPG (.csv or .csv.gz), its label files, ``files/`` with the
    images and, there or in ``mimic-cxr-reports/files``, the reports. ``labels`` says which file is a study's labels:
    chexpert, negbio (both from the report) or radiologist (687 test studies). ``images``: jpg, or dicom as MIMIC-CXR
    itself has them. ``sections``: mit-lcp (the last section of a name counts; its hand-made exceptions) or
    mit-lcp-first (the first counts, no exceptions: MultiMedEval). Credentialed: it stays on this machine.

    A study's prior is the same patient's study before it by StudyDate, then StudyTime, whatever its split.
    """

    version = "1"
    terms = "credentialed"
    vocabulary = CHEXPERT
    splits = indexing.SPLITS
    # Images by split: wang-zhanyu/R2GenGPT#8; their sum, and the studies in all: Johnson et al., Scientific Data 2019
    # (PMC6908718). Studies of validate and test: as papers count the split file; of train: the others.
    official = {
        "train": {"studies": 222_758, "images": 368_960},
        "validate": {"studies": 1_808, "images": 2_991},
        "test": {"studies": 3_269, "images": 5_159},
        None: {"studies": 227_835, "images": 377_110},
    }
    make = staticmethod(making.make)

    def __init__(
        self,
        root: Path,
        labels: Source = "chexpert",
        images: Literal["jpg", "dicom"] = "jpg",
        sections: Rules = "mit-lcp",
    ) -> None:
        self._root = roots.folder(root, "mimic-cxr")
        self._kind, self._rules, self._chosen = images, sections, labels
        files = [self._table(SPLIT), self._table(METADATA)]
        self._source = str(files[0])
        self._index = indexing.read(*files)
        self._labels: dict[str, Labels] = {}
        for source, name in FILES.items():
            if file := layout.table(self._root, name, source == labels, f"labels={source}"):
                self._labels[source] = Labels(file, self._index.study)
                files.append(file)
        self._images = layout.image_folder(self._root, self._index, images)
        self._reports = layout.report_folder(self._root, self._index)
        self.synthetic = (self._root / making.MARK).is_file()
        self.signature = f"files:{digest([file_digest(file) for file in files])[:12]}"

    def load(self, split: str | None) -> Iterable[Study]:
        """The studies of a split by patient, then by date. Raises UsageError for an unknown split."""
        return self._studies(self._index.of_split(split))

    def notes(self) -> list[str]:
        """What was found."""
        index, out = self._index, []
        patients = len(set(index.patient.tolist()))
        out.append(f"{len(index.dicom):,} images of {len(index):,} studies of {patients:,} patients are listed.")
        if self._reports is None:
            zipped = layout.zipped_reports(self._root)
            out.append(
                f"There are no reports: {zipped} is not unpacked (unzip it where it lies, or into mimic-cxr-reports)."
                if zipped
                else "There are no reports: labels and images only. They come as mimic-cxr-reports.zip with MIMIC-CXR."
            )
        else:
            out.append(f"Reports: {self._reports}, in sections by the rules {self._rules}.")
        if self._images is None:
            out.append(f"There are no images ({self._kind}): what needs pixels fails for every study.")
        else:
            out.append(f"Images: {self._images} ({self._kind}).")
        for source, labels in self._labels.items():
            chosen = "; these are a study's labels" if source == self._chosen else ""
            out.append(f"Labels by {source}: {labels.labelled:,} studies have any ({labels.file.name}){chosen}.")
        if self.synthetic:
            out.append("Synthetic: drawn and written by code; nothing here comes from a patient.")
        return out

    def problems(self) -> list[str]:
        """What is wrong with the files; every folder is listed once."""
        index, out = self._index, []
        if self._images is None:
            out.append(f"No image ({self._kind}) was found below {self._root}.")
        else:
            missing = layout.missing_images(self._root / self._images, index, self._kind)
            out += _some(missing, f"of {len(index.dicom):,} images are not in {self._images}")
        if self._reports is not None:
            missing = layout.missing_reports(self._root / self._reports, index)
            out += _some(missing, f"of {len(index):,} reports are not in {self._reports}")
        out += _some((f"p{p}" for p in index.split_patients()), "patients stand in more than one split")
        if index.unknown:
            out.append(f"{index.unknown:,} images of {SPLIT} are not in {METADATA}: no view and no date is known.")
        if index.unlisted:
            out.append(f"{index.unlisted:,} images of {METADATA} are not in {SPLIT}: they are left out.")
        for labels in self._labels.values():
            out += _some((f"s{s}" for s in labels.strangers), f"studies of {labels.file.name} have no image in {SPLIT}")
        return out

    def _table(self, name: str) -> Path:
        file = layout.table(self._root, name)
        assert file  # a required one that is not there raises
        return file

    def _studies(self, which: Iterable[int]) -> Iterator[Study]:
        for at in which:
            prior = self._index.prior(int(at))
            yield self._study(int(at), None if prior is None else self._study(prior, None))

    def _study(self, at: int, prior: Study | None) -> Study:
        index = self._index
        by_source = {source: found for source, labels in self._labels.items() if (found := labels.of(at))}
        return Study(
            study_id=f"s{index.study[at]}",
            patient_id=f"p{index.patient[at]}",
            split=self.splits[index.split[at]],
            images=self._pictures(at),
            sections=self._sections(at),
            labels=by_source.get(self._chosen),
            labels_by_source=by_source,
            prior=prior,
        )

    def _pictures(self, at: int) -> tuple[Image, ...]:
        index = self._index
        folder = f"{self._images or 'files'}/{layout.study_folder(index, at)}"
        out = []
        for number, name in enumerate(layout.image_names(index, at, self._kind), index.first[at]):
            image = from_file(self._root, f"{folder}/{name}", index.view[number], self._source)
            out.append(dataclasses.replace(image, image_id=str(index.dicom[number])))
        return tuple(out)

    def _sections(self, at: int) -> Sections | dict[str, str]:
        if self._reports is None:
            return {}
        name = f"{self._reports}/{layout.study_folder(self._index, at)}.txt"
        return Sections(partial(_read, self._root, name, self._source, self._rules))


def _read(root: Path, name: str, source: str, rules: Rules) -> dict[str, str]:
    return parse(roots.read_text(root, name, source), Path(name).stem, rules)


def _some(names: Iterable[str], what: str) -> list[str]:
    """How many there are, with the first three; nothing where there are none."""
    found = list(names)
    if not found:
        return []
    return [f"{len(found):,} {what}: {', '.join(found[:3])}{', …' if len(found) > 3 else ''}."]
