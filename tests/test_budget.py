"""The error budget: what adds up, what it is counted from, what a missing run leaves open, and what is refused."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rrgbench as rrg
from rrgbench import hookimpl, hookspecs, plugins, stored
from rrgbench.budget import KNOWN_BEST, Budgeted, ErrorBudget, System, budget
from rrgbench.budget_page import page
from rrgbench.budget_split import Corners, Loss, Split
from rrgbench.comparing import compare
from rrgbench.encoders.oracle import Oracle
from rrgbench.errors import UsageError
from rrgbench.llms.template import Template
from rrgbench.types import Context, Failure, Finding, Findings, Report, Status

SCORES = ["rulelabel_micro_f1_14", "length_error", "exact_match", "auroc_macro"]


class Plugin:
    """Registers the parts below."""

    name = value = "budgeting"
    dist = None

    def load(self) -> object:
        return self

    @hookimpl
    def rrgbench_register_encoders(self, register: hookspecs.Register) -> None:
        register("short-sighted", f"{__name__}:ShortSighted")
        register("twin", f"{__name__}:Twin")

    @hookimpl
    def rrgbench_register_llms(self, register: hookspecs.Register) -> None:
        register("forgetful", f"{__name__}:Forgetful")


class Twin(Oracle):
    """The oracle under another name."""


class ShortSighted(Oracle):
    """Sees only every second finding that is there."""

    def encode(self, contexts: Sequence[Context]) -> list[Findings | Failure]:
        return [without(found, 0) if isinstance(found, Findings) else found for found in super().encode(contexts)]


class Forgetful(Template):
    """Writes only every second finding that it is given; nothing at all for the studies of ``fail``."""

    def __init__(self, fail: list[str] | None = None) -> None:
        self._fail = fail or []

    def write(self, findings: Findings, context: Context) -> Report | Failure:
        if context.study_id in self._fail:
            return Failure("refused", "no")
        return super().write(without(findings, 1), context)


def without(found: Findings, first: int) -> Findings:
    """The findings with every second present one, from the first or the second on, absent."""
    gone = {finding.label for finding in found.having(Status.PRESENT)[first::2]}
    changed = {label: Finding(label, Status.ABSENT, 0.0) if label in gone else f for label, f in found.by_label.items()}
    return Findings(found.vocabulary, changed)


@pytest.fixture(scope="module")
def catalogue() -> plugins.Catalogue:
    return plugins.load([Plugin()])  # type: ignore[list-item]


@pytest.fixture(autouse=True)
def _parts(catalogue: plugins.Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "catalogue", lambda: catalogue)


@pytest.fixture(scope="module")
def runs(catalogue: plugins.Catalogue, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Run folders by system: two encoders beside the oracle by two writers, on 39 drawn studies."""
    out = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plugins, "catalogue", lambda: catalogue)
        done = rrg.run(
            dataset="phantom:n=200",
            encoder=["oracle", "short-sighted", "twin"],
            llm=["template", "forgetful"],
            metric=["rulelabel", "wording", "classification"],
            resamples=100,
            out=out,
        )
    return {str(run.summary["system"]): run.folder for run in done.runs if run.folder}


@pytest.fixture(scope="module")
def whole(catalogue: plugins.Catalogue, runs: Mapping[str, Path]) -> ErrorBudget:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plugins, "catalogue", lambda: catalogue)
        return budget(list(runs.values()), SCORES, reference="template")


def of(found: ErrorBudget, metric: str) -> Budgeted:
    (each,) = (each for each in found.budgets if each.metric == metric)
    return each


def one(found: ErrorBudget, metric: str, encoder: str, writer: str) -> System:
    (system,) = (each for each in of(found, metric).systems if (each.encoder, each.writer) == (encoder, writer))
    return system


def points(loss: Loss | None) -> float:
    assert loss is not None
    return loss.value


# --- two stages -------------------------------------------------------------------------------------------------------

score = st.floats(0, 1)


