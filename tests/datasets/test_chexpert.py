"""``chexpert``: the official tables and folders, read by name."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rrgbench.datasets.chexpert import CheXpert
from rrgbench.errors import UsageError
from rrgbench.interfaces import Dataset
from rrgbench.labels import CHEXPERT
from rrgbench.types import Status, Study
from tests.conftest import REPOSITORY, Done

HEADER = "Path,Sex,Age,Frontal/Lateral,AP/PA," + ",".join(CHEXPERT.labels)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chexpert")
    CheXpert.make(folder, 40, 0)
    return folder


def by_id(root: Path, split: str | None = None) -> dict[str, Study]:
    return {study.study_id: study for study in CheXpert(root).load(split)}


def row(path: str, labels: str = "", **cells: str) -> str:
    """A row of train.csv with one label's cell each: ``Edema=-1.0``."""
    known = dict(pair.split("=") for pair in labels.split(";") if pair)
    values = {"Sex": "Female", "Age": "68", "Frontal/Lateral": "Frontal", "AP/PA": "AP", **cells, **known}
    return ",".join([path, *(values.get(name, "") for name in HEADER.split(",")[1:])])


def write(root: Path, *rows: str, name: str = "train.csv", header: str = HEADER) -> Path:
    (root / name).write_text("\n".join([header, *rows]) + "\n")
    return root


# What a made tree is


