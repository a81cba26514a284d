"""The self-test of metrics and labelers finds what is wrong with them, and only that."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rrgbench import doctor, plugins, scoring, stats
from rrgbench.labelers.rules import RuleLabeler
from rrgbench.labels import CHEXPERT
from rrgbench.parts import Part, build
from rrgbench.sentinels import PLAIN, SENTINELS, Broken, examine_labeler, examine_metric
from rrgbench.types import Case, Status


def part(obj: Any, name: str = "theirs", kind: str = "metric") -> Part:
    return Part(kind, name, name, obj, "rrgbench-theirs", {}, name)


class Overlap:
    """Somebody's metric: the share of the reference's words that the report has. Nothing is wrong with it."""

    version = "1"
    needs = ("report", "reference")
    higher_is_better: Mapping[str, bool] = {"overlap": True}

    def rows(self, cases: Sequence[Case]) -> pd.DataFrame:
        return pd.DataFrame({"overlap": self.values(cases)}, index=[case.study.study_id for case in cases])

    def values(self, cases: Sequence[Case]) -> list[float]:
        return [self.value((c.candidate or "").split(), (c.reference or "").split()) for c in cases]

    def value(self, made: list[str], truth: list[str]) -> float:
        return len(set(made) & set(truth)) / len(set(truth))

    def reduce(self, rows: pd.DataFrame, weights: stats.Array | None = None) -> Mapping[str, Any]:
        value = stats.mean(rows["overlap"], stats.unit_weights(weights, len(rows)))
        return {"overlap": value if weights is not None else value[0]}


class Fails(Overlap):
    def value(self, made: list[str], truth: list[str]) -> float:
        return len(set(made) & set(truth)) / len(made)  # of an empty report: 0/0


class Backward(Overlap):
    higher_is_better = {"overlap": False}


class Ranked(Overlap):
    def values(self, cases: Sequence[Case]) -> list[float]:
        values = super().values(cases)
        return list(pd.Series(values).rank(pct=True))


class Deaf(Overlap):
    def value(self, made: list[str], truth: list[str]) -> float:
        return 1.0


class Boundless(Overlap):
    def value(self, made: list[str], truth: list[str]) -> float:
        return float(np.inf) if made == truth else 0.0


class Shuffled(Overlap):
    def rows(self, cases: Sequence[Case]) -> pd.DataFrame:
        return super().rows(cases).iloc[::-1]


class Directionless(Overlap):
    higher_is_better: Mapping[str, bool] = {}


class Ranking(Ranked):
    corpus = True  # it says so


def test_a_sound_metric_is_told_by_what_it_sees() -> None:
    said = examine_metric(part(Overlap()))
    assert said.startswith("overlap: the reference itself 1, ")
    assert "empty 0" in said and "one alone 1" in said
    assert said.endswith("sees: negation flipped, side swapped, in capitals")


@pytest.mark.parametrize(
    ("metric", "why"),
    [
        (Fails(), "an empty report makes it fail: ZeroDivisionError"),
        (Backward(), r"overlap is better for negation flipped \(0\.\d+\) than for the reference itself"),
        (Ranked(), "a report's row depends on the reports beside it"),
        (Deaf(), "no score tells another study's report from the reference itself"),
        (Boundless(), "overlap is infinite"),
        (Shuffled(), "not one a report, in order"),
        (Directionless(), "higher_is_better does not say its direction"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_wrong_with_a_metric_is_named(metric: Any, why: str) -> None:
    with pytest.raises(Broken, match=why):
        examine_metric(part(metric))


def test_a_metric_of_the_corpus_says_so_and_is_believed() -> None:
    examine_metric(part(Ranking()))


def test_a_known_score_has_its_known_value() -> None:
    class Bleu(Overlap):
        higher_is_better = {"bleu_1": True}

        def reduce(self, rows: pd.DataFrame, weights: stats.Array | None = None) -> Mapping[str, Any]:
            return {"bleu_1": super().reduce(rows, weights)["overlap"] * 100}

    with pytest.raises(Broken, match="bleu_1 of the reference itself is 100, not 1"):
        examine_metric(part(Bleu(), "bleu"))


@pytest.mark.parametrize("name", ["rulelabel", "classification", "temporal_f1", "wording", "bleu", "rouge_l", "cider"])
def test_the_metrics_here_pass(name: str) -> None:
    catalogue = plugins.catalogue()
    if ("metric", name) not in {(entry.kind, entry.name) for entry in catalogue.named(name)}:
        pytest.skip(f"the plugin with {name} is not installed")
    (metric,), _ = scoring.choose(catalogue, [name])
    said = examine_metric(metric)
    if name in ("rulelabel", "classification"):
        assert "negation flipped 0" in said


def test_every_label_is_stated_by_some_reference() -> None:
    assert {label for _, _, labels in SENTINELS for label in labels} == set(CHEXPERT.labels)


class Changed(RuleLabeler):
    """rulelabel with something wrong."""

    def __init__(self, change: Callable[[Sequence[str]], Sequence[str]]) -> None:
        self._change = change

    def label(self, texts: Sequence[str]) -> pd.DataFrame:
        return super().label(self._change(texts))


def test_the_labeler_here_passes() -> None:
    said = examine_labeler(build(plugins.catalogue(), "labeler", "rulelabel"))
    assert said.startswith("of 14 findings stated it reads 14 as present, 0 once they are denied, 14 in capitals")
    assert said.endswith("nothing in an empty text")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            lambda texts: [text.replace(" no ", " a ") for text in texts],
            "'There is no pleural effusion.' is present for Pleural",
        ),
        (
            lambda texts: [text.replace("pneumothorax", "finding") for text in texts],
            "is not mentioned for Pneumothorax, not present",
        ),
        (lambda texts: texts[1:], "rows for"),
        (lambda texts: texts if len(texts) > 1 else [""], "depend on the texts beside it"),
    ],
    ids=["no negation", "a blind spot", "a row lost", "one alone"],
)
def test_what_is_wrong_with_a_labeler_is_named(change: Any, why: str) -> None:
    with pytest.raises(Broken, match=why):
        examine_labeler(part(Changed(change), kind="labeler"))


def test_a_labeler_of_its_own_vocabulary_is_asked_less() -> None:
    from rrgbench.types import Vocabulary

    class Own:
        version, name, vocabulary = "1", "own", Vocabulary("own", ("Wellness",))

        def label(self, texts: Sequence[str]) -> pd.DataFrame:
            return pd.DataFrame({"Wellness": [Status.UNCERTAIN] * len(texts)})

    assert "its own" in examine_labeler(part(Own(), kind="labeler"))


def test_plain_sentences_name_labels_that_there_are() -> None:
    assert set(PLAIN) <= set(CHEXPERT.labels)


def test_doctor_reports_each_part_in_one_of_three_states(monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = plugins.catalogue()
    kept = {"rulelabel", "wording", "oracle", "table", "phantom", "icon", "chexbert"}
    monkeypatch.setattr(
        catalogue, "of_kind", lambda kind: [e for e in type(catalogue).of_kind(catalogue, kind) if e.name in kept]
    )
    monkeypatch.setattr(plugins, "catalogue", lambda: catalogue)
    checks = {check.what: check for check in doctor.examine()}
    assert checks["metric rulelabel"].state == "ok" and "negation flipped 0" in checks["metric rulelabel"].detail
    assert checks["labeler rulelabel"].state == "ok"
    assert "not tried, for it needs attributes" in checks["metric icon"].detail
    assert checks["run"].state == "ok"
    assert {check.state for check in checks.values()} <= {"ok", "unavailable", "broken"}
    if checks["metric chexbert"].state != "ok":
        assert checks["metric chexbert"].state == "unavailable" and "hf download" in checks["metric chexbert"].detail
    json.dumps([vars(check) for check in checks.values()])
