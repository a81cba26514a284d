"""`rrgbench audit`: the numbers are what the edits and the metrics give, and what is left is aggregates."""

from __future__ import annotations

import functools
import json
import re
import xml.dom.minidom
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rrgbench.audit import page
from rrgbench.audit.auditing import Audit, audit
from rrgbench.audit.corruptor import HARMFUL, HARMLESS, KINDS, Edit
from rrgbench.errors import UsageError
from rrgbench.parts import build
from rrgbench.plugins import catalogue
from tests.conftest import Done

pytest.importorskip("rrgbench_coco")

METRICS = ("rulelabel", "temporal_f1", "wording", "rouge_l:tokenizer=none", "cider:tokenizer=none")


@functools.cache
def phantom() -> Audit:
    return audit("phantom:n=200", metrics=METRICS, limit=40, resamples=200)


def test_the_labeler_s_scores_see_findings_and_neither_sides_nor_severity_nor_other_words() -> None:
    (score,) = (s for s in phantom().scores if s.score == "rulelabel_micro_f1_14")
    assert score.unedited == 1.0 and score.by_construction
    for kind in ("omission", "insertion", "substitution", "negation", "exchange"):
        move = score.move(kind)
        assert move.seen == 1.0 and move.unmoved == 0.0 and move.share and move.share > 0.4
        assert set(move.against.values()) == {1.0}
    for kind in ("side", "severity"):
        move = score.move(kind)
        assert (move.seen, move.seen_ci, move.mean, move.unmoved) == (0.5, (0.5, 0.5), 0.0, 1.0)
    for kind in HARMLESS:
        move = score.move(kind)
        assert (move.mean, move.share, move.seen, move.unmoved, dict(move.against)) == (0.0, 0.0, None, 1.0, {})


def test_a_score_that_counts_words_cannot_tell_a_flipped_negation_from_other_words() -> None:
    (score,) = (s for s in phantom().scores if s.score == "rouge_l")
    negation, order = score.move("negation"), score.move("order")
    assert negation.mean and order.mean and negation.mean < order.mean
    assert negation.against["order"] < 0.1 and negation.seen and negation.seen < 0.5
    assert not score.by_construction


def test_what_is_worse_is_positive_for_a_score_where_lower_is_better() -> None:
    (score,) = (s for s in phantom().scores if s.score == "length_error")
    move = score.move("insertion")
    assert not score.higher_is_better and score.unedited == 0.0
    assert move.mean and move.mean > 0 and move.unmoved == 0.0


def test_moves_are_those_of_the_logged_edits() -> None:
    from rrgbench_coco.rouge_l import rouge_l

    done = phantom()
    (score,) = (s for s in done.scores if s.score == "rouge_l")
    lost: dict[str, dict[int, float]] = {kind: {} for kind in KINDS}
    for kind, made in done.edits.items():
        for at, (subject, edit) in enumerate(zip(done.subjects, made, strict=True)):
            if isinstance(edit, Edit):
                lost[kind][at] = 1 - rouge_l(" ".join(edit.text.split()), subject.reference)
    for kind in KINDS:
        move = score.move(kind)
        assert move.n == len(lost[kind]) and move.n_undefined == 0
        assert move.mean == pytest.approx(np.mean(list(lost[kind].values())))
        of_exchanged = [lost["exchange"][at] for at in lost[kind]]
        assert move.share == pytest.approx(np.sum(list(lost[kind].values())) / np.sum(of_exchanged))
    for kind in HARMFUL:
        won = {
            at: [np.sign(round(mine - lost[g][at], 9)) / 2 + 0.5 for g in HARMLESS if at in lost[g]]
            for at, mine in lost[kind].items()
        }
        assert score.move(kind).seen == pytest.approx(np.mean([np.mean(each) for each in won.values()]))


def test_intervals_hold_their_values_and_come_from_patients() -> None:
    for score in phantom().scores:
        for move in score.moves:
            for value, ci in ((move.mean, move.mean_ci), (move.share, move.share_ci), (move.seen, move.seen_ci)):
                assert (value is None) == (ci is None) or value is not None
                if value is not None and ci is not None:
                    assert ci[0] - 1e-9 <= value <= ci[1] + 1e-9
    assert phantom().n_patients < phantom().n
    assert all(
        m.mean_ci is None for s in audit("phantom:n=60", metrics=["rulelabel"], resamples=0).scores for m in s.moves
    )


def test_a_score_that_depends_on_the_corpus_is_found_out() -> None:
    assert {s.score for s in phantom().scores if s.depends_on_corpus} == {"cider"}


def test_a_score_that_depends_on_the_corpus_sees_each_reference_once() -> None:
    cider = build(catalogue(), "metric", "cider:tokenizer=none").obj
    done = phantom()
    (score,) = (s for s in done.scores if s.score == "cider")
    for kind, made in done.edits.items():
        edited = [s.case(e.text if isinstance(e, Edit) else s.text) for s, e in zip(done.subjects, made, strict=True)]
        lost = [10 - value for value, e in zip(cider.rows(edited)["cider"], made, strict=True) if isinstance(e, Edit)]
        assert score.move(kind).mean == pytest.approx(np.mean(lost), abs=1e-9)


