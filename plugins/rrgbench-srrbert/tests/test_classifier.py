"""The path through the model, on tiny random checkpoints of the true form. Random weights say nothing of accuracy."""

from __future__ import annotations

import json
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
pytest.importorskip("punkt")

from rrgbench_srrbert.classifier import Classifier
from rrgbench_srrbert.radeval import RadEval
from rrgbench_srrbert.structeval import StructEval

CasesOf = Callable[[Iterable[tuple[str, str]]], list[Case]]
Checkpoint = Callable[[int], Path]

PAIRS = [
    ("Pleura:\n- No effusion.\nOther:\n- Edema.", "Pleura:\n- No effusion. \n- Small effusion."),
    ("", "Pleura:\n- Small left pleural effusion."),
    ("Cardiovascular:\n- The heart is enlarged.", "Cardiovascular:\n- The heart is enlarged."),
    ("The lungs are clear. " * 40, "Pneumonia in the left lung."),
]


@pytest.fixture(scope="module")
def metrics(checkpoint: Checkpoint, tokenizer: Path) -> list[RadEval | StructEval]:
    options = {"tokenizer": str(tokenizer), "device": "cpu", "batch": 2}
    return [
        RadEval(level="upper_with_statuses", model=str(checkpoint(73)), **options),
        StructEval(level="leaves", model=str(checkpoint(55)), **options),
    ]


def test_labels_are_the_outputs_above_a_half(checkpoint: Checkpoint, tokenizer: Path) -> None:
    import torch
    from rrgbench_srrbert.labels import UPPER
    from transformers import BertForSequenceClassification, BertTokenizer

    folder, sentence = checkpoint(25), "Small left pleural effusion."
    with torch.no_grad():
        encoded = BertTokenizer.from_pretrained(tokenizer)(sentence, return_tensors="pt")
        logits = BertForSequenceClassification.from_pretrained(folder)(**encoded).logits[0]
    expected = {label for label, logit in zip(UPPER, logits.tolist(), strict=True) if logit > 0}
    found = Classifier(folder, tokenizer, "upper", "cpu").labels(["No edema.", sentence, "The lungs are clear."], 3)
    assert 0 < len(expected) < 25
    assert found[sentence] == expected


@pytest.mark.filterwarnings("ignore:.*references have no section")
def test_a_report_does_not_depend_on_those_beside_it(metrics: list[RadEval | StructEval], cases_of: CasesOf) -> None:
    cases = cases_of(PAIRS)
    for metric in metrics:
        together = metric.rows(cases)
        assert together.notna().all(axis=None)
        for order in ([3, 2, 1, 0], [1], [0, 0, 2]):
            rows = metric.rows([cases[at] for at in order])
            np.testing.assert_allclose(rows, together.iloc[order], atol=1e-9)
            assert rows.index.tolist() == [f"s{at}" for at in order]


def test_references_without_sections_are_told(metrics: list[RadEval | StructEval], cases_of: CasesOf) -> None:
    with pytest.warns(UserWarning, match=r"1 of 4 references have no section.*\(s3\)"):
        rows = metrics[1].rows(cases_of(PAIRS))
    assert rows["srr_sections"].tolist() == [2, 1, 1, 0]
    assert rows["srr_headers_f1"].tolist() == pytest.approx([2 / 3, 0, 1, 0])


@given(st.text(max_size=60))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.filterwarnings("ignore:.*references have no section")
def test_any_text_gets_a_row(metrics: list[RadEval | StructEval], cases_of: CasesOf, text: str) -> None:
    for metric in metrics:
        assert metric.rows(cases_of([(text, "Pleura:\n- Clear."), ("Clear.", text)])).notna().all(axis=None)


@pytest.mark.filterwarnings("ignore:.*references have no section")
@pytest.mark.parametrize("text", ["a" * 100_000, "Pleura:\n- small ||| effusion\u2028\ud800\x00\n" * 4_000])
def test_a_very_long_text_gets_a_row(metrics: list[RadEval | StructEval], cases_of: CasesOf, text: str) -> None:
    for metric in metrics:
        assert metric.rows(cases_of([(text, "Pleura:\n- Clear.")])).notna().all(axis=None)


def test_the_model_must_be_of_the_level(checkpoint: Checkpoint, tokenizer: Path, tmp_path: Path) -> None:
    folder = checkpoint(25)
    with pytest.raises(UsageError, match="has 25 outputs, but there are 55 leaves"):
        Classifier(folder, tokenizer, "leaves", "cpu")
    config = json.loads((folder / "config.json").read_text())
    config["id2label"]["0"] = "Edema"
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(config | {"id2label": {str(n): f"x{n}" for n in range(25)}}))
    with pytest.raises(UsageError, match="labels are not the upper of SRR-BERT"):
        Classifier(tmp_path, tokenizer, "upper", "cpu")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UsageError, match="can't be loaded as SRR-BERT"):
        Classifier(tmp_path, tokenizer, "upper", "cpu")


def test_the_signature_says_which_model(metrics: list[RadEval | StructEval], checkpoint: Checkpoint) -> None:
    assert all("model:" in metric.signature and "tokenizer:" in metric.signature for metric in metrics)
