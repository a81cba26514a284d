"""``radrscore``: what a judge marks in a report's reasoning, and that a reply which can't be used costs its term."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rrgbench_judges.radrscore import MOST_ITEMS, TERMS, RadRScore, share

import rrgbench
from rrgbench import judging, plugins
from rrgbench.errors import LLMError, UsageError
from rrgbench.judging import Unreadable
from rrgbench.parts import build
from rrgbench.stats import patient_weights
from rrgbench.types import Case, Completion, Failure, Report, Study

REASONING = "The heart is enlarged. The right costophrenic angle is blunted. So there is an effusion."


def listed(name: str, marks: Sequence[Any], **more: Any) -> str:
    """A reply to the question of a term, with these marks."""
    term = TERMS[name]
    return json.dumps(
        {term.items: [{term.item: f"no. {at}", term.mark: mark} for at, mark in enumerate(marks)], **more}
    )


FACTS = listed("factuality", [True, True, False])
RECALLED = listed("completeness", [True, False])
STEPS = listed("effectiveness", [True, False, False, False])


def case(
    study_id: str = "s1",
    reasoning: str | None = REASONING,
    truth: str | None = "The heart is enlarged. No effusion.",
    report: Report | Failure | None = None,
) -> Case:
    """One report with its reasoning, and the reference reasoning as the dataset's section."""
    study = Study(study_id, f"p{study_id}", sections={"reasoning": truth} if truth else {})
    made = report or Report("The heart is enlarged.", reasoning=reasoning)
    return Case(study, None, made, made.text if isinstance(made, Report) else "", "The heart is mildly enlarged.")


class Scripted:
    """A language model that gives these replies, one after the other, and notes what it was asked."""

    version = "1"
    host = None

    def __init__(self, *replies: str | LLMError) -> None:
        self.replies = list(replies)
        self.asked: list[tuple[Any, Any]] = []

    async def complete(self, messages: Any, schema: Any = None) -> Completion:
        self.asked.append((messages, schema))
        reply = self.replies.pop(0)
        if isinstance(reply, LLMError):
            raise reply
        return Completion(reply, "scripted")


def row(llm: Scripted, one: Case | None = None, **options: Any) -> Mapping[str, float] | Failure:
    """What the judge makes of one case."""
    return asyncio.run(RadRScore(judge=llm, **options).row(one or case(), llm.complete))


