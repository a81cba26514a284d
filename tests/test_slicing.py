"""Slices: the score of a part of the studies, the gap between them, and what can't be cut said in plain words."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rrgbench
from rrgbench import cutting, stats, stored
from rrgbench.errors import UsageError
from rrgbench.replanning import config_of, replanned
from rrgbench.slices_page import page
from rrgbench.slicing import LEAST, Sliced, gap_interval, slices
from rrgbench.types import Finding, Findings, Image, Status, Study, Vocabulary

MANY = 100_000  # patients: as good as infinitely many


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on drawn studies: 68 studies of some 50 patients, with sex, age, views, priors and labels."""
    out = tmp_path_factory.mktemp("runs")
    done = rrgbench.run(
        dataset="phantom:n=340",
        encoder="oracle",
        metric=["rulelabel", "classification", "wording"],
        resamples=300,
        out=out,
    )
    folder = done.runs[0].folder
    assert folder
    return folder


def of(run: Path, by: str, metric: str) -> Sliced:
    (cut,) = slices([run], [by], [metric]).cuts
    return cut


def test_the_whole_is_the_run_s_own_score_with_its_own_interval(run: Path) -> None:
    kept = {score.metric: score for score in stored.read(run).scores}
    for cut in slices([run], ["sex"], ["rulelabel_micro_f1_14", "auroc_macro", "length_error"]).cuts:
        assert cut.overall.value == pytest.approx(kept[cut.metric].value)
        assert cut.overall.ci == pytest.approx(kept[cut.metric].ci)


def test_a_slice_scores_what_its_studies_score_alone(run: Path) -> None:
    cut = of(run, "sex", "rulelabel_micro_f1_14")
    read = stored.read(run)
    lines = [json.loads(line) for line in (run / "reports.jsonl").read_text().splitlines()]
    reports = {line["study_id"]: line["text"] for line in lines}
    plan = replanned(read.folder, read.manifest, config_of(read.folder, read.manifest))
    women = [s for s in plan.studies if s.demographics["sex"] == "F"]
    references = {s.study_id: s.sections["findings"] + " " + s.sections["impression"] for s in women}
    mine = {study_id: reports[study_id] for study_id in references}
    alone = rrgbench.score(mine, references, metrics=["rulelabel"], terms="open", resamples=0)
    value = next(s.value for s in alone.scores if s.metric == "rulelabel_micro_f1_14")
    (female,) = [each for each in cut.slices if each.name == "female"]
    assert female.n == len(women) and female.n_patients == len({s.patient_id for s in women})
    assert female.value == pytest.approx(value)


@pytest.mark.parametrize("seed", range(3))
def test_leaving_rows_out_is_giving_them_no_weight(run: Path, seed: int) -> None:
    """But for macro F1: what a label without positives counts as depends on whether the data at hand have any."""
    rng = np.random.default_rng(seed)
    for scored in stored.read(run).scored.values():
        n = len(scored.rows)
        mask, weights = rng.random(n) < rng.random(), rng.integers(0, 3, (4, n)).astype(float)
        with np.errstate(all="ignore"):
            part = scored.part.obj.reduce(scored.rows[mask], weights[:, mask])
            whole = scored.part.obj.reduce(scored.rows, weights * mask)
        for name in part:
            if "_macro_" not in name:
                np.testing.assert_allclose(part[name], whole[name], err_msg=name)


@pytest.mark.parametrize("by", ["sex", "age", "prior", "normal", "length", "view"])
def test_slices_of_one_way_share_the_studies_out(run: Path, by: str) -> None:
    cut = of(run, by, "rulelabel_micro_f1_14")
    assert len(cut.slices) > 1
    assert sum(each.n for each in cut.slices) + cut.outside == cut.overall.n and cut.outside == 0


def test_the_gap_is_from_the_worst_to_the_best_whichever_way_is_better(run: Path) -> None:
    higher, lower = of(run, "normal", "rulelabel_micro_f1_14"), of(run, "normal", "length_error")
    values = {each.name: each.value for each in higher.slices if each.value is not None}
    assert higher.gap and higher.gap.worst == min(values, key=lambda name: values[name])
    assert higher.gap.value == pytest.approx(max(values.values()) - min(values.values()))
    values = {each.name: each.value for each in lower.slices if each.value is not None}
    assert lower.gap and lower.gap.worst == max(values, key=lambda name: values[name])
    assert higher.gap.ci and higher.gap.ci[0] <= higher.gap.value <= higher.gap.ci[1]