@given(score, score, score, score)
def test_the_split_is_shapleys_and_adds_up(neither: float, encoder: float, writer: float, both: float) -> None:
    n, e, w, b = (np.array([value]) for value in (neither, encoder, writer, both))
    split = Corners(n, e, w, b, resamples=0).split(1.0)
    value = {frozenset(): neither, frozenset("e"): encoder, frozenset("w"): writer, frozenset("ew"): both}
    for stage, loss in (("e", split.by_encoder), ("w", split.by_writer)):
        orders = [set(order[: order.index(stage)]) for order in permutations("ew")]
        by_hand = np.mean([value[frozenset(sofar)] - value[frozenset(sofar | {stage})] for sofar in orders])
        assert points(loss) == pytest.approx(by_hand)
    assert points(split.by_encoder) + points(split.by_writer) == pytest.approx(points(split.together), abs=1e-12)
    assert points(split.rest) + points(split.together) == pytest.approx(points(split.whole), abs=1e-12)
    swapped = Corners(n, w, e, b, resamples=0).split(1.0)
    assert (swapped.by_encoder, swapped.by_writer) == (split.by_writer, split.by_encoder)
    assert points(swapped.interaction) == pytest.approx(points(split.interaction), abs=1e-12)


def corners(**given: float | None) -> Split:
    arrays = {name: None if value is None else np.array([value]) for name, value in given.items()}
    return Corners(**arrays, resamples=0).split(None)  # type: ignore[arg-type]


def test_a_missing_corner_leaves_one_order_and_two_leave_none() -> None:
    split = corners(neither=0.8, encoder=0.6, writer=None, both=0.3)
    assert (split.order, split.rest, split.interaction) == ("encoder first", None, None)
    assert [points(split.by_encoder), points(split.by_writer)] == pytest.approx([0.2, 0.3])
    split = corners(neither=0.8, encoder=None, writer=0.7, both=0.3)
    assert split.order == "writer first"
    assert [points(split.by_encoder), points(split.by_writer)] == pytest.approx([0.4, 0.1])
    split = corners(neither=0.8, encoder=None, writer=None, both=0.3)
    assert (split.order, split.by_encoder, split.by_writer) == (None, None, None)
    assert points(split.together) == pytest.approx(0.5)


# --- of runs ----------------------------------------------------------------------------------------------------------


def test_losses_are_counted_from_the_scores_of_the_runs(whole: ErrorBudget, runs: Mapping[str, Path]) -> None:
    f1 = of(whole, "rulelabel_micro_f1_14")
    kept = {
        name: next(each.value for each in stored.read(folder).scores if each.metric == "rulelabel_micro_f1_14")
        for name, folder in runs.items()
    }
    assert len(f1.systems) == 6 and f1.ceiling == 1.0 and f1.n == 39
    for system in f1.systems:
        assert system.value == pytest.approx(kept[f"{system.encoder}+{system.writer}"])
        assert points(system.split.whole) == pytest.approx(1 - system.value)
        assert points(system.split.rest) == pytest.approx(1 - float(kept["oracle+template"] or 0))
    split = one(whole, "rulelabel_micro_f1_14", "short-sighted", "forgetful").split
    assert points(split.by_encoder) > 0.1 and points(split.by_writer) > 0.1
    assert split.interaction and split.by_encoder and split.by_encoder.ci
    assert split.by_encoder.ci[0] < split.by_encoder.value < split.by_encoder.ci[1]
    shares = [loss.share for loss in (split.rest, split.by_encoder, split.by_writer) if loss and loss.share is not None]
    assert sum(shares) == pytest.approx(1.0) and len(shares) == 3


def test_the_interval_is_that_of_the_paired_comparison(whole: ErrorBudget, runs: Mapping[str, Path]) -> None:
    found = compare([runs["oracle+template"], runs["short-sighted+template"]], ["rulelabel_micro_f1_14"], swaps=9)
    (difference,) = found.comparisons
    lost = one(whole, "rulelabel_micro_f1_14", "short-sighted", "template").split.by_encoder
    assert lost and lost.ci and difference.ci and difference.difference
    assert lost.value == pytest.approx(-difference.difference)
    assert lost.ci == pytest.approx((-difference.ci[1], -difference.ci[0]), abs=1e-9)


@pytest.mark.parametrize("metric", SCORES)
def test_a_stage_that_does_as_the_reference_loses_nothing(whole: ErrorBudget, metric: str) -> None:
    for writer in ("template", "forgetful"):
        oracle, twin = (one(whole, metric, encoder, writer).split for encoder in ("oracle", "twin"))
        assert twin.by_encoder == replace(twin.by_encoder or Loss(1, None), value=0.0, ci=(0.0, 0.0))
        assert (twin.by_writer, twin.whole) == (oracle.by_writer, oracle.whole)