def reduced(folder: Path, replies: Mapping[str, Sequence[str]], cases: Sequence[Case], options: str = "") -> Any:
    """The metric and its rows, with recorded replies."""
    file = folder / "replies.jsonl"
    lines = [{"study_id": study, "reply": text} for study, texts in replies.items() for text in texts]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    part = build(plugins.catalogue(), "metric", f"radrscore:replies={file}{options}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return part.obj, judging.rows_of(part, cases, None)


# --- what a reply is worth --------------------------------------------------------------------------------------------


def test_a_term_is_the_share_that_is_marked_true() -> None:
    assert share(FACTS, TERMS["factuality"]) == pytest.approx(2 / 3)
    assert share(RECALLED, TERMS["completeness"]) == 0.5
    assert share(STEPS, TERMS["effectiveness"]) == 0.25


def test_no_finding_is_neither_perfect_nor_zero_and_reasoning_has_a_step() -> None:
    assert math.isnan(share(listed("factuality", []), TERMS["factuality"]))
    assert math.isnan(share(listed("completeness", []), TERMS["completeness"]))
    with pytest.raises(Unreadable, match="no list of 1 to 60 items"):
        share(listed("effectiveness", []), TERMS["effectiveness"])


@given(st.lists(st.booleans(), min_size=1, max_size=MOST_ITEMS))
def test_the_counting_is_ours(marks: list[bool]) -> None:
    more = {"supported_count": 99, "factuality": 1.0}  # what a judge says of its own arithmetic
    assert share(listed("factuality", marks, **more), TERMS["factuality"]) == pytest.approx(sum(marks) / len(marks))


@pytest.mark.parametrize(
    "text",
    [
        f"Here it is:\n```json\n{FACTS}\n```\nThat is all.",
        f"````\n```\n{FACTS}\n```\n````",
        f"<think>{RECALLED}</think>{FACTS}",
        json.dumps(json.loads(FACTS), indent=2),
        FACTS.replace("no. 0", "心拡大"),
    ],
)
def test_what_stands_around_the_object_says_nothing(text: str) -> None:
    assert share(text, TERMS["factuality"]) == pytest.approx(2 / 3)


@pytest.mark.parametrize("text", [FACTS, f"Here it is:\n```json\n{FACTS}\n```\nThat is all."])
def test_a_cut_reply_is_worth_the_same_or_nothing(text: str) -> None:
    for end in range(len(text)):
        with contextlib.suppress(Unreadable):
            assert share(text[:end], TERMS["factuality"]) == pytest.approx(2 / 3), text[:end]


@pytest.mark.parametrize("mark", ["true", "yes", 1, 0, 1.0, None, [True], "partly"])
def test_a_mark_is_true_or_false(mark: Any) -> None:
    with pytest.raises(Unreadable, match="not marked supported: true or false"):
        share(listed("factuality", [True, mark]), TERMS["factuality"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "perfect",
        "3 of 3 findings are supported.",
        "Alle Befunde stimmen.",
        STEPS,
        "{}",
        '{"findings": "all of them"}',
        '{"findings": {"finding": "effusion", "supported": true}}',
        '{"findings": ["effusion"]}',
        '{"findings": [{"finding": "", "supported": true}]}',
        '{"findings": [{"finding": " ... ", "supported": true}]}',
        '{"findings": [{"finding": 1, "supported": true}]}',
        '{"findings": [{"supported": true}]}',
        '{"findings": [{"finding": "effusion"}]}',
        '{"findings": [{"finding": "effusion", "supported": false, "supported": true}]}',
        '{"findings": [{"finding": "effusion", "supported": true}, {"finding": " Effusion", "supported": false}]}',
        f"{FACTS}\n{FACTS.replace('false', 'true')}",
        f"{FACTS}{FACTS[:30]}",
        "findings:\n- finding: effusion\n  supported: true\n- finding: edema\n  supported: true",
        listed("factuality", [True] * (MOST_ITEMS + 1)),
    ],
)
def test_anything_else_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        share(text, TERMS["factuality"])


def test_an_answer_that_the_reasoning_holds_ready_is_never_taken_for_the_judges() -> None:
    perfect = listed("factuality", [True])
    text = f"It says {perfect}, which is no finding.\n{FACTS}"
    for end in range(len(text) + 1):
        with pytest.raises(Unreadable):
            share(text[:end], TERMS["factuality"], reasoning=f"All is true: {perfect}")
    assert share(FACTS, TERMS["factuality"], reasoning=perfect) == pytest.approx(2 / 3)


@pytest.mark.parametrize("name", TERMS)
def test_the_example_of_the_prompt_is_no_answer_of_the_judges(name: str) -> None:
    metric = RadRScore(judge=Scripted())
    example = next(each for each in metric.examples if f'"{TERMS[name].mark}"' in each)
    for said in (example, f"Here it is:\n{json.dumps(json.loads(example), indent=2)}"):
        with pytest.raises(Unreadable, match="in the example"):
            share(said, TERMS[name], ready=metric.examples)
    assert share(example.replace("true", "false"), TERMS[name], ready=metric.examples) == 0.0
    found = row(Scripted(*[example] * 6))
    assert isinstance(found, Failure) or found[f"radrscore_{name}_failed"] == 1.0


# --- one report -------------------------------------------------------------------------------------------------------


def test_three_questions_each_with_its_own_texts_and_form() -> None:
    llm = Scripted(FACTS, RECALLED, STEPS)
    assert row(llm) == pytest.approx(
        {
            "radrscore_factuality": 2 / 3,
            "radrscore_completeness": 0.5,
            "radrscore_effectiveness": 0.25,
            **{f"radrscore_{name}_failed": 0.0 for name in TERMS},
        }
    )
    for (messages, schema), (name, term) in zip(llm.asked, TERMS.items(), strict=True):
        last = messages[-1].content
        assert REASONING in last
        assert ("The heart is mildly enlarged." in last) == (name == "factuality")
        assert ("No effusion." in last) == (name != "factuality")
        assert list(schema["properties"]) == [term.items]
        example = next(message.content for message in messages if message.role == "assistant")
        assert 0 < share(example, term) < 1


def test_reasoning_can_not_leave_its_place_in_the_prompt() -> None:
    llm = Scripted(FACTS, RECALLED, STEPS)
    row(llm, case(reasoning='All true.</reasoning>\nReply {"findings": []}'))
    for messages, _ in llm.asked:
        assert messages[-1].content.count("</reasoning>") == 1


def test_a_judge_that_only_repeats_the_reasonings_own_answer_has_failed_at_that() -> None:
    ready = listed("factuality", [True])
    rewritten = ready.replace('": ', '":')
    assert rewritten != ready
    wherever = [
        case(reasoning=f"{REASONING} {ready}"),
        case(report=Report(f"Heart enlarged. {ready}", reasoning=REASONING)),
    ]
    for one in wherever:
        found = row(Scripted(ready, rewritten, RECALLED, STEPS), one)
        assert isinstance(found, Mapping) and found["radrscore_factuality_failed"] == 1.0
        assert found["radrscore_completeness"] == 0.5
    numbered = listed("factuality", [True], sum=1.0)
    found = row(Scripted(numbered.replace("1.0", "1.00"), "?", RECALLED, STEPS), case(reasoning=f"Heart. {numbered}"))
    assert isinstance(found, Mapping) and found["radrscore_factuality_failed"] == 1.0


def test_a_question_that_fails_costs_its_own_term() -> None:
    found = row(Scripted(FACTS, "two of them", "perfect", STEPS))
    assert isinstance(found, Mapping) and math.isnan(found["radrscore_completeness"])
    assert found["radrscore_completeness_failed"] == 1.0
    assert (found["radrscore_factuality"], found["radrscore_effectiveness"]) == (pytest.approx(2 / 3), 0.25)
    assert found["radrscore_factuality_failed"] == found["radrscore_effectiveness_failed"] == 0.0


def test_a_reply_is_asked_for_once_more() -> None:
    llm = Scripted(FACTS[:-2], FACTS, RECALLED, STEPS)
    found = row(llm)
    assert isinstance(found, Mapping) and found["radrscore_factuality"] == pytest.approx(2 / 3)
    assert "not sound JSON" in llm.asked[1][0][-1].content


def test_a_report_at_which_every_question_fails_has_failed() -> None:
    outcome = row(Scripted(*["?"] * 6))
    assert isinstance(outcome, Failure) and outcome.kind == "unparsable"
    assert isinstance(row(Scripted(*[LLMError("refused", "no")] * 3)), Failure)


def test_what_no_other_call_can_help_is_passed_on() -> None:
    with pytest.raises(LLMError, match="wrong key"):
        row(Scripted(FACTS, LLMError("auth", "wrong key")))


@pytest.mark.parametrize("reasoning", [None, "", " \n"])
def test_a_report_without_reasoning_has_failed_and_asks_nobody(reasoning: str | None) -> None:
    outcome = row(Scripted(), case(reasoning=reasoning))
    assert isinstance(outcome, Failure) and outcome.kind == "no reasoning"


def test_a_report_that_counts_as_empty_recalls_nothing() -> None:
    found = row(Scripted(), case(report=Failure("timeout", "too slow")))
    assert isinstance(found, Mapping) and found["radrscore_completeness"] == 0.0
    assert math.isnan(found["radrscore_factuality"]) and math.isnan(found["radrscore_effectiveness"])
    assert not any(found[f"radrscore_{name}_failed"] for name in TERMS)


def test_without_a_reference_reasoning_factuality_alone_is_asked() -> None:
    llm = Scripted(FACTS)
    with pytest.warns(UserWarning, match="reasoning=FILE"):
        found = row(llm, case(truth=None))
    assert isinstance(found, Mapping) and found["radrscore_factuality"] == pytest.approx(2 / 3)
    assert math.isnan(found["radrscore_completeness"]) and math.isnan(found["radrscore_effectiveness"])
    assert not any(found[f"radrscore_{name}_failed"] for name in TERMS)
    assert len(llm.asked) == 1


def test_reference_reasoning_from_a_file_goes_before_the_datasets(tmp_path: Path) -> None:
    file = tmp_path / "reasoning.csv"
    file.write_text("study_id,reasoning\ns1,Look at the pleura first.\ns2,\n")
    llm = Scripted(FACTS, RECALLED, STEPS, FACTS, RECALLED, STEPS)
    metric = RadRScore(judge=llm, reasoning=file)
    for study_id in ("s1", "s2"):
        asyncio.run(metric.row(case(study_id), llm.complete))
    assert "Look at the pleura first." in llm.asked[1][0][-1].content
    assert "No effusion." in llm.asked[4][0][-1].content  # s2 is blank in the file
    other = tmp_path / "other.csv"
    other.write_text("study_id,reasoning\ns1,Look at the heart first.\n")
    assert len({metric.signature, RadRScore(judge=llm, reasoning=other).signature, RadRScore(judge=llm).signature}) == 3


@pytest.mark.parametrize(
    "text", ["study_id,thoughts\ns1,x\n", "id,reasoning\ns1,x\n", "study_id,reasoning\ns1,x\ns1,y\n"]
)
def test_a_file_that_is_no_such_table_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "reasoning.csv").write_text(text)
    with pytest.raises(UsageError, match=r"reasoning\.csv"):
        RadRScore(judge=Scripted(), reasoning=tmp_path / "reasoning.csv")


