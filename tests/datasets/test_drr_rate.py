"""``drr-rate``: six tables and two trees of images."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rrgbench.datasets.drr_rate import DRR_RATE, DRRRate
from rrgbench.errors import UsageError
from rrgbench.interfaces import Dataset
from rrgbench.types import Status
from tests.conftest import Done

LABELS = "multi_abnormality_labels/{}_predicted_labels.csv"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drr")
    DRRRate.make(folder, 40, 0)
    return folder


def write(root: Path, file: str, *lines: str) -> Path:
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text("\n".join(lines) + "\n")
    return root


def labels(root: Path, *rows: str, id: str = "ImageName", split: str = "train") -> Path:
    """A table of labels: each row a name and those that are present."""
    lines = []
    for text in rows:
        name, _, said = text.partition(": ")
        lines.append(",".join([name, *("1" if label in said.split("|") else "0" for label in DRR_RATE.labels)]))
    return write(root, LABELS.format(split), ",".join([id, *DRR_RATE.labels]), *lines)


def test_a_made_tree_is_a_dataset_with_each_patient_in_one_split(made: Path) -> None:
    dataset = DRRRate(made)
    assert isinstance(dataset, Dataset)
    assert (dataset.terms, dataset.vocabulary, dataset.splits) == ("private", DRR_RATE, ("train", "validate"))
    assert len(DRR_RATE) == 18
    patients = {split: {study.patient_id for study in dataset.load(split)} for split in dataset.splits}
    assert all(patients.values()) and not patients["train"] & patients["validate"]
    studies = list(dataset.load(None))
    assert len(studies) == 40 and dataset.problems() == []
    assert all(image.read().shape == (128, 128) for study in studies for image in study.images)
    assert {tuple(image.view for image in study.images) for study in studies} == {
        ("AP", "LATERAL"),
        ("AP", "AP", "LATERAL", "LATERAL"),
    }
    assert all({"findings", "impression", "history", "technique"} == set(study.sections) for study in studies)
    assert any(study.prior for study in studies)


def test_a_study_is_a_scan_with_its_reconstructions(tmp_path: Path) -> None:
    labels(
        tmp_path,
        "train_2_b_2.png",
        "train_2_a_1.png: Lung nodule|Pleural effusion",
        "train_2_b_1.png",
        "train_10_a_1.png",
    )
    studies = {study.study_id: study for study in DRRRate(tmp_path).load("train")}
    assert sorted(studies) == ["train_10_a", "train_2_a", "train_2_b"]
    assert [image.image_id for image in studies["train_2_b"].images] == [
        "train/AP/train_2/train_2_b/train_2_b_1.png",
        "train/AP/train_2/train_2_b/train_2_b_2.png",
    ]
    found = studies["train_2_a"].labels
    assert found is not None and found.not_assessed() == ()
    assert {finding.label for finding in found.having(Status.PRESENT)} == {"Lung nodule", "Pleural effusion"}
    assert studies["train_2_a"].patient_id == studies["train_2_b"].patient_id == "train_2"
    assert all(study.prior is None and not study.sections for study in studies.values())  # no reports, no dates


def test_ct_rates_own_tables_do_as_well(made: Path, tmp_path: Path) -> None:
    """They name volumes, train_1_a_1.nii.gz in VolumeName, where DRR-RATE's name images."""
    for table in made.glob("*/*.csv"):
        text = table.read_text().replace("ImageName", "VolumeName").replace(".png", ".nii.gz")
        write(tmp_path, str(table.relative_to(made)), text.rstrip("\n"))
    ours, theirs = DRRRate(made).load(None), DRRRate(tmp_path).load(None)
    for one, other in zip(ours, theirs, strict=True):
        assert (one.study_id, one.sections, one.labels, one.demographics) == (
            other.study_id,
            other.sections,
            other.labels,
            other.demographics,
        )


def test_reports_people_and_dates_are_joined_by_the_images_name(tmp_path: Path) -> None:
    names = ("train_1_a_1.png", "train_1_b_1.png", "train_1_c_1.png")
    labels(tmp_path, *names)
    write(
        tmp_path,
        "radiology_text_reports/train_reports.csv",
        "Impressions_EN,ImageName,Findings_EN,Technique_EN,ClinicalInformation_EN",
        "Nodule.,train_1_b_1.png, ,,Cough.",
    )
    write(
        tmp_path,
        "metadata/train_metadata.csv",
        "ImageName,StudyDate,PatientAge,PatientSex",
        "train_1_a_1.png,20210102,061Y,F",
        "train_1_b_1.png,20200102,060Y,F",
    )
    studies = {study.study_id: study for study in DRRRate(tmp_path).load(None)}
    assert studies["train_1_b"].sections == {"history": "Cough.", "impression": "Nodule."}
    assert studies["train_1_a"].demographics == {"sex": "F", "age": 61.0}
    assert studies["train_1_c"].demographics == {} == studies["train_1_c"].sections
    priors = {name: study.prior and study.prior.study_id for name, study in studies.items()}
    assert priors == {"train_1_b": None, "train_1_a": "train_1_b", "train_1_c": None}


def test_reconstructions_with_other_labels_are_told(tmp_path: Path) -> None:
    labels(tmp_path, "train_1_a_1.png: Emphysema", "train_1_a_2.png")
    dataset = DRRRate(tmp_path)
    (study,) = dataset.load(None)
    assert study.labels is not None and study.labels.status("Emphysema") is Status.PRESENT
    problems = " ".join(dataset.problems())
    assert "1 scans of train have reconstructions with other labels" in problems
    assert "train/AP is not there" in problems and "radiology_text_reports/train_reports.csv is not there" in problems


def test_one_split_alone(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "multi_abnormality_labels", tmp_path / "multi_abnormality_labels")
    (tmp_path / LABELS.format("train")).unlink()
    assert DRRRate(tmp_path).splits == ("validate",)
    with pytest.raises(UsageError, match="no split 'train'"):
        DRRRate(tmp_path).load("train")
    (tmp_path / LABELS.format("valid")).unlink()
    with pytest.raises(UsageError, match="train_predicted_labels.csv"):
        DRRRate(tmp_path)


def test_the_licence_and_what_has_no_counterpart_are_told(made: Path) -> None:
    notes = " ".join(DRRRate(made).notes())
    assert "not for commercial use" in notes and "other twelve have none" in notes


def test_a_made_tree_runs(made: Path, rrgbench: Callable[..., Done]) -> None:
    command = [
        "run",
        "--dataset",
        f"drr-rate:root={made}",
        "--split",
        "validate",
        "--encoder",
        "oracle",
        "--llm",
        "template",
    ]
    done = rrgbench(*command, "--metric", "rulelabel", "--metric", "classification", "--json")
    assert done.code == 0, done.err
    result: dict[str, Any] = done.json()[0] if isinstance(done.json(), list) else done.json()
    assert result["coverage"] == 1.0 and result["n"] == len(list(DRRRate(made).load("validate")))
