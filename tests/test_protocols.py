"""A protocol says which text is compared, how it is prepared, and how often a study counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rrgbench import scoring
from rrgbench.errors import UsageError
from rrgbench.protocols import PROTOCOLS, Protocol, protocol
from rrgbench.types import Image, Report, Study
from tests.conftest import Done


def image(image_id: str, view: str | None) -> Image:
    return Image(image_id, lambda: np.zeros((2, 2), np.float32), lambda: image_id, view)


def study(study_id: str, views: tuple[str | None, ...] = ("PA",), **sections: str) -> Study:
    images = tuple(image(f"{study_id}-{number}", view) for number, view in enumerate(views))
    return Study(study_id, f"p-{study_id}", images=images, sections=sections)


TWO = study("s1", ("PA", "LATERAL"), findings="The  lungs\nare clear.", impression="Normal.")
ONE = study("s2", ("AP",), findings="Small effusion.")
BARE = study("s3", ("PA",), impression="No change.")
STUDIES = [TWO, ONE, BARE]


def test_full_text_joins_the_sections_that_there_are() -> None:
    full = protocol("full-text")
    assert [full.reference(each) for each in STUDIES] == [
        "The lungs are clear. Normal.",
        "Small effusion.",
        "No change.",
    ]
    assert protocol("findings").reference(BARE) is None
    assert protocol("impression").reference(ONE) is None


def test_an_unsectioned_reference_is_taken_whole_where_the_protocol_says_so() -> None:
    whole = Study("s", "p", sections={"report": "All of it."})
    assert protocol("full-text").reference(whole) == "All of it."
    assert protocol("findings").reference(whole) is None


def test_headings_leave_an_absent_section_out_and_never_write_none() -> None:
    headed = Protocol("headed", "", ("findings", "impression"), headings=True)
    assert headed.reference(TWO) == "Findings: The lungs are clear. Impression: Normal."
    assert headed.reference(ONE) == "Findings: Small effusion."
    assert headed.candidate(Report("Clear. Normal.", {"findings": "Clear.", "impression": "None"})) is not None


def test_a_study_counts_once_an_image_where_the_unit_is_the_image() -> None:
    each = replace(protocol("findings"), unit="image")
    reports = {"s1": Report("Clear."), "s2": Report("Effusion."), "s3": Report("Same.")}
    cases = scoring.cases(STUDIES, {}, reports, each, "exclude")
    assert [(case.image_id, case.candidate) for case in cases] == [
        ("s1-0", "Clear."),
        ("s1-1", "Clear."),
        ("s2-0", "Effusion."),
        ("s3-0", "Same."),
    ]
    frontal = replace(each, views="frontal")
    assert [case.image_id for case in scoring.cases(STUDIES, {}, reports, frontal, "exclude")] == [
        "s1-0",
        "s2-0",
        "s3-0",
    ]


def test_a_report_an_image_is_compared_with_its_own_study_and_a_missing_one_is_a_failure() -> None:
    each = replace(protocol("findings"), unit="image")
    report = Report("First.", by_image={"s1-0": "FINDINGS: First. IMPRESSION: x"})
    (first, second) = scoring.cases([TWO], {}, {"s1": report}, each, "exclude")
    assert (first.candidate, second.candidate) == ("First.", None)
    assert scoring.cases([TWO], {}, {"s1": report}, protocol("findings"), "exclude")[0].candidate == "First."


def test_filters_say_what_is_left_after_each() -> None:
    frontal = replace(protocol("findings"), unit="image", views="frontal")
    assert [(s.name, s.studies, s.images, s.patients) for s in frontal.filters(STUDIES)] == [
        ("in the split", 3, 4, 3),
        ("with a frontal image", 3, 3, 3),
        ("with findings", 2, 2, 2),
    ]


def test_data_without_images_count_studies_and_say_so() -> None:
    bare = [replace(each, images=()) for each in STUDIES]
    each, warnings = replace(protocol("findings"), unit="image").fitted(bare, None)
    assert each.unit == "study" and "counts once" in warnings[0]
    assert "unit:study" in each.signature


def test_data_that_name_no_view_count_all_images_and_say_so() -> None:
    blind = [replace(each, images=(image(each.study_id, None),)) for each in STUDIES]
    each, warnings = protocol("llava-rad").fitted(blind, None)
    assert each.views == "all" and "all count" in warnings[0]
    assert len(scoring.cases(blind, {}, {}, each, "exclude")) == 3


def test_a_study_without_a_frontal_image_is_left_out_where_only_they_count() -> None:
    lateral = study("s4", ("LATERAL",), findings="Clear.")
    cases = scoring.cases([TWO, lateral], {}, {}, protocol("maira2"), "exclude")
    assert [case.study.study_id for case in cases] == ["s1"]


def test_every_protocol_has_a_signature_of_its_own() -> None:
    assert len({each.signature for each in PROTOCOLS.values()}) == len(PROTOCOLS)
    assert all("|" in each.signature for each in PROTOCOLS.values())


def test_an_unknown_protocol_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="Did you mean 'findings'"):
        protocol("finding")


def annotation(folder: Path) -> Path:
    """A corpus in R2Gen's form: study 51 has two images, 52 has one; 40 training reports know most of the words."""
    import json

    def entry(image_id: str, study_id: int, report: str, split: str) -> dict[str, object]:
        path = [f"p10/p10000001/s{study_id}/{image_id}.jpg"]
        return {
            "id": image_id,
            "study_id": study_id,
            "subject_id": 10000000 + study_id % 7,
            "report": report,
            "image_path": path,
            "split": split,
        }

    train = [entry(f"t{n}", 50000100 + n, "The lungs are clear. No effusion.", "train") for n in range(40)]
    test = [
        entry("a", 50000051, "1. The lungs are clear.\n2. No effusion or zebra.", "test"),
        entry("b", 50000051, "1. The lungs are clear.\n2. No effusion or zebra.", "test"),
        entry("c", 50000052, "No effusion.", "test"),
    ]
    file = folder / "annotation.json"
    file.write_text(json.dumps({"train": train, "val": [], "test": test}))
    return file