def test_an_encoders_own_score_is_the_encoders_to_lose(whole: ErrorBudget) -> None:
    split = one(whole, "auroc_macro", "short-sighted", "forgetful").split
    assert points(split.by_encoder) == points(split.whole) > 0
    assert (points(split.by_writer), points(split.rest)) == (0.0, 0.0)


def test_where_lower_is_better_more_is_lost(whole: ErrorBudget) -> None:
    error = of(whole, "length_error")
    assert not error.higher_is_better and not error.known
    reference = one(whole, "length_error", "oracle", "template")
    assert error.ceiling == reference.value and reference.split.rest is None
    for system in error.systems:
        assert points(system.split.whole) == pytest.approx(system.value - reference.value)


def test_what_scores_are_known_to_reach_1() -> None:
    known = ["rulelabel_micro_f1_14_upos", "chexbert_f1_edema", "auroc_macro", "ap_edema", "f1_edema", "green"]
    known += ["radfact_logical_f1", "srr_bert_structeval_samples_f1_leaves", "rulelabel_exact_match_14", "temporal_f1"]
    unknown = ["bleu_4", "bertscore_f1", "exact_match", "rouge_l", "cider", "radgraph_er", "ratescore", "radcliq_v1"]
    assert [name for name in known + unknown if KNOWN_BEST.fullmatch(name)] == known


def test_writers_are_measured_against_the_one_asked_for(runs: Mapping[str, Path]) -> None:
    folders = list(runs.values())
    found = budget(folders, ["rulelabel_micro_f1_14", "exact_match"])
    assert {each.metric: each.reference for each in found.budgets}["rulelabel_micro_f1_14"] == "template"
    found = budget(folders, ["rulelabel_micro_f1_14"], reference="forgetful")
    won = one(found, "rulelabel_micro_f1_14", "short-sighted", "template").split
    assert points(won.by_writer) < 0 and won.interaction is not None
    (best,) = budget(folders, ["length_error"], reference="best").budgets
    reached = {system.writer: system.value for system in best.systems if system.encoder == "oracle"}
    assert best.reference == min(reached, key=lambda writer: reached[writer])
    with pytest.raises(UsageError, match="No run is written by 'forgetfull'. Did you mean 'forgetful'"):
        budget(folders, reference="forgetfull")


def test_studies_that_one_run_lacks_count_for_none(runs: Mapping[str, Path], tmp_path: Path) -> None:
    everyone = [json.loads(line)["study_id"] for line in (runs["oracle+template"] / "reports.jsonl").open()]
    given: dict[str, Any] = {
        "dataset": "phantom:n=200",
        "encoder": "short-sighted",
        "metric": ["rulelabel"],
        "resamples": 0,
    }
    failing: dict[str, Any] = {"forgetful": {"fail": everyone[:7]}}
    (run,) = rrg.run(**given, llm=failing, out=tmp_path).runs
    assert run.folder
    found = budget([runs["oracle+template"], run.folder], ["rulelabel_micro_f1_14"])
    (each,) = found.budgets
    assert each.n == 32
    assert "short-sighted+forgetful made no report of 7 studies: what that loses is not in the budget" in found.notes
    assert any("has 32 of 39: budgeted are the 32 that all runs have" in note for note in found.notes)


def test_a_missing_run_is_named_with_the_command_that_makes_it(
    runs: Mapping[str, Path], rrgbench: Any, tmp_path: Path
) -> None:
    some = [runs["oracle+template"], runs["short-sighted+forgetful"], runs["twin+template"]]
    found = budget(some, ["rulelabel_micro_f1_14"])
    assert [each.system for each in found.missing] == ["oracle+forgetful", "short-sighted+template"]
    assert one(found, "rulelabel_micro_f1_14", "short-sighted", "forgetful").split.order is None
    words = shlex.split(found.missing[0].command)
    assert words[:2] == ["rrgbench", "run"] and words[words.index("--llm") + 1] == "forgetful"
    assert words[words.index("--encoder") + 1] == "oracle" and words.count("--metric") == 3
    with pytest.raises(UsageError, match=r"oracle\+template is missing: rrgbench run --dataset phantom:n=200 --enc"):
        budget([runs["short-sighted+template"], runs["short-sighted+forgetful"]])
    alone = budget([runs["oracle+forgetful"], runs["twin+forgetful"]], ["rulelabel_micro_f1_14"])
    assert alone.budgets[0].reference == "forgetful" and any("no run is written by template" in n for n in alone.notes)
    done = rrgbench(*shlex.split(found.missing[0].command.replace("forgetful", "template"))[1:], "--out", "again")
    assert done.code == 0, done.err  # the command is one that runs


