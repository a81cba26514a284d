"""The model's path, on a tiny model with random weights: what it finds means nothing, how it is handled does."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rrgbench_radgraph import annotator
from rrgbench_radgraph.annotator import Annotator
from rrgbench_radgraph.metric import RadGraph

from rrgbench.errors import UsageError
from rrgbench.parts import build
from rrgbench.plugins import catalogue
from rrgbench.types import Case, Report, Study

TEXTS = [
    "No small left pleural effusion.",
    "Heart is enlarged, the lungs are clear. " * 6,  # longer than the tiny BERT's 16 places: folded into segments
    "pneumothorax",
    "The left lungs are clear,\r\nno\u2028effusion \U0001f600 ||| \t漢字.",
]


def cases(made: list[str], truth: list[str]) -> list[Case]:
    return [
        Case(Study(f"s{at}", "p"), None, Report(m), m, t) for at, (m, t) in enumerate(zip(made, truth, strict=True))
    ]


@pytest.fixture(scope="module")
def metric(models: Path) -> RadGraph:
    return RadGraph(model_cache_dir=models)


def test_a_report_has_the_package_s_own_annotation(metric: RadGraph, models: Path) -> None:
    rows = metric.rows(cases(TEXTS, TEXTS))
    from radgraph import RadGraph as Package

    own = Package(model_type="radgraph", model_cache_dir=str(models))(TEXTS)
    for at, cell in enumerate(rows["radgraph_report"]):
        kept = json.loads(cell)
        assert kept["entities"], "a model that finds nothing would prove nothing"
        assert kept == {"text": own[str(at)]["text"], "entities": own[str(at)]["entities"]}
    assert rows[["radgraph_e", "radgraph_er", "radgraph_er_bar"]].to_numpy() == pytest.approx(1.0)


def test_the_scores_are_those_of_the_package(metric: RadGraph, models: Path) -> None:
    from radgraph import F1RadGraph

    package = F1RadGraph(reward_level="all", model_type="radgraph", model_cache_dir=str(models))
    made, truth = [*TEXTS, ""], [*TEXTS[1:], TEXTS[0], TEXTS[0]]
    mean, each, _, _ = package(hyps=made, refs=truth)
    rows = metric.rows(cases(made, truth))
    assert 0 < mean[0] < 1
    for name, value, of_reports in zip(("radgraph_e", "radgraph_er", "radgraph_er_bar"), mean, each, strict=True):
        assert rows[name].to_numpy() == pytest.approx(np.array(of_reports), abs=1e-6)
        assert metric.reduce(rows)[name] == pytest.approx(value, abs=1e-6)


def test_rows_don_t_depend_on_batch_or_order(metric: RadGraph, models: Path) -> None:
    together = metric.rows(cases(TEXTS, TEXTS[::-1]))
    other = RadGraph(model_cache_dir=models)
    for at in (2, 0, 3, 1):
        alone = other.rows(cases(TEXTS, TEXTS[::-1])[at : at + 1])
        assert alone.iloc[0].to_dict() == together.iloc[at].to_dict()


def test_equal_texts_are_annotated_once(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    own = Annotator.annotate
    monkeypatch.setattr(Annotator, "annotate", lambda self, text: asked.append(text) or own(self, text))
    metric = RadGraph(model_cache_dir=models)
    metric.rows(cases([TEXTS[0]] * 3, [TEXTS[2]] * 3))
    metric.rows(cases([TEXTS[2]], [TEXTS[0]]))  # another protocol
    assert sorted(asked) == sorted([TEXTS[0], TEXTS[2]])


def test_annotations_are_found_again_in_the_cache_and_only_those_of_the_same_weights(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "kept.sqlite"
    first = RadGraph(model_cache_dir=models, cache=cache).rows(cases(TEXTS, TEXTS[::-1]))
    assert cache.stat().st_mode & 0o077 == 0  # it holds what was read in reports
    another = tmp_path / "models"
    shutil.copytree(models, another)
    config = another / "radgraph" / "config.json"
    config.write_text(config.read_text() + "\n")
    asked: list[str] = []
    own = Annotator.annotate
    monkeypatch.setattr(Annotator, "annotate", lambda self, text: asked.append(text) or own(self, text))
    again = RadGraph(model_cache_dir=models, cache=cache).rows(cases(TEXTS, TEXTS[::-1]))
    assert asked == []
    assert again.equals(first)
    RadGraph(model_cache_dir=another, cache=cache).rows(cases(TEXTS[:1], TEXTS[:1]))
    assert asked == TEXTS[:1]


def test_a_text_that_the_model_can_t_do_is_named_and_fails_alone(models: Path) -> None:
    long = "effusion " * (annotator.MAX_TOKENS + 1)
    surrogate = "effusion \ud800"
    metric = RadGraph(model_cache_dir=models)
    with pytest.warns(UserWarning, match=r"can't annotate the report of s0 \(1001 tokens, more than 1000\), s2 \("):
        rows = metric.rows(cases([long, TEXTS[0], surrogate], [TEXTS[0]] * 3))
    assert rows.isna().all(axis=1).tolist() == [True, False, True]
    assert metric.reduce(rows)["radgraph_er"] == 1.0


@settings(max_examples=40)
@given(st.lists(st.text(max_size=30) | st.sampled_from(["|||", "\u200b", "a\tb", "\x00", "effusion"]), max_size=4))
def test_any_text_is_annotated_or_named_and_none_is_shifted(metric: RadGraph, pieces: list[str]) -> None:
    text = "\r\n".join(pieces)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rows = metric.rows(cases([TEXTS[0], text, TEXTS[2]], [TEXTS[0], text, TEXTS[0]]))
    failed = rows.isna().all(axis=1)
    assert failed.tolist() == [False, bool(caught), False]
    assert all("of s1 (" in str(warning.message) for warning in caught)
    assert rows["radgraph_er"].iloc[0] == 1.0
    if not caught:
        assert rows["radgraph_e"].iloc[1] == (1.0 if rows["radgraph_entities_report"].iloc[1] else 0.0)


def test_an_empty_text_is_not_given_to_the_model(metric: RadGraph) -> None:
    rows = metric.rows(cases(["", " \u2028", TEXTS[0]], [TEXTS[0], "", " "]))
    assert rows["radgraph_er"].tolist() == [0.0, 0.0, 0.0]
    assert rows["radgraph_entities_report"].tolist()[:2] == [0, 0]


def test_one_side_may_come_from_a_file(metric: RadGraph, models: Path, tmp_path: Path) -> None:
    kept = metric.rows(cases(TEXTS, TEXTS))["radgraph_reference"]
    file = tmp_path / "reference.json"
    file.write_text(json.dumps({study_id: json.loads(cell) for study_id, cell in kept.items()}))
    mixed = RadGraph(reference_annotations=file, model_cache_dir=models)
    assert "model:radgraph|" in mixed.signature and "reference-annotations:" in mixed.signature
    assert mixed.reduce(mixed.rows(cases(TEXTS, TEXTS)))["radgraph_er_bar"] == pytest.approx(1.0)


def test_the_signature_has_the_model_and_its_weights_and_no_folder(models: Path) -> None:
    of = {
        model: build(catalogue(), "metric", f"radgraph:model_type={model},model_cache_dir={models}").signature
        for model in ("radgraph", "radgraph-xl")
    }
    assert "radgraph:0.1.18|model:radgraph|weights:" in of["radgraph"]
    assert "model:radgraph-xl|weights:" in of["radgraph-xl"]
    assert str(models) not in "".join(of.values())


def test_models_read_texts_in_ways_of_their_own(models: Path) -> None:
    texts = {m: RadGraph(model_type=m, model_cache_dir=models).rows(cases(["Clear."], [""])) for m in ("radgraph-xl",)}
    assert json.loads(texts["radgraph-xl"]["radgraph_report"].iloc[0])["text"] == "Clear ."


def test_without_weights_it_says_where_they_belong_and_how_to_do_without(tmp_path: Path) -> None:
    pytest.importorskip("radgraph", reason="needs radgraph")
    with pytest.raises(UsageError, match=r"(?s)echograph has no config\.json.*RRG_scorers.*report_annotations="):
        RadGraph(model_type="echograph", model_cache_dir=tmp_path)


def test_without_the_package_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annotator.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'rrgbench-radgraph\[model\]', or give annotations"):
        RadGraph()


def test_weights_that_don_t_fit_are_named(models: Path, tmp_path: Path) -> None:
    shutil.copytree(models / "radgraph", tmp_path / "radgraph")
    shutil.copy(models / "radgraph-xl" / "weights.th", tmp_path / "radgraph" / "weights.th")
    with pytest.raises(UsageError, match=f"model in {tmp_path}/radgraph can't be loaded"):
        RadGraph(model_cache_dir=tmp_path).rows(cases(TEXTS[:1], TEXTS[:1]))


def test_the_modern_model_is_refused_where_it_is_known_to_be_wrong(models: Path) -> None:
    from importlib.metadata import version

    if int(version("transformers").split(".")[0]) < 5:
        pytest.skip("transformers 4 is installed")
    with pytest.raises(UsageError, match="wrong annotations under transformers 5"):
        RadGraph(model_type="modern-radgraph-xl", model_cache_dir=models)
