from __future__ import annotations

import gzip
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from rrgbench.config import RunConfig, load
from rrgbench.datasets.mimic_cxr import MimicCXR
from rrgbench.errors import ImageError, UsageError
from rrgbench.interfaces import Dataset
from rrgbench.labels import CHEXPERT
from rrgbench.text.mimic_section_tables import MISNAMED, RANGES
from rrgbench.types import Status, Study

REPOSITORY = Path(__file__).resolve().parents[2]
LABELS = "Atelectasis,Cardiomegaly,Consolidation,Edema,Enlarged Cardiomediastinum,Fracture,Lung Lesion,Lung Opacity,"
LABELS += "No Finding,Pleural Effusion,Pleural Other,Pneumonia,Pneumothorax,Support Devices"
SPLIT = "mimic-cxr-2.0.0-split.csv"
METADATA = "mimic-cxr-2.0.0-metadata.csv"
CHEX = "mimic-cxr-2.0.0-chexpert.csv"
NEGBIO = "mimic-cxr-2.0.0-negbio.csv"
RADIOLOGIST = "mimic-cxr-2.1.0-test-set-labeled.csv"

# Two patients. The first has three studies, the second of them (by the clock, not by its text) in another split; its
# images are listed with the lateral one first. The columns come in an order that no release has.
SPLIT_ROWS = [
    "split,subject_id,study_id,dicom_id",
    "train,10000001,50000003,aa-01",
    "test,10000001,50000001,aa-02",
    "test,10000001,50000001,aa-03",
    "test,10000001,50000001,aa-04",
    "test,10000001,50000001,aa-05",
    "train,10000001,50000002,aa-06",
    "test,10000002,50000004,aa-07",
]
METADATA_ROWS = [
    "ViewPosition,StudyTime,StudyDate,dicom_id,Rows",
    "AP,30000.5,21800101,aa-01,9",
    "LL,95959.25,21800101,aa-02,9",
    "AP,95959.25,21800101,aa-03,9",
    ",95959.25,21800101,aa-04,9",
    "PA,95959.25,21800101,aa-05,9",
    "PA,105959.0,21800101,aa-06,9",
    "AP,,,aa-07,9",
]