def test_of_two_slices_the_gap_s_interval_is_that_of_their_difference() -> None:
    rng = np.random.default_rng(1)
    draws = rng.normal([0.6, 0.4], [0.02, 0.03], (4000, 2))
    interval = gap_interval(np.array([0.6, 0.4]), draws, [MANY, MANY])
    reach = 1.96 * np.hypot(0.02, 0.03)
    assert interval == pytest.approx((0.2 - reach, 0.2 + reach), abs=0.004)


@pytest.mark.parametrize("truth", [(0.5,) * 5, (0.5, 0.5, 0.5, 0.5, 0.8), (0.3, 0.4, 0.5, 0.6, 0.7)])
def test_the_gap_s_interval_holds_the_true_gap_although_the_pair_was_chosen_by_looking(
    truth: tuple[float, ...],
) -> None:
    """Five slices of 15 patients with two alike studies each, drawn 400 times.

    The percentile interval of the resampled gaps, which is what one would try first, never has a gap of 0 in it.
    """
    rng, held, naive = np.random.default_rng(0), 0, 0
    of_slice, of_patient = np.repeat(np.arange(5), 30), np.arange(150) // 2
    for seed in range(400):
        level = np.array(truth)[of_slice]
        hits = (rng.random(75)[of_patient] < level) / 2 + (rng.random(150) < level) / 2
        weights = stats.patient_weights([str(patient) for patient in of_patient], 200, seed)
        inside = [of_slice == each for each in range(5)]
        seen = np.array([hits[mask].mean() for mask in inside])
        draws = np.stack([stats.mean(hits[mask], weights[:, mask]) for mask in inside], axis=1)
        interval = gap_interval(seen, draws, [15] * 5)
        assert interval
        held += interval[0] <= np.ptp(truth) <= interval[1]
        low, high = np.quantile(np.ptp(draws, axis=1), [0.025, 0.975])
        naive += low <= np.ptp(truth) <= high
    assert held >= 0.93 * 400
    if len(set(truth)) == 1:
        assert naive == 0


def test_a_slice_of_which_most_resamples_are_undefined_gives_the_gap_no_interval() -> None:
    draws = np.column_stack([np.ones(100), np.where(np.arange(100) < 60, np.nan, 1.0)])
    assert gap_interval(np.array([1.0, 1.0]), draws, [MANY, MANY]) is None


def test_what_the_data_do_not_say_is_said_and_no_number_is_made_up(run: Path) -> None:
    found = slices([run], ["race", "sex"], ["rulelabel_micro_f1_14"])
    assert [cut.by for cut in found.cuts] == ["sex"]
    assert found.notes == ("phantom: not cut by race: the dataset does not say the patients' race",)


def test_too_few_patients_get_a_statement_and_no_library_spills_a_warning(tmp_path: Path, table: str) -> None:
    done = rrgbench.run(dataset=table, system="constant", metric=["rulelabel"], out=tmp_path / "runs")
    folder = done.runs[0].folder
    assert folder
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = slices([folder], None, ["rulelabel_micro_f1_14"])
    few = [each for cut in found.cuts for each in (*cut.slices, cut.overall)]
    assert few and all(each.value is None and each.ci is None for each in few)
    assert {each.reason for each in few} >= {f"6 patients: fewer than {LEAST}, so no score"}
    assert all(cut.gap is None for cut in found.cuts)
    assert "fewer than 10, so no score" in page(found, "Few")


