"""``nih-cxr14``: the official table, lists, boxes and folders of images."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from rrgbench.datasets.nih_cxr14 import NIHCXR14
from rrgbench.errors import ImageError, UsageError
from rrgbench.interfaces import Dataset
from rrgbench.labels import NIH
from rrgbench.types import Box, Status, Study
from tests.conftest import Done

# Both as released, with the commas in their last columns' names.
HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nih")
    NIHCXR14.make(folder, 100, 0)
    return folder


def row(name: str, labels: str = "No Finding", follow_up: int = 0, age: str = "58", sex: str = "M") -> str:
    return f"{name},{labels},{follow_up},{int(name[:8])},{age},{sex},PA,2682,2749,0.143,0.143,"


def write(root: Path, *rows: str, boxes: str = "", train: str = "", test: str = "", header: str = HEADER) -> Path:
    (root / "Data_Entry_2017.csv").write_text("\n".join([header, *rows]) + "\n")
    if boxes:
        (root / "BBox_List_2017.csv").write_text(f"{BOX_HEADER}\n{boxes}\n")
    if train or test:
        (root / "train_val_list.txt").write_text(train)
        (root / "test_list.txt").write_text(test)
    return root


def present(study: Study) -> set[str]:
    assert study.labels is not None
    return {finding.label for finding in study.labels.having(Status.PRESENT)}


def test_a_made_tree_is_a_dataset_with_each_patient_in_one_split(made: Path) -> None:
    dataset = NIHCXR14(made)
    assert isinstance(dataset, Dataset)
    assert (dataset.terms, dataset.vocabulary, dataset.splits) == ("open", NIH, ("train", "validate", "test"))
    patients = {split: {study.patient_id for study in dataset.load(split)} for split in dataset.splits}
    assert all(patients.values()) and sum(map(len, patients.values())) == len(set.union(*patients.values()))
    studies = list(dataset.load(None))
    assert len(studies) == 100 and dataset.problems() == []
    assert all(len(study.images) == 1 and study.images[0].read().shape == (128, 128) for study in studies)
    assert any(finding.boxes for study in studies if study.labels for finding in study.labels)
    assert (made / "Data_Entry_2017.csv").read_text().splitlines()[0] == HEADER
    assert (made / "BBox_List_2017.csv").read_text().splitlines()[0] == BOX_HEADER


def test_what_is_not_named_is_absent(tmp_path: Path) -> None:
    names = ("00000001_000.png", "00000002_000.png")
    write(tmp_path, row(names[0], "Effusion|Pleural_Thickening"), row(names[1]))
    one, two = NIHCXR14(tmp_path).load(None)
    assert (one.study_id, one.patient_id) == ("00000001_000", "1")
    assert present(one) == {"Effusion", "Pleural_Thickening"} and present(two) == set()
    assert one.labels is not None and len(one.labels.having(Status.ABSENT)) == 12
    assert one.labels.not_assessed() == ()


def test_boxes_are_fractions_of_1024_pixels_and_infiltrate_is_infiltration(tmp_path: Path) -> None:
    name = "00000001_000.png"
    boxes = [
        f"{name},Infiltrate,256,512,128,64,,,",
        f"{name},Infiltrate,1000,0,100,10.24,,,",
        f"{name},Mass,1,1,1,1,,,",
    ]
    boxes.append("00000009_000.png,Mass,1,1,1,1,,,")  # an image that is not in the table
    dataset = NIHCXR14(write(tmp_path, row(name, "Infiltration|Nodule"), boxes="\n".join(boxes)))
    (study,) = dataset.load(None)
    assert study.labels is not None
    first, second = study.labels.by_label["Infiltration"].boxes
    assert first == Box(0.25, 0.5, 0.125, 0.0625)
    assert second.x + second.width == 1.0  # what reaches beyond the image is cut
    assert study.labels.by_label["Nodule"].boxes == () == study.labels.by_label["Mass"].boxes
    assert "1 boxes are of a label that their image doesn't have" in " ".join(dataset.problems())


@pytest.mark.parametrize("box", ["x,1,1,1", "-1,1,1,1", "1,1,0,1", "1,1,1,", "2000,1,1,1"])
def test_what_is_no_box_is_refused(tmp_path: Path, box: str) -> None:
    name = "00000001_000.png"
    write(tmp_path, row(name, "Mass"), boxes=f"{name},Mass,{box},,,")
    with pytest.raises(UsageError, match=r"BBox_List_2017\.csv, row 1"):
        list(NIHCXR14(tmp_path).load(None))


def test_the_prior_is_the_follow_up_before(tmp_path: Path) -> None:
    names = {f"00000001_{at:03d}.png": at for at in (10, 0, 2)}
    write(tmp_path, *(row(name, follow_up=at) for name, at in names.items()), row("00000002_000.png"))
    priors = {study.study_id: study.prior and study.prior.study_id for study in NIHCXR14(tmp_path).load(None)}
    assert priors == {
        "00000001_000": None,
        "00000001_002": "00000001_000",
        "00000001_010": "00000001_002",
        "00000002_000": None,
    }


@pytest.mark.parametrize(
    ("cell", "age"), [("58", 58.0), ("058Y", 58.0), ("006M", 0.5), ("414", None), ("", None), ("old", None)]
)
def test_ages_of_both_releases(tmp_path: Path, cell: str, age: float | None) -> None:
    (study,) = NIHCXR14(write(tmp_path, row("00000001_000.png", age=cell))).load(None)
    assert study.demographics.get("age") == age and study.demographics["sex"] == "M"


def test_the_release_of_2020_says_sex(tmp_path: Path) -> None:
    write(tmp_path, row("00000001_000.png", sex="F"), header=HEADER.replace("Patient Gender", "Patient Sex"))
    (tmp_path / "Data_Entry_2017.csv").rename(tmp_path / "Data_Entry_2017_v2020.csv")
    (study,) = NIHCXR14(tmp_path).load(None)
    assert study.demographics["sex"] == "F"


# Splits


def test_validate_is_parted_from_train_val_by_patient_whatever_else_is_there(tmp_path: Path) -> None:
    names = [f"{patient:08d}_{at:03d}.png" for patient in range(1, 801) for at in range(2)]
    train, test = names[:1400], names[1400:]
    (tmp_path / "all").mkdir()
    (tmp_path / "few").mkdir()
    rows = [row(name, follow_up=int(name[9:12])) for name in names]
    whole = NIHCXR14(write(tmp_path / "all", *rows, train="\n".join(train), test="\n".join(test)))
    counts = {split: len(list(whole.load(split))) for split in whole.splits}
    assert counts["test"] == 200 and counts["train"] + counts["validate"] == 1400
    assert counts["validate"] == pytest.approx(1400 / 8, rel=0.25)
    split = {study.study_id: study.split for study in whole.load(None)}
    assert all(split[f"{patient:08d}_000"] == split[f"{patient:08d}_001"] for patient in range(1, 801))
    some = NIHCXR14(write(tmp_path / "few", *rows[::7], train="\n".join(train), test="\n".join(test)))
    assert {study.study_id: study.split for study in some.load(None)}.items() <= split.items()
    assert "one patient in 8" in whole.notes()[0]


def test_without_lists_there_are_no_splits(tmp_path: Path) -> None:
    dataset = NIHCXR14(write(tmp_path, row("00000001_000.png")))
    assert dataset.splits == () and [study.split for study in dataset.load(None)] == [None]
    assert "train_val_list.txt is not there" in " ".join(dataset.problems())
    with pytest.raises(UsageError, match=r"no split 'test'.*train_val_list\.txt and test_list\.txt give them"):
        dataset.load("test")


def test_an_image_in_both_lists_is_refused_and_one_in_none_is_told(tmp_path: Path) -> None:
    name, other = "00000001_000.png", "00000002_000.png"
    dataset = NIHCXR14(write(tmp_path, row(name), row(other), train=name, test="00000003_000.png"))
    assert "1 of 2 images are in no list" in " ".join(dataset.problems())
    write(tmp_path, row(name), train=name, test=name)
    with pytest.raises(UsageError, match="00000001_000.png is in both"):
        list(NIHCXR14(tmp_path).load(None))


# Images


def test_an_image_of_a_list_that_the_table_lacks_is_told(tmp_path: Path) -> None:
    names = [f"0000000{patient}_000.png" for patient in (1, 2, 3, 4)]
    dataset = NIHCXR14(write(tmp_path, *map(row, names[:2]), train=names[0], test="\n".join(names[1:])))
    said = "2 images of test_list.txt are not in Data_Entry_2017.csv, such as '00000003_000.png'"
    assert said in dataset.problems() and "train_val_list.txt" not in " ".join(dataset.problems())


def test_images_in_one_folder_or_in_twelve(tmp_path: Path) -> None:
    names = [f"0000000{at}_000.png" for at in range(1, 4)]
    for name, folder in zip(names, ("images", "images_001/images", "images_012/images"), strict=True):
        (tmp_path / folder).mkdir(parents=True)
        PIL.Image.fromarray(np.full((8, 8), 51, np.uint8)).save(tmp_path / folder / name)
    dataset = NIHCXR14(write(tmp_path, *map(row, names), row("00000009_000.png")))
    *there, gone = dataset.load(None)
    assert all(study.images[0].read().mean() == pytest.approx(0.2) for study in there)
    with pytest.raises(ImageError, match="row 4.*not in"):
        gone.images[0].read()
    assert "1 of 4 images are neither in images/" in " ".join(dataset.problems())


def test_an_unknown_label_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="row 2: 'Infiltrate' is no label.*Did you mean 'Infiltration'"):
        list(NIHCXR14(write(tmp_path, row("00000001_000.png"), row("00000002_000.png", "Mass|Infiltrate"))).load(None))


# The real ones, in the official layout


@pytest.fixture(scope="module")
def real(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 300 real radiographs' table and boxes as they are distributed, with a dozen of the images."""
    root = tmp_path_factory.mktemp("real")
    (root / "images_001" / "images").mkdir(parents=True)
    with (shared / "nih" / "studies.csv").open() as file:
        studies = list(csv.DictReader(file))
    rows, boxes = [], []
    for at, study in enumerate(studies):
        name = study["image_index"]
        rows.append(row(name, study["finding_labels"], int(study["follow_up"]), study["age"], study["sex"]))
        boxes += [
            f"{name},{box.replace('Infiltration', 'Infiltrate')},,," for box in study["boxes_1024px"].split(";") if box
        ]
        if at < 12 or study["boxes_1024px"]:
            with PIL.Image.open(shared / "nih" / study["file"]) as image:
                image.save(root / "images_001" / "images" / name, compress_level=1)
    names = [study["image_index"] for study in studies]
    return write(root, *rows, boxes="\n".join(boxes), train="\n".join(names[:200]), test="\n".join(names[200:]))