def row(**cells: str) -> str:
    """A row of labels; what is not given is blank."""
    return ",".join(cells.get(label.replace(" ", "_"), "") for label in LABELS.split(","))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A hand-made tree with reports, without images."""
    folder = tmp_path / "mimic"
    (folder / "files").mkdir(parents=True)
    write(folder / SPLIT, SPLIT_ROWS)
    write(folder / METADATA, METADATA_ROWS)
    chexpert = [
        f"subject_id,study_id,{LABELS}",
        "10000001,50000001," + row(Edema="1.0", Pneumonia="-1.0", Fracture="0.0"),
        "10000001,50000002," + row(),
    ]
    write(folder / CHEX, chexpert)
    write(folder / NEGBIO, [f"study_id,{LABELS}", "50000001," + row(Edema="0.0")])
    airspace = LABELS.replace("Lung Opacity", "Airspace Opacity")
    write(folder / RADIOLOGIST, [f"study_id,{airspace}", "50000001," + row(Lung_Opacity="1")])
    for patient, study in ((1, 1), (1, 2), (1, 3), (2, 4)):
        report = folder / f"mimic-cxr-reports/files/p10/p1000000{patient}/s5000000{study}.txt"
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(f" FINAL REPORT\n INDICATION:  ___.\n \n FINDINGS: \n \n Study {study}.\n \n IMPRESSION: \n")
    return folder


def write(file: Path, lines: list[str]) -> None:
    file.write_text("\n".join(lines) + "\n")


def studies(dataset: MimicCXR, split: str | None = None) -> dict[str, Study]:
    return {study.study_id: study for study in dataset.load(split)}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "mimic"
    MimicCXR.make(folder, 60, 0)
    return folder


def test_it_is_a_credentialed_dataset_with_the_official_counts(root: Path) -> None:
    dataset = MimicCXR(root)
    assert isinstance(dataset, Dataset)
    assert (dataset.terms, dataset.vocabulary, dataset.splits) == (
        "credentialed",
        CHEXPERT,
        ("train", "validate", "test"),
    )
    for count in ("studies", "images"):
        assert sum(dataset.official[split][count] for split in dataset.splits) == dataset.official[None][count]


def test_images_are_frontal_first_with_views_by_name(root: Path) -> None:
    study = studies(MimicCXR(root))["s50000001"]
    assert [(image.image_id, image.view) for image in study.images] == [
        ("aa-05", "PA"),
        ("aa-03", "AP"),
        ("aa-04", None),
        ("aa-02", "LATERAL"),
    ]


def test_studies_come_by_patient_then_by_the_clock_and_splits_are_those_of_the_file(root: Path) -> None:
    dataset = MimicCXR(root)
    found = studies(dataset)
    assert list(found) == ["s50000003", "s50000001", "s50000002", "s50000004"]
    assert [study.patient_id for study in found.values()] == ["p10000001"] * 3 + ["p10000002"]
    assert list(studies(dataset, "test")) == ["s50000001", "s50000004"]
    assert list(studies(dataset, "validate")) == []


def test_the_prior_is_the_same_patients_study_before_whatever_its_split_and_one_deep(root: Path) -> None:
    found = studies(MimicCXR(root), "train")
    prior = found["s50000002"].prior
    assert prior is not None and (prior.study_id, prior.split, prior.prior) == ("s50000001", "test", None)
    assert prior.sections["findings"] == "Study 1."
    assert found["s50000003"].prior is None
    assert studies(MimicCXR(root))["s50000004"].prior is None


def test_a_study_without_a_date_has_no_prior(root: Path) -> None:
    undated = [line.replace("105959.0,21800101", ",") for line in METADATA_ROWS]
    write(root / METADATA, undated)
    assert studies(MimicCXR(root))["s50000002"].prior is None


def test_a_study_of_the_same_moment_is_no_prior(root: Path) -> None:
    write(root / METADATA, [line.replace("105959.0", "95959.25") for line in METADATA_ROWS])
    prior = studies(MimicCXR(root))["s50000002"].prior
    assert prior is not None and prior.study_id == "s50000003"


def test_labels_are_read_by_name_and_a_blank_is_not_mentioned(root: Path) -> None:
    found = studies(MimicCXR(root))
    labels = found["s50000001"].labels
    assert labels is not None
    assert {f.label: f.status for f in labels} == {
        "Edema": Status.PRESENT,
        "Pneumonia": Status.UNCERTAIN,
        "Fracture": Status.ABSENT,
    }
    assert found["s50000002"].labels is None  # all blank
    assert found["s50000003"].labels is None  # not in the file


def test_all_sources_of_labels_are_there_and_an_option_chooses_one(root: Path) -> None:
    study = studies(MimicCXR(root))["s50000001"]
    assert list(study.labels_by_source) == ["chexpert", "negbio", "radiologist"]
    assert study.labels_by_source["radiologist"].status("Lung Opacity") is Status.PRESENT  # "Airspace Opacity"
    assert study.labels == study.labels_by_source["chexpert"]
    for source in ("negbio", "radiologist"):
        study = studies(MimicCXR(root, labels=source))["s50000001"]  # type: ignore[arg-type]
        assert study.labels == study.labels_by_source[source]


def test_only_the_chosen_labels_must_be_there(root: Path) -> None:
    (root / NEGBIO).unlink()
    (root / RADIOLOGIST).unlink()
    assert list(studies(MimicCXR(root))["s50000001"].labels_by_source) == ["chexpert"]
    with pytest.raises(UsageError, match=r"negbio.*is not there; it is needed by labels=negbio\.$"):
        MimicCXR(root, labels="negbio")


def test_sections_are_read_when_they_are_looked_at_and_empty_ones_are_not_there(root: Path) -> None:
    study = studies(MimicCXR(root))["s50000002"]
    (root / "mimic-cxr-reports/files/p10/p10000001/s50000002.txt").write_text(" FINAL\n FINDINGS:  Later.\n")
    assert study.sections == {"findings": "Later."}
    assert pickle.loads(pickle.dumps(study.sections)) == study.sections  # noqa: S301
    assert dict(studies(MimicCXR(root))["s50000001"].sections) == {"indication": "___.", "findings": "Study 1."}


def test_the_rules_for_sections_are_an_option(root: Path) -> None:
    report = root / "mimic-cxr-reports/files/p10/p10000001/s50000001.txt"
    report.write_text(" FINAL\n FINDINGS:  One.\n \n FINDINGS:  Two.\n")
    assert studies(MimicCXR(root))["s50000001"].sections["findings"] == "Two."
    assert studies(MimicCXR(root, sections="mit-lcp-first"))["s50000001"].sections["findings"] == "One."


@pytest.mark.parametrize("place", ["files", "mimic-cxr-reports", "reports", "mimic-cxr/2.1.0/files"])
def test_reports_are_found_where_the_downloads_leave_them(root: Path, place: str) -> None:
    moved = root / "moved"
    (root / "mimic-cxr-reports/files").rename(moved)
    (root / "mimic-cxr-reports").rmdir()
    if place == "files":
        (root / "files").rmdir()
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    moved.rename(root / place)
    assert studies(MimicCXR(root))["s50000001"].sections["findings"] == "Study 1."


def test_tables_are_found_in_the_folder_that_a_mirror_makes_packed_or_not(root: Path) -> None:
    release = root / "mimic-cxr-jpg/2.1.0"
    release.mkdir(parents=True)
    for name in (SPLIT, METADATA, CHEX):
        (release / f"{name}.gz").write_bytes(gzip.compress((root / name).read_bytes()))
        (root / name).unlink()
    assert len(studies(MimicCXR(root))) == 4


def test_without_reports_it_is_labels_only_and_says_so(root: Path) -> None:
    shutil.rmtree(root / "mimic-cxr-reports")
    dataset = MimicCXR(root)
    assert all(study.sections == {} for study in dataset.load(None))
    assert any("no reports" in note for note in dataset.notes())
    (root / "mimic-cxr-reports.zip").write_bytes(b"")
    assert any("unzip" in note for note in MimicCXR(root).notes())


def test_one_missing_report_is_named_when_it_is_read(root: Path) -> None:
    (root / "mimic-cxr-reports/files/p10/p10000001/s50000002.txt").unlink()
    found = studies(MimicCXR(root))
    assert found["s50000001"].sections["findings"]
    with pytest.raises(UsageError, match=r"p10/p10000001/s50000002\.txt' is not in"):
        found["s50000002"].sections.get("findings")


def test_a_missing_image_costs_that_image_only(root: Path) -> None:
    folder = root / "files/p10/p10000001/s50000001"
    folder.mkdir(parents=True)
    PIL.Image.fromarray(np.full((4, 6), 255, np.uint8)).save(folder / "aa-05.jpg")
    first, second, *_ = studies(MimicCXR(root))["s50000001"].images
    assert pickle.loads(pickle.dumps(first)).read().shape == (4, 6)  # noqa: S301
    with pytest.raises(ImageError, match="aa-03"):
        second.read()


def test_dicom_is_an_option(root: Path) -> None:
    folder = root / "mimic-cxr/2.1.0/files/p10/p10000001/s50000001"
    folder.mkdir(parents=True)
    (folder / "aa-05.dcm").write_bytes(b"no DICOM")
    first, second, *_ = studies(MimicCXR(root, images="dicom"))["s50000001"].images
    with pytest.raises(ImageError, match=r"aa-05\.dcm' is no DICOM"):
        first.read()
    with pytest.raises(ImageError, match=r"2\.1\.0/files/.*aa-03\.dcm' is not in"):
        second.read()


def test_an_unknown_split_is_refused_at_once(root: Path) -> None:
    with pytest.raises(UsageError, match="no split 'val'.*validate"):
        MimicCXR(root).load("val")


BAD_TABLES: dict[str, tuple[str, Callable[[str], str], str]] = {
    "a wrong delimiter": (SPLIT, lambda text: text.replace(",", ";"), "semicolons"),
    "a wrong delimiter of labels": (CHEX, lambda text: text.replace(",", "\t"), "no column"),
    "a missing column": (SPLIT, lambda text: text.replace("subject_id", "patient"), "no column 'subject_id'"),
    "a missing date": (METADATA, lambda text: text.replace("StudyDate", "Date"), "no column 'StudyDate'"),
    "a missing label": (CHEX, lambda text: text.replace("Edema", "Oedema"), "label 'Edema'"),
    "an unknown label value": (CHEX, lambda text: text.replace("-1.0", "2.0"), r"row 1, column 'Pneumonia': '2\.0'"),
    "an unknown split": (SPLIT, lambda text: text.replace("test,", "val,", 1), "row 2, column 'split': 'val'"),
    "a path for a patient": (
        SPLIT,
        lambda t: t.replace("10000002", "../../etc"),
        r"row 7, column 'subject_id': '\.\./",
    ),
    "a path for a study": (SPLIT, lambda t: t.replace("50000004", "/etc/pass"), "row 7, column 'study_id'"),
    "a path for an image": (SPLIT, lambda t: t.replace("aa-07", "../aa-07"), "row 7, column 'dicom_id'"),
    "a path for a labelled study": (CHEX, lambda t: t.replace("50000002", "../x"), "row 2, column 'study_id'"),
    "a study's id that is too long": (SPLIT, lambda t: t.replace("50000004", "5" * 400), "row 7, column 'study_id'"),
    "a study's id as a float": (CHEX, lambda t: t.replace("50000002", "50000002.0"), "8 digits"),
    "a blank id": (SPLIT, lambda text: text.replace("aa-07", ""), "row 7, column 'dicom_id'"),
    "digits of another script": (SPLIT, lambda text: text.replace("10000002", "١٠٠٠٠٠٠٢"), "row 7"),
    "an image twice": (SPLIT, lambda text: text.replace("aa-07", "aa-01"), "row 7: the image 'aa-01' stands twice"),
    "an image twice in the metadata": (METADATA, lambda t: t.replace("aa-07", "aa-01"), "row 7: the image 'aa-01'"),
    "a labelled study twice": (CHEX, lambda text: text.replace("50000002", "50000001"), "50000001 stands twice"),
    "a study of two patients": (
        SPLIT,
        lambda t: t.replace("10000002,50000004", "10000002,50000001"),
        "two patients",
    ),
    "a study in two splits": (SPLIT, lambda t: t.replace("50000002", "50000001"), "50000001 is in two splits"),
    "a date in words": (METADATA, lambda t: t.replace("21800101", "2180-01-01"), "row 1, column 'StudyDate'.*YYYYMMDD"),
    "an absurd date": (METADATA, lambda text: text.replace("21800101", "1e300"), "row 1, column 'StudyDate'"),
    "an endless time": (METADATA, lambda text: text.replace("105959.0", "inf"), "row 6, column 'StudyTime'"),
    "a column twice": (SPLIT, lambda text: text.replace("split,", "study_id,", 1), "two columns 'study_id'"),
    "no rows": (SPLIT, lambda text: text.splitlines()[0] + "\n", "no rows"),
    "an empty file": (CHEX, lambda text: "", "no column"),
    "a row that is too short": (METADATA, lambda text: text.replace(",aa-07,9", ""), "can't be read as a table"),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_a_table_with_a_fault_is_refused_by_file_and_place(root: Path, name: str) -> None:
    file, spoil, message = BAD_TABLES[name]
    before = (root / file).read_text()
    (root / file).write_text(spoil(before))
    assert (root / file).read_text() != before
    with pytest.raises(UsageError, match=message) as caught:
        MimicCXR(root)
    assert file in str(caught.value)


@pytest.mark.parametrize("file", [SPLIT, METADATA, CHEX])
@pytest.mark.parametrize("kept", [3, 30, -4])
def test_a_packed_table_that_is_cut_short_is_refused(root: Path, file: str, kept: int) -> None:
    packed = gzip.compress((root / file).read_bytes())
    (root / f"{file}.gz").write_bytes(packed[:kept])
    (root / file).unlink()
    with pytest.raises(UsageError, match=re.escape(file)):
        MimicCXR(root)


@pytest.mark.parametrize("file", [SPLIT, METADATA, CHEX])
def test_a_table_that_only_calls_itself_packed_is_refused(root: Path, file: str) -> None:
    (root / file).rename(root / f"{file}.gz")
    with pytest.raises(UsageError, match=re.escape(file)):
        MimicCXR(root)


@pytest.mark.parametrize("file", [SPLIT, CHEX])
@pytest.mark.parametrize("encoding", ["utf-16", "cp500"])
def test_a_table_in_another_encoding_is_refused(root: Path, file: str, encoding: str) -> None:
    (root / file).write_bytes((root / file).read_text().encode(encoding))
    with pytest.raises(UsageError, match=re.escape(file)):
        MimicCXR(root)


def test_a_byte_order_mark_does_no_harm(root: Path) -> None:
    (root / SPLIT).write_bytes(b"\xef\xbb\xbf" + (root / SPLIT).read_bytes())
    assert len(studies(MimicCXR(root))) == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\xff\xfeF", "not UTF-8"), (b"x" * 1_000_001, "more than 1,000,000 bytes")],
    ids=["encoding", "size"],
)
def test_a_report_that_is_none_is_refused_by_name(root: Path, content: bytes, message: str) -> None:
    (root / "mimic-cxr-reports/files/p10/p10000001/s50000001.txt").write_bytes(content)
    with pytest.raises(UsageError, match=rf"s50000001\.txt.*{message}"):
        dict(studies(MimicCXR(root))["s50000001"].sections)


def test_no_link_leads_out_of_the_root(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "mimic-cxr-reports/files").rename(outside / "reports")
    (root / "mimic-cxr-reports/files").symlink_to(outside / "reports")
    image = root / "files/p10/p10000001/s50000001"
    image.mkdir(parents=True)
    PIL.Image.new("L", (4, 4)).save(outside / "image.jpg")
    (image / "aa-05.jpg").symlink_to(outside / "image.jpg")
    study = studies(MimicCXR(root))["s50000001"]
    with pytest.raises(UsageError, match="outside"):
        dict(study.sections)
    with pytest.raises(ImageError, match="outside"):
        study.images[0].read()
    (root / CHEX).rename(outside / CHEX)
    (root / CHEX).symlink_to(outside / CHEX)
    with pytest.raises(UsageError, match="a link that leads out"):
        MimicCXR(root)


def test_a_root_that_is_no_folder_is_refused(root: Path) -> None:
    with pytest.raises(UsageError, match="none of this name"):
        MimicCXR(root / "elsewhere")
    with pytest.raises(UsageError, match=r"mimic-cxr-2\.0\.0-split\.csv .*is not there"):
        MimicCXR(root / "files")


def test_problems_are_counted_with_examples(root: Path) -> None:
    (root / "mimic-cxr-reports/files/p10/p10000001/s50000002.txt").unlink()
    folder = root / "files/p10/p10000001/s50000001"
    folder.mkdir(parents=True)
    for name in ("aa-02", "aa-03"):
        (folder / f"{name}.jpg").write_bytes(b"")
    write(root / METADATA, [*METADATA_ROWS[:-1], "PA,1.0,21800101,bb-01,9"])
    with (root / CHEX).open("a") as file:
        file.write(f"10000009,50000009,{row()}\n")
    assert MimicCXR(root).problems() == [
        "5 of 7 images are not in files: p10/p10000001/s50000003/aa-01.jpg, p10/p10000001/s50000001/aa-05.jpg,"
        " p10/p10000001/s50000001/aa-04.jpg, ….",
        "1 of 4 reports are not in mimic-cxr-reports/files: p10/p10000001/s50000002.txt.",
        "1 patients stand in more than one split: p10000001.",
        f"1 images of {SPLIT} are not in {METADATA}: no view and no date is known.",
        f"1 images of {METADATA} are not in {SPLIT}: they are left out.",
        f"1 studies of {CHEX} have no image in {SPLIT}: s50000009.",
    ]


def test_without_images_that_is_the_problem(root: Path) -> None:
    assert MimicCXR(root).problems()[0].startswith("No image (jpg) was found")


def test_the_signature_is_that_of_the_tables(root: Path) -> None:
    before = MimicCXR(root).signature
    assert MimicCXR(root).signature == before
    (root / CHEX).write_text((root / CHEX).read_text().replace("-1.0", "1.0"))
    assert MimicCXR(root).signature != before


def test_what_is_made_is_whole(tree: Path) -> None:
    dataset = MimicCXR(tree)
    assert dataset.problems() == []
    assert dataset.synthetic and not getattr(MimicCXR, "synthetic", False)
    found = list(dataset.load(None))
    assert len(found) == 60
    assert {study.split for study in found} == set(dataset.splits)
    assert {image.view for study in found for image in study.images} == {"PA", "AP", "LATERAL", None}
    assert sum(len(study.images) > 1 for study in found) > 20
    assert sum(study.prior is not None for study in found) > 5
    for study in found:
        assert re.fullmatch(r"s5\d{7}", study.study_id) and re.fullmatch(r"p1\d{7}", study.patient_id)
        assert all(0.0 <= image.read().min() < image.read().max() <= 1.0 for image in study.images)
    names = (tree / "IMAGE_FILENAMES").read_text().split()
    assert all((tree / name).is_file() for name in names)
    assert len(names) == sum(len(study.images) for study in found)


def test_what_is_made_has_reports_of_every_kind(tree: Path) -> None:
    found = studies(MimicCXR(tree))
    kinds = [{"findings", "impression", "last_paragraph"} & set(study.sections) for study in found.values()]
    for kind in ({"findings", "impression"}, {"impression"}, {"last_paragraph"}, set[str]()):
        assert kind in kinds
    for name in ("indication", "history", "technique", "comparison", "examination"):
        assert any(name in study.sections for study in found.values())
    assert any("___" in study.sections.get("indication", "") for study in found.values())
    custom = {*RANGES, *(study for names in MISNAMED.values() for study in names)} & found.keys()
    assert len(custom) == 3
    assert all(set(found[study].sections) <= {"last_paragraph"} for study in custom)


def test_what_is_made_has_labels_of_three_sources(tree: Path) -> None:
    found = list(MimicCXR(tree).load(None))
    statuses = {finding.status for study in found if study.labels for finding in study.labels}
    assert statuses == {Status.PRESENT, Status.ABSENT, Status.UNCERTAIN}
    assert any(study.labels is None for study in found)
    read = [study for study in found if "radiologist" in study.labels_by_source]
    assert read and {study.split for study in read} == {"test"}
    with gzip.open(tree / f"{CHEX}.gz", "rt") as file:
        assert file.readline().strip() == f"subject_id,study_id,{LABELS}"  # the order of the files, not of the page
    assert "Airspace Opacity" in (tree / RADIOLOGIST).read_text().splitlines()[0]


def test_the_same_seed_makes_the_same_tree(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        MimicCXR.make(tmp_path / name, 14, seed)
    files: dict[str, dict[str, Any]] = {
        name: {
            str(f.relative_to(tmp_path / name)): f.read_bytes() for f in (tmp_path / name).rglob("*.*") if f.is_file()
        }
        for name in "abc"
    }
    assert files["a"] == files["b"] != files["c"]


@pytest.mark.parametrize("count", [1, 2, 13])
def test_a_small_tree_can_be_made(tmp_path: Path, count: int) -> None:
    MimicCXR.make(tmp_path / "small", count, 0)
    assert len(studies(MimicCXR(tmp_path / "small"))) == count


def test_nothing_is_made_over_what_is_there(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="something already"):
        MimicCXR.make(root, 5, 0)
    with pytest.raises(UsageError, match="1 or more"):
        MimicCXR.make(tmp_path / "none", 0, 0)


def test_the_reference_pipeline_is_a_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RRGBENCH_MIMIC_CXR", "/mimic")
    config = load(RunConfig, REPOSITORY / "configs" / "mimic-cxr.yaml")
    assert [(spec.name, spec.options) for spec in config.dataset] == [("mimic-cxr", {"root": "/mimic"})]
    assert [spec.name for spec in (*config.encoder, *config.llm)] == ["vit", "cnn", "gpt4"]


def test_a_made_tree_runs_end_to_end(tree: Path, rrgbench: Any) -> None:
    parts = ("--encoder", "oracle", "--llm", "template", "--metric", "rulelabel")
    done = rrgbench("run", "--dataset", f"mimic-cxr:root={tree},labels=negbio", *parts, "--limit", 6, "--json")
    assert done.code == 0, done.err
    run = done.json()
    run = run[0] if isinstance(run, list) else run
    assert (run["split"], run["terms"], run["synthetic"], run["n"]) == ("test", "credentialed", True, 6)
    scores = {score["metric"]: score for score in run["scores"]}
    assert 0 < scores["rulelabel_micro_f1_14"]["value"] <= 1
    assert str(tree) not in done.out
