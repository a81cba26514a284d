"""Showing a run: the very messages that were sent, replies from the cache alone, and a page that stays where it may."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from rrgbench import harness, hookimpl, hookspecs, plugins
from rrgbench.errors import LLMError, UsageError
from rrgbench.parts import build
from rrgbench.runs import RunResult
from rrgbench.show_page import page, write
from rrgbench.showing import NOT_CACHED, OpenedRun, Told, open_run, side_by_side
from rrgbench.types import Completion, Message

SENT = "these are the messages that were sent: their hash is the one that was recorded"
REPLY = "FINDINGS: The <b>heart</b> is enlarged.\nIMPRESSION: Cardiomegaly."


class Plugin:
    """Registers the model below."""

    name = value = "listening"
    dist = None

    def load(self) -> object:
        return self

    @hookimpl
    def rrgbench_register_llms(self, register: hookspecs.Register) -> None:
        register("listening", f"{__name__}:Listening")


class Listening:
    """Gives its replies in turn, "refused" as a refusal, and keeps what it was asked."""

    version, host = "1", None
    replies: list[str] = []
    asked: list[tuple[Message, ...]] = []

    async def complete(self, messages: Sequence[Message], schema: Mapping[str, Any] | None = None) -> Completion:
        type(self).asked.append(tuple(messages))
        reply = self.replies[(len(self.asked) - 1) % len(self.replies)]
        if reply == "refused":
            raise LLMError("refused", "the model refused")
        return Completion(reply, "listening-1", prompt_tokens=10, completion_tokens=5)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Three studies of the test split; their patients have studies in the training split, too."""
    there = plugins.load([Plugin()])  # type: ignore[list-item]
    monkeypatch.setattr(plugins, "catalogue", lambda: there)
    Listening.asked, Listening.replies = [], [REPLY]
    lines = ["study_id,patient,split,labels,report"]
    for split, count in (("train", 8), ("test", 3)):
        for i in range(count):
            label = ("Edema", "Cardiomegaly", "Fracture")[i % 3]
            lines.append(f"{split}{i},p{i},{split},{label},FINDINGS: There is edema. IMPRESSION: Edema in {split}{i}.")
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")

    def call(terms: str = "open", **given: Any) -> RunResult:
        table = f"table:path={tmp_path / 't.csv'},patient=patient,split=split,labels=labels,report=report,terms={terms}"
        default = {"dataset": table, "encoder": "oracle", "llm": "listening", "metric": ["wording"], "resamples": 10}
        (result,) = harness.run({**default, "out": tmp_path / "runs", **given}).runs
        return result

    return call


def opened(result: RunResult) -> OpenedRun:
    assert result.folder
    return open_run(result.folder)


def told(result: RunResult, study_id: str = "test0") -> Told:
    found = opened(result)
    shown = found.told(found.of(study_id))
    assert shown
    return shown


@pytest.mark.parametrize(
    "prompt",
    [
        "zero-shot",
        "stepwise",
        "structured",
        "cot",
        "icil:k=2",
        "retrieval:k=2",
        "self-consistency:samples=2,prompt='retrieval:k=2'",
        "repair:prompt=zero-shot,labeler=rulelabel,faults=all",
    ],
)
def test_the_messages_shown_are_those_that_were_sent(run: Any, prompt: str) -> None:
    Listening.replies = ['{"edema": "There is edema.", "impression": "Edema."}'] if prompt == "structured" else [REPLY]
    result = run(prompt=prompt)
    sent = list(Listening.asked)
    shown = [told(result, f"test{i}") for i in range(3)]
    assert all(SENT in each.notes for each in shown)
    calls = [call for each in shown for call in each.calls]
    assert sorted(map(str, {call.messages for call in calls})) == sorted(map(str, set(sent)))
    assert all(call.reply and call.reply.model == "listening-1" for call in calls)
    assert Listening.asked == sent  # nothing was asked again
    recorded = {record["study_id"]: record["prompt_hash"] for record in map(json.loads, lines(result))}
    assert [each.hash for each in shown] == [recorded[f"test{i}"] for i in range(3)]


def lines(result: RunResult) -> list[str]:
    assert result.folder
    return (result.folder / "reports.jsonl").read_text().splitlines()


def test_samples_of_the_same_messages_have_each_their_own_reply(run: Any) -> None:
    Listening.replies = [REPLY, "FINDINGS: There is edema.\nIMPRESSION: Edema."]
    shown = told(run(prompt="self-consistency:samples=2,prompt=zero-shot", limit=1))
    assert [call.sample for call in shown.calls] == [1, 2]
    assert [call.reply.text for call in shown.calls if call.reply] == Listening.replies


def test_where_the_cache_has_no_reply_it_says_so_and_stops(run: Any, tmp_path: Path) -> None:
    result = run(prompt="repair:prompt=zero-shot,labeler=rulelabel,faults=all")
    (tmp_path / "runs" / ".cache.sqlite").unlink()
    asked = len(Listening.asked)
    shown = told(result)
    assert [call.reply for call in shown.calls] == [None]
    assert f"there may be more: {NOT_CACHED}" in shown.notes
    assert any(note.startswith("these are not the messages that were sent, or not all") for note in shown.notes)
    assert len(Listening.asked) == asked
    assert not (tmp_path / "runs" / ".cache.sqlite").exists()