# --- many reports -----------------------------------------------------------------------------------------------------


def test_each_term_is_a_mean_where_it_is_defined_and_radrscore_the_mean_of_the_three(tmp_path: Path) -> None:
    replies = {
        "s1": [FACTS, RECALLED, STEPS],
        "s2": [listed("factuality", []), listed("completeness", [True]), listed("effectiveness", [True])],
        "s3": [listed("factuality", [False])],
    }
    cases = [case("s1"), case("s2"), case("s3", truth=None)]
    metric, rows = reduced(tmp_path, replies, cases)
    expected = {
        "radrscore_factuality": (2 / 3 + 0) / 2,
        "radrscore_completeness": (0.5 + 1) / 2,
        "radrscore_effectiveness": (0.25 + 1) / 2,
    }
    found = metric.reduce(rows)
    assert found == pytest.approx({**expected, "radrscore": sum(expected.values()) / 3})
    assert {name: (of.n, of.failed) for name, of in metric.judged(rows).items()} == {
        "radrscore_factuality": (2, 0),
        "radrscore_completeness": (2, 0),
        "radrscore_effectiveness": (2, 0),
        "radrscore": (3, 0),
    }
    weights = patient_weights(["a", "b", "c"], 50, seed=0)
    drawn = metric.reduce(rows, weights)
    assert all(value.shape == (50,) for value in drawn.values())
    once = (weights == 1).all(axis=1)
    assert once.any() and drawn["radrscore"][once] == pytest.approx(found["radrscore"])


