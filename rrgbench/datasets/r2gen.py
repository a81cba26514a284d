"""``r2gen``: the annotation.json of R2Gen (Chen et al., EMNLP 2020), of MIMIC-CXR or of IU X-Ray.

``{"train": [...], "val": [...], "test": [...]}``; each entry has ``id``, ``report`` and ``image_path`` (a list of paths
below the folder of images), which R2Gen's modules/datasets.py reads. Those of MIMIC-CXR have one image each, and
``study_id`` and ``subject_id`` besides; those of IU X-Ray have two images. Of more, R2Gen reads the first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn

from rrgbench import images as image_files
from rrgbench import quoting
from rrgbench.cache import digest, file_digest
from rrgbench.datasets import drawn
from rrgbench.errors import ImageError, UsageError, did_you_mean
from rrgbench.roots import MAX_TEXT_BYTES
from rrgbench.tables import once
from rrgbench.types import Image, Study, Vocabulary

Corpus = Literal["mimic-cxr", "iu-xray"]

KEYS = {"train": "train", "val": "validate", "test": "test"}  # as the file has them, and as they are called here
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_OPEN_I = re.compile(r"CXR\d+_")
MAX_BYTES = 2_000_000_000  # MIMIC-CXR's 276,778 entries take a fraction of it
TERMS: dict[Corpus, str] = {"mimic-cxr": "credentialed", "iu-xray": "open"}
# Images (R2GenGPT, issue 8) and studies with findings of MIMIC-CXR's test split; studies of IU X-Ray, 7:1:2.
OFFICIAL: dict[Corpus, dict[str | None, dict[str, int]]] = {
    "mimic-cxr": {
        "train": {"images": 270_790},
        "validate": {"images": 2_130},
        "test": {"studies": 2_347, "images": 3_858},
    },
    "iu-xray": {"train": {"studies": 2_069}, "validate": {"studies": 296}, "test": {"studies": 590}},
}


class _Entry(NamedTuple):
    """One entry of the file, as it stands; a field that isn't there is None."""

    id: Any
    report: Any
    image_path: Any
    study_id: Any
    subject_id: Any


class R2Gen:
    """The reports and splits of R2Gen: ``r2gen:path=annotation.json,images=FOLDER``.

    The file's ``val`` is the split "validate". MIMIC-CXR's entries of one study are one study here, with one image an
    entry, whose image_id is the entry's id, so that a protocol can count images; study and patient are called s50414267
    and p10000032, as in mimic-cxr. An entry of IU X-Ray is a study; its images have their path as image_id. The report
    is the section "findings". Without ``images`` the folder "images" beside the file is taken, if there is one; an
    image that is not there is still counted, and reading it is a failure of its study. Which ``corpus`` it is shows in
    the entries; MIMIC-CXR's is credentialed, IU X-Ray's open.

    Raises UsageError for whatever is wrong with the file, with the split and the number of the entry.
    """

    version = "1"
    vocabulary = Vocabulary("none", ())

    def __init__(self, path: Path, images: Path | None = None, corpus: Corpus | None = None) -> None:
        if images is not None and not images.is_dir():
            raise UsageError(f"{images}: images=… is the folder that image_path starts from, and it is none.")
        beside = path.parent / "images"
        self._folder = images or (beside if beside.is_dir() else None)
        self._path = path
        self.synthetic, entries = _read(path)
        self._counts = {key: len(entries.get(key, ())) for key in KEYS}
        self.corpus: Corpus = _corpus(path, entries, corpus)
        self.about = self.corpus
        self.terms = TERMS[self.corpus]
        self.official = OFFICIAL[self.corpus]
        group = _by_study if self.corpus == "mimic-cxr" else _by_entry
        self._studies = group(path, entries)
        self.splits = tuple(name for name in KEYS.values() if name in {split for split, _ in self._studies.values()})
        said = "" if corpus else f"corpus:{self.corpus}|"  # the file's name is the same for both
        self.signature = f"{said}file:{file_digest(path)[:12]}"

    def load(self, split: str | None) -> Iterable[Study]:
        """The studies of a split, or all for None, in the order of the file."""
        if split is not None and split not in self.splits:
            hint = did_you_mean(split, self.splits)
            raise UsageError(f"{self._path} has no split {split!r}.{hint} It has: {', '.join(self.splits)}.")
        return self._load(split)

    def _load(self, split: str | None) -> Iterator[Study]:
        for study_id, (its_split, entries) in self._studies.items():
            if split not in (None, its_split):
                continue
            first = entries[0]
            if self.corpus == "mimic-cxr":
                patient = _lettered("p", first.subject_id)
                shown = [self._image(entry.image_path[0], str(entry.id)) for entry in entries]
            else:
                patient = study_id.split("_")[0]  # CXR1_1_IM-0001 is Open-i's report CXR1
                shown = [self._image(name, name) for name in dict.fromkeys(first.image_path)]
            yield Study(
                study_id=study_id,
                patient_id=patient,
                split=its_split,
                images=tuple(shown),
                sections={"findings": first.report} if first.report.strip() else {},
            )

    def _image(self, name: str, image_id: str) -> Image:
        if self._folder is None:
            absent = partial(_absent, name, str(self._path))
            return Image(image_id, absent, absent)
        return replace(image_files.from_file(self._folder, name, None, str(self._path)), image_id=image_id)

    def notes(self) -> list[str]:
        """What an entry is here, and what is unverified."""
        if self.corpus == "mimic-cxr":
            return [
                "The entries of a study are one study with as many images; R2Gen counts a report once an image.",
                "The fields study_id and subject_id are known from users' copies of the file (unverified).",
            ]
        return ["Each report counts as a patient of its own; nothing in the file names the patient (unverified)."]

    def problems(self) -> list[str]:
        """Splits without an entry, and images that stand twice in a study."""
        out = [
            f"{self._path.name} has no entry under {key!r}: no split {KEYS[key]}"
            for key, count in self._counts.items()
            if not count
        ]
        twice = [study_id for study_id, (_, entries) in self._studies.items() if _repeats(entries)]
        if twice:
            kept = "it is kept once" if self.corpus == "iu-xray" else "each entry counts"
            out.append(f"{len(twice)} studies have an image twice, such as {quoting.name(twice[0])}; {kept}")
        return out

    @staticmethod
    def make(folder: Path, studies: int, seed: int) -> None:
        """Write synthetic iu_xray/ and mimic_cxr/ below ``folder``, each with annotation.json and images/.

        Drawn by phantom, and marked as such.
        """
        drawn.empty(folder)
        _make(folder / "iu_xray", _iu_entries, studies, seed)
        _make(folder / "mimic_cxr", _mimic_entries, studies, seed)


