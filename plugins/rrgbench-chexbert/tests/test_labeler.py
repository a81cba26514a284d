"""The labeler ``chexbert`` and the metrics that are made with it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rrgbench_chexbert
import torch
from rrgbench_chexbert.labeler import HEADS, Chexbert
from rrgbench_chexbert.similarity import ChexbertSimilarity
from rrgbench_chexbert.weights import find

from rrgbench.errors import UsageError
from rrgbench.interfaces import Labeler
from rrgbench.labelers.rules import RuleLabeler
from rrgbench.labels import CHEXPERT
from rrgbench.metrics.clinical import ChexbertF1
from rrgbench.types import Case, Report, Status, Study


@pytest.fixture
def chexbert(checkpoint: Path, bert: Path) -> Chexbert:
    return Chexbert(checkpoint, bert, device="cpu")


def cases(*pairs: tuple[str, str]) -> list[Case]:
    return [Case(Study(f"s{at}", "p"), None, Report(made), made, truth) for at, (made, truth) in enumerate(pairs)]


def test_it_is_a_labeler(chexbert: Chexbert, texts: list[str]) -> None:
    assert isinstance(chexbert, Labeler)
    labels = chexbert.label(texts)
    assert tuple(labels.columns) == CHEXPERT.labels
    assert labels.index.tolist() == list(range(len(texts)))
    assert {type(cell) for cell in labels.to_numpy().ravel()} == {Status}
    assert set(labels["No Finding"]) <= {Status.PRESENT, Status.NOT_MENTIONED}
    assert chexbert.label([]).shape == (0, 14)


def test_each_head_is_the_label_that_the_authors_gave_it(
    save: Callable[..., Path], bert: Path, random_state: Callable[[int], dict[str, torch.Tensor]]
) -> None:
    """Every head is set to one class: the order is that of constants.py, which is not that of CheXpert's files."""
    said = {
        "Enlarged Cardiomediastinum": 0,
        "Cardiomegaly": 1,
        "Lung Opacity": 2,
        "Lung Lesion": 3,
        "Edema": 0,
        "Consolidation": 1,
        "Pneumonia": 2,
        "Atelectasis": 3,
        "Pneumothorax": 1,
        "Pleural Effusion": 0,
        "Pleural Other": 3,
        "Fracture": 2,
        "Support Devices": 1,
        "No Finding": 1,
    }
    state = random_state(0)
    for at, chosen in enumerate(said.values()):
        n = 2 if at == 13 else 4
        state[f"module.linear_heads.{at}.weight"] = torch.zeros(n, 16)
        state[f"module.linear_heads.{at}.bias"] = torch.eye(n)[chosen]
    statuses = [Status.NOT_MENTIONED, Status.PRESENT, Status.ABSENT, Status.UNCERTAIN]
    assert tuple(said) == HEADS
    row = Chexbert(save(state), bert, device="cpu").label(["clear"]).iloc[0]
    assert row.to_dict() == {label: statuses[chosen] for label, chosen in said.items()}


def test_an_empty_text_gets_what_the_network_says(chexbert: Chexbert) -> None:
    labels = chexbert.label(["", " \n", "clear"])
    assert labels.loc[0].tolist() == labels.loc[1].tolist() != labels.loc[2].tolist()


def test_the_metric_chexbert_reads_reports_with_it(chexbert: Chexbert, texts: list[str]) -> None:
    metric = ChexbertF1(chexbert)
    telling = [text for text in texts if Status.PRESENT in chexbert.label([text]).loc[0].tolist()]
    got = metric.reduce(metric.rows(cases(*zip(telling, telling, strict=True))))
    assert got["chexbert_micro_f1_14"] == got["chexbert_samples_f1_14"] == got["chexbert_exact_match_5"] == 1.0
    other = metric.reduce(metric.rows(cases(*zip(texts, texts[::-1], strict=True))))
    assert 0 < other["chexbert_micro_f1_14"] < 1


def test_similarity_is_the_cosine_of_the_vectors(chexbert: Chexbert) -> None:
    metric = ChexbertSimilarity(chexbert)
    pairs = [("clear", "clear"), ("clear", "the heart is enlarged"), ("", "clear"), ("", "")]
    rows = metric.rows(cases(*pairs))
    for (made, truth), value in zip(pairs, rows["chexbert_similarity"], strict=True):
        a, b = chexbert.vectors([made, truth]).astype(float)
        assert value == pytest.approx(a @ b / np.sqrt((a @ a) * (b @ b)), abs=1e-9)
    assert rows["chexbert_similarity"].iloc[[0, 3]].tolist() == pytest.approx([1, 1])
    assert abs(rows["chexbert_similarity"].iloc[1]) < 0.99
    assert rows.index.tolist() == ["s0", "s1", "s2", "s3"]
    assert metric.reduce(rows)["chexbert_similarity"] == pytest.approx(rows["chexbert_similarity"].mean())
    drawn = metric.reduce(rows, np.array([[2.0, 0, 0, 0], [0, 1, 0, 1]]))["chexbert_similarity"]
    np.testing.assert_allclose(drawn, [1, rows["chexbert_similarity"].iloc[[1, 3]].mean()])


def test_similarity_wants_chexbert_s_vectors() -> None:
    with pytest.raises(UsageError, match="which rulelabel has not"):
        ChexbertSimilarity(RuleLabeler())


@pytest.mark.parametrize("options", [{"device": "nowhere"}, {"batch": 0}])
def test_options_are_checked_before_anything_is_read(checkpoint: Path, bert: Path, options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="nowhere|batch must be at least 1"):
        Chexbert(checkpoint, bert, **options)


def test_registering_imports_nothing_heavy() -> None:
    code = (
        "import sys, rrgbench_chexbert\n"
        "print(sorted({'torch', 'tokenizers', 'numpy', 'pandas', 'huggingface_hub'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_what_is_registered() -> None:
    entries: dict[str, str] = {}
    for hook in (rrgbench_chexbert.rrgbench_register_labelers, rrgbench_chexbert.rrgbench_register_metrics):
        hook(lambda name, target, *, summary, needs, **defaults: entries.update({name: target}))
    assert entries == {
        "chexbert": "rrgbench_chexbert.labeler:Chexbert",
        "chexbert_similarity": "rrgbench_chexbert.similarity:ChexbertSimilarity",
    }


def test_the_released_weights_where_they_are() -> None:
    try:
        find(None, None)
    except UsageError as error:
        pytest.skip(str(error))
    texts = [
        "The heart is enlarged.",
        "There is a small left pleural effusion.",
        "Possible pneumonia. No pneumothorax.",
    ]
    labels = Chexbert(device="cpu").label(texts)
    assert labels.loc[0, "Cardiomegaly"] is Status.PRESENT
    assert labels.loc[1, "Pleural Effusion"] is Status.PRESENT
    assert labels.loc[2, "Pneumonia"] is Status.UNCERTAIN and labels.loc[2, "Pneumothorax"] is Status.ABSENT
