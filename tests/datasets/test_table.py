from __future__ import annotations

import gzip
import pickle
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


# Several images a study


def named(study: Study) -> list[tuple[str, str | None]]:
    return [(image.image_id, image.view) for image in study.images]


@pytest.mark.parametrize(
    "text",
    [
        "study_id,i,v\n1,a.png|b.png,LATERAL|PA\n2,c.png,\n",
        "study_id,i,v\n1,a.png,lateral\n2,c.png,\n1,b.png,pa\n",
        "study_id,i,v\n1, a.png | b.png ,LATERAL | PA\n2,c.png,\n",
    ],
)
def test_images_in_one_cell_or_in_a_row_each_the_frontal_ones_first(tmp_path: Path, text: str) -> None:
    one, two = studies(Table(write(tmp_path, text), image="i", view="v"))
    assert (one.study_id, named(one)) == ("1", [("b.png", "PA"), ("a.png", "LATERAL")])
    assert (two.study_id, named(two)) == ("2", [("c.png", None)])


def test_views_may_be_left_blank_in_part(tmp_path: Path) -> None:
    text = "study_id,i,v\n1,a.png|b.png,\n1,c.png,AP\n2,d.png|e.png,|AP\n3,,PA\n"
    one, two, three = studies(Table(write(tmp_path, text), image="i", view="v"))
    assert named(one) == [("c.png", "AP"), ("a.png", None), ("b.png", None)]
    assert named(two) == [("e.png", "AP"), ("d.png", None)]
    assert named(three) == []


def test_the_rows_of_a_study_say_the_same_or_nothing(tmp_path: Path) -> None:
    head = "study_id,i,p,s,report,y_Edema,age,other\n"
    text = head + "1,a.png,p1,test,,1,,x\n2,b.png,p2,test,Ok.,,,\n1,c.png,,,Clear.,,60,y\n"
    table = Table(
        write(tmp_path, text), image="i", patient="p", split="s", report="report", labels="y_", demographics=["age"]
    )
    one, two = studies(table, "test")
    assert named(one) == [("a.png", None), ("c.png", None)]
    assert (one.patient_id, one.split, dict(one.sections), dict(one.demographics)) == (
        "p1",
        "test",
        {"report": "Clear."},
        {"age": 60.0},
    )
    assert one.labels is not None and one.labels.status("Edema") is Status.PRESENT
    assert two.labels is None


def test_an_image_of_a_later_row_is_named_with_its_study_s_rows(tmp_path: Path) -> None:
    (one,) = studies(Table(write(tmp_path, "study_id,i\n1,a.png\n1,b.png\n"), image="i"))
    with pytest.raises(ImageError, match="row 1, row 2.*'b.png'"):
        one.images[1].read()


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        (
            "study_id,i,r\n1,a,x\n2,c,\n1,b,y\n",
            {"image": "i", "report": "r"},
            "rows 1 and 3: the study '1' has two values",
        ),
        ("study_id,i,y_Edema\n1,a,1\n1,b,0\n", {"image": "i", "labels": "y_"}, "rows 1 and 2.*'y_Edema', '1' and '0'"),
        ("study_id,i\n1,a\n1,\n", {"image": "i"}, "row 2: other rows have the id '1'"),
        ("study_id,i\n1,a\n1,a\n", {"image": "i"}, "the study '1' has the image 'a' twice"),
        ("study_id,i\n1,a|a\n", {"image": "i"}, "the study '1' has the image 'a' twice"),
        ("study_id,i,v\n1,a|b,PA\n", {"image": "i", "view": "v"}, "row 1: 2 images, and 'PA'"),
        ("study_id,i,v\n1,a,PA|AP\n", {"image": "i", "view": "v"}, "row 1: 1 images, and 'PA|AP'"),
    ],
)
def test_rows_that_contradict_each_other(tmp_path: Path, text: str, options: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says.replace("|", r"\|")):
        Table(write(tmp_path, text), **options)  # type: ignore[arg-type]


# Sections, priors, demographics


def test_one_column_a_section(tmp_path: Path) -> None:
    text = "study_id,s_impression,s_findings,s_history,s_number\n1,Normal., Clear. ,,7\n2,,,Cough.,8\n"
    one, two = studies(Table(write(tmp_path, text), sections="s_"))
    assert dict(one.sections) == {"findings": "Clear.", "impression": "Normal."}
    assert dict(two.sections) == {"history": "Cough."}
    (bare, _) = studies(Table(write(tmp_path, text.replace("s_", "")), id="number", sections=""))
    assert dict(bare.sections) == dict(one.sections)


def test_the_prior_is_the_study_that_the_column_names_and_has_none_itself(tmp_path: Path) -> None:
    text = "study_id,p,prior,s,i\n3,a,2,test,3.png\n2,a,1,train,2.png\n1,a,,train,1.png\n"
    table = Table(write(tmp_path, text), patient="p", prior="prior", split="s", image="i")
    third, second, first = studies(table)
    assert third.prior is not None and second.prior is not None and first.prior is None
    assert (third.prior.study_id, third.prior.prior, named(third.prior)) == ("2", None, [("2.png", None)])
    assert second.prior.study_id == "1"
    (alone,) = studies(table, "test")
    assert alone.prior is not None and alone.prior.study_id == "2"  # though it is in another split


