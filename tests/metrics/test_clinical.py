from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from rrgbench.errors import UsageError
from rrgbench.labelers.rules import RuleLabeler
from rrgbench.labels import CHEXPERT, CHEXPERT_5, NIH
from rrgbench.metrics.clinical import ChexbertF1, ClinicalF1
from rrgbench.parts import build
from rrgbench.plugins import Catalogue, catalogue
from rrgbench.types import Case, Finding, Findings, Report, Status, Study

CELLS = np.array(["", "1", "0", "-1"])


def case(study_id: str, candidate: str, reference: str | None, labels: Findings | None = None) -> Case:
    return Case(Study(study_id, study_id, labels=labels), None, Report(candidate), candidate, reference)


def write(file: Path, cells: np.ndarray) -> Path:
    frame = pd.DataFrame(cells, columns=sorted(CHEXPERT.labels), index=[f"s{i}" for i in range(len(cells))])
    frame.rename_axis("study_id").to_csv(file)
    return file


ORDER = sorted(CHEXPERT.labels)  # of the files' columns: labels are found by name
GROUPS = {
    "14": list(range(14)),
    "13": [at for at in range(14) if ORDER[at] != "No Finding"],
    "5": [ORDER.index(label) for label in CHEXPERT_5],
}


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 25), st.sampled_from([[0.25] * 4, [0.9, 0.02, 0.05, 0.03], [1, 0, 0, 0]]))
def test_every_cell_is_scikit_learn_s(
    tmp_path_factory: pytest.TempPathFactory, seed: int, n: int, often: list[float]
) -> None:
    folder = tmp_path_factory.mktemp("labels")
    rng = np.random.default_rng(seed)
    made, true = rng.choice(CELLS, (n, 14), p=often), rng.choice(CELLS, (n, 14), p=often)
    metric = ChexbertF1(None, write(folder / "made.csv", made), write(folder / "true.csv", true))
    got = metric.reduce(metric.rows([case(f"s{i}", "any", None) for i in range(n)]))
    expected = {}
    for policy, positive in {"": ["1"], "_upos": ["1", "-1"]}.items():
        for suffix, columns in GROUPS.items():
            pair = np.isin(true, positive)[:, columns], np.isin(made, positive)[:, columns]
            for average in ("micro", "macro", "weighted", "samples"):
                values = precision_recall_fscore_support(*pair, average=average, zero_division=0)
                for name, value in zip(("precision", "recall", "f1"), values, strict=False):
                    expected[f"chexbert_{average}_{name}_{suffix}{policy}"] = value
            expected[f"chexbert_exact_match_{suffix}{policy}"] = accuracy_score(*pair)
    alone = {name for name in got if name.startswith("chexbert_f1_")}
    assert got.keys() - alone == expected.keys() and len(alone) == 14
    assert {name: got[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    assert got.keys() <= metric.higher_is_better.keys()


def test_the_report_is_held_against_the_reference_text() -> None:
    metric = ClinicalF1(RuleLabeler())
    same = [case("1", "There is a left pleural effusion.", "Left pleural effusion is present.")]
    assert metric.reduce(metric.rows(same))["rulelabel_micro_f1_14"] == 1.0
    denied = [case("1", "There is no pleural effusion.", "Left pleural effusion is present.")]
    assert metric.reduce(metric.rows(denied))["rulelabel_f1_pleural_effusion"] == 0.0


def test_without_reference_text_it_is_held_against_the_dataset_s_labels() -> None:
    labels = Findings(
        NIH, {x: Finding(x, Status.ABSENT) for x in NIH.labels} | {"Effusion": Finding("Effusion", Status.PRESENT)}
    )
    metric = ClinicalF1(RuleLabeler())
    rows = metric.rows([case("1", "There is a left pleural effusion. No pneumothorax.", None, labels)])
    got = metric.reduce(rows)
    assert got["rulelabel_micro_f1_all"] == 1.0
    assert "rulelabel_micro_f1_14" not in got
    assert "pleural_effusion" in metric.describe(rows) and "fracture" not in metric.describe(rows)


def test_weights_are_repeated_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    metric = ClinicalF1(
        RuleLabeler(),
        write(tmp_path / "a.csv", rng.choice(CELLS, (200, 14))),
        write(tmp_path / "b.csv", rng.choice(CELLS, (200, 14))),
    )
    rows = metric.rows([case(f"s{i}", "any", None) for i in range(200)])
    times = rng.integers(0, 3, 200)
    weighted = metric.reduce(rows, times[None].astype(float))
    for name, value in metric.reduce(rows.iloc[np.repeat(np.arange(200), times)]).items():
        np.testing.assert_allclose(weighted[name][0], value, equal_nan=True)


def test_chexbert_s_files_need_no_labeler(tmp_path: Path) -> None:
    files = [write(tmp_path / name, np.full((2, 14), "1")) for name in ("a.csv", "b.csv")]
    metric = ChexbertF1(None, *files)
    assert metric.needs == ("report",)
    assert metric.reduce(metric.rows([case("s0", "any", None)]))["chexbert_exact_match_14"] == 1.0


def test_with_one_file_the_labeler_reads_the_other_side(tmp_path: Path) -> None:
    metric = ChexbertF1(RuleLabeler(), reference_labels=write(tmp_path / "a.csv", np.full((1, 14), "1")))
    rows = metric.rows([case("s0", "There is a left pleural effusion.", None)])
    assert rows["reference_edema"].tolist() == [1] and rows["report_edema"].tolist() == [0]
    assert rows["report_pleural_effusion"].tolist() == [1]


def test_without_chexbert_it_says_how_to_get_it_and_how_to_do_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rrgbench.metrics.clinical.catalogue", lambda: Catalogue([]))
    with pytest.raises(UsageError, match="no labeler 'chexbert'.*rrgbench-chexbert.*report_labels=A.csv"):
        ChexbertF1(report_labels=write(tmp_path / "a.csv", np.full((1, 14), "1")))


def test_swapping_report_and_reference_shows_in_the_weighted_f1_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    one = write(tmp_path / "a.csv", rng.choice(CELLS, (50, 14)))
    two = write(tmp_path / "b.csv", rng.choice(CELLS, (50, 14), p=[0.1, 0.6, 0.2, 0.1]))
    cases = [case(f"s{i}", "any", None) for i in range(50)]
    right, swapped = (m.reduce(m.rows(cases)) for m in (ChexbertF1(None, one, two), ChexbertF1(None, two, one)))
    for average in ("micro", "macro", "samples"):
        assert right[f"chexbert_{average}_f1_14"] == pytest.approx(swapped[f"chexbert_{average}_f1_14"])
        assert right[f"chexbert_{average}_precision_14"] == pytest.approx(swapped[f"chexbert_{average}_recall_14"])
    assert right["chexbert_exact_match_5"] == swapped["chexbert_exact_match_5"]
    assert right["chexbert_weighted_f1_14"] != pytest.approx(swapped["chexbert_weighted_f1_14"], abs=1e-3)


@pytest.mark.parametrize(
    ("candidate", "reference", "expected"),
    [("Edema.", "Edema.", 1.0), ("", "Edema.", 0.0), ("Edema.", "", 0.0), ("", "", 0.0)],
)
def test_identical_and_empty_texts(candidate: str, reference: str, expected: float) -> None:
    metric = ClinicalF1(RuleLabeler())
    got = metric.reduce(metric.rows([case("1", candidate, reference)]))
    for average in ("micro", "weighted", "samples"):
        assert got[f"rulelabel_{average}_f1_14"] == expected
    assert got["rulelabel_macro_f1_14"] == pytest.approx(expected / 14)  # thirteen labels are 0/0
    assert got["rulelabel_exact_match_14"] == float(candidate == reference)  # both say nothing: a match


def test_a_study_that_the_file_lacks_has_no_row_values(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", np.full((1, 14), "1"))
    metric = ClinicalF1(RuleLabeler(), file, file)
    rows = metric.rows([case("s0", "any", None), case("s1", "any", None)])
    assert rows.loc["s1"].isna().all() and rows.loc["s0"].notna().all()


def test_a_file_without_a_label_s_column_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("study_id,Edema\ns0,1\n")
    with pytest.raises(UsageError, match="no column for the label No Finding"):
        ClinicalF1(RuleLabeler(), file)


def test_a_study_that_one_file_lacks_is_no_row(tmp_path: Path) -> None:
    one, two = write(tmp_path / "a.csv", np.full((1, 14), "1")), write(tmp_path / "b.csv", np.full((2, 14), "1"))
    rows = ClinicalF1(RuleLabeler(), one, two).rows([case("s0", "any", None), case("s1", "any", None)])
    assert rows.loc["s1"].isna().all() and rows.loc["s0"].notna().all()


def test_two_systems_label_files_make_one_column(tmp_path: Path) -> None:
    true = write(tmp_path / "true.csv", np.full((2, 14), "1"))
    signatures = {
        build(
            catalogue(), "metric", f"rulelabel:report_labels={write(tmp_path / name, cells)},reference_labels={true}"
        ).signature
        for name, cells in {"a.csv": np.full((2, 14), "1"), "b.csv": np.full((2, 14), "0")}.items()
    }
    assert len(signatures) == 1