def test_one_class_is_undefined_not_zero(run: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cut = of(run, "normal", "auroc_no_finding")
    assert {each.value for each in cut.slices} == {None} and cut.gap is None
    assert all("no positive or no negative" in (each.reason or "") for each in cut.slices)


def test_names_that_are_not_there(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no way 'sexx' to cut studies. Did you mean 'sex'"):
        slices([run], ["sexx"])
    with pytest.raises(UsageError, match=r"no value of 'rulelabel_micro_f1_15'. Did you mean"):
        slices([run], None, ["rulelabel_micro_f1_15"])
    with pytest.raises(UsageError, match="no manifest.json"):
        slices([tmp_path])


def test_a_dataset_that_has_changed_is_refused(tmp_path: Path, table: str, radiographs: Path) -> None:
    done = rrgbench.run(dataset=table, system="constant", metric=["rulelabel"], out=tmp_path / "runs")
    folder = done.runs[0].folder
    assert folder
    radiographs.write_text(radiographs.read_text().replace("The heart is enlarged", "The heart is large"))
    with pytest.raises(UsageError, match="not what it was"):
        slices([folder])


def test_rows_that_do_not_give_the_score_any_more_are_not_cut(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "old"
    shutil.copytree(run, copy)
    summary = json.loads((copy / "scores.json").read_text())
    for score in summary["scores"]:
        score["value"] = 0.123 if score["metric"] == "rulelabel_micro_f1_14" else score["value"]
    (copy / "scores.json").write_text(json.dumps(summary))
    found = slices([copy], ["sex"], ["rulelabel_micro_f1_14"])
    assert not found.cuts and "score the folder again" in found.notes[0]


def study(study_id: str, **known: Any) -> Study:
    return Study(study_id, f"p{study_id}", **known)


def names(cut: cutting.Cut, one: Study, image_id: str = "") -> tuple[str, ...]:
    return cut.of(one, image_id)


def test_ways_to_cut() -> None:
    old, young = (
        study("a", demographics={"age": 93.0, "sex": "F"}),
        study("b", demographics={"age": 39.9, "Sex": "male"}),
    )
    ages = cutting.cut("age", [old, young])
    assert names(ages, old) == ("80 and over",) and names(ages, young) == ("20 to 39",)
    assert ages.names == ("20 to 39", "80 and over")
    views = study("c", images=tuple(_image(v) for v in ("LATERAL", "PA")))
    cut = cutting.cut("view", [views])
    assert names(cut, views) == ("PA + LATERAL",) and names(cut, views, "LATERAL") == ("LATERAL",)
    assert cutting.cut("view", [old]).lacking == "the dataset does not say the images' views"
    assert cutting.cut("prior", [old]).lacking == "the dataset gives no study's prior"


def test_a_vocabulary_without_no_finding_calls_normal_what_has_nothing() -> None:
    vocabulary = Vocabulary("own", ("Mass", "Support Devices"))

    def labelled(study_id: str, **statuses: Status) -> Study:
        found = {
            label.replace("_", " "): Finding(label.replace("_", " "), status) for label, status in statuses.items()
        }
        return study(study_id, labels=Findings(vocabulary, found))

    device = labelled("a", Mass=Status.ABSENT, Support_Devices=Status.PRESENT)
    doubt, none = labelled("b", Mass=Status.UNCERTAIN), study("c")
    cut = cutting.cut("normal", [device, doubt, none])
    assert (names(cut, device), names(cut, doubt), names(cut, none)) == (("normal",), ("abnormal",), ())


def test_without_labels_the_reference_is_read() -> None:
    clear = study("a", sections={"findings": "The lungs are clear. No effusion."})
    ill = study("b", sections={"findings": "There is a pleural effusion."})
    cut = cutting.cut("normal", [clear, ill])
    assert (names(cut, clear), names(cut, ill)) == (("normal",), ("abnormal",))
    assert "rulelabel" in cut.source
    assert names(cutting.cut("label", [clear, ill]), ill) == ("Pleural Effusion",)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=60))
def test_thirds_keep_equal_lengths_together_and_lose_nobody(lengths: list[int]) -> None:
    studies = [study(str(at), sections={"findings": "word " * n}) for at, n in enumerate(lengths)]
    cut = cutting.cut("length", studies)
    of_length: dict[int, set[tuple[str, ...]]] = {}
    for one, n in zip(studies, lengths, strict=True):
        of_length.setdefault(n, set()).add(names(cut, one))
    assert all(len(found) == 1 and len(next(iter(found))) == 1 for found in of_length.values())
    assert 1 <= len(cut.names) <= 3


def test_the_command_prints_json_and_draws_a_page(run: Path, rrgbench: Callable[..., Any], tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    done = rrgbench("slices", run, "--by", "sex", "--by", "race", "--metric", "auroc_macro", "--out", out, "--json")
    assert done.code == 0, done.err
    (cut,) = done.json()["cuts"]
    assert {each["name"] for each in cut["slices"]} == {"male", "female"} and cut["gap"]["ci"]
    assert done.json()["notes"]
    html = out.read_text()
    assert html.count("<svg") == 3 and "<script" not in html and "race" in html
    assert "simultaneous over all pairs" in html and "Synthetic" in html and ">studies<" in html


def test_under_a_protocol_that_counts_images_a_slice_is_of_images(tmp_path: Path) -> None:
    done = rrgbench.run(
        dataset="phantom:n=340", encoder="oracle", metric="wording", protocol="llava-rad", resamples=0, out=tmp_path
    )
    folder = done.runs[0].folder
    assert folder
    found = slices([folder], ["view", "sex"], ["length_error"])
    views = found.cuts[0]
    assert views.by == "view" and {each.name for each in views.slices} <= {"PA", "AP"}
    assert sum(each.n for each in views.slices) == views.overall.n
    assert ">images<" in page(found, "Images")


def _image(view: str) -> Image:
    return Image(view, read=lambda: np.zeros((1, 1), np.float32), fingerprint=lambda: view, view=view)