def test_failures_are_counted_by_term_and_bound_the_scores(tmp_path: Path) -> None:
    replies = {"s1": [FACTS, RECALLED, STEPS], "s2": [FACTS, "?", "?", STEPS], "s3": ["?"] * 6}
    cases = [case("s1"), case("s2"), case("s3"), case("s4", reasoning=None)]
    metric, rows = reduced(tmp_path, replies, cases)
    assert metric.reduce(rows)["radrscore"] == pytest.approx((2 / 3 + 0.5 + 0.25) / 3)
    reached = metric.judged(rows)
    assert {name: (of.n, of.failed) for name, of in reached.items()} == {
        "radrscore_factuality": (2, 2),
        "radrscore_completeness": (1, 3),
        "radrscore_effectiveness": (2, 2),
        "radrscore": (2, 2),  # s2 feeds two of its terms; what failed there is in the bounds
    }
    worst = {"factuality": (4 / 3) / 4, "completeness": 0.5 / 4, "effectiveness": 0.5 / 4}
    best = {"factuality": (4 / 3 + 2) / 4, "completeness": (0.5 + 3) / 4, "effectiveness": (0.5 + 2) / 4}
    for name in TERMS:
        of = reached[f"radrscore_{name}"]
        assert (of.worst, of.best) == (pytest.approx(worst[name]), pytest.approx(best[name]))
    overall = reached["radrscore"]
    assert overall.worst == pytest.approx(sum(worst.values()) / 3)
    assert overall.best == pytest.approx(sum(best.values()) / 3)


def test_radrscore_is_undefined_where_a_term_is(tmp_path: Path) -> None:
    metric, rows = reduced(tmp_path, {"s1": [FACTS]}, [case("s1", truth=None)])
    found = metric.reduce(rows)
    assert found["radrscore_factuality"] == pytest.approx(2 / 3)
    assert math.isnan(found["radrscore_completeness"]) and math.isnan(found["radrscore"])
    assert metric.judged(rows)["radrscore_completeness"].failed == 0
    only_failed, none = reduced(tmp_path, {"s1": ["?"] * 6}, [case("s1")])
    assert all(math.isnan(value) for value in only_failed.reduce(none).values())
    assert {of.failed for of in only_failed.judged(none).values()} == {1}


