"""The path through both models, on tiny random checkpoints of the true form: loading, batching, decoding.

Random weights say nothing of accuracy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rrgbench.errors import UsageError
from rrgbench.types import Case

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("PyFastNER")

from rrgbench_ratescore import sentences
from rrgbench_ratescore.metric import RaTEScore
from rrgbench_ratescore.models import Encoder, Tagger, spans

try:
    sentences.require()
except UsageError as error:
    pytest.skip(str(error), allow_module_level=True)

CasesOf = Callable[[Iterable[tuple[str, str]]], list[Case]]

PAIRS = [
    ("The heart is normal. The lungs are clear.", "Heart is enlarged. Lungs are clear."),
    ("Small left pleural effusion.", "No effusion. Pneumonia in the right lung."),
    ("", "The lungs are clear."),
    ("Edema.", ""),
    ("Pneumonia in the left lung, no pleural effusion.", "Pneumonia in the left lung, no pleural effusion."),
    ("Small effusion. " * 30, "Edema in the lungs."),
]


@pytest.fixture(scope="module")
def metric(ner: Path, encoder: Path) -> RaTEScore:
    return RaTEScore(ner=str(ner), encoder=str(encoder), device="cpu", batch=3)


def test_entities_are_stretches_of_the_text(ner: Path) -> None:
    found = Tagger(ner, "cpu").entities(["Small left pleural effusion.", "The lungs are clear."], 8)
    assert sum(map(len, found.values())) > 0
    for text, entities in found.items():
        assert all(entity.text in text for entity in entities)


def test_a_report_does_not_depend_on_those_beside_it(metric: RaTEScore, cases_of: CasesOf) -> None:
    cases = cases_of(PAIRS)
    together = metric.rows(cases)
    assert together["ratescore"].notna().all()
    assert together["ratescore_report_entities"].iloc[0] > 0
    for order in ([5, 4, 3, 2, 1, 0], [0], [2, 1], [3, 3, 0]):
        rows = metric.rows([cases[at] for at in order])
        np.testing.assert_allclose(rows, together.iloc[order], atol=1e-6)
        assert rows.index.tolist() == [f"s{at}" for at in order]


def test_an_empty_side_scores_a_half_and_shifts_nothing(metric: RaTEScore, cases_of: CasesOf) -> None:
    rows = metric.rows(cases_of(PAIRS))
    assert rows["ratescore"].iloc[[2, 3]].tolist() == [0.5, 0.5]
    assert rows["ratescore_report_entities"].iloc[2] == 0
    without = metric.rows([case for case in cases_of(PAIRS) if case.candidate and case.reference])
    np.testing.assert_allclose(without, rows.drop(["s2", "s3"]), atol=1e-6)


def test_batches_of_any_size_give_the_same(ner: Path, encoder: Path, cases_of: CasesOf) -> None:
    one, many = (RaTEScore(ner=str(ner), encoder=str(encoder), batch=batch) for batch in (1, 64))
    np.testing.assert_allclose(one.rows(cases_of(PAIRS)), many.rows(cases_of(PAIRS)), atol=1e-6)
    assert one.signature == many.signature


def test_vectors_are_the_hidden_state_of_the_first_token(encoder: Path) -> None:
    import torch
    from transformers import BertModel, BertTokenizer

    encoded = BertTokenizer.from_pretrained(encoder)("pleural effusion", return_tensors="pt")
    with torch.no_grad():
        expected = BertModel.from_pretrained(encoder)(**encoded).last_hidden_state[0, 0].numpy()
    found = Encoder(encoder, "cpu").vectors(["edema in the left lung", "pleural effusion"], 2)
    np.testing.assert_allclose(found["pleural effusion"], expected, atol=1e-6)


def test_one_side_may_come_from_a_file(
    ner: Path, encoder: Path, cases_of: CasesOf, file: Callable[[object], Path]
) -> None:
    whole = RaTEScore(ner=str(ner), encoder=str(encoder))
    truth = Tagger(ner, "cpu").entities(["Heart is enlarged.", "Lungs are clear."], 2)
    path = file({"s0": [[*entity] for of_sentence in truth.values() for entity in of_sentence]})
    half = RaTEScore(reference_entities=path, ner=str(ner), encoder=str(encoder))
    case = cases_of(PAIRS[:1])
    assert half.rows(case)["ratescore"].iloc[0] == pytest.approx(whole.rows(case)["ratescore"].iloc[0], abs=1e-6)


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ("O B-X I-X O", [(1, 3)]),
        ("B-X B-Y I-Y", [(0, 1), (1, 3)]),
        ("I-X O B-X", [(2, 3)]),
        ("B-X I-Y O I-X", [(0, 2)]),
        ("", []),
    ],
)
def test_labels_to_entities(labels: str, found: list[tuple[int, int]]) -> None:
    assert spans(labels.split()) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [  # as medspacy 1.3.1 splits them, without what is shorter than three characters
        ("The lungs are clear. No effusion.", ["The lungs are clear.", "No effusion."]),
        ("Findings: clear\n\nImpression: none", ["Findings: clear", "Impression: none"]),
        ("Stable 3.5 cm mass.\nNo pneumothorax", ["Stable 3.5 cm mass.", "No pneumothorax"]),
        ("clear", ["clear"]),
        (" . ", []),
        ("", []),
    ],
)
def test_sentences(text: str, found: list[str]) -> None:
    assert sentences.sentences(text) == found


@given(st.text(max_size=80))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_gets_a_score(metric: RaTEScore, cases_of: CasesOf, text: str) -> None:
    rows = metric.rows(cases_of([(text, "The heart is enlarged."), ("Edema.", text)]))
    assert rows["ratescore"].notna().all()


@pytest.mark.parametrize("text", ["a" * 100_000, "small effusion ||| \u2028 \ud800 \x00 " * 3_000])
def test_a_very_long_text_gets_a_score(metric: RaTEScore, cases_of: CasesOf, text: str) -> None:
    assert metric.rows(cases_of([(text, "Edema.")]))["ratescore"].notna().all()


def test_another_model_is_refused(ner: Path, encoder: Path, tmp_path: Path, cases_of: CasesOf) -> None:
    with pytest.raises(UsageError, match="none of RaTEScore's"):
        RaTEScore(ner=str(encoder), encoder=str(encoder)).rows(cases_of(PAIRS))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UsageError, match="can't be loaded"):
        RaTEScore(ner=str(tmp_path), encoder=str(encoder)).rows(cases_of(PAIRS))
