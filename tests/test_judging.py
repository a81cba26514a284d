"""Judges: metrics that ask a language model, or read what one replied before."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import rrgbench
from rrgbench import explaining, harness, hookimpl, hookspecs, judging, plugins, show_page, showing, stats
from rrgbench.audit import auditing
from rrgbench.cache import Cache
from rrgbench.errors import LLMError, UsageError
from rrgbench.interfaces import LLM, Ask
from rrgbench.judging import Judging, Recorded, Unreadable, answered, rows_of
from rrgbench.parts import build
from rrgbench.runs import RunResult
from rrgbench.types import Case, Completion, Failure, Judged, Message, Report, Study

REFERENCES = {f"s{i}": f"FINDINGS: Reference {i}." for i in range(4)}
REPORTS = {f"s{i}": f"FINDINGS: Report {i}." for i in range(4)}


class Scripted:
    """Marks a report as ``reply`` says; ``{n}`` is the number in the report, or in what is said of ``bad`` ones."""

    version, host, concurrency = "1", None, 3
    asked: list[Sequence[Message]] = []

    def __init__(self, reply: str = "mark: {n}", bad: dict[str, str] | None = None, temperature: float = 0.0) -> None:
        self._reply, self._bad = reply, bad or {}

    async def complete(self, messages: Sequence[Message], schema: Mapping[str, Any] | None = None) -> Completion:
        self.asked.append(messages)
        number = (re.findall(r"Report (\d+)", messages[0].content) or ["2"])[0]
        reply = self._bad.get(number, self._reply).replace("{n}", number)
        if reply.startswith("raise "):
            raise LLMError(reply.removeprefix("raise "), "as it was told to")
        if reply == "mend":  # unreadable at first, readable once it is told
            reply = "mark: 3" if len(messages) > 1 else "Let me think."
        return Completion(reply, "scripted-1", prompt_tokens=10, completion_tokens=5, cost=0.5)


class Marks:
    """A judge that gives marks from 0 to 3."""

    version = "1"
    needs = ("report", "reference")
    neutral = ("replies",)
    higher_is_better = {"marks": True}

    def __init__(self, judge: LLM | None = None, replies: Path | None = None, repeat: int = 1) -> None:
        self.recorded = Recorded(replies) if replies else None
        self.repeat = repeat
        self.signature = self.recorded.signature if self.recorded else ""

    async def row(self, case: Case, ask: Ask) -> Mapping[str, float] | Failure:
        question = [Message("user", f"{case.candidate} against {case.reference}")]
        answer = await answered(ask, question, self.read)
        return answer.value if isinstance(answer.value, Failure) else {"marks": answer.value}

    @staticmethod
    def read(reply: str) -> float:
        if not (found := re.fullmatch(r"mark: ([0-3])", reply)):
            raise Unreadable("it is no mark")
        return float(found[1])

    def reduce(self, rows: pd.DataFrame, weights: Any = None) -> Any:
        value = stats.mean(
            rows["marks"] if "marks" in rows else np.full(len(rows), np.nan), stats.unit_weights(weights, len(rows))
        )
        return {"marks": value if weights is not None else value[0]}

    def judged(self, rows: pd.DataFrame) -> Mapping[str, Judged]:
        values = rows["marks"] if "marks" in rows else pd.Series(np.nan, rows.index)
        return {
            "marks": Judged(
                int(values.notna().sum()), int(values.isna().sum()), values.fillna(0).mean(), values.fillna(3).mean()
            )
        }


class Plugin:
    name = value = "judging"
    dist = None

    def load(self) -> object:
        return self

    @hookimpl
    def rrgbench_register_llms(self, register: hookspecs.Register) -> None:
        register("scripted", f"{__name__}:Scripted")

    @hookimpl
    def rrgbench_register_metrics(self, register: hookspecs.Register) -> None:
        register("marks", f"{__name__}:Marks")


@pytest.fixture(autouse=True)
def _parts(monkeypatch: pytest.MonkeyPatch) -> None:
    there = plugins.load([Plugin()])  # type: ignore[list-item]
    monkeypatch.setattr(plugins, "catalogue", lambda: there)
    Scripted.asked = []


Score = Callable[..., RunResult]


@pytest.fixture
def score(tmp_path: Path) -> Score:
    """Score the reports by a metric, in a folder that stays."""
    references = tmp_path / "references.csv"
    pd.DataFrame({"study_id": list(REFERENCES), "report": list(REFERENCES.values())}).to_csv(references, index=False)

    def call(*metrics: str, reports: Mapping[str, str] | pd.DataFrame = REPORTS, **given: Any) -> RunResult:
        given = {"protocol": "findings", "resamples": 20, "terms": "open", "out": tmp_path / "runs", **given}
        return harness.score(reports, references, metrics=metrics, **given)

    return call


def entry(result: RunResult, metric: str = "marks") -> dict[str, Any]:
    (found,) = [each for each in result.summary["scores"] if each["metric"] == metric]
    return found


def lines(result: RunResult) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (result.folder / "replies.jsonl").read_text().splitlines()]


# --- asking -----------------------------------------------------------------------------------------------------------


def test_a_judge_scores_each_report_through_ask(score: Score) -> None:
    result = score("marks:judge=scripted")
    assert entry(result)["value"] == pytest.approx((0 + 1 + 2 + 3) / 4)
    assert entry(result)["n"] == 4 and entry(result)["n_failed"] == 0 and result.complete
    assert not {"worst", "best"} & entry(result).keys()
    assert len(Scripted.asked) == 4


def test_the_signature_names_the_judge_and_its_options(score: Score) -> None:
    assert "judge:(scripted|reply:mark: {n}|temperature:0.0|v:1)" in entry(score("marks:judge=scripted"))["signature"]


def test_what_was_asked_once_is_not_asked_again_but_of_another_model(score: Score, tmp_path: Path) -> None:
    first = score("marks:judge=scripted")
    again = score("marks:judge=scripted")
    assert len(Scripted.asked) == 4 and entry(again) == entry(first)
    usage = again.manifest["judges"]["marks:judge=scripted@findings"]
    assert (usage["calls"], usage["calls_from_cache"], usage["cost"]) == (4, 4, 2.0)
    score("marks:judge='scripted:temperature=0.5'")
    assert len(Scripted.asked) == 8


def test_a_judge_asked_twice_is_not_answered_from_the_cache(score: Score) -> None:
    score("marks:judge=scripted")
    score("marks:judge=scripted,repeat=2")
    assert len(Scripted.asked) == 8


def test_one_that_draws_its_replies_is_warned_of(score: Score) -> None:
    said = " ".join(score("marks:judge='scripted:temperature=0.5'").manifest["warnings"])
    assert "temperature 0.5" in said


def test_a_judge_is_used_only_where_it_is_asked_for(tmp_path: Path) -> None:
    result = harness.score(REPORTS, REFERENCES, protocol="findings", resamples=0, out=tmp_path)
    assert not any(each["metric"] == "marks" for each in result.summary["scores"])
    assert not Scripted.asked


def test_what_is_no_language_model_is_no_judge(score: Score) -> None:
    with pytest.raises(UsageError, match="template is no language model"):
        score("marks:judge=template")


# --- failures ---------------------------------------------------------------------------------------------------------


def test_a_reply_that_cannot_be_read_is_asked_for_once_more_with_the_reason(score: Score) -> None:
    result = score("marks:judge='scripted:bad={\"1\": mend}'")
    assert entry(result)["value"] == pytest.approx((0 + 3 + 2 + 3) / 4)
    told = [messages for messages in Scripted.asked if len(messages) > 1]
    assert [[m.role for m in messages] for messages in told] == [["user", "assistant", "user"]]
    assert "it is no mark" in told[0][-1].content


@pytest.mark.parametrize(
    ("bad", "kind", "calls"),
    [
        ("I would say three.", "unparsable", 5),
        ("raise timeout", "timeout", 4),
        ("raise truncated", "unparsable", 5),
        ("", "unparsable", 5),
    ],
)
def test_then_it_is_a_failure_and_the_score_says_what_it_may_hide(
    score: Score, bad: str, kind: str, calls: int
) -> None:
    result = score(f'marks:judge=\'scripted:bad={{"3": "{bad}"}}\'')
    made = entry(result)
    assert made["value"] == pytest.approx(1) and (made["n"], made["n_failed"]) == (3, 1)
    assert made["worst"] == pytest.approx(3 / 4) and made["best"] == pytest.approx(6 / 4)
    assert len(Scripted.asked) == calls
    assert result.manifest["judges"][next(iter(result.manifest["judges"]))]["failures"] == {kind: 1}
    assert f"1 could not be judged (1 {kind})" in " ".join(result.manifest["warnings"])
    (failed,) = [line for line in lines(result) if "prompt" not in line]
    assert (failed["study_id"], failed["failure"]) == ("s3", kind) and failed["why"]


def test_a_judge_that_fails_at_all_reports_gives_no_value(score: Score) -> None:
    result = score("marks:judge='scripted:reply=perfect'")
    assert entry(result)["value"] is None and "no report could be judged (4 failed" in entry(result)["reason"]
    assert entry(result)["n_failed"] == 4 and not result.complete


def test_a_wrong_key_stops_the_judge_and_no_other_metric(score: Score) -> None:
    result = score("marks:judge='scripted:reply=raise auth'", "wording")
    assert entry(result)["value"] is None and not result.complete
    assert len(Scripted.asked) <= Scripted.concurrency
    assert entry(result, "distinct_words")["value"] is not None


def test_why_a_judge_had_to_stop_is_said_for_data_that_is_not_open_too(score: Score) -> None:
    result = score("marks:judge='scripted:bad={\"3\": raise quota}'", terms="credentialed")
    assert "as it was told to" in " ".join(result.manifest["warnings"])
    (usage,) = result.manifest["judges"].values()
    assert 1 <= usage["read"] <= 3 and usage["cost"] == usage["read"] / 2  # what was asked before is counted


def test_what_a_judge_raises_costs_its_own_report(score: Score, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Marks.read
    monkeypatch.setattr(Marks, "read", staticmethod(lambda reply: 1 / (3 - read(reply))))
    result = score("marks:judge=scripted")
    assert (entry(result)["n"], entry(result)["n_failed"]) == (3, 1)
    assert entry(result)["value"] == pytest.approx((1 / 3 + 1 / 2 + 1) / 3)


def test_a_report_that_was_not_made_is_not_judged(score: Score) -> None:
    result = score("marks:judge=scripted", reports={"s1": REPORTS["s1"], "s2": REPORTS["s2"]})
    assert (entry(result)["n"], entry(result)["n_failed"], len(Scripted.asked)) == (2, 2, 2)


# --- money ------------------------------------------------------------------------------------------------------------


def test_a_budget_holds_for_judges_too(tmp_path: Path) -> None:
    lines = ["study_id,report,labels", *(f"s{i},FINDINGS: Report {i}.,Edema" for i in range(6))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    given = {
        "dataset": f"table:path={tmp_path / 't.csv'},labels=labels,report=report,terms=open",
        "system": "constant:text='FINDINGS: Report 1.'",
        "metric": "marks:judge=scripted",
        "protocol": "findings",
        "out": tmp_path / "runs",
    }
    (result,) = harness.run({**given, "token_budget": 30}).runs
    assert len(Scripted.asked) < 6 and entry(result)["value"] is None and not result.complete
    assert "budget" in " ".join(result.manifest["warnings"])
    (result,) = harness.run(given).runs
    assert len(Scripted.asked) == 6 and entry(result)["value"] == 1  # it goes on from where it stopped


# --- recorded replies -------------------------------------------------------------------------------------------------


def test_the_replies_of_a_run_give_its_scores_again_without_a_judge(score: Score, tmp_path: Path) -> None:
    asked = score('marks:judge=\'scripted:bad={"1": mend, "2": none, "3": raise truncated}\'')
    (usage,) = asked.manifest["judges"].values()
    assert (usage["questions"], usage["read_at_once"], usage["read"]) == (4, 1, 2)
    assert usage["failures"] == {"unparsable": 2}
    assert [line.get("unreadable") for line in lines(asked) if line["reply"] == "none"] == ["it is no mark"] * 2
    Scripted.asked = []
    replies = asked.folder / "replies.jsonl"
    again = score(f"marks:replies={replies}", out=tmp_path / "again")
    same = ("value", "ci", "n", "n_failed", "worst", "best")
    assert {k: entry(again).get(k) for k in same} == {k: entry(asked).get(k) for k in same}
    assert not Scripted.asked
    (counted,) = again.manifest["judges"].values()
    assert {k: counted[k] for k in ("questions", "read_at_once", "read", "failures")} == {
        k: usage[k] for k in ("questions", "read_at_once", "read", "failures")
    }
    assert "replies:file|judge:scripted-1" in entry(again)["signature"]


def test_a_reply_is_not_taken_for_that_to_another_text(score: Score, tmp_path: Path) -> None:
    asked = score("marks:judge=scripted")
    other = {**REPORTS, "s1": "FINDINGS: Report 1, changed."}
    again = score(f"marks:replies={asked.folder / 'replies.jsonl'}", reports=other, out=tmp_path / "again")
    assert (entry(again)["n"], entry(again)["n_failed"]) == (3, 1)
    assert [line["failure"] for line in lines(again) if "prompt" not in line] == ["missing"]


def test_replies_without_a_prompt_are_taken_in_their_order(score: Score, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("study_id,reply\ns0,mark: 1\ns1,hm\ns1,mark: 3\ns2,hm\n")
    result = score(f"marks:replies={tmp_path / 'r.csv'}")
    assert entry(result)["value"] == 2
    assert (entry(result)["n"], entry(result)["n_failed"]) == (2, 2)  # s2 was never mended, s3 is not there
    assert "judge:not named" in entry(result)["signature"]


def test_replies_of_two_judges_without_names_would_share_a_column(score: Score, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text("study_id,reply\ns0,mark: 1\n")
    with pytest.raises(UsageError, match="say in a column 'model' of each file whose replies these are"):
        score(f"marks:replies={tmp_path / 'a.csv'}", f"marks:replies={tmp_path / 'b.csv'}")


def test_a_judge_that_says_the_same_of_all_is_warned_of(tmp_path: Path) -> None:
    texts = {f"s{i}": f"FINDINGS: Report {i}." for i in range(12)}
    given: dict[str, Any] = {"protocol": "findings", "resamples": 0, "terms": "open"}
    said = [
        " ".join(
            harness.score(texts, texts, metrics=[f"marks:judge='scripted:reply=\"{reply}\"'"], **given).manifest[
                "warnings"
            ]
        )
        for reply in ("mark: 2", "mark: {n}")
    ]
    assert "12 of 12 replies are word for word the same" in said[0] and "word for word" not in said[1]


def test_what_two_judges_replied_is_not_taken_for_one_s(score: Score) -> None:
    folder = score("marks:judge=scripted").folder
    harness.rescore(folder, ["marks:judge=scripted,repeat=2"])
    with pytest.raises(UsageError, match="what several judges replied .*marks:judge=scripted, marks.*repeat=2.*keep"):
        harness.rescore(folder, [f"marks:replies={folder / 'replies.jsonl'}"])


def test_replies_without_a_prompt_are_for_one_text_of_a_study(score: Score, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("study_id,reply\ns0,mark: 1\ns1,mark: 3\n")
    result = score(f"marks:replies={tmp_path / 'r.csv'}", protocol=["findings", "full-text"])
    found = {each["protocol"]: each for each in result.summary["scores"]}
    assert found["findings"]["value"] == 2
    same = found["full-text"]["value"] == 2  # the two protocols prepare these texts alike
    assert same
    other = build(plugins.catalogue(), "metric", f"marks:replies={tmp_path / 'r.csv'}")
    cases = [Case(Study("s0", "p"), None, Report("x"), text, "Reference") for text in ("Report 1", "Report 2")]
    assert rows_of(other, cases, None)["marks"].tolist() == pytest.approx([1, np.nan], nan_ok=True)


def test_replies_to_images_are_those_images_own(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("study_id,image_id,reply\ns,i2,mark: 2\ns,i1,mark: 1\n")
    part = build(plugins.catalogue(), "metric", f"marks:replies={tmp_path / 'r.csv'}")
    study = Study("s", "p")
    cases = [Case(study, None, Report("x"), f"Report {i}", "Reference", f"i{i}") for i in (1, 2, 3)]
    assert rows_of(part, cases, None)["marks"].tolist() == pytest.approx([1, 2, np.nan], nan_ok=True)


def test_replies_of_other_studies_say_so(score: Score, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("study_id,reply\nt7,mark: 1\n")
    reason = entry(score(f"marks:replies={tmp_path / 'r.csv'}"))["reason"]
    assert "no reply to any of these studies" in reason and "'t7'" in reason and "'s0'" in reason


def test_a_file_without_replies_is_refused(score: Score, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("study_id,report\ns0,mark: 1\n")
    with pytest.raises(UsageError, match="no column 'reply'"):
        score(f"marks:replies={tmp_path / 'r.csv'}")


def test_a_run_folder_keeps_the_replies_to_its_reports_and_no_others(score: Score) -> None:
    folder = score("marks:judge=scripted").folder
    harness.rescore(folder, ["marks:judge=scripted,repeat=2"])
    metrics = [json.loads(line)["metric"] for line in (folder / "replies.jsonl").read_text().splitlines()]
    assert metrics == ["marks:judge=scripted"] * 4 + ["marks:judge=scripted,repeat=2"] * 4
    again = harness.rescore(folder, ["marks:judge=scripted"])
    assert len(lines(again)) == 8 and len(Scripted.asked) == 8
    assert set(again.manifest["judges"]) == {"marks:judge=scripted@findings", "marks:judge=scripted,repeat=2@findings"}


def test_replies_to_data_that_is_not_open_are_its_owners_alone(score: Score) -> None:
    file = score("marks:judge=scripted", terms="private").folder / "replies.jsonl"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_under_a_protocol_that_counts_images_each_is_judged(tmp_path: Path) -> None:
    part = build(plugins.catalogue(), "metric", "marks:judge=scripted")
    study = Study("s", "p")
    cases = [Case(study, None, Report("x"), f"Report {i}", "Reference", f"i{i}") for i in (1, 2)]
    cache = Cache(tmp_path / "c.sqlite")
    asking = Judging(cache, 10)
    rows = rows_of(part, cases, asking, "r2gen")
    cache.close()
    assert rows["marks"].tolist() == [1, 2] and list(rows.index) == ["s", "s"]
    assert sorted(line["image_id"] for line in asking.lines) == ["i1", "i2"]


def test_the_reasoning_in_a_file_of_reports_is_for_judges_and_never_scored_as_text(score: Score) -> None:
    frame = pd.DataFrame(
        {"study_id": list(REPORTS), "report": list(REPORTS.values()), "reasoning": ["Step 1.", "", "a", "b"]}
    )
    result = score("marks:judge=scripted", reports=frame)
    records = [json.loads(line) for line in (result.folder / "reports.jsonl").read_text().splitlines()]
    assert [record["reasoning"] for record in records] == ["Step 1.", None, "a", "b"]
    assert not any("Step" in message.content for messages in Scripted.asked for message in messages)


# --- afterwards -------------------------------------------------------------------------------------------------------


def test_the_page_of_a_run_has_what_judges_replied_as_text(score: Score) -> None:
    folder = score('marks:judge=\'scripted:bad={"1": "<b>one</b>"}\'').folder
    html = show_page.write(showing.open_run(folder)).read_text()
    assert html.count("What judges replied") == 4 and "mark: 3" in html
    assert "&lt;b&gt;one&lt;/b&gt;" in html and "<b>one" not in html and "it is no mark" in html


def test_two_systems_are_compared_on_what_both_were_judged_for_and_without_the_judge(
    score: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = score("marks:judge=scripted").folder
    other = {key: text.replace("Report 0", "Report 2") for key, text in REPORTS.items()}
    two = score("marks:judge=scripted", reports=other).folder
    asked = len(Scripted.asked)
    monkeypatch.setattr(Scripted, "__init__", lambda self: pytest.fail("the judge was built"))
    (compared,) = rrgbench.compare([one, two], ["marks"]).comparisons
    assert (compared.difference, compared.n) == (pytest.approx(2 / 4), 4)
    assert len(Scripted.asked) == asked


def test_why_two_judged_numbers_differ_is_told_without_asking(score: Score) -> None:
    one, two = (
        score("marks:judge=scripted"),
        score("marks:judge='scripted:temperature=0.5'", reports={**REPORTS, "s0": "x"}),
    )
    told = explaining.explain(one.folder, two.folder, ["marks"])
    assert "asks a language model" in str(told)


def test_an_audit_asks_a_judge_of_each_edited_report_and_keeps_what_it_said(tmp_path: Path) -> None:
    given: dict[str, Any] = {"metrics": ["marks:judge=scripted"], "limit": 4, "resamples": 0, "out": tmp_path / "runs"}
    (found,) = auditing.audit("phantom:n=40", **given).scores
    assert found.unedited == 2 and all(move.mean == 0 for move in found.moves if move.n)
    asked = len(Scripted.asked)
    assert asked > 8
    auditing.audit("phantom:n=40", **given)
    assert len(Scripted.asked) == asked


def test_a_report_that_one_judge_failed_at_is_left_out_of_that_score_alone() -> None:
    rows = pd.DataFrame({"marks": [1.0, np.nan, 2.0], "other": [1.0, 1.0, 1.0]}, index=list("abc"))
    part = build(plugins.catalogue(), "metric", "marks:judge=scripted")
    assert judging.failed(part.obj, rows)["marks"].tolist() == [False, True, False]
