"""Signatures in words, and how much of a difference is the way of computing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rrgbench
from rrgbench import explaining, signatures
from rrgbench.errors import UsageError
from rrgbench.explaining import explain
from rrgbench.types import Score

BLEU = "bleu|tokenizer:ptb|pycocoevalcap:1.2|reflen:closest|v:1"
TERMS = "unit:study|text:whitespace@1d61bf6e|reference:report|failures:exclude|data:iu-xray/test/73b2844a37e3"


def signature(metric: str = BLEU, protocol: str = "findings", terms: str = TERMS) -> str:
    return f"{metric}|protocol:{protocol}|{terms}"


def words(a: str, b: str) -> list[str]:
    return [each.words for each in signatures.differences(a, b)]


def test_the_fields_of_a_signature() -> None:
    found = signatures.fields("rulelabel|labeler:(rulelabel|v:2)|libra|vocabulary@ab|v:2|labels:a+b")
    assert found == {
        "metric": "rulelabel",
        "labeler": "(rulelabel|v:2)",
        "libra": "",
        "vocabulary": "ab",
        "v": "2",
        "labels": "a+b",
    }


def test_a_field_of_the_metric_and_one_of_the_protocol_may_have_one_name() -> None:
    assert signatures.fields("m|text:words|v:1|text:lower@1") == {
        "metric": "m",
        "text": "words",
        "v": "1",
        "text'": "lower@1",
    }


@given(st.text(st.characters(codec="utf-8"), max_size=60), st.text(max_size=60))
def test_only_the_same_signature_has_no_difference(a: str, b: str) -> None:
    assert not signatures.differences(a, a)
    if signatures.fields(a) != signatures.fields(b):
        assert signatures.differences(a, b)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            signature(BLEU.replace("ptb", "none")),
            "how text is cut into words: PTB tokens in lower case, no punctuation in A",
        ),
        (signature(BLEU.replace("v:1", "v:2")), "the version of the metric's code: 1 in A, 2 in B"),
        (signature(BLEU.replace("1.2", "1.3")), "the version of pycocoevalcap: 1.2 in A, 1.3 in B"),
        (signature(protocol="impression"), "which text is compared: findings (the findings section alone) in A"),
        (signature(terms=TERMS.replace("exclude", "empty")), "left out in A, counted as an empty text in B"),
        (
            signature(terms=TERMS.replace("unit:study", "unit:image")),
            "what counts once: a study in A, each image of a study",
        ),
        (signature(terms=TERMS.replace("report|", "labels|")), "the reference report in A, the dataset's labels in B"),
        (signature(terms=TERMS.replace("@1d61", "@2e72")), "by the same steps (whitespace) in another version"),
        (signature(terms=TERMS.replace("73b", "83b")), "both of iu-xray (test), but not the same ones"),
        (signature(terms=TERMS.replace("/test", "/train")), "the split test of iu-xray in A, train in B"),
        (signature(terms=TERMS.replace("iu-xray/", "mimic-cxr/")), "of iu-xray (test) in A, of mimic-cxr (test) in B"),
        (signature() + "|views:frontal", "which images count: all images in A, frontal images in B"),
        (signature() + "|length:60", "after how many words both texts are cut: never cut in A, 60 in B"),
    ],
)
def test_each_difference_in_words(other: str, said: str) -> None:
    (found,) = words(signature(), other)
    assert said in found


def test_the_facets_that_papers_leave_open() -> None:
    score = Score("bleu_4", "findings", 0.1, None, 564, 26, True, signature())
    said = signatures.facets(score)
    assert said["implementation"] == "bleu, pycocoevalcap 1.2" and said["version"] == "1"
    assert said["case"] == "lower case" and said["section"] == "findings" and said["n"] == "564, and 26 failed"
    assert said["data"] == "iu-xray, test" and said["digest"] == "73b2844a37e3"
    clinical = "rulelabel|labeler:(rulelabel|v:2)|v:2|labels:chexpert-14"
    negative = signatures.facets(Score("rulelabel_macro_f1_14", "findings", 0.1, None, 1, 0, True, signature(clinical)))
    positive = signatures.facets(
        Score("rulelabel_micro_f1_14_upos", "findings", 0.1, None, 1, 0, True, signature(clinical))
    )
    assert (negative["uncertain"], negative["average"]) == ("negative", "macro")
    assert (positive["uncertain"], positive["average"]) == ("positive", "micro")


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """One system's reports on 8 drawn studies, scored in two ways, and another system's."""
    out = {}
    ways: dict[str, dict[str, Any]] = {
        "plain": {},
        "impression": {"protocol": ["impression"], "failures": "empty"},
        "constant": {"system": "constant"},
    }
    for name, changes in ways.items():
        run = rrgbench.run(
            **{"dataset": "phantom:n=40", "encoder": "oracle", "metric": ["rulelabel", "wording"], "resamples": 0}
            | {"protocol": "findings", "out": tmp_path / name}
            | changes
        ).runs[0]
        assert run.folder
        out[name] = run.folder
    return out


def snapshot(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_scores_computed_alike_are_comparable(folders: dict[str, Path]) -> None:
    found = explain(folders["plain"], folders["constant"])
    assert found.scores and all(each.comparable and each.recomputed is None for each in found.scores)
    assert (found.a, found.b) == ("oracle+template", "constant")
    assert "auroc_macro" not in found.only_a  # it was not asked for


def test_the_other_s_protocol_is_tried_on_the_same_reports_and_nothing_is_written(folders: dict[str, Path]) -> None:
    before = {name: snapshot(folder) for name, folder in folders.items()}
    found = explain(folders["plain"], folders["impression"])
    kept = {s["metric"]: s["value"] for s in json.loads((folders["impression"] / "scores.json").read_text())["scores"]}
    assert found.scores
    for each in found.scores:
        made = each.recomputed
        assert made and made.whose == "A" and not made.still
        assert made.value == pytest.approx(kept[each.metric])  # the same reports by the same rules
        assert each.a.value is not None and made.moved == pytest.approx(made.value - each.a.value)
        assert {difference.field for difference in each.differences} == {"protocol", "failures"}
    assert {name: snapshot(folder) for name, folder in folders.items()} == before


def test_what_is_left_after_recomputing_is_the_systems(folders: dict[str, Path]) -> None:
    (each,) = explain(folders["constant"], folders["impression"], ["rulelabel_micro_f1_14"]).scores
    made = each.recomputed
    assert made and each.a.value is not None and each.b.value is not None
    assert made.value != pytest.approx(each.a.value) and made.value != pytest.approx(each.b.value)


def test_of_two_files_nothing_can_be_recomputed_and_that_is_said(folders: dict[str, Path], tmp_path: Path) -> None:
    files = []
    for name in ("plain", "impression"):
        (tmp_path / name / "only").mkdir()
        file = tmp_path / name / "only" / "scores.json"
        file.write_bytes((folders[name] / "scores.json").read_bytes())
        files.append(file)
    each = explain(*files).scores[0]
    assert each.differences and each.recomputed is None and "no reports.jsonl" in (each.reason or "")
    # One of the two run folders is enough.
    made = explain(files[0], folders["impression"]).scores[0].recomputed
    assert made and made.whose == "B"


def test_other_studies_stay_other_studies(folders: dict[str, Path], tmp_path: Path) -> None:
    other = rrgbench.run(
        dataset="phantom:n=60",
        encoder="oracle",
        metric="rulelabel",
        resamples=0,
        protocol="findings",
        out=tmp_path / "o",
    )
    folder = other.runs[0].folder
    assert folder
    (each,) = explain(folders["plain"], folder, ["rulelabel_micro_f1_14"]).scores
    assert [difference.field for difference in each.differences] == ["data"]
    assert each.recomputed is None and "the same rules, on other studies" in (each.reason or "")
    (each,) = explain(folders["impression"], folder, ["rulelabel_micro_f1_14"]).scores
    assert each.recomputed and [difference.field for difference in each.recomputed.still] == ["data"]


def test_a_score_of_another_version_says_what_is_here(folders: dict[str, Path]) -> None:
    file = folders["impression"] / "scores.json"
    file.write_text(file.read_text().replace("words:lower|v:1", "words:lower|v:0"))
    (each,) = explain(folders["plain"], folders["impression"], ["exact_match"]).scores
    assert each.recomputed and each.recomputed.whose == "B"  # A's rules are those that are here


def test_the_same_rules_over_another_number_of_reports_is_a_caution(folders: dict[str, Path]) -> None:
    file = folders["constant"] / "scores.json"
    summary = json.loads(file.read_text())
    for score in summary["scores"]:
        score["n"], score["n_failed"] = score["n"] - 1, 1
    file.write_text(json.dumps(summary))
    each = explain(folders["plain"], folders["constant"]).scores[0]
    assert each.comparable and "not the same studies" in (each.caution or "")


def test_options_are_read_back_from_a_signature() -> None:
    pytest.importorskip("pycocoevalcap")
    from rrgbench import plugins
    from rrgbench.parts import build

    catalogue = plugins.catalogue()
    for spec in ("rouge_l:tokenizer=none", "sacrebleu:tokenize=char,lowercase=yes", "rulelabel", "wording"):
        part = build(catalogue, "metric", spec)
        assert explaining.metric_of(f"{part.signature}|protocol:findings").signature == part.signature
    with pytest.raises(UsageError, match="There is no metric 'nosuch'"):
        explaining.metric_of("nosuch|v:1|protocol:findings")
    with pytest.raises(UsageError, match=r"made by wording\|words:lower\|v:0, and what is here is wording"):
        explaining.metric_of("wording|words:lower|v:0|protocol:findings")


def test_what_is_no_run_is_named(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no scores.json"):
        explain(tmp_path, folders["plain"])
    with pytest.raises(UsageError, match="There is no"):
        explain(tmp_path / "nowhere", folders["plain"])
    with pytest.raises(UsageError, match=r"B .* has no value of 'exact_matc'. Did you mean 'exact_match'"):
        file = folders["plain"] / "scores.json"
        file.write_text(file.read_text().replace('"metric": "exact_match"', '"metric": "exact_matc"'))
        explain(folders["plain"], folders["constant"], ["exact_matc"])


def test_the_command_groups_scores_by_what_differs(folders: dict[str, Path], rrgbench: Callable[..., Any]) -> None:
    done = rrgbench("explain", folders["plain"], folders["impression"])
    assert done.code == 0, done.err
    assert done.out.count("Differs: which text is compared") == 1
    assert "A's reports" in done.out
    done = rrgbench("explain", folders["plain"], folders["impression"], "--metric", "exact_match", "--json")
    (each,) = done.json()["scores"]
    assert each["comparable"] is False and each["a_facets"]["section"] == "findings"
    quick = rrgbench("explain", folders["plain"], folders["impression"], "--no-recompute", "--json").json()
    assert all(each["recomputed"] is None for each in quick["scores"])
