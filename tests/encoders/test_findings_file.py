from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from rrgbench.encoders.findings_file import FindingsFile
from rrgbench.encoders.oracle import Oracle
from rrgbench.errors import UsageError
from rrgbench.labels import CHEXPERT, NIH
from rrgbench.types import Context, Failure, Finding, Findings, Status, Study


def write(folder: Path, text: str, name: str = "p.csv") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def encode(encoder: FindingsFile, *ids: str) -> list[Findings | Failure]:
    return encoder.encode([Context(study_id) for study_id in ids])


def test_a_probability_at_or_above_the_threshold_is_present(tmp_path: Path) -> None:
    encoder = FindingsFile(write(tmp_path, "study_id,p_Edema,p_Fracture\n1,0.5,0.4999\n"), prefix="p_")
    (found,) = encode(encoder, "1")
    assert isinstance(found, Findings)
    assert (found.status("Edema"), found.status("Fracture")) == (Status.PRESENT, Status.ABSENT)
    assert found.by_label["Fracture"].probability == 0.4999


def test_thresholds_from_a_file(tmp_path: Path) -> None:
    thresholds = write(tmp_path, "label,threshold\nEdema,0.2\nFracture,0.9\n", "t.csv")
    encoder = FindingsFile(write(tmp_path, "study_id,Edema,Fracture\n1,0.3,0.8\n"), threshold=thresholds)
    (found,) = encode(encoder, "1")
    assert isinstance(found, Findings)
    assert (found.status("Edema"), found.status("Fracture")) == (Status.PRESENT, Status.ABSENT)


@pytest.mark.parametrize("cell", ["nan", "", "1.2", "-0.1", "high", "inf"])
def test_what_is_no_probability_costs_that_study_alone(tmp_path: Path, cell: str) -> None:
    file = write(tmp_path, f"study_id,Edema\n1,0.3\n2,{cell}\n")
    good, bad, absent = encode(FindingsFile(file), "1", "2", "3")
    assert isinstance(good, Findings)
    assert isinstance(bad, Failure) and f"{file}, row 2, column 'Edema'" in bad.message
    assert isinstance(absent, Failure) and "no row for study 3" in absent.message


def labelled(study_id: str, patient: str, present: bool) -> Study:
    status = Status.PRESENT if present else Status.ABSENT
    return Study(study_id, patient, labels=Findings(CHEXPERT, {"Edema": Finding("Edema", status)}))


def test_fitted_thresholds_never_judge_the_patient_they_were_fitted_on(tmp_path: Path) -> None:
    # A single patient whose probability is the only one that could move the threshold: it must not move its own.
    rows = [(f"s{i}", f"p{i}", i % 2 == 0, 0.3 if i % 2 == 0 else 0.1) for i in range(40)]
    rows.append(("odd", "odd", True, 0.15))
    file = tmp_path / "p.csv"
    pd.DataFrame([(r[0], r[3]) for r in rows], columns=["study_id", "Edema"]).to_csv(file, index=False)
    encoder = FindingsFile(file, threshold="fit")
    encoder.calibrate([labelled(study, patient, present) for study, patient, present, _ in rows])
    (odd,) = encode(encoder, "odd")
    assert isinstance(odd, Findings) and odd.status("Edema") is Status.ABSENT  # the others' threshold is .2
    (other,) = encode(encoder, "s0")
    assert isinstance(other, Findings) and other.status("Edema") is Status.PRESENT


def test_fitting_needs_labels(tmp_path: Path) -> None:
    encoder = FindingsFile(write(tmp_path, "study_id,Edema\n1,0.3\n"), threshold="fit")
    with pytest.raises(UsageError, match="needs labelled studies"):
        encoder.calibrate([Study("1", "1")])


def test_a_prefix_that_no_column_has(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no column begins with 'prob_'"):
        FindingsFile(write(tmp_path, "study_id,Edema\n1,0.3\n"), prefix="prob_")


def test_chexnet_at_one_half_calls_225_of_the_300_radiographs_normal(shared: Path) -> None:
    file = shared / "nih" / "studies.csv"
    encoder = FindingsFile(file, id="file", prefix="chexnet_prob_")
    assert encoder.vocabulary is NIH
    found = encode(encoder, *pd.read_csv(file)["file"])
    normal = [f for f in found if isinstance(f, Findings) and not f.having(Status.PRESENT)]
    assert len(normal) == 225


def test_the_oracle_gives_the_labels_and_fails_where_there_are_none() -> None:
    labels = Findings(
        CHEXPERT,
        {"Edema": Finding("Edema", Status.PRESENT, side="left"), "Fracture": Finding("Fracture", Status.UNCERTAIN)},
    )
    found, failure = Oracle().encode([Context("1", labels=labels), Context("2")])
    assert isinstance(found, Findings)
    assert (found.by_label["Edema"].probability, found.by_label["Edema"].side) == (1.0, "left")
    assert found.by_label["Fracture"].probability == 0.5
    assert isinstance(failure, Failure) and "study 2" in failure.message


def test_an_unlabelled_study_is_not_judged_by_its_own_patient_either(tmp_path: Path) -> None:
    rows = [(f"s{i}", f"p{i}", i % 2 == 0, 0.3 if i % 2 == 0 else 0.1) for i in range(40)]
    rows += [("odd", "odd", True, 0.15), ("odd-2", "odd", True, 0.15)]
    file = tmp_path / "p.csv"
    pd.DataFrame([(r[0], r[3]) for r in rows], columns=["study_id", "Edema"]).to_csv(file, index=False)
    encoder = FindingsFile(file, threshold="fit")
    studies = [labelled(study, patient, present) for study, patient, present, _ in rows[:-1]]
    encoder.calibrate([*studies, Study("odd-2", "odd")])
    (second,) = encode(encoder, "odd-2")
    assert isinstance(second, Findings) and second.status("Edema") is Status.ABSENT


@pytest.mark.parametrize("threshold", [float("nan"), float("inf"), 2.0, -0.1])
def test_a_threshold_is_a_number_from_0_to_1(tmp_path: Path, threshold: float) -> None:
    with pytest.raises(UsageError, match="a number in 0..1"):
        FindingsFile(write(tmp_path, "study_id,Edema\n1,0.3\n"), threshold=threshold)


def test_what_could_not_be_fitted_is_named(tmp_path: Path) -> None:
    encoder = FindingsFile(write(tmp_path, "study_id,Edema\n1,0.3\n2,0.4\n"), threshold="fit")
    (warning,) = encoder.calibrate([labelled("1", "a", True), labelled("2", "b", False)])
    assert "Edema" in warning