def test_what_cannot_be_budgeted_is_refused(runs: Mapping[str, Path], tmp_path: Path) -> None:
    other = rrg.run(dataset="phantom:n=200,seed=1", encoder="oracle", metric=["rulelabel"], resamples=0, out=tmp_path)
    assert other.runs[0].folder
    with pytest.raises(UsageError, match="not on the same studies"):
        budget([runs["oracle+template"], other.runs[0].folder])
    constant = rrg.run(dataset="phantom:n=200", system="constant", metric=["rulelabel"], resamples=0, out=tmp_path)
    assert constant.runs[0].folder
    with pytest.raises(UsageError, match="needs runs of an encoder and a writer"):
        budget([constant.runs[0].folder])
    found = budget([*runs.values(), constant.runs[0].folder], ["rulelabel_micro_f1_14"])
    assert "constant is left out: it has no encoder and no writer" in found.notes


def test_scores_that_are_not_computed_alike_are_not_mixed(runs: Mapping[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(runs["short-sighted+template"], tmp_path / "run")
    summary = json.loads((folder / "scores.json").read_text())
    for each in summary["scores"]:
        each["signature"] += "|changed:yes"
    (folder / "scores.json").write_text(json.dumps(summary))
    found = budget([runs["oracle+template"], runs["twin+template"], folder], ["rulelabel_micro_f1_14"])
    (each,) = found.budgets
    assert [system.encoder for system in each.systems] == ["oracle", "twin"]
    assert any("of short-sighted+template is left out: it is not computed alike" in note for note in found.notes)
    with pytest.raises(UsageError, match="not computed alike"):
        budget([runs["oracle+template"], folder], ["rulelabel_micro_f1_14"])


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_the_command_prints_tables_json_and_writes_a_page(
    runs: Mapping[str, Path], rrgbench: Any, tmp_path: Path
) -> None:
    folders = [runs["oracle+template"], runs["oracle+forgetful"], runs["short-sighted+forgetful"]]
    done = rrgbench("budget", *folders, "--metric", "rulelabel_micro_f1_14", "--out", tmp_path / "budget.html")
    assert done.code == 0, done.err
    assert "Losses are counted from 1, the best value. Writers are measured against template." in done.out
    assert "short-sighted+forgetful" in done.out and "in one order only" in done.out
    assert "short-sighted+template is missing. This makes it:\n  rrgbench run" in done.err
    html = (tmp_path / "budget.html").read_text()
    assert html.startswith("<!DOCTYPE html>") and 'class="by_writer"' in html and "<script" not in html
    record = rrgbench("budget", *folders, "--metric", "rulelabel_micro_f1_14", "--json").json()
    assert record["missing"][0]["system"] == "short-sighted+template"
    assert record["budgets"][0]["systems"][2]["split"]["order"] == "writer first"


def test_the_page_escapes_and_shows_no_id_of_data_that_is_not_open(whole: ErrorBudget) -> None:
    first = whole.budgets[0]
    named = replace(first, systems=(replace(first.systems[0], encoder="<b>s51234567"), *first.systems[1:]))
    marked = replace(whole, budgets=(named,))
    assert "&lt;b&gt;s51234567" in page(marked, "Budget") and "<b>s5" not in page(marked, "Budget")
    with pytest.raises(UsageError, match="aggregates only"):
        page(replace(marked, terms="credentialed"), "Budget")


def test_the_frame_has_a_row_a_part(whole: ErrorBudget) -> None:
    frame = whole.frame()
    mine = frame[(frame.metric == "rulelabel_micro_f1_14") & (frame.encoder == "short-sighted")]
    parts = ["whole", "rest", "together", "by_encoder", "by_writer"]
    assert list(mine[mine.writer == "template"].part) == parts
    assert list(mine[mine.writer == "forgetful"].part) == [*parts, "interaction"]
    assert {"value", "ci", "share", "share_ci", "score", "n"} <= set(mine.columns)
