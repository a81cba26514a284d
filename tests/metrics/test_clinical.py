from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support

from rrgbench.errors import UsageError
from rrgbench.labelers.rules import RuleLabeler
from rrgbench.labels import CHEXPERT, CHEXPERT_5, NIH
from rrgbench.metrics.clinical import ClinicalF1
from rrgbench.parts import build
from rrgbench.plugins import catalogue
from rrgbench.types import Case, Finding, Findings, Report, Status, Study

CELLS = np.array(["", "1", "0", "-1"])


def case(study_id: str, candidate: str, reference: str | None, labels: Findings | None = None) -> Case:
    return Case(Study(study_id, study_id, labels=labels), None, Report(candidate), candidate, reference)


def write(file: Path, cells: np.ndarray) -> Path:
    frame = pd.DataFrame(cells, columns=sorted(CHEXPERT.labels), index=[f"s{i}" for i in range(len(cells))])
    frame.rename_axis("study_id").to_csv(file)
    return file


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 25))
def test_labels_from_files_give_scikit_learn_s_numbers_under_both_policies(
    tmp_path_factory: pytest.TempPathFactory, seed: int, n: int
) -> None:
    folder = tmp_path_factory.mktemp("labels")
    rng = np.random.default_rng(seed)
    made, true = rng.choice(CELLS, (n, 14)), rng.choice(CELLS, (n, 14))
    metric = ClinicalF1(RuleLabeler(), write(folder / "made.csv", made), write(folder / "true.csv", true))
    got = metric.reduce(metric.rows([case(f"s{i}", "any", None) for i in range(n)]))
    five = [sorted(CHEXPERT.labels).index(label) for label in CHEXPERT_5]
    for policy, positive in {"": ["1"], "_upos": ["1", "-1"]}.items():
        for suffix, columns in {"14": list(range(14)), "5": five}.items():
            for average in ("micro", "macro"):
                p, r, f, _ = precision_recall_fscore_support(
                    np.isin(true, positive)[:, columns],
                    np.isin(made, positive)[:, columns],
                    average=average,
                    zero_division=0,
                )
                for name, value in {"precision": p, "recall": r, "f1": f}.items():
                    assert got[f"rulelabel_{average}_{name}_{suffix}{policy}"] == pytest.approx(value)


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
