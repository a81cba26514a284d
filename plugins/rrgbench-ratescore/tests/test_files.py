"""The metric on entities and embeddings from files: no model, no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from rrgbench_ratescore.files import embeddings
from rrgbench_ratescore.metric import RaTEScore

from rrgbench.errors import UsageError
from rrgbench.types import Case

VECTORS = {"effusion": [1, 0], "no effusion": [4, 3], "heart": [0, 1]}
File = Callable[[object], Path]
CasesOf = Callable[[Iterable[tuple[str, str]]], list[Case]]


def test_scores_from_files(file: File, cases_of: CasesOf) -> None:
    metric = RaTEScore(
        report_entities=file({"s0": [["effusion", "Disease"]], "s1": [["heart", "ANATOMY"]], "s2": []}),
        reference_entities=file({"s0": [["no effusion", "NON-DISEASE"]], "s1": [["heart", "ANATOMY"]], "s2": []}),
        embeddings=file(VECTORS),
    )
    rows = metric.rows(cases_of([("Effusion.", "None."), ("Heart.", "Heart."), ("x", "y")]))
    assert rows["ratescore"].tolist() == pytest.approx([0.8 * 0.8716553966489615, 1.0, 0.5])
    assert rows["ratescore_report_entities"].tolist() == [1, 1, 0]
    assert metric.reduce(rows) == {"ratescore": pytest.approx(rows["ratescore"].mean())}
    drawn = metric.reduce(rows, np.array([[2.0, 0.0, 0.0], [0.0, 1.0, 1.0]]))["ratescore"]
    assert drawn == pytest.approx([rows["ratescore"].iloc[0], 0.75])
    assert metric.needs == ("report",)


def test_what_a_file_lacks_costs_its_own_study_only(file: File, cases_of: CasesOf) -> None:
    metric = RaTEScore(
        report_entities=file({"s0": [["effusion", "DISEASE"]], "s1": [["goitre", "DISEASE"]]}),
        reference_entities=file({"s0": [["effusion", "DISEASE"]], "s1": [], "s2": [], "s3": []}),
        embeddings=file(VECTORS),
    )
    with pytest.warns(UserWarning) as caught:
        rows = metric.rows(cases_of([("a", "a"), ("b", "b"), ("c", "c"), ("", "d")]))
    assert rows["ratescore"].tolist() == pytest.approx([1.0, np.nan, np.nan, 0.5], nan_ok=True)
    assert rows.isna().all(axis=1).tolist() == [False, True, True, False]
    said = " ".join(str(warning.message) for warning in caught)
    assert "no entry for 1 texts, of: s2" in said and "lacks entities of 1 studies, which get no score: s1" in said
    assert metric.reduce(rows)["ratescore"] == pytest.approx(0.75)


def test_embeddings_as_npz_are_those_of_the_json(tmp_path: Path, file: File) -> None:
    path = tmp_path / "e.npz"
    np.savez(path, texts=np.array(list(VECTORS)), vectors=np.array(list(VECTORS.values())))
    from_npz, from_json = embeddings(path), embeddings(file(VECTORS))
    assert from_npz.keys() == from_json.keys()
    assert all((from_npz[text] == from_json[text]).all() for text in VECTORS)


def test_a_pickle_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "e.npz"
    np.savez(path, texts=np.array(["a"], dtype=object), vectors=np.zeros((1, 2)))
    with pytest.raises(UsageError, match="must be a .npz"):
        embeddings(path)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ({"a": [1, 2], "b": [1]}, "as many for each text"),
        ({"a": "x"}, "must be numbers"),
        ({"a": []}, "as many for each text"),
        ({"a": [1.0], "b": [float("nan")]}, "vector 2 has a value that is no number"),
        ([], "one JSON object"),
    ],
)
def test_embeddings_of_another_form_are_refused(content: object, fault: str, file: File) -> None:
    with pytest.raises(UsageError, match=fault):
        embeddings(file(content))


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ({"s0": [["effusion", "DISEASES"]]}, "no type 'DISEASES'. Did you mean 'DISEASE'"),
        ({"s0": ["effusion"]}, r"'s0': must be a list of \[text, type\]"),
        ({"s0": {"effusion": "DISEASE"}}, "must be a list"),
    ],
)
def test_entities_of_another_form_are_refused(content: object, fault: str, file: File) -> None:
    with pytest.raises(UsageError, match=fault):
        RaTEScore(report_entities=file(content), reference_entities=file(content), embeddings=file(VECTORS))


def test_the_signature_names_what_the_score_depends_on(file: File) -> None:
    def signature(vectors: object, reference: object) -> str:
        paths = {"report_entities": file({"s0": []}), "reference_entities": file(reference)}
        return RaTEScore(embeddings=file(vectors), **paths).signature

    first = signature(VECTORS, {"s0": []})
    assert first.startswith("constants:ratescore-0.6.0|")
    assert first == signature(VECTORS, {"s0": []})
    assert len({first, signature({"a": [1]}, {"s0": []}), signature(VECTORS, {"s1": []})}) == 3


def test_without_models_and_files_it_says_how_to_get_them() -> None:
    pytest.importorskip("huggingface_hub")
    with pytest.raises(UsageError, match="hf download nobody/has-this.*report_entities="):
        RaTEScore(ner="nobody/has-this")
