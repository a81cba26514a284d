"""Read the XML files of the Open-i collection, from NLMCXR_reports.tgz itself or from what it unpacks to.

Nothing is unpacked: an archive's members are data here, never paths to write.
"""

from __future__ import annotations

import gzip
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from rrgbench import quoting
from rrgbench.datasets.iu_xray.mesh import split
from rrgbench.errors import UsageError
from rrgbench.roots import MAX_TEXT_BYTES, folder, read_text

ARCHIVE = "NLMCXR_reports.tgz"
FOLDER = "ecgen-radiology"
SYNTHETIC = "rrgbench phantom"  # the publisher of a report that was made up
MAX_REPORTS = 100_000  # the collection has 3,955
MAX_BYTES = 1_000_000_000  # unpacked the collection has 21 million


@dataclass(frozen=True)
class XMLReport:
    """One report as its file has it. ``terms`` are the MeSH terms of the annotators, heading and qualifiers."""

    uid: str
    sections: dict[str, str]
    terms: tuple[str, ...]
    image_ids: tuple[str, ...]  # each once
    repeated: tuple[str, ...]  # those that the file names twice
    synthetic: bool


def read(root: Path) -> list[XMLReport]:
    """All reports, by the number in their id. ``root`` is the archive, or a folder with it or with ecgen-radiology/.

    Raises UsageError for whatever is wrong, with the file's name.
    """
    found: dict[str, XMLReport] = {}
    for name, text in _texts(root):
        report = _parse(name, text)
        if report.uid in found:
            raise UsageError(
                f"{name}: the report {quoting.name(report.uid)} stands in another file of {root} already; remove one."
            )
        found[report.uid] = report
    if not found:
        raise UsageError(f"{root}: there is no report in it; a report is an .xml file such as {FOLDER}/1.xml.")
    return sorted(found.values(), key=lambda report: _number(report.uid))


def _texts(root: Path) -> Iterator[tuple[str, str]]:
    """Name and text of each XML file."""
    if root.is_file():
        yield from _archived(root)
        return
    folder(root, "iu-xray")
    if (root / FOLDER).is_dir():
        for file in sorted((root / FOLDER).glob("*.xml")):
            yield str(file), read_text(root, f"{FOLDER}/{file.name}", str(root / FOLDER))
    elif (root / ARCHIVE).is_file():
        yield from _archived(root / ARCHIVE)
    else:
        raise UsageError(
            f"{root}: neither {ARCHIVE} nor the folder {FOLDER} is in it. Download the archive of reports from"
            " Open-i (openi.nlm.nih.gov) and put it there; it needs no unpacking."
        )


def _archived(archive: Path) -> Iterator[tuple[str, str]]:
    try:
        with gzip.open(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            for number, member in enumerate(tar):
                name = f"{archive}, {member.name}"
                if number == MAX_REPORTS:
                    raise UsageError(f"{archive}: more than {MAX_REPORTS:,} members: not the archive of reports.")
                if member.size > MAX_TEXT_BYTES:
                    raise UsageError(f"{name}: more than {MAX_TEXT_BYTES:,} bytes; no report has.")
                data = tar.extractfile(member) if member.isfile() and member.name.endswith(".xml") else None
                if data:
                    try:
                        yield name, data.read().decode("utf-8")
                    except UnicodeDecodeError as error:
                        raise UsageError(f"{name}: not UTF-8 at byte {error.start}.") from None
            while stream.read(1_000_000):  # to the end, where the checksum is: a file cut there has lost nothing yet
                if stream.tell() > MAX_BYTES:
                    raise UsageError(f"{archive}: more than {MAX_BYTES / 1e9:g} GB; not the archive of reports.")
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise UsageError(
            f"{archive}: can't be read as a .tgz ({error}); it may be cut short: download it again."
        ) from None


def _parse(name: str, text: str) -> XMLReport:
    if "<!DOCTYPE" in text:  # the collection has none; entities could be made to grow without end
        raise UsageError(f"{name}: has a document type, which no file of the collection has.")
    try:
        tree = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise UsageError(f"{name}: not well-formed XML ({error}); take it from the archive again.") from None
    uid = tree.find("uId")
    if tree.tag != "eCitation" or uid is None or not (uid.get("id") or "").strip():
        raise UsageError(f'{name}: no report of the collection: it should be an eCitation with <uId id="CXR…"/>.')
    named = [image_id for part in tree.iter("parentImage") if (image_id := (part.get("id") or "").strip())]
    sections = {part.get("Label", "").lower(): part.text or "" for part in tree.iter("AbstractText")}
    return XMLReport(
        uid=uid.get("id", "").strip(),
        sections={section: words for section, words in sections.items() if section and words.strip()},
        terms=tuple(term for part in tree.iter("major") if split(term := (part.text or "").strip())[0]),
        image_ids=tuple(dict.fromkeys(named)),
        repeated=tuple(image_id for at, image_id in enumerate(named) if image_id in named[:at]),
        synthetic=(tree.findtext("publisher") or "").strip() == SYNTHETIC,
    )


def _number(uid: str) -> tuple[int, str]:
    digits = re.search(r"\d{1,18}", uid)
    return int(digits[0]) if digits else 0, uid