def test_a_failure_is_shown_with_the_messages_that_led_to_it(run: Any) -> None:
    Listening.replies = ["refused"]
    result = run(limit=1)
    found = opened(result)
    made = found.of("test0")
    assert made.record["failure"] == {"kind": "refused", "message": "the model refused"}
    shown = told(result)
    assert SENT in shown.notes and [call.reply for call in shown.calls] == [None]
    assert "<b>refused</b>: the model refused" in page(found)


def test_a_prompt_whose_text_has_changed_is_not_passed_off_as_the_old_one(run: Any, tmp_path: Path) -> None:
    own = tmp_path / "own.md"
    own.write_text("---\nversion: 1\n---\n[user]\nWrite of {findings}\n")
    result = run(prompt=f"zero-shot:text={own}", limit=1)
    assert SENT in told(result).notes
    own.write_text("---\nversion: 2\n---\n[user]\nNow write of {findings}\n")
    notes = told(result).notes
    assert any(note.startswith("the prompt is not what it was: ") for note in notes)
    assert any("not the messages that were sent" in note for note in notes) and SENT not in notes


def test_a_study_that_is_not_there_and_a_system_without_a_prompt(run: Any) -> None:
    found = opened(run(llm="template"))
    assert found.told(found.of("test0")) is None
    with pytest.raises(UsageError, match="no study 'tset0'. Did you mean 'test0'"):
        found.of("tset0")


def test_labels_stand_side_by_side(run: Any) -> None:
    """Given are edema, then cardiomegaly, then a fracture; every report says cardiomegaly, every reference edema."""
    found = opened(run())
    labeler = build(plugins.catalogue(), "labeler", "rulelabel").obj
    wrong = [
        {
            row.label: (row.against_given, row.against_reference)
            for row in rows
            if row.against_given or row.against_reference
        }
        for rows in side_by_side(found.made, labeler)
    ]
    heart, edema = ("Cardiomegaly", "Edema")
    assert wrong[0] == {heart: ("contradiction", "invention"), edema: ("omission", "omission")}
    assert wrong[1] == {heart: (None, "invention"), edema: (None, "omission")}
    assert wrong[2].keys() == {heart, edema, "Fracture"} and wrong[2]["Fracture"] == ("omission", None)


def test_the_page_has_both_texts_escaped_and_loads_nothing(run: Any, tmp_path: Path) -> None:
    found = opened(run())
    (tmp_path / "pages").mkdir()
    assert write(found, tmp_path / "pages") == tmp_path / "pages" / "show.html"
    html = (tmp_path / "pages" / "show.html").read_text()
    assert html.count('class="study"') == 3 and 'id="test2"' in html
    assert "The &lt;b&gt;heart&lt;/b&gt; is enlarged." in html and "<b>heart" not in html
    assert "Edema in test1." in html and "contradicts the findings" in html and "not in the reference" in html
    policy = html.partition("Content-Security-Policy")[2].partition(">")[0]
    assert "script-src &#x27;sha256-" in policy or "script-src 'sha256-" in policy
    assert "http://" not in html and "https://" not in html and " src=" not in html


def test_a_page_of_data_that_is_not_open_stays_in_the_run_folder(run: Any, tmp_path: Path) -> None:
    found = opened(run(terms="private"))
    for elsewhere in (tmp_path / "page.html", tmp_path, found.folder / ".." / "page.html"):
        with pytest.raises(
            UsageError, match="The data of this run is private: a page with its reports is written into"
        ):
            write(found, elsewhere)
    assert not list(tmp_path.glob("*.html"))
    found.folder.chmod(0o755)
    file = write(found)
    assert file == found.folder / "show.html"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (file, found.folder)] == [0o600, 0o700]
    assert "must stay in this folder" in file.read_text()


def test_the_command_prints_a_study_and_its_json(run: Any, rrgbench: Any, tmp_path: Path) -> None:
    folder = run(llm="template", terms="private", dataset="phantom:n=60").folder
    study_id = json.loads((folder / "reports.jsonl").read_text().splitlines()[0])["study_id"]
    done = rrgbench("show", folder, study_id)
    assert done.code == 0, done.err
    assert f"study {study_id} of oracle+template" in done.out and "no prompt" in done.out
    assert all(f"--- {part} ---" in done.out for part in ("report", "findings", "reference"))
    record = rrgbench("show", folder, study_id, "--json").json()
    assert (record["study_id"], record["prompt"]) == (study_id, None)
    assert record["report"]["text"] and record["findings"] and record["reference"]["findings"]
    done = rrgbench("show", folder)
    assert done.code == 0 and (folder / "show.html").exists() and "Open file://" in done.out
    done = rrgbench("show", folder, study_id, "--out", tmp_path)
    assert done.code == 2 and "not both" in done.err
