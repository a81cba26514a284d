"""``chexpert-plus``: one table with a row an image, and CheXbert's labels beside it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from rrgbench.datasets.chexpert_plus import CheXpertPlus
from rrgbench.datasets.chexpert_plus.making import COLUMNS
from rrgbench.errors import UsageError
from rrgbench.interfaces import Dataset
from rrgbench.labels import CHEXPERT
from rrgbench.types import Status
from tests.conftest import REPOSITORY, Done

PATH = "train/patient00001/study1/view1_frontal.jpg"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chexpert-plus")
    CheXpertPlus.make(folder, 40, 0)
    return folder


def record(path: str = PATH, **cells: object) -> dict[str, object]:
    """A row of the table; the split and the patient follow from the path."""
    split, patient, _, name = path.split("/")
    known = {"path_to_image": path, "split": split, "deid_patient_id": patient, "patient_report_date_order": 1}
    side = "Lateral" if "lateral" in name else "Frontal"
    return {**known, "frontal_lateral": side, "ap_pa": "AP" if side == "Frontal" else "", **cells}


def write(
    root: Path, *rows: Mapping[str, object], columns: tuple[str, ...] = COLUMNS, **labels: list[dict[str, object]]
) -> Path:
    """The table, and the records of each file of labels; a label that a record lacks is null."""
    with (root / "df_chexpert_plus_240401.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    (root / "chexbert_labels").mkdir(exist_ok=True)
    for source, records in labels.items():
        lines = [json.dumps({**dict.fromkeys(CHEXPERT.labels), **found}) for found in records]
        (root / "chexbert_labels" / f"{source}_fixed.json").write_text("\n".join(lines) + "\n")
    return root


def test_a_made_tree_is_a_dataset_with_each_patient_in_one_split(made: Path) -> None:
    dataset = CheXpertPlus(made)
    assert isinstance(dataset, Dataset) and dataset.terms == "credentialed"
    patients = {split: {study.patient_id for study in dataset.load(split)} for split in dataset.splits}
    assert dataset.splits == ("train", "validate") and all(patients.values())
    assert not patients["train"] & patients["validate"]
    studies = list(dataset.load(None))
    assert len(studies) == 40 == len({study.study_id for study in studies})
    assert all(image.read().shape == (128, 128) for study in studies for image in study.images)
    assert all(study.images[0].view in ("PA", "AP") and study.labels for study in studies)
    assert dataset.problems() == []


# One study under several dates


def two_texts(root: Path) -> Path:
    first, second = PATH, "train/patient00001/study1/view2_lateral.jpg"
    return write(
        root,
        record(second, section_impression="7-10-13: STABLE.", patient_report_date_order=5),
        record("train/patient00002/study1/view1_frontal.jpg", section_impression="Normal."),
        record(first, section_impression="5/2/2000: STABLE."),
        report=[{"path_to_image": second, "Edema": 1.0}, {"path_to_image": first, "Edema": -1.0}],
    )


def test_a_study_under_several_dates_is_one_study_with_the_text_and_labels_of_its_first_image(tmp_path: Path) -> None:
    dataset = CheXpertPlus(two_texts(tmp_path))
    one, two = dataset.load(None)
    assert (one.study_id, two.study_id) == ("patient00001_study1", "patient00002_study1")
    assert [(image.image_id.split("/")[-1], image.view) for image in one.images] == [
        ("view1_frontal.jpg", "AP"),
        ("view2_lateral.jpg", "LATERAL"),
    ]
    assert one.sections == {"impression": "5/2/2000: STABLE."}
    assert one.labels is not None and one.labels.status("Edema") is Status.UNCERTAIN
    assert dataset.notes()[0].startswith("1 of 2 studies have several texts")


def test_the_order_of_the_rows_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    there = two_texts(tmp_path / "a")
    with (there / "df_chexpert_plus_240401.csv").open() as file:
        rows = list(csv.DictReader(file))
    back = write(tmp_path / "b", *rows[::-1])
    told = [
        [(s.study_id, dict(s.sections), [i.image_id for i in s.images]) for s in CheXpertPlus(r).load(None)]
        for r in (there, back)
    ]
    assert told[0] == told[1]


# Sections, people, priors, images


def test_sections_by_name_and_empty_ones_are_absent(tmp_path: Path) -> None:
    texts = {
        "section_findings": " \n ",
        "section_impression": "\n1. NORMAL.\n",
        "section_clinical_history": "Cough.",
        "section_history": "Fever.",
        "section_comparison": "None.",
        "section_end_of_impression": "END",
        "report": "all of it",
    }
    (study,) = CheXpertPlus(write(tmp_path, record(**texts))).load(None)
    assert study.sections == {"impression": "1. NORMAL.", "history": "Cough.", "comparison": "None."}
    (study,) = CheXpertPlus(write(tmp_path, record(**{**texts, "section_clinical_history": ""}))).load(None)
    assert study.sections["history"] == "Fever."


def test_columns_that_are_unverified_may_be_missing(tmp_path: Path) -> None:
    columns = (
        "split",
        "section_impression",
        "section_findings",
        "patient_report_date_order",
        "deid_patient_id",
        "ap_pa",
        "frontal_lateral",
        "path_to_image",
    )
    (study,) = CheXpertPlus(write(tmp_path, record(section_findings="Clear."), columns=columns)).load(None)
    assert study.sections == {"findings": "Clear."} and study.demographics == {}


def test_who_the_patient_is(tmp_path: Path) -> None:
    known = {"age": "82.0", "sex": "Female", "race": "Asian", "ethnicity": "Unknown", "insurance_type": "Medicare"}
    (study,) = CheXpertPlus(write(tmp_path, record(**known, deid_patient_id="patient00077"))).load(None)
    assert study.demographics == {"sex": "F", "age": 82.0, "race": "Asian", "insurance": "Medicare"}
    assert (study.patient_id, study.study_id) == ("patient00077", "patient00001_study1")


def test_the_prior_is_the_same_patients_study_before_by_date_and_not_by_number(tmp_path: Path) -> None:
    order = {"study1": 3, "study2": 1, "study3": 2, "study10": 2, "study4": ""}
    rows = [
        record(f"train/patient00001/{study}/view1_frontal.jpg", patient_report_date_order=at)
        for study, at in order.items()
    ]
    other = record("train/patient00002/study1/view1_frontal.jpg")
    studies = list(CheXpertPlus(write(tmp_path, *rows, other)).load(None))
    short = {study.study_id.removeprefix("patient00001_"): study.prior for study in studies}
    assert list(short)[:5] == ["study2", "study3", "study10", "study1", "study4"]
    priors = {study: prior and prior.study_id.removeprefix("patient00001_") for study, prior in short.items()}
    assert priors == {
        "study2": None,
        "study3": "study2",
        "study10": "study2",  # of the same day as study3
        "study1": "study10",
        "study4": None,  # nobody knows when
        "patient00002_study1": None,
    }
    assert all(prior is None or prior.prior is None for prior in short.values())


@pytest.mark.parametrize(("folder", "suffix"), [(".", ".jpg"), ("PNG", ".png"), ("PNG/PNG", ".png"), ("PNGs", ".png")])
def test_images_are_found_as_png_or_as_chexperts_own_jpegs(
    made: Path, tmp_path: Path, folder: str, suffix: str
) -> None:
    import PIL.Image

    source = next((made / "PNG").rglob("*.png"))
    file = (tmp_path / folder / PATH).with_suffix(suffix)
    file.parent.mkdir(parents=True)
    PIL.Image.open(source).save(file)
    dataset = CheXpertPlus(write(tmp_path, record()))
    (study,) = dataset.load(None)
    assert study.images[0].image_id == PATH  # whatever the file is
    assert study.images[0].read().shape == (128, 128)
    assert not any("no images" in problem for problem in dataset.problems())


# Labels by source


def sources(root: Path) -> Path:
    return write(
        root,
        record(section_impression="Edema."),
        report=[{"path_to_image": PATH, "Edema": 1.0, "Fracture": -1.0, "Pneumonia": 0.0}],
        impression=[{"path_to_image": PATH, "Edema": 0.0}],
        findings=[{"path_to_image": PATH, "No Finding": 1.0}],
    )


def test_the_option_chooses_whose_labels_count(tmp_path: Path) -> None:
    (study,) = CheXpertPlus(sources(tmp_path)).load(None)
    assert study.labels is not None and study.labels == study.labels_by_source["report"]
    assert {f.label: f.status for f in study.labels} == {
        "Edema": Status.PRESENT,
        "Fracture": Status.UNCERTAIN,
        "Pneumonia": Status.ABSENT,
    }
    (study,) = CheXpertPlus(sources(tmp_path), labels="impression").load(None)
    assert study.labels is not None and study.labels.status("Edema") is Status.ABSENT


def test_labels_of_a_section_that_is_not_there_are_left_out(tmp_path: Path) -> None:
    (study,) = CheXpertPlus(sources(tmp_path), labels="findings").load(None)
    assert study.labels is None and set(study.labels_by_source) == {"report", "impression"}


def test_a_missing_file_of_labels_is_said_and_is_no_label(tmp_path: Path) -> None:
    dataset = CheXpertPlus(write(tmp_path, record()))
    (study,) = dataset.load(None)
    assert study.labels is None
    assert any("report_fixed.json is not there" in problem for problem in dataset.problems())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"path_to_image": "x"}\n', "no key 'No Finding'"),
        ("[1, 2]\n", "JSON"),
        ('{"path_to_image": "x", ', "JSON"),
        (json.dumps({"path_to_image": PATH, **dict.fromkeys(CHEXPERT.labels, 1), "Edema": 2}), "line 1: Edema is 2"),
        (json.dumps({"path_to_image": PATH, **dict.fromkeys(CHEXPERT.labels, "yes")}), "JSON lines"),
    ],
)
def test_damaged_labels_are_refused(tmp_path: Path, text: str, says: str) -> None:
    write(tmp_path, record(), report=[])
    (tmp_path / "chexbert_labels" / "report_fixed.json").write_text(text)
    with pytest.raises(UsageError, match=says):
        list(CheXpertPlus(tmp_path).load(None))


@pytest.mark.parametrize("quote", ['"', ""])
def test_a_table_cut_short_or_with_an_open_row_is_told_without_its_text(tmp_path: Path, quote: str) -> None:
    root = write(tmp_path, record(section_findings="Clear."))
    with (root / "df_chexpert_plus_240401.csv").open("a") as file:
        file.write(f"{PATH.replace('1_', '2_')},,Frontal,AP,p1,1,{quote}The report was truncated,{quote}\n")
    with pytest.raises(UsageError, match=r"Expected 27 columns, got \d+; is it cut short, or a quote open\?$"):
        list(CheXpertPlus(root).load(None))


def test_a_patient_in_two_splits_is_a_problem(tmp_path: Path) -> None:
    other = record("valid/patient00009/study1/view1_frontal.jpg", deid_patient_id="patient00001")
    assert (
        "1 patients are in two splits, such as patient00001"
        in CheXpertPlus(write(tmp_path, record(), other)).problems()
    )


def test_an_unknown_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="row 1: the split 'dev' is not train or valid"):
        list(CheXpertPlus(write(tmp_path, record(split="dev"))).load(None))
    with pytest.raises(UsageError, match="no split 'valid'.*Did you mean 'validate'"):
        CheXpertPlus(write(tmp_path, record())).load("valid")


# End to end


def run(rrgbench: Callable[..., Done], *arguments: object, **env: str) -> dict[str, Any]:
    metrics = ("--metric", "rulelabel", "--metric", "classification")
    done = rrgbench("run", *arguments, "--encoder", "oracle", *metrics, "--json", env=env)
    assert done.code == 0, done.err
    result: dict[str, Any] = done.json()[0] if isinstance(done.json(), list) else done.json()
    return result


def test_a_made_tree_runs(made: Path, rrgbench: Callable[..., Done]) -> None:
    result = run(rrgbench, "--dataset", f"chexpert-plus:root={made}", "--llm", "template")
    assert (result["n"], result["coverage"], result["terms"]) == (40, 1.0, "credentialed")


def test_the_config_is_the_reference_pipeline_on_the_validation_split(
    made: Path, rrgbench: Callable[..., Done]
) -> None:
    config = REPOSITORY / "configs" / "chexpert-plus.yaml"
    env = {"RRGBENCH_CHEXPERT_PLUS": str(made), "OPENAI_API_KEY": "sk-none"}
    done = rrgbench("run", "--config", config, "--attestation", "none.yaml", env=env)
    assert done.code == 2 and "attest" in done.err  # nothing is sent on the word of a file that is not there
    result = run(rrgbench, "--config", write_local(config, made), "--out", "runs", **env)
    assert (result["split"], result["n"]) == ("validate", len(list(CheXpertPlus(made).load("validate"))))


def write_local(config: Path, beside: Path) -> Path:
    """The config with another LLM, as its comment tells those without an attestation."""
    local = beside / "local.yaml"
    lines = [line for line in config.read_text().splitlines() if not line.startswith("llm:")]
    local.write_text("\n".join([*lines, "llm: template"]))
    return local