def test_a_report_of_several_sections_is_edited_as_a_whole() -> None:
    done = audit("phantom:n=200", protocol="full-text", metrics=["rulelabel"], limit=30, resamples=0)
    (score,) = (s for s in done.scores if s.score == "rulelabel_exact_match_14")
    assert done.n == 30 and score.unedited == 1.0
    omission = score.move("omission")
    assert omission.n > 5 and omission.unmoved == 0.0  # a finding is gone from the impression, too


def test_metrics_that_do_not_read_reports_are_left_out_with_the_reason() -> None:
    left_out = audit("phantom:n=60", limit=5, metrics=["classification", "rulelabel"], resamples=0).left_out
    assert "it needs findings and labels" in left_out["classification"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"metrics": ["classification"]}, "No metric can be audited: classification"),
        ({"protocol": "nonsense"}, "There is no protocol"),
        ({"metrics": ["nonsense"]}, "nonsense"),
        ({"limit": 0}, "limit"),
    ],
)
def test_a_wrong_request_is_refused_in_words(options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        audit("phantom:n=40", **options)  # type: ignore[arg-type]


def test_a_dataset_without_reports_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("study_id,report\na,\n")
    with pytest.raises(UsageError, match="nothing to edit"):
        audit(f"table:path={tmp_path / 'a.csv'},report=report", metrics=["rulelabel"])


def test_one_patient_gives_values_without_intervals(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("study_id,report\na,FINDINGS: Small left effusion. No edema.\n")
    done = audit(f"table:path={tmp_path / 'a.csv'},report=report", metrics=["rulelabel"])
    move = done.scores[0].move("omission")
    assert (move.n, move.mean, move.mean_ci, move.share) == (1, 1.0, None, None)  # nobody to exchange with
    assert done.tried["exchange"].impossible == 1


def test_page_figure_and_numbers_hold_no_word_of_a_report(tmp_path: Path) -> None:
    page.write(phantom(), tmp_path)
    shown = "".join((tmp_path / f"audit.{kind}").read_text() for kind in ("json", "svg", "html"))
    for subject in phantom().subjects:
        assert subject.study.study_id not in shown
        for sentence in subject.text.split(". "):
            assert len(sentence.split()) < 3 or sentence not in shown
    log = [json.loads(line) for line in (tmp_path / "edits.jsonl").read_text().splitlines()]
    assert len(log) == sum(tried.made for tried in phantom().tried.values())
    assert log[0].keys() == {"study_id", "kind", "text", "changes", "label", "other", "labels"}


def test_the_figure_is_whole_and_loads_nothing(tmp_path: Path) -> None:
    page.write(phantom(), tmp_path)
    drawn = xml.dom.minidom.parse(str(tmp_path / "audit.svg"))
    names = [node.firstChild.data for node in drawn.getElementsByTagName("text")]  # type: ignore[union-attr]
    for score in phantom().scores:
        assert any(name.split()[0] == score.score for name in names)
    text = (tmp_path / "audit.html").read_text()
    assert "http" not in re.sub(r'xmlns="[^"]+"|http-equiv', "", text) and "Synthetic" in text


def test_the_folder_of_data_that_is_not_open_is_its_owner_s(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("study_id,report\na,FINDINGS: Left effusion. No edema.\nb,FINDINGS: No edema.\n")
    done = audit(f"table:path={tmp_path / 'a.csv'},report=report", metrics=["rulelabel"])
    page.write(done, tmp_path / "out")
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700


def test_a_metric_that_fails_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rrgbench.metrics.temporal import TemporalF1

    monkeypatch.setattr(TemporalF1, "rows", lambda *_: 1 / 0)
    done = audit("phantom:n=60", metrics=["temporal_f1", "rulelabel"], limit=5, resamples=0)
    assert "ZeroDivisionError" in done.left_out["temporal_f1"] and len(done.scores) == 2


def test_the_command_prints_tables_and_json_and_leaves_a_folder(rrgbench: Callable[..., Done], tmp_path: Path) -> None:
    options = ["--dataset", "phantom:n=100", "--limit", 12, "--metric", "rulelabel", "--metric", "temporal_f1"]
    done = rrgbench("audit", *options, "--out", "found")
    assert done.code == 0, done.err
    for words in ("rulelabel_micro_f1_14", "by construction", "% (50: blind)", "audit.html"):
        assert words in done.out
    assert {file.name for file in (tmp_path / "found").iterdir()} == {
        "audit.json",
        "audit.svg",
        "audit.html",
        "edits.jsonl",
    }
    record = rrgbench("audit", *options, "--json").json()
    assert record == json.loads((tmp_path / "found" / "audit.json").read_text())
    assert record["synthetic"] and record["n"] == 12 and len(record["scores"][0]["moves"]) == len(KINDS)
    wrong = rrgbench("audit", "--limit", 12, "check")
    assert wrong.code == 2 and "--limit" in wrong.err


@pytest.mark.parametrize("kind", HARMFUL)
def test_real_reports_can_be_edited(shared: Path, kind: str) -> None:
    root = shared / "iu-xray"
    spec = f"iu-xray:root={root},split={root / 'r2gen_split.csv'}"
    done = _real(spec)
    assert done.tried[kind].made >= 5
    assert done.tried[kind].unchecked <= 0.1 * done.n


@functools.cache
def _real(spec: str) -> Audit:
    return audit(spec, metrics=["temporal_f1"], limit=120, resamples=0)