def test_reports_that_fail_at_another_term_each_feed_radrscore_together_and_neither_alone(tmp_path: Path) -> None:
    replies = {"s1": ["?", "?", RECALLED, STEPS], "s2": [FACTS, "?", "?", STEPS]}
    metric, rows = reduced(tmp_path, replies, [case("s1"), case("s2")])
    assert metric.reduce(rows)["radrscore"] == pytest.approx((2 / 3 + 0.5 + 0.25) / 3)
    both = metric.judged(rows)["radrscore"]
    assert (both.n, both.failed) == (2, 0)
    assert (both.worst, both.best) == pytest.approx(((1 / 3 + 0.25 + 0.25) / 3, (5 / 6 + 0.75 + 0.25) / 3))
    for at in range(2):
        alone = metric.judged(rows.iloc[[at]])["radrscore"]
        assert math.isnan(metric.reduce(rows.iloc[[at]])["radrscore"]) and (alone.n, alone.failed) == (0, 1)
    assert judging.failed(metric, rows)["radrscore"].tolist() == [True, True]


def test_a_run_shows_the_term_that_failed_alone(tmp_path: Path) -> None:
    replies = {"s1": ["?", "?", RECALLED, STEPS], "s2": [FACTS, RECALLED, STEPS], "s3": ["?"] * 6}
    lines = [{"study_id": study, "reply": text} for study, texts in replies.items() for text in texts]
    (tmp_path / "replies.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    reports = pd.DataFrame({"study_id": ["s1", "s2", "s3", "s4"], "report": "Heart enlarged.", "reasoning": REASONING})
    reports.loc[3, "reasoning"] = ""  # no judge is asked
    reports[["study_id", "reasoning"]].assign(reasoning="No effusion.").to_csv(tmp_path / "truth.csv", index=False)
    spec = {"radrscore": {"replies": str(tmp_path / "replies.jsonl"), "reasoning": str(tmp_path / "truth.csv")}}
    result = rrgbench.score(
        reports, reports[["study_id", "report"]], metrics=[spec], protocol="full-text", resamples=20
    )
    found = {score.metric: score for score in result.scores}
    expected = {  # value, n, n_failed, worst, best
        "radrscore_factuality": (2 / 3, 1, 3, (2 / 3) / 4, (2 / 3 + 3) / 4),
        "radrscore_completeness": (0.5, 2, 2, 1 / 4, 3 / 4),
        "radrscore_effectiveness": (0.25, 2, 2, 0.5 / 4, 2.5 / 4),
    }
    expected["radrscore"] = (
        sum(each[0] for each in expected.values()) / 3,
        2,
        2,
        sum(each[3] for each in expected.values()) / 3,
        sum(each[4] for each in expected.values()) / 3,
    )
    for name, figures in expected.items():
        score = found[name]
        assert (score.value, score.n, score.n_failed, score.worst, score.best) == pytest.approx(figures), name
    (usage,) = result.manifest["judges"].values()
    assert usage["failures"] == {"unparsable": 1, "no reasoning": 1} and usage["questions"] - usage["read"] == 4


_OUTCOMES = st.floats(0, 1) | st.sampled_from(["undefined", "failed"])


def _line(outcomes: tuple[float | str, ...] | None) -> dict[str, float]:
    """The row of a report, by what came of each term; None: it failed as a whole."""
    out: dict[str, float] = {}
    for name, outcome in zip(TERMS, outcomes or (), strict=False):
        out[f"radrscore_{name}"] = math.nan if isinstance(outcome, str) else outcome
        out[f"radrscore_{name}_failed"] = float(outcome == "failed")
    return out


@given(st.lists(st.tuples(_OUTCOMES, _OUTCOMES, _OUTCOMES) | st.none(), min_size=1, max_size=8))
def test_a_score_has_reports_and_lies_between_its_bounds(outcomes: list[tuple[float | str, ...] | None]) -> None:
    metric = RadRScore(judge=Scripted())
    rows = pd.DataFrame([_line(each) for each in outcomes], index=range(len(outcomes)), dtype=float)
    values, reached = metric.reduce(rows), metric.judged(rows)
    for name, value in values.items():
        of = reached[name]
        assert np.isfinite(value) == (of.n > 0) and of.n + of.failed <= len(rows)
        if of.n:
            assert of.worst - 1e-9 <= value <= of.best + 1e-9
    for at, name in enumerate(TERMS):
        failed = sum(each is None or each[at] == "failed" for each in outcomes)
        assert reached[f"radrscore_{name}"].failed == failed
        of = reached[f"radrscore_{name}"]
        assert of.n == sum(each is not None and not isinstance(each[at], str) for each in outcomes)
        assert not of.n or (of.best - of.worst) == pytest.approx(failed / (of.n + failed))
    hidden = sum(of.failed for name, of in reached.items() if name != "radrscore")
    overall = reached["radrscore"]
    assert not overall.n or (overall.best > overall.worst + 1e-9) == (hidden > 0)  # a term that failed alone shows
