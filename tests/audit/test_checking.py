"""`rrgbench audit check`: reports with at most one error, and who finds it."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rrgbench.audit.checking import check_reports, scores
from rrgbench.audit.questions import TYPES, Item, answered, items
from rrgbench.audit.subjects import Subject, subjects
from rrgbench.datasets.phantom import Phantom
from rrgbench.errors import UsageError
from rrgbench.labelers.rules import label_report
from rrgbench.protocols import protocol
from rrgbench.types import Failure
from tests.conftest import Done


def drawn() -> list[Item]:
    return items(subjects(list(Phantom(n=400).load("train")), protocol("findings")), seed=0)


def test_half_of_the_reports_have_one_error_of_each_type() -> None:
    found = drawn()
    types = Counter(item.type for item in found)
    assert 0.4 < types["none"] / len(found) < 0.6 and set(types) == set(TYPES)
    assert [(item.type, item.text) for item in found] == [(item.type, item.text) for item in drawn()]
    kinds = {"insert": {"insertion"}, "remove": {"omission"}, "substitute": {"substitution", "side", "severity"}}
    for item in found:
        assert (item.edit is None) == (item.type == "none") == (item.text == item.subject.reference)
        if item.edit:
            assert item.edit.kind in kinds[item.type]
    assert {item.edit.kind for item in found if item.edit} == set().union(*kinds.values())


def test_an_insertion_adds_a_label_and_a_removal_takes_one() -> None:
    for item in drawn():
        if item.edit and item.type in ("insert", "remove"):
            before, after = label_report(item.subject.text)[item.edit.label], label_report(item.text)[item.edit.label]  # type: ignore[index]
            assert (before == "present") == (item.type == "remove") and (after == "present") == (item.type == "insert")


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ('{"error": "insert"}', "insert"),
        ('```json\n{"error" : "none"}\n```', "none"),
        ("<think>insert or remove?</think> It is: Substitute.", "substitute"),
        ("Remove.", "remove"),
        ("none of insert and remove", None),
        ('{"error": "other"}', None),
        ("", None),
    ],
)
def test_a_reply_names_one_type_or_none_at_all(reply: str, expected: str | None) -> None:
    answer = answered(reply)
    assert answer == expected if expected else isinstance(answer, Failure) and answer.kind == "unparsable"


def test_scores_are_scikit_learn_s() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = random.Random(0)
    found = drawn()[:120]
    said: list[str | None] = [rng.choice((item.type, *TYPES)) for item in found]
    values = {score.metric: score.value for score in scores(found, said, "findings", "", 0, 0)}
    truth = [item.type for item in found]
    error, called = ([each != "none" for each in side] for side in (truth, said))
    assert values["check_accuracy"] == pytest.approx(metrics.accuracy_score(error, called))
    assert values["check_f1"] == pytest.approx(metrics.f1_score(error, called))
    assert values["check_precision"] == pytest.approx(metrics.precision_score(error, called))
    assert values["check_type_accuracy"] == pytest.approx(metrics.accuracy_score(truth, said))
    assert values["check_type_macro_f1"] == pytest.approx(metrics.f1_score(truth, said, average="macro"))
    for name, recall in zip(TYPES, metrics.recall_score(truth, said, average=None, labels=TYPES), strict=True):
        assert values[f"check_recall_{name}"] == pytest.approx(recall)


def test_a_report_without_an_answer_is_counted_and_not_scored() -> None:
    found = drawn()[:40]
    said = [item.type for item in found]
    lacking: list[str | None] = [None, None, *said[2:]]
    for score in scores(found, lacking, "findings", "", 100, 0):
        assert score.n_failed == 2 and score.value in (1.0, None)
    (accuracy, *_) = scores(found, lacking, "findings", "", 100, 0)
    assert accuracy.n == 38 and accuracy.ci == (1.0, 1.0)
    assert all(score.value is None and score.reason for score in scores(found, [None] * 40, "findings", "", 0, 0))


def test_the_rule_finds_what_the_findings_contradict(tmp_path: Path) -> None:
    done = check_reports("phantom:n=400", encoder="oracle", split="train", limit=150, out=tmp_path)
    values = {score.metric: score for score in done.scores}
    assert done.n == 150 and not done.failures and 0.5 <= done.always < 0.6
    recall, accuracy = values["check_recall"], values["check_accuracy"]
    assert recall.value and recall.value > 0.95 and accuracy.value and accuracy.value > done.always
    assert accuracy.ci and accuracy.ci[0] < accuracy.value < accuracy.ci[1]
    lines = [json.loads(line) for line in (done.folder / "answers.jsonl").read_text().splitlines()]
    assert len(lines) == 150
    assert accuracy.value == pytest.approx(
        np.mean([(line["answer"] == "none") == (line["type"] == "none") for line in lines])
    )
    assert json.loads((done.folder / "check.json").read_text())["by_type"] == dict(done.by_type)


def test_a_real_language_model_answers_and_is_asked_once(
    rrgbench: Callable[..., Done], tmp_path: Path, llama: Any
) -> None:
    llm = f"gpt4:base_url={llama.base_url},max_tokens=30"
    command = ["audit", "check", "--dataset", "phantom:n=60", "--encoder", "oracle", "--llm", llm, "--limit", 3]
    done = rrgbench(*command, "--json", env={"OPENAI_API_KEY": llama.key}, timeout=280)
    assert done.code == 0, done.err
    record = done.json()
    assert record["system"] == "oracle+gpt4" and record["n"] == 3 and record["failures"] == {}
    (file,) = tmp_path.rglob("answers.jsonl")
    answers = [json.loads(line) for line in file.read_text().splitlines()]
    assert all(answer["answer"] in TYPES and answer["reply"] for answer in answers)
    again = rrgbench(*command, "--json", env={"OPENAI_API_KEY": "sk-wrong"})
    assert again.code == 0 and again.json() == record  # from the cache: a wrong key would stop it


def test_a_remote_model_never_sees_data_that_is_not_open(rrgbench: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("study_id,report\na,FINDINGS: Left effusion.\n")
    done = rrgbench(
        *("audit", "check", "--dataset", "table:path=a.csv,report=report", "--encoder", "oracle", "--llm", "gpt4"),
        env={"OPENAI_API_KEY": "sk-not-a-key", "OPENAI_BASE_URL": "http://nowhere.invalid/v1"},
    )
    assert done.code == 2 and "nowhere.invalid" in done.err and "private" in done.err
    assert not list(tmp_path.rglob("answers.jsonl"))


def test_a_writer_that_can_not_be_asked_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no language model"):
        check_reports("phantom:n=60", llm="template", encoder="oracle", out=tmp_path)


def test_a_study_whose_findings_are_lacking_has_no_answer(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("study_id,report\na,FINDINGS: Left effusion.\nb,FINDINGS: Clear lungs.\n")
    done = check_reports(f"table:path={tmp_path / 'a.csv'},report=report", encoder="oracle", out=tmp_path)
    assert done.failures == {"labels": 2} and all(score.value is None for score in done.scores)
    assert done.folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["findings", "full-text", "impression", "standard", "rexrank", "r2gen-iu", "libra"])
def test_an_unedited_report_is_its_reference_under_every_protocol(name: str) -> None:
    studies = list(Phantom(n=80).load("train"))
    found: list[Subject] = subjects(studies, protocol(name).fitted(studies, None)[0])
    assert len(found) == sum(protocol(name).reference(study) is not None for study in studies) > 20