def test_demographics_are_columns_and_numbers_among_them_numbers(tmp_path: Path) -> None:
    text = "study_id,sex,age,pack years\n1,F,061,nan\n2,,42.5,\n"
    one, two = studies(Table(write(tmp_path, text), demographics=["sex", "age", "pack years"]))
    assert dict(one.demographics) == {"sex": "F", "age": 61.0, "pack years": "nan"}
    assert dict(two.demographics) == {"age": 42.5}


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        ("study_id,p,b\n1,a,9\n", {"prior": "b"}, "row 1: the prior study '9' is not in the table"),
        ("study_id,p,b\n1,a,\n2,a,2\n", {"prior": "b"}, "row 2: from the prior study of '2'.*comes back"),
        ("study_id,p,b\n1,a,3\n2,a,1\n3,a,2\n", {"prior": "b"}, "comes back"),
        (
            "study_id,p,b\n1,a,\n2,c,1\n",
            {"prior": "b", "patient": "p"},
            "row 2: the prior study '1' is another patient",
        ),
        ("study_id,s_findngs\n1,x\n", {"sections": "s_"}, "no section 'findngs'.*Did you mean 'findings'"),
        ("study_id,s_x\n1,x\n", {"sections": "s_"}, "no column 's_findings'"),
        ("study_id,s_findings,r\n1,x,y\n", {"sections": "s_", "report": "r"}, "leave one of them out"),
        ("study_id,sex\n1,F\n", {"demographics": ["sex", "aeg"]}, "no column 'aeg'"),
        ("study_id,y_Edema,y_edema\n1,1,0\n", {"labels": "y_"}, "'y_Edema' and 'y_edema' are the same label"),
        (f"study_id,r\n1,ok\n2,{'x' * 1_000_001}\n", {"report": "r"}, "row 2, column 'r': .* 1,000,000 characters"),
    ],
)
def test_what_is_wrong_with_the_rest_is_said_too(
    tmp_path: Path, text: str, options: dict[str, object], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        Table(write(tmp_path, text), **options)  # type: ignore[arg-type]


def test_studies_can_be_sent_to_worker_processes(tmp_path: Path) -> None:
    text = "study_id,r,i,b\n1,FINDINGS: Clear.,1.png,\n2,Ok.,2.png,1\n"
    table = Table(write(tmp_path, text), report="r", image="i", prior="b")
    sent = pickle.loads(pickle.dumps(studies(table)))  # noqa: S301
    assert sent[1].prior.sections == {"findings": "Clear."}


def test_no_study_is_made_before_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr("rrgbench.datasets.table.Study", lambda **known: made.append(known["study_id"]))
    rows = "".join(f"{number},{number}.png,Clear.,1\n" for number in range(1000))
    table = Table(write(tmp_path, "study_id,i,r,y_Edema\n" + rows), image="i", report="r", labels="y_")
    assert made == []
    next(iter(table.load(None)))
    assert made == ["0"]


def test_the_same_from_a_packed_file(tmp_path: Path) -> None:
    file = tmp_path / "studies.csv.gz"
    file.write_bytes(gzip.compress(b"study_id,i\n1,1.png\n"))
    (study,) = studies(Table(file, image="i"))
    assert named(study) == [("1.png", None)]


# What errors print


SENTENCE = "The lungs are clear and the heart is of normal size."


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        (f"study_id,report,findings\n1,ok,{SENTENCE}\n", {"report": "report", "labels": "f"}, "column 'findings'"),
        (f"study_id,labels\n1,{SENTENCE * 2}\n", {"labels": "labels"}, "no label's name"),
        (f"study_id,labels\n1,{SENTENCE}\n", {"labels": "labels", "vocabulary": "chexpert"}, "has no label a text of"),
        (f"s,i\n{SENTENCE},1.png\n{SENTENCE},\n", {"id": "s", "image": "i"}, "row 2: other rows have the id a text"),
        (f"s\n{SENTENCE}\n{SENTENCE}\n", {"id": "s"}, "row 2: the id a text of 52 characters stands in row 1"),
        (f"study_id,p\n1,{SENTENCE}\n", {"prior": "p"}, "row 1: the prior study a text of 52"),
        (
            f"study_id,i,r\n1,a.png,{SENTENCE}\n1,b.png,{SENTENCE[:-1]}\n",
            {"image": "i", "report": "r"},
            "rows 1 and 2: the study '1' has two values in the column 'r'; make",
        ),
        (
            "study_id,i,s_findings\n1,a.png,Clear.\n1,b.png,Dull.\n",
            {"image": "i", "sections": "s_"},
            "two values in the column 's_findings'; make",
        ),
        (
            "study_id,i,p\n1,a.png,p1\n1,b.png,p2\n",
            {"image": "i", "patient": "p"},
            "two values in the column 'p', 'p1' and 'p2'; make",
        ),
    ],
)
def test_no_error_has_a_report_in_it(tmp_path: Path, text: str, options: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        Table(write(tmp_path, text), **options)  # type: ignore[arg-type]
    assert "lungs" not in str(caught.value) and "Clear" not in str(caught.value)


@pytest.mark.parametrize("name", [SENTENCE, SENTENCE * 100, f"/{SENTENCE}"])
def test_a_report_in_the_place_of_an_image_is_not_printed(tmp_path: Path, name: str) -> None:
    (study,) = studies(Table(write(tmp_path, f"study_id,i\n1,{name}\n"), image="i"))
    with pytest.raises(ImageError, match=r"the image a text of|a text of .* can't be") as caught:
        study.images[0].read()
    assert "lungs" not in str(caught.value)


def test_an_image_that_is_missing_in_the_folder_one_is_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "study_id,i\n1,1.png\n")
    monkeypatch.chdir(tmp_path)
    (study,) = studies(Table(Path("studies.csv"), image="i"))
    with pytest.raises(ImageError, match=r"the image '1\.png' is not in this folder\.$"):
        study.images[0].read()