def test_the_real_radiographs_in_the_official_layout(real: Path) -> None:
    dataset = NIHCXR14(real)
    studies = list(dataset.load(None))
    assert len(studies) == 300 == len({study.patient_id for study in studies})
    assert len(list(dataset.load("test"))) == 100
    boxed = [study for study in studies if study.labels and any(finding.boxes for finding in study.labels)]
    assert len(boxed) == 8
    for study in boxed:
        assert study.images[0].read().shape == (512, 512)
        assert study.labels is not None
        for finding in study.labels:
            for box in finding.boxes:
                assert 0 <= box.x < box.x + box.width <= 1 and 0 <= box.y < box.y + box.height <= 1
    assert dataset.problems() == [f"{300 - len(list((real / 'images_001/images').iterdir()))} of 300 images are neither"
                                  " in images/ nor in images_001/images, …"]  # fmt: skip


def run(rrgbench: Callable[..., Done], root: Path) -> dict[str, Any]:
    command = ["run", "--dataset", f"nih-cxr14:root={root}", "--encoder", "oracle", "--llm", "template", "--json"]
    done = rrgbench(*command)
    assert done.code == 0, done.err
    result: dict[str, Any] = done.json()[0] if isinstance(done.json(), list) else done.json()
    return result


def test_a_made_tree_runs(made: Path, rrgbench: Callable[..., Done]) -> None:
    result = run(rrgbench, made)
    assert (result["split"], result["terms"], result["coverage"]) == ("test", "open", 1.0)
    assert result["n"] == len(list(NIHCXR14(made).load("test")))


def test_the_real_ones_run(real: Path, rrgbench: Callable[..., Done]) -> None:
    result = run(rrgbench, real)
    assert (result["n"], result["coverage"]) == (100, 1.0)
    scores = {score["metric"]: score["value"] for score in result["scores"]}
    assert scores["auroc_macro"] == 1.0  # the oracle's