# --- read -------------------------------------------------------------------------------------------------------------


def _read(path: Path) -> tuple[bool, dict[str, list[_Entry]]]:
    """Whether the file says that it is synthetic, and its entries by key."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{path}: more than {MAX_BYTES / 1e9:g} GB; R2Gen's files are smaller.")
        with path.open(encoding="utf-8-sig") as file:
            value = json.load(file, object_pairs_hook=_compact(reports={}))
    except OSError as error:
        raise UsageError(f"{path}: can't be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8.") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not sound JSON: {error}; it may be cut short: copy it again.") from None
    if not isinstance(value, dict) or not KEYS.keys() & value.keys():
        raise UsageError(f'{path}: must be an object with the keys "train", "val", "test", each a list of entries.')
    entries = {key: value[key] for key in KEYS if key in value}
    for key, listed in entries.items():
        if not isinstance(listed, list):
            raise UsageError(f"{path}: {key!r} must be a list of entries.")
        for number, entry in enumerate(listed, 1):
            _check(f"{path}, {key}, entry {number}", entry)
    if not any(entries.values()):
        raise UsageError(f"{path}: there is no entry in it.")
    return value.get("synthetic") is True, entries


def _compact(reports: dict[str, str]) -> Any:
    """A hook that keeps of an entry what is needed, and each report's text once: a study's entries share it."""

    def hook(pairs: list[tuple[str, Any]]) -> Any:
        fields = once(pairs)
        if KEYS.keys() & fields.keys():
            return fields
        report = fields.get("report")
        if isinstance(report, str):
            fields["report"] = reports.setdefault(report, report)
        return _Entry(*(fields.get(name) for name in _Entry._fields))

    return hook


def _check(where: str, entry: Any) -> None:
    if not isinstance(entry, _Entry):
        raise UsageError(f"{where}: must be an object with id, report and image_path.")
    for name in ("id", "report", "image_path"):
        if getattr(entry, name) is None:
            raise UsageError(f"{where}: there is no {name!r}.")
    for name in ("id", "study_id", "subject_id"):
        value = getattr(entry, name)
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, (str, int)) or not str(value).strip()
        ):
            raise UsageError(f"{where}: {name!r} must be text or a whole number, not {quoting.cell(str(value))}.")
    if not isinstance(entry.report, str) or len(entry.report) > MAX_TEXT_BYTES:
        raise UsageError(f"{where}: 'report' must be text of at most {MAX_TEXT_BYTES:,} characters.")
    if any(_LONE_SURROGATE.search(str(value)) for value in (entry.id, entry.study_id, entry.subject_id, entry.report)):
        raise UsageError(f"{where}: holds half a character (a lone surrogate); write the text anew.")
    paths = entry.image_path
    if not isinstance(paths, list) or not paths or not all(isinstance(name, str) and name for name in paths):
        raise UsageError(f"{where}: 'image_path' must be a list of file names.")


def _corpus(path: Path, entries: Mapping[str, list[_Entry]], given: Corpus | None) -> Corpus:
    """Which corpus it is. What may be MIMIC-CXR's is never taken for open data, whatever the spec says."""
    everything = [entry for listed in entries.values() for entry in listed]
    known = [entry.study_id is not None and entry.subject_id is not None for entry in everything]
    if all(known):
        found: Corpus = "mimic-cxr"
    elif not any(known) and all(_OPEN_I.match(str(entry.id)) for entry in everything):
        found = "iu-xray"
    else:
        raise UsageError(
            f"{path}: neither MIMIC-CXR's (every entry has study_id and subject_id) nor IU X-Ray's (none has, and every"
            " id is like CXR1_1_IM-0001); read other reports with the dataset table."
        )
    if given not in (None, found):
        raise UsageError(f"{path}: its entries are those of {found}, not of {given}; leave corpus=… out.")
    return found