def test_a_made_tree_has_the_official_columns_in_their_order(made: Path) -> None:
    home = made / "CheXpert-v1.0"
    for name in ("train.csv", "valid.csv"):
        with (home / name).open() as file:
            assert next(csv.reader(file)) == HEADER.split(",")
    with (home / "groundtruth.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["Study", *CHEXPERT.labels]
    assert {path.suffix for path in home.rglob("view*")} == {".jpg"}


def test_splits_counts_and_patients_in_one_split(made: Path) -> None:
    dataset = CheXpert(made)
    assert isinstance(dataset, Dataset)
    assert (dataset.splits, dataset.terms, dataset.vocabulary) == (
        ("train", "validate", "test"),
        "credentialed",
        CHEXPERT,
    )
    patients = {split: {study.patient_id for study in dataset.load(split)} for split in dataset.splits}
    assert all(patients.values())
    assert sum(map(len, patients.values())) == len(set.union(*patients.values()))
    assert len(list(dataset.load(None))) == 40
    assert dataset.problems() == []


def test_every_image_is_there_and_the_frontal_ones_come_first(made: Path) -> None:
    views = []
    for study in by_id(made).values():
        assert all(image.read().shape == (128, 128) for image in study.images)
        views.append([image.view for image in study.images])
    assert ["AP", "LATERAL"] in views and ["PA", "LATERAL"] in views
    assert all(shown[0] != "LATERAL" for shown in views)


def test_the_root_may_be_the_folder_itself_or_the_one_it_was_unpacked_to(made: Path, tmp_path: Path) -> None:
    inside = list(CheXpert(made / "CheXpert-v1.0").load(None))
    around = list(CheXpert(made).load(None))
    assert [study.study_id for study in inside] == [study.study_id for study in around]
    assert [i.image_id for s in inside for i in s.images] == [i.image_id for s in around for i in s.images]
    assert CheXpert(made / "CheXpert-v1.0").signature == CheXpert(made).signature


def test_the_full_size_archives_need_not_be_merged(made: Path, tmp_path: Path) -> None:
    """As they are distributed: the tables and valid/ in batch 1, patients' folders of train in the others."""
    first = tmp_path / "CheXpert-v1.0 batch 1 (validate & csv)"
    first.mkdir()
    home = made / "CheXpert-v1.0"
    for name in ("train.csv", "valid.csv"):
        shutil.copy(home / name, first)
    shutil.copytree(home / "valid", first / "valid")
    for number, patient in enumerate(sorted((home / "train").iterdir())):
        shutil.copytree(
            patient, tmp_path / f"CheXpert-v1.0 batch {2 + number % 3} (train {1 + number % 3})" / patient.name
        )
    merged, apart = by_id(made), by_id(tmp_path)
    assert CheXpert(tmp_path).problems() == ["groundtruth.csv is not there: no split test"]
    for study in apart.values():
        for image, other in zip(study.images, merged[study.study_id].images, strict=True):
            assert image.image_id == other.image_id and (image.read() == other.read()).all()


# What the cells mean


def test_labels_are_found_by_name_and_a_blank_is_not_mentioned(tmp_path: Path) -> None:
    columns = HEADER.split(",")
    cells = dict(
        zip(
            columns,
            row(
                "CheXpert-v1.0/train/patient00001/study1/view1_frontal.jpg", "Edema=-1.0;Fracture=1.0;Pneumonia=0.0"
            ).split(","),
            strict=True,
        )
    )
    mixed = columns[::-1]
    write(tmp_path, ",".join(cells[name] for name in mixed), header=",".join(mixed))
    labels = by_id(tmp_path)["patient00001_study1"].labels
    assert labels is not None
    told = {label: labels.status(label) for label in CHEXPERT.labels}
    assert {label: status for label, status in told.items() if status is not Status.NOT_MENTIONED} == {
        "Edema": Status.UNCERTAIN,
        "Fracture": Status.PRESENT,
        "Pneumonia": Status.ABSENT,
    }


def test_a_study_is_a_patients_and_a_studys_folder_wherever_its_rows_stand(tmp_path: Path) -> None:
    start = "CheXpert-v1.0-small/train/patient00002"
    write(
        tmp_path,
        row(f"{start}/study2/view2_lateral.jpg", **{"Frontal/Lateral": "Lateral", "AP/PA": ""}),
        row(f"{start}/study1/view1_frontal.jpg", "Edema=1.0"),
        row(f"{start}/study2/view1_frontal.jpg", Sex="Male", Age="87"),
    )
    two, one = CheXpert(tmp_path).load("train")
    assert (two.study_id, one.study_id) == ("patient00002_study2", "patient00002_study1")
    assert [(i.image_id, i.view) for i in two.images] == [
        ("train/patient00002/study2/view1_frontal.jpg", "AP"),
        ("train/patient00002/study2/view2_lateral.jpg", "LATERAL"),
    ]
    assert two.labels is None and one.labels is not None  # nothing is said of the first
    assert one.demographics == {"sex": "F", "age": 68.0}
    assert two.prior is None is one.prior and not two.sections


def test_an_unknown_sex_and_an_odd_projection_are_not_passed_on(tmp_path: Path) -> None:
    path = "CheXpert-v1.0/train/patient00001/study1/view1_frontal.jpg"
    write(tmp_path, row(path, Sex="Unknown", Age="", **{"AP/PA": "LL"}))
    (study,) = CheXpert(tmp_path).load(None)
    assert study.demographics == {} and study.images[0].view == "FRONTAL"


def test_test_labels_by_image_or_by_study(made: Path, tmp_path: Path) -> None:
    """groundtruth.csv has a row a study, and the images are what is in its folder; test_labels.csv a row an image."""
    home = tmp_path / "home"
    shutil.copytree(made / "CheXpert-v1.0" / "test", home / "test")
    shutil.copy(made / "CheXpert-v1.0" / "groundtruth.csv", home)
    by_study = by_id(home, "test")
    assert CheXpert(home).splits == ("test",)
    with (home / "groundtruth.csv").open() as file:
        labels = {
            r["Study"].split("/")[-2]: ",".join(r[label] for label in CHEXPERT.labels) for r in csv.DictReader(file)
        }
    paths = sorted(path.relative_to(home).as_posix() for path in (home / "test").rglob("*.jpg"))
    rows = [f"{path},{labels[path.split('/')[1]]}" for path in paths]
    (home / "groundtruth.csv").unlink()
    write(home, *rows, name="test_labels.csv", header="Path," + ",".join(CHEXPERT.labels))
    by_image = by_id(home, "test")
    assert by_study.keys() == by_image.keys()
    for study_id, study in by_study.items():
        assert [(i.image_id, i.view) for i in study.images] == [(i.image_id, i.view) for i in by_image[study_id].images]
        assert study.labels == by_image[study_id].labels and study.images and not study.demographics


def test_test_images_may_be_absent(made: Path, tmp_path: Path) -> None:
    shutil.copy(made / "CheXpert-v1.0" / "groundtruth.csv", tmp_path)
    dataset = CheXpert(tmp_path)
    assert all(study.images == () and study.labels for study in dataset.load("test"))
    assert "there is no image of the split test" in " ".join(dataset.problems())


# What is wrong is said


def test_what_is_not_there_is_said(made: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none of train.csv, valid.csv and groundtruth.csv"):
        CheXpert(tmp_path)
    with pytest.raises(UsageError, match="no split 'valid'.*train, validate, test.*Did you mean 'validate'"):
        CheXpert(made).load("valid")
    write(tmp_path, row("CheXpert-v1.0/train/patient00001/study1/view1_frontal.jpg"), name="valid.csv")
    assert CheXpert(tmp_path).splits == ("validate",)
    problems = " ".join(CheXpert(tmp_path).problems())
    assert "train.csv is not there" in problems and "no image of the split validate" in problems


def test_what_is_unverified_is_said(made: Path) -> None:
    assert "unverified" in " ".join(CheXpert(made).notes())


# End to end


@pytest.mark.parametrize("root", ["", "CheXpert-v1.0"])
def test_a_made_tree_runs(made: Path, rrgbench: Callable[..., Done], root: str) -> None:
    dataset = f"chexpert:root={made / root}"
    done = rrgbench("run", "--dataset", dataset, "--encoder", "oracle", "--llm", "template", "--json")
    assert done.code == 0, done.err
    result: dict[str, Any] = done.json()[0] if isinstance(done.json(), list) else done.json()
    assert (result["split"], result["n"], result["coverage"]) == ("test", len(by_id(made, "test")), 1.0)
    assert result["terms"] == "credentialed"


def test_the_config_names_what_the_reference_pipeline_needs(made: Path, rrgbench: Callable[..., Done]) -> None:
    config = REPOSITORY / "configs" / "chexpert.yaml"
    env = {"RRGBENCH_CHEXPERT": str(made)}
    done = rrgbench("run", "--config", config, "--encoder", "oracle", "--out", "runs", "--json", env=env)
    assert done.code == 0, done.err
    assert "auroc_macro" in done.out and "rulelabel" not in done.out