def test_one_prediction_file_under_several_protocols_gives_a_row_each(
    rrgbench: Callable[..., Done], tmp_path: Path
) -> None:
    reports = tmp_path / "reports.csv"
    pd.DataFrame({"study_id": ["s50000051", "s50000052"], "report": ["The lungs are clear.", "No effusion."]}).to_csv(
        reports, index=False
    )
    names = ("r2gen", "llava-rad", "findings")
    done = rrgbench(
        *("score", "--reports", reports, "--dataset", f"r2gen:path={annotation(tmp_path)},images={tmp_path}"),
        *(word for name in names for word in ("--protocol", name)),
        *("--metric", "rouge_l", "--json", "--out", tmp_path / "runs"),
    )
    assert done.code == 0, done.err
    scores = {score["protocol"]: score for score in done.json()["scores"]}
    assert {name: scores[name]["n"] for name in ("r2gen", "findings")} == {"r2gen": 3, "findings": 2}
    assert done.json()["dataset_spec"].endswith("(mimic-cxr)")
    assert len({score["signature"] for score in scores.values()}) == 3
    assert "unit:image" in scores["r2gen"]["signature"] and "vocabulary:none" not in scores["r2gen"]["signature"]


def test_the_references_of_r2gen_lose_the_words_that_training_does_not_know() -> None:
    train = [study(f"t{n}", findings="The lungs are clear. No effusion.") for n in range(40)]
    seen = study("s", findings="1. The lungs are clear.\n2. No zebra.")
    ready, warnings = protocol("r2gen").fitted([seen], lambda: train)
    assert not warnings
    assert ready.reference(seen) == "the lungs are clear . no <unk> ."


def test_reports_are_read_by_image_where_the_file_has_an_image_id(
    rrgbench: Callable[..., Done], tmp_path: Path
) -> None:
    reports = tmp_path / "by_image.csv"
    texts = {"a": "The lungs are clear . no effusion or zebra .", "b": "Wrong.", "z": "Of another study."}
    pd.DataFrame({"image_id": list(texts), "report": list(texts.values())}).to_csv(reports, index=False)
    done = rrgbench(
        *("score", "--reports", reports, "--dataset", f"r2gen:path={annotation(tmp_path)},images={tmp_path}"),
        *("--protocol", "r2gen", "--metric", "rouge_l", "--json", "--out", tmp_path / "runs"),
    )
    assert done.code == 1, done.err  # study 52 has no report
    (score,) = done.json()["scores"]
    assert (score["n"], score["n_failed"]) == (2, 1)
    assert "1 reports are of images that are not evaluated" in done.err
    rows = pd.read_parquet(next((tmp_path / "runs").rglob("rows.parquet"))).set_index("image_id")
    values = rows.filter(like="@r2gen").iloc[:, 0]
    assert values["a"] == 1 and values["b"] < 0.5


def test_a_training_split_without_reports_makes_no_vocabulary() -> None:
    ready, warnings = protocol("r2gen").fitted([TWO], lambda: [replace(TWO, sections={})])
    assert ready.vocabulary is None and "no training text" in warnings[0]
    assert ready.reference(TWO) == "the lungs are clear ."


def test_an_image_that_is_named_twice_counts_once() -> None:
    twice = replace(TWO, images=(*TWO.images, *TWO.images))
    assert protocol("r2gen").units(twice) == ("s1-0", "s1-1")


def test_the_training_words_are_counted_once_for_all_systems_of_a_grid() -> None:
    once, _ = protocol("r2gen").fitted([TWO], lambda: [TWO] * 10)

    def again() -> list[Study]:
        raise AssertionError("the training split is read again")

    assert once.fitted([TWO], again) == (once, [])
