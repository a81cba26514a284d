from __future__ import annotations

from pathlib import Path

import pytest

from rrgbench.datasets.table import Table
from rrgbench.errors import ImageError, UsageError
from rrgbench.labels import CHEXPERT, NIH
from rrgbench.types import Status, Study


def write(folder: Path, text: str) -> Path:
    file = folder / "studies.csv"
    file.write_text(text)
    return file


def studies(table: Table, split: str | None = None) -> list[Study]:
    return list(table.load(split))


def test_columns_are_named_in_the_spec(radiographs: Path) -> None:
    first = studies(Table(radiographs, image="image", patient="patient_id", labels="labels", report="report"))[0]
    assert (first.study_id, first.patient_id) == ("s0", "p0")
    assert first.images[0].read().shape == (32, 32)
    assert first.sections == {"findings": "The heart is enlarged.", "impression": "Cardiomegaly."}
    assert first.labels is not None and first.labels.status("Cardiomegaly") is Status.PRESENT


def test_all_but_path_and_id_may_be_left_out(tmp_path: Path) -> None:
    (study,) = studies(Table(write(tmp_path, "uid,x\n1,2\n"), id="uid"))
    assert (study.study_id, study.patient_id, study.images, study.labels, dict(study.sections)) == (
        "1",
        "1",
        (),
        None,
        {},
    )


def test_a_listed_label_is_present_and_every_other_absent(tmp_path: Path) -> None:
    table = Table(write(tmp_path, "study_id,y\n1,Effusion|Pleural_Thickening\n2,No Finding\n3,\n"), labels="y")
    assert table.vocabulary is NIH
    one, two, three = studies(table)
    assert one.labels is not None and {f.label for f in one.labels.having(Status.PRESENT)} == {
        "Effusion",
        "Pleural_Thickening",
    }
    assert two.labels is not None and len(two.labels.having(Status.ABSENT)) == 14
    assert three.labels is None  # nobody labelled it


def test_one_column_a_label_by_name_in_any_order(tmp_path: Path) -> None:
    text = "study_id,y_Edema,y_Pleural Effusion,y_Fracture\n1,1.0,-1.0,\n2,0.0,,1.0\n"
    table = Table(write(tmp_path, text), labels="y_")
    assert table.vocabulary is CHEXPERT
    one, two = studies(table)
    assert one.labels is not None and two.labels is not None
    assert [one.labels.status(x) for x in ("Edema", "Pleural Effusion", "Fracture")] == [
        "present",
        "uncertain",
        "not mentioned",
    ]
    assert [two.labels.status(x) for x in ("Edema", "Pleural Effusion", "Fracture")] == [
        "absent",
        "not mentioned",
        "present",
    ]


def test_labels_of_no_known_vocabulary_are_one_of_their_own(tmp_path: Path) -> None:
    table = Table(write(tmp_path, "study_id,y\n1,Scoliosis|Edema\n"), labels="y")
    assert table.vocabulary.labels == ("Edema", "Scoliosis")


def test_splits_and_their_order(tmp_path: Path) -> None:
    table = Table(write(tmp_path, "study_id,s\n1,train\n2,test\n3,validate\n4,test\n"), split="s")
    assert table.splits == ("train", "test", "validate")
    assert [study.study_id for study in table.load("test")] == ["2", "4"]
    assert len(studies(table)) == 4


def test_a_blank_report_is_no_reference(tmp_path: Path) -> None:
    one, two = studies(Table(write(tmp_path, "study_id,report\n1, \n2,None\n"), report="report"))
    assert dict(one.sections) == {}
    assert dict(two.sections) == {"report": "None"}  # what the file says; nothing here ever writes that word


def test_an_image_outside_the_folder_is_never_read(tmp_path: Path) -> None:
    (study,) = studies(Table(write(tmp_path, "study_id,image\n1,../../etc/passwd\n"), image="image"))
    with pytest.raises(ImageError, match="row 1.*outside"):
        study.images[0].read()


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        ("study_id,y\n1,a\n", {"labels": "x"}, "no column 'x'"),
        ("study_id,y_Edema\n1,2\n", {"labels": "y_"}, "row 1, column 'y_Edema': '2'"),
        ("study_id,y\n1,Edemas\n", {"labels": "y", "vocabulary": "nih"}, "no label 'Edemas'. Did you mean 'Edema'"),
        ("study_id,y\n1,Edema\n", {"labels": "y", "vocabulary": "nihh"}, "Did you mean 'nih'"),
        ("study_id\n1\n1\n", {}, "stands in row 1 already"),
        ("id,x\n1,2\n", {}, "no column 'study_id'"),
    ],
)
def test_what_is_wrong_is_said_with_the_mend(tmp_path: Path, text: str, options: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Table(write(tmp_path, text), **options)  # type: ignore[arg-type]


def test_the_same_file_elsewhere_is_the_same_data(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, two = (Table(write(tmp_path / name, "study_id\n1\n")) for name in "ab")
    assert one.signature == two.signature != Table(write(tmp_path, "study_id\n2\n")).signature


def test_the_real_nih_radiographs(shared: Path) -> None:
    table = Table(
        shared / "nih" / "studies.csv",
        id="file",
        image="file",
        patient="patient_id",
        labels="finding_labels",
        view="view",
    )
    found = studies(table)
    assert len(found) == 300 and table.vocabulary is NIH
    assert all(study.images[0].read().shape == (512, 512) for study in found[:5])
    assert {study.images[0].view for study in found} == {"PA", "AP"}
    assert table.terms == "private"  # until its spec says otherwise


def test_a_no_finding_column_beside_labels_that_lack_it_is_passed_over(tmp_path: Path) -> None:
    (study,) = studies(Table(write(tmp_path, "study_id,y_Effusion,y_No Finding\n1,0,1\n"), labels="y_"))
    assert study.labels is not None and [f.label for f in study.labels] == ["Effusion"]


def test_one_slip_makes_no_vocabulary_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'Edemma' is no label of chexpert. Did you mean 'Edema'"):
        Table(write(tmp_path, "study_id,y\n1,Edema|Fracture\n2,Edemma\n"), labels="y")


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two columns 'report'"):
        Table(write(tmp_path, "study_id,report,report\n1,a,b\n"), report="report")
