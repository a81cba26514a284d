"""``radgraph:report_annotations=A.json,reference_annotations=B.json``: no model, no torch, no annotation mixed up."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rrgbench_radgraph.metric import RadGraph

import rrgbench
from rrgbench.errors import UsageError
from rrgbench.parts import build
from rrgbench.plugins import catalogue
from rrgbench.types import Case, Report, Study

TEXTS = ["Small left effusion.", "No effusion.", "Clear."]
ENTITIES = {
    "Small left effusion.": {
        "1": {"tokens": "Small", "label": "OBS-DP", "start_ix": 0, "end_ix": 0, "relations": [["modify", "3"]]},
        "2": {"tokens": "left", "label": "ANAT-DP", "start_ix": 1, "end_ix": 1, "relations": []},
        "3": {"tokens": "effusion", "label": "OBS-DP", "start_ix": 2, "end_ix": 2, "relations": [["located_at", "2"]]},
    },
    "No effusion.": {"1": {"tokens": "effusion", "label": "OBS-DA", "start_ix": 1, "end_ix": 1, "relations": []}},
    "Clear.": {},
}


def annotated(texts: Sequence[str], keys: Sequence[str]) -> dict[str, Any]:
    return {
        key: {
            "text": text.replace(".", " ."),
            "entities": ENTITIES[text],
            "data_source": None,
            "data_split": "inference",
        }
        for key, text in zip(keys, texts, strict=True)
    }


def write(file: Path, annotations: Any) -> Path:
    file.write_text(json.dumps(annotations))
    return file


def cases(made: Sequence[str], truth: Sequence[str | None], ids: Sequence[str] = ("a", "b", "c")) -> list[Case]:
    return [Case(Study(i, i), None, Report(m), m, t) for i, m, t in zip(ids, made, truth, strict=True)]


@pytest.fixture(params=["by study_id", "0, 1, … as the package does"])
def metric(request: pytest.FixtureRequest, tmp_path: Path) -> RadGraph:
    """Reports are TEXTS; references are TEXTS the other way round."""
    keys = ["a", "b", "c"] if request.param == "by study_id" else ["0", "1", "2"]
    report = write(tmp_path / "report.json", annotated(TEXTS, keys))
    return RadGraph(report, write(tmp_path / "reference.json", annotated(TEXTS[::-1], keys)))


def test_scores_are_the_means_of_the_reports_scores(metric: RadGraph) -> None:
    rows = metric.rows(cases(TEXTS, TEXTS[::-1]))
    assert list(rows.index) == ["a", "b", "c"]
    assert rows["radgraph_e"].tolist() == [0.0, 1.0, 0.0]
    assert rows["radgraph_combined"].tolist() == [0.0, 0.5, 0.0]
    assert rows["radgraph_entities_report"].tolist() == [3, 1, 0]
    assert metric.reduce(rows) == pytest.approx(
        {"radgraph_e": 1 / 3, "radgraph_er": 1 / 3, "radgraph_er_bar": 1 / 3, "radgraph_combined": 1 / 6}
    )
    drawn = metric.reduce(rows, np.array([[0.0, 2.0, 0.0], [1.0, 1.0, 0.0]]))
    assert drawn["radgraph_er"].tolist() == [1.0, 0.5]


def test_the_annotations_are_kept_in_the_rows(metric: RadGraph) -> None:
    rows = metric.rows(cases(TEXTS, TEXTS[::-1]))
    assert json.loads(rows.loc["a", "radgraph_report"])["entities"] == ENTITIES["Small left effusion."]
    assert json.loads(rows.loc["a", "radgraph_reference"])["text"] == "Clear ."


def test_the_scores_of_a_run_say_where_they_come_from(tmp_path: Path) -> None:
    reports = dict(zip("abc", TEXTS, strict=True))
    report = write(tmp_path / "report.json", annotated(TEXTS, "abc"))
    reference = write(tmp_path / "reference.json", annotated(TEXTS, "abc"))
    spec = f"radgraph:report_annotations={report},reference_annotations={reference}"
    result = rrgbench.score(reports, reports, metrics=[spec], terms="open", resamples=0)
    scores = {score.metric: score for score in result.scores}
    assert {name: score.value for name, score in scores.items()} == pytest.approx(
        {"radgraph_e": 2 / 3, "radgraph_er": 2 / 3, "radgraph_er_bar": 2 / 3, "radgraph_combined": 1.5 / 3}
    )
    signature = scores["radgraph_er"].signature
    assert "reference-annotations:" in signature
    assert "report-annotations:file" in signature
    assert "case:kept,lower-in-er_bar-relations" in signature
    assert "model" not in signature  # none was used


def test_neither_torch_nor_radgraph_is_imported(tmp_path: Path) -> None:
    file = write(tmp_path / "a.json", annotated(TEXTS, "abc"))
    code = (
        "import sys; from rrgbench.parts import build; from rrgbench.plugins import catalogue;"
        f" build(catalogue(), 'metric', 'radgraph:report_annotations={file},reference_annotations={file}');"
        " print(sorted({'torch', 'radgraph', 'transformers'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_empty_text_has_no_entities_whatever_the_file_says(tmp_path: Path) -> None:
    """The package annotates the word None instead of an empty report."""
    file = write(tmp_path / "a.json", annotated(["Small left effusion."] * 3, "abc"))
    rows = RadGraph(file, file).rows(cases(["", " \n", TEXTS[0]], [TEXTS[0], TEXTS[0], ""]))
    assert rows["radgraph_e"].tolist() == [0.0, 0.0, 0.0]
    assert rows["radgraph_entities_report"].tolist() == [0, 0, 3]


def test_a_report_that_the_file_lacks_is_named_and_fails_alone(tmp_path: Path) -> None:
    half = write(tmp_path / "half.json", annotated(TEXTS[:2], "ab"))
    whole = write(tmp_path / "whole.json", annotated(TEXTS, "abc"))
    with pytest.warns(UserWarning, match="no annotation for 1 reports: c"):
        rows = RadGraph(half, whole).rows(cases(TEXTS, TEXTS))
    assert rows.isna().all(axis=1).tolist() == [False, False, True]


def test_a_file_of_the_references_alone_needs_no_reference_text(tmp_path: Path) -> None:
    file = write(tmp_path / "a.json", annotated(TEXTS, "abc"))
    metric = RadGraph(file, file)
    assert metric.needs == ("report",)
    assert metric.rows(cases(TEXTS, [None] * 3))["radgraph_e"].tolist() == [1.0, 1.0, 0.0]


def test_annotations_of_another_text_are_warned_of(tmp_path: Path) -> None:
    file = write(tmp_path / "a.json", annotated(TEXTS, "abc"))
    with pytest.warns(UserWarning, match="1 annotations are of another text than the one scored: b"):
        RadGraph(file, file).rows(cases(["small LEFT effusion", "Large effusion.", "clear"], TEXTS))


def test_keyed_0_1_they_must_be_of_the_reports_in_their_places(tmp_path: Path) -> None:
    file = write(tmp_path / "a.json", annotated(TEXTS, "012"))
    metric = RadGraph(file, file)
    with pytest.raises(UsageError, match=r"of another text .* the first that of the study a; key the file by study_id"):
        metric.rows(cases(TEXTS[::-1], TEXTS))
    with pytest.raises(UsageError, match="its keys are 0 to 2, but 2 reports are scored"):
        metric.rows(cases(TEXTS[:2], TEXTS[:2], "ab"))
    with pytest.raises(UsageError, match="of another text"):  # ids that look like the keys, but one off
        metric.rows(cases(TEXTS[1:] + TEXTS[:1], TEXTS, "123"))


def test_study_ids_that_are_numbers_are_study_ids(tmp_path: Path) -> None:
    file = write(tmp_path / "a.json", annotated(TEXTS, "012"))
    rows = RadGraph(file, file).rows(cases(TEXTS[::-1], TEXTS[::-1], "210"))
    assert rows["radgraph_entities_report"].tolist() == [0, 1, 3]


def test_where_a_study_has_a_report_an_image_a_file_goes_by_order(tmp_path: Path) -> None:
    by_study = write(tmp_path / "s.json", annotated(TEXTS, "abc"))
    by_order = write(tmp_path / "o.json", annotated(TEXTS, "012"))
    images = cases(TEXTS, TEXTS, "aab")
    with pytest.raises(UsageError, match="study a has several reports"):
        RadGraph(by_study, by_study).rows(images)
    assert RadGraph(by_order, by_order).rows(images)["radgraph_e"].tolist() == [1.0, 1.0, 0.0]


ENTITY = {"tokens": "x", "label": "OBS-DP", "relations": []}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not sound JSON"),
        ("[]", "must map study_id"),
        ("{}", "must map study_id"),
        ('{"a": {"text": "x", "entities": {}}, "a": {"text": "y", "entities": {}}}', "'a' stands twice"),
        ({"a": {"text": "x"}}, "entry 'a': has no mapping \"entities\""),
        ({"a": {"text": 1, "entities": {}}}, 'its "text" is no text'),
        ({"a": {"entities": {"1": {"label": "OBS-DP", "relations": []}}}}, "entity '1' lacks \"tokens\""),
        ({"a": {"entities": {"1": {"tokens": "x", "label": "OBS-DP"}}}}, 'no list "relations"'),
        ({"a": {"entities": {"1": ENTITY | {"relations": [["modify"]]}}}}, "is not \\[name, entity\\]"),
        ({"a": {"entities": {"1": ENTITY | {"relations": [["modify", "2"]]}}}}, "leads to '2'"),
    ],
)
def test_a_file_that_is_not_of_the_form_is_refused_by_place(
    tmp_path: Path, content: str | Mapping[str, Any], message: str
) -> None:
    file = tmp_path / "bad.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(UsageError, match=message) as raised:
        RadGraph(file, file)
    assert "bad.json" in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.json: can't be read"):
        build(catalogue(), "metric", f"radgraph:reference_annotations={tmp_path / 'none.json'}")