def _by_entry(path: Path, entries: Mapping[str, list[_Entry]]) -> dict[str, tuple[str, list[_Entry]]]:
    """Split and entry of each study: every entry is one."""
    _check_ids(path, entries)
    return {str(entry.id): (KEYS[key], [entry]) for key, listed in entries.items() for entry in listed}


def _by_study(path: Path, entries: Mapping[str, list[_Entry]]) -> dict[str, tuple[str, list[_Entry]]]:
    """Split and entries of each study. Raises UsageError where they don't agree."""
    _check_ids(path, entries)
    out: dict[str, tuple[str, list[_Entry]]] = {}
    for key, listed in entries.items():
        for number, entry in enumerate(listed, 1):
            split, those = out.setdefault(_lettered("s", entry.study_id), (KEYS[key], []))
            those.append(entry)
            differs = [
                what
                for what, same in (
                    ("split", split == KEYS[key]),
                    ("report", entry.report == those[0].report),
                    ("subject_id", str(entry.subject_id) == str(those[0].subject_id)),
                )
                if not same
            ]
            if differs:
                raise UsageError(
                    f"{path}, {key}, entry {number}: another {differs[0]} than that of"
                    f" {quoting.name(str(those[0].id))}, which is of the same study {entry.study_id}; make them agree,"
                    " or give it a study_id of its own."
                )
    return out


def _repeats(entries: Sequence[_Entry]) -> bool:
    """Whether an image stands twice in the entries of a study."""
    names = [name for entry in entries for name in entry.image_path]
    return len(set(names)) < len(names)


def _check_ids(path: Path, entries: Mapping[str, list[_Entry]]) -> None:
    seen: dict[str, str] = {}
    for key, listed in entries.items():
        for number, entry in enumerate(listed, 1):
            here = f"{key}, entry {number}"
            if (there := seen.setdefault(str(entry.id), here)) != here:
                raise UsageError(
                    f"{path}, {here}: the id {quoting.name(str(entry.id))} stands in {there} already; remove one."
                )


def _lettered(letter: str, number: Any) -> str:
    """An id of MIMIC-CXR with its letter, as the names of its folders and the dataset mimic-cxr have it."""
    return letter + str(number).removeprefix(letter)


def _absent(name: str, source: str) -> NoReturn:
    raise ImageError(
        f"{source}: the image {quoting.name(name)} is not here; give images=FOLDER, the folder that it starts from."
    )


# --- make -------------------------------------------------------------------------------------------------------------


def _make(folder: Path, entries: Callable[[Study, Path, int], list[dict[str, Any]]], studies: int, seed: int) -> None:
    key_of = {split: key for key, split in KEYS.items()}
    out: dict[str, Any] = {"synthetic": True, **{key: [] for key in KEYS}}
    for study in drawn.studies(studies, seed):
        key = key_of[str(study.split)]
        for entry in entries(study, folder / "images", seed):
            out[key].append(entry | {"report": study.sections["findings"], "split": key})
    (folder / "annotation.json").write_text(json.dumps(out), encoding="utf-8")


def _iu_entries(study: Study, images: Path, seed: int) -> list[dict[str, Any]]:
    """One entry a study, with two images, which are written."""
    number = 2 * drawn.number(study) + drawn.visit(study)
    name = f"CXR{number}_1_IM-{number:04d}"
    paths = [f"{name}/0.png", f"{name}/1.png"]
    for path, view in zip(paths, ("PA", "LATERAL"), strict=True):
        drawn.picture(study, view, images / path)
    return [{"id": name, "image_path": paths}]


def _mimic_entries(study: Study, images: Path, seed: int) -> list[dict[str, Any]]:
    """An entry an image, which is written."""
    subject = 90_000_000 + drawn.number(study)
    study_id = 2 * subject + drawn.visit(study)
    out = []
    for view in drawn.views(study, seed):
        name = digest([study_id, view])[:40]
        path = f"p90/p{subject}/s{study_id}/{name}.png"
        drawn.picture(study, view, images / path)
        out.append({"id": name, "study_id": study_id, "subject_id": subject, "image_path": [path]})
    return out
