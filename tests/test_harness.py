"""The main flow: what a run leaves behind, how it goes on, and what a failure costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rrgbench import harness, planning, plugins
from rrgbench.errors import RunError, UsageError
from rrgbench.runs import RunResult
from tests import misbehaving
from tests.misbehaving import CountingEncoder, Learning, Scripted, folder_of


@pytest.fixture(autouse=True)
def _parts(monkeypatch: pytest.MonkeyPatch) -> None:
    there = plugins.load([misbehaving.Plugin()])  # type: ignore[list-item]
    assert there.plugins[-1].problem is None
    monkeypatch.setattr(plugins, "catalogue", lambda: there)
    CountingEncoder.calls.clear()
    Scripted.calls.clear()


@pytest.fixture
def run(table: str, tmp_path: Path) -> Any:
    """Run the counting encoder, the plain prompt and the scripted LLM on the eight small radiographs."""

    def call(**given: Any) -> RunResult:
        default = {
            "dataset": table,
            "encoder": "counting",
            "renderer": "names",
            "prompt": "plain",
            "llm": "scripted",
            "metric": ["length"],
            "resamples": 50,
            "out": tmp_path / "runs",
        }
        (result,) = harness.run({**default, **given}).runs
        return result

    return call


def scripted(**script: str) -> dict[str, Any]:
    return {"scripted": {"script": script}}


def test_a_run_leaves_a_folder_that_explains_itself(run: Any) -> None:
    folder = run().folder
    assert {file.name for file in folder.iterdir()} == {
        ".lock",
        "manifest.json",
        "findings.parquet",
        "reports.jsonl",
        "rows.parquet",
        "scores.json",
    }
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["status"] == "complete"
    assert manifest["signatures"]["llm"] == "scripted|model:m|v:1"
    assert manifest["dataset"]["studies"] == 8 and manifest["dataset"]["patients"] == 6
    assert {"encode", "write", "score"} <= manifest["seconds"].keys()
    records = [json.loads(line) for line in (folder / "reports.jsonl").read_text().splitlines()]
    assert len(records) == 8
    assert {
        "study_id",
        "text",
        "model",
        "prompt_hash",
        "prompt_tokens",
        "completion_tokens",
        "cost",
        "write_seconds",
    } <= (records[0].keys())
    assert list(pd.read_parquet(folder / "findings.parquet").columns[:7]) == [
        "study_id", "label", "probability", "status", "side", "severity", "box",
    ]  # fmt: skip
    rows = pd.read_parquet(folder / "rows.parquet")
    assert list(rows.columns) == ["study_id", "image_id", "patient_id", "length@full-text/n"]


def test_scores_json_has_the_keys_that_others_rely_on(run: Any) -> None:
    result = run()
    summary = json.loads((result.folder / "scores.json").read_text())
    assert summary == result.summary
    assert summary["parts"] == {
        "system": "classify-then-generate",
        "encoder": "counting",
        "renderer": "names",
        "prompt": "plain",
        "llm": "scripted",
    }
    assert (summary["n"], summary["coverage"], summary["baseline"], summary["synthetic"]) == (8, 1.0, False, False)
    (score,) = summary["scores"]
    assert score["metric"] == "length" and score["protocol"] == "full-text" and score["n"] == 8
    assert score["ci"][0] <= score["value"] <= score["ci"][1]
    assert score["signature"].startswith("length|v:1|protocol:full-text|unit:study|text:whitespace@")
    assert "|failures:exclude|data:table/all/" in score["signature"]
    assert list(result.frame()["metric"]) == ["length"]


def test_the_same_command_makes_no_report_again(run: Any) -> None:
    first = run()
    asked, encoded = len(Scripted.calls), len(CountingEncoder.calls)
    assert run().scores == first.scores
    assert (len(Scripted.calls), len(CountingEncoder.calls)) == (asked, encoded)


def test_a_torn_last_line_is_dropped_and_made_again_from_the_cache(run: Any) -> None:
    first = run()
    file = first.folder / "reports.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole[:-30])
    assert run().scores == first.scores
    assert file.read_bytes().count(b"\n") == 8 and len(Scripted.calls) == 8


def test_another_llm_on_the_same_encoder_encodes_nothing_again(run: Any) -> None:
    one = run()
    two = run(llm="scripted:model=other")
    assert len(CountingEncoder.calls) == 8
    assert one.folder != two.folder
    texts = [json.loads(line)["text"] for line in (two.folder / "reports.jsonl").read_text().splitlines()]
    assert all(text.startswith("other says") for text in texts)  # one model's replies are never another's


def test_a_changed_image_is_looked_at_again(run: Any, radiographs: Path) -> None:
    run()
    (radiographs.parent / "0.png").write_bytes((radiographs.parent / "1.png").read_bytes())
    run(llm="scripted:model=other")
    assert CountingEncoder.calls.count("s0") == 1  # the same bytes as image 1, whose findings are known
    assert len(CountingEncoder.calls) == 8


def test_a_further_metric_adds_to_the_run(run: Any) -> None:
    first = run()
    again = harness.rescore(first.folder, ["rulelabel"], resamples=20)
    names = {score.metric for score in again.scores}
    assert "length" in names and "rulelabel_micro_f1_14" in names
    assert len(Scripted.calls) == 8
    columns = pd.read_parquet(first.folder / "rows.parquet").columns
    assert any(c.startswith("rulelabel@") for c in columns) and "length@full-text/n" in columns


# --- failures ---------------------------------------------------------------------------------------------------------


def failures(result: RunResult) -> dict[str, tuple[str, str]]:
    records = [json.loads(line) for line in (result.folder / "reports.jsonl").read_text().splitlines()]  # type: ignore[operator]
    return {r["study_id"]: (r["failure"]["kind"], r["failure"]["message"]) for r in records if r["failure"]}


def test_every_kind_of_failure_is_recorded_and_none_is_scored_as_text(run: Any) -> None:
    result = run(llm=scripted(s0="refused", s1="crash", s2="empty", s3="long", s4="once"))
    found = failures(result)
    assert {study: kind for study, (kind, _) in found.items()} == {
        "s0": "refused",
        "s1": "llm",
        "s2": "empty",
        "s3": "too long",
    }
    assert "ZeroDivisionError" in found["s1"][1]
    assert result.summary["coverage"] == 0.5
    assert result.summary["failures"] == {"refused": 1, "llm": 1, "empty": 1, "too long": 1}
    assert (result.scores[0].n, result.scores[0].n_failed) == (4, 4)
    assert not result.complete and result.manifest["status"] == "incomplete"


def test_a_failure_may_count_as_an_empty_report_and_the_signature_says_so(run: Any) -> None:
    excluded = run(llm=scripted(s0="refused"))
    counted = run(llm=scripted(s0="refused"), failures="empty")
    assert (counted.scores[0].n, counted.scores[0].n_failed) == (8, 1)
    assert counted.scores[0].value == pytest.approx(excluded.scores[0].value * 7 / 8)
    assert "failures:empty" in counted.scores[0].signature and "failures:exclude" in excluded.scores[0].signature


def test_failures_are_tried_again_and_nothing_else_is(run: Any) -> None:
    run(llm=scripted(s0="refused"))
    Scripted.calls.clear()
    result = run()
    assert Scripted.calls == ["s0"] and result.complete


def test_a_server_that_asks_to_wait_is_asked_again(run: Any) -> None:
    assert run(llm=scripted(s0="once")).complete
    assert Scripted.calls.count("s0") == 2


def test_a_wrong_key_stops_the_run_and_what_was_made_stays(run: Any, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="the server said auth"):
        run(llm=scripted(s3="auth"))
    folder = folder_of(tmp_path / "runs")
    assert json.loads((folder / "manifest.json").read_text())["status"] == "incomplete"
    made = len((folder / "reports.jsonl").read_text().splitlines())
    assert 0 < made < 8
    Scripted.calls.clear()
    assert run().complete and len(Scripted.calls) == 8 - made


def test_an_encoder_that_raises_costs_that_study_alone(run: Any) -> None:
    result = run(encoder={"counting": {"fail": ["s5"]}})
    assert failures(result) == {"s5": ("encoder", "RuntimeError: can't look at s5")}


def test_an_image_that_can_t_be_read_costs_that_study_alone(run: Any, radiographs: Path) -> None:
    image = radiographs.parent / "2.png"
    image.write_bytes(image.read_bytes()[:100])
    (radiographs.parent / "3.png").unlink()
    found = failures(run())
    assert {study: kind for study, (kind, _) in found.items()} == {"s2": "image", "s3": "image"}
    assert "row 3" in found["s2"][1] and "replace the file" in found["s2"][1]
    assert "row 4" in found["s3"][1] and "is not in" in found["s3"][1]


def test_a_system_that_raises_costs_the_studies_it_raises_at(run: Any) -> None:
    result = run(system={"stumbling": {"fail": ["s2", "s6"]}})
    assert set(failures(result)) == {"s2", "s6"}
    assert result.scores[0].n == 6


def test_a_metric_that_raises_gives_null_with_the_reason_and_costs_no_other(run: Any) -> None:
    result = run(metric=["raising", "length"])
    raising, length = result.scores
    assert (raising.metric, raising.value) == ("raising", None)
    assert "ValueError" in str(raising.reason) and "own fault" not in str(raising.reason)  # it may name studies
    assert any("a metric's own fault" in warning for warning in result.manifest["warnings"])
    assert length.value is not None
    assert not result.complete  # it was asked for by name


# --- what is refused before any work ----------------------------------------------------------------------------------


def test_private_data_stays_here(run: Any, table: str) -> None:
    for terms in ("private", "credentialed"):
        with pytest.raises(UsageError, match="api.example.com.*--llm local"):
            run(llm="remote", dataset=table.replace("terms=open", f"terms={terms}"))
    assert Scripted.calls == []
    assert run(llm="remote").complete  # open data may leave


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"split": "test"}, "has no splits"),
        ({"llm": "scriptd"}, "Did you mean 'scripted'"),
        ({"protocol": "r2gem"}, "no protocol 'r2gem'"),
        ({"metric": ["lenght"]}, "Did you mean 'length'"),
        ({"limt": 3}, "Did you mean 'limit'"),
    ],
)
def test_a_wrong_request_costs_nothing(run: Any, tmp_path: Path, given: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        run(**given)
    assert not (tmp_path / "runs").exists()


def test_a_second_process_is_refused(run: Any) -> None:
    folder = run().folder
    with harness.RunFolder(folder, private=False), pytest.raises(UsageError, match="Another process"):
        run()


# --- what parts may see -----------------------------------------------------------------------------------------------


def test_a_prompt_learns_from_no_evaluated_patient(tmp_path: Path) -> None:
    given = {"encoder": "oracle", "renderer": "names", "prompt": "learning", "llm": "scripted", "metric": ["length"]}
    (result,) = harness.run({**given, "dataset": "leaky", "out": tmp_path}).runs
    assert Learning.learnt == ["a", "b"]
    assert any("another split" in warning for warning in result.manifest["warnings"])


def test_asking_the_same_twice_is_two_samples(run: Any) -> None:
    run(prompt="plain:samples=2")
    assert len(Scripted.calls) == 16


def test_a_context_holds_what_was_asked_for_and_never_the_report(table: str) -> None:
    from rrgbench.parts import build

    study = next(iter(build(plugins.catalogue(), "dataset", table).obj.load(None)))
    assert study.sections and study.labels
    shown = planning.context(study, ("images", "sections"))
    assert len(shown.images) == 1 and shown.labels is None
    assert not {"findings", "impression", "report"} & shown.sections.keys()


def test_a_writer_without_a_prompt_makes_one_run_for_all_prompts(run: Any, tmp_path: Path, table: str) -> None:
    results = harness.run(
        dataset=table, encoder="oracle", prompt=["plain", "zero-shot"], llm="template", metric=["length"], out=tmp_path
    )
    assert len(results.runs) == 1
    assert results.runs[0].summary["parts"]["prompt"] is None
    assert results.runs[0].summary["baseline_notes"]


def test_it_runs_inside_a_running_event_loop_as_in_a_notebook(run: Any) -> None:
    import asyncio

    async def cell() -> RunResult:
        result: RunResult = run()
        return result

    assert asyncio.run(cell()).complete


def test_exemplars_are_rendered_as_the_prompt_s_own_findings_are(run: Any, tmp_path: Path) -> None:
    given = {"encoder": "oracle", "prompt": "learning", "llm": "scripted", "metric": ["length"], "dataset": "leaky"}
    results = harness.run({**given, "renderer": ["names", "json"], "out": tmp_path})
    assert [type(renderer).__name__ for renderer in Learning.renderers[-2:]] == ["Names", "JsonRenderer"]
    assert len({result.summary["run_id"] for result in results.runs}) == 2


def test_another_image_under_the_same_name_is_another_run(run: Any, radiographs: Path) -> None:
    first = run()
    (radiographs.parent / "0.png").write_bytes((radiographs.parent / "1.png").read_bytes())
    assert run().folder != first.folder


def test_a_prior_study_comes_without_its_labels() -> None:
    from rrgbench.datasets.phantom import Phantom

    study = next(study for study in Phantom(n=200).load("train") if study.prior)
    assert study.prior is not None and study.prior.labels is not None
    shown = planning.context(study, ("prior",)).prior
    assert shown is not None and shown.labels is None and shown.images


def test_a_reply_that_no_file_can_hold_costs_nothing_else(run: Any) -> None:
    result = run(llm=scripted(s1="surrogate"))
    assert result.complete
    assert run().complete and Scripted.calls.count("s1") == 1  # it was cached, too


@pytest.mark.parametrize("gives", ["nothing", "text"])
def test_a_part_that_gives_no_report_is_a_failure_and_no_study_is_lost(run: Any, gives: str) -> None:
    result = run(system={"stumbling": {"gives": {"s2": gives}}})
    assert set(failures(result)) == {"s2"} and result.scores[0].n == 7


def test_a_metric_asked_for_twice_is_computed_once(run: Any) -> None:
    assert [score.metric for score in run(metric=["length", "length"]).scores] == ["length"]


def test_a_judge_inside_a_metric_passes_the_same_gate(run: Any, table: str) -> None:
    private = table.replace("terms=open", "terms=private")
    with pytest.raises(UsageError, match="judged.*api.example.com"):
        run(dataset=private, metric=["judged:judge=remote"])
    with pytest.raises(UsageError, match="can't need 'weather'"):
        run(metric=["length:needs_also=weather"])


@pytest.mark.parametrize("how", ["exits", "sets", "twins"])
def test_rows_that_can_t_be_kept_cost_that_metric_alone(run: Any, how: str) -> None:
    raising, length = run(metric=[f"raising:how={how}", "length"]).scores
    assert raising.value is None and length.value is not None


def test_a_part_that_calls_sys_exit_does_not_end_the_run_as_if_it_were_done(run: Any) -> None:
    assert failures(run(llm=scripted(s1="exit"))) == {"s1": ("llm", "SystemExit: 0")}


def test_one_system_of_a_grid_that_stops_stops_no_other(table: str, tmp_path: Path) -> None:
    given = {"encoder": "counting", "renderer": "names", "prompt": "plain", "metric": ["length"], "dataset": table}
    results = harness.run({**given, "llm": [scripted(s0="auth"), "scripted:model=other"], "out": tmp_path})
    assert [result.complete for result in results.runs] == [True]
    assert "auth" in results.problems[0]


@pytest.mark.parametrize("file", ["scores.json", "rows.parquet", "reports.jsonl", "../../.cache.sqlite"])
def test_a_damaged_file_is_named_with_the_mend(run: Any, file: str) -> None:
    folder = run().folder
    (folder / file).write_bytes(b"GARBAGE\xff\n" * 100)
    with pytest.raises(RunError, match=r"damaged.*(delete|remove).*run again"):
        run()


def test_an_out_that_is_a_file_is_refused(run: Any, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(UsageError, match="choose another --out"):
        run(out=tmp_path / "taken")


def test_a_config_object_takes_further_keywords(table: str, tmp_path: Path) -> None:
    from rrgbench.config import RunConfig

    config = RunConfig(dataset=table, system=["constant"], metric=["length"], out=tmp_path)  # type: ignore[arg-type]
    (result,) = harness.run(config, limit=2).runs
    assert result.summary["n"] == 2


@pytest.mark.parametrize("reports", [None, ["a report"], {"1": ["a", "list"]}, {}])
def test_reports_of_a_wrong_type_are_refused_in_words(reports: Any) -> None:
    with pytest.raises(UsageError):
        harness.score(reports, {"1": "x"})


def test_ids_that_pandas_made_floats_are_the_same_ids() -> None:
    frame = pd.DataFrame({"study_id": [1.0, 2.0], "report": ["Effusion.", None]})
    result = harness.score(frame, {"1": "Effusion.", "2": "Clear."}, metrics=["length"], resamples=0)
    assert result.summary["failures"] == {"empty": 1}


@pytest.mark.parametrize(("terms", "shown"), [("open", True), ("private", False)])
def test_what_a_metric_says_of_its_texts_is_published_for_open_data_only(
    run: Any, table: str, terms: str, shown: bool
) -> None:
    private = table.replace("terms=open", f"terms={terms}")
    result = run(dataset=private, llm="template", metric=["raising:how=refuses"])
    text = (result.folder / "scores.json").read_text()
    assert ("no such text" in text) == shown
    assert "no such text" in (result.folder / "manifest.json").read_text()


def test_scoring_again_warns_as_the_run_did_and_says_when_it_failed(run: Any) -> None:
    folder = run().folder
    again = harness.rescore(folder, metrics=["length"], protocol=["r2gen"], resamples=20)
    assert any("no training text" in warning for warning in again.manifest["warnings"])
    assert again.summary["resamples"] == 20 and again.complete
    assert not harness.rescore(folder, metrics=["raising"]).complete


def test_a_folder_of_before_images_were_counted_is_scored_again(run: Any) -> None:
    folder = run().folder
    rows = pd.read_parquet(folder / "rows.parquet").drop(columns="image_id")
    rows.to_parquet(folder / "rows.parquet", index=False)
    harness.rescore(folder, metrics=["rulelabel"])
    merged = pd.read_parquet(folder / "rows.parquet")
    assert list(merged["study_id"]) == list(rows["study_id"]) and merged["length@full-text/n"].notna().all()


def test_references_without_the_section_are_no_quiet_success(tmp_path: Path) -> None:
    texts = {"s1": "The lungs are clear.", "s2": "Small effusion."}
    result = harness.score(texts, texts, metrics=["rulelabel"], protocol=["findings", "full-text"])
    reasons = {score.reason for score in result.scores if score.protocol == "findings"}
    (reason,) = reasons
    assert reason is not None and "no headings" in reason and "full-text" in reason
    assert not result.complete
