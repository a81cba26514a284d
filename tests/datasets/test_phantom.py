from __future__ import annotations

import pickle
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrgbench.datasets.phantom import Phantom, drawing, population, reports
from rrgbench.errors import UsageError
from rrgbench.interfaces import Dataset
from rrgbench.labels import CHEXPERT, NO_FINDING, SUPPORT_DEVICES
from rrgbench.types import Status, Study

CONDITIONS = population.CONDITIONS


@cache
def studies(n: int = 1500) -> tuple[Study, ...]:
    return tuple(Phantom(n=n, size=64).load(None))


@cache
def visits(patients: int = 1200) -> tuple[population.Visit, ...]:
    return tuple(population.visit(0, number, which) for number in range(patients) for which in (1, 2))


def present(study: Study) -> set[str]:
    assert study.labels is not None
    return {finding.label for finding in study.labels.having(Status.PRESENT)}


# Who is in which split


def test_it_is_a_dataset_that_says_it_is_drawn() -> None:
    phantom = Phantom()
    assert isinstance(phantom, Dataset)
    assert (phantom.terms, phantom.synthetic, phantom.vocabulary) == ("open", True, CHEXPERT)
    assert (phantom.n, phantom.seed, phantom.size) == (1000, 0, 128)


@pytest.mark.parametrize("n", [1, 2, 17, 400])
def test_the_splits_together_hold_n_studies(n: int) -> None:
    phantom = Phantom(n=n)
    by_split = [study.study_id for split in phantom.splits for study in phantom.load(split)]
    everything = [study.study_id for study in phantom.load(None)]
    assert len(everything) == n
    assert sorted(by_split) == sorted(everything)
    assert len(set(everything)) == n


def test_splits_are_70_10_20_of_the_patients_and_share_none() -> None:
    patients = {split: {s.patient_id for s in studies() if s.split == split} for split in Phantom.splits}
    total = sum(len(members) for members in patients.values())
    assert total == len(set().union(*patients.values()))
    shares = [len(patients[split]) / total for split in Phantom.splits]
    assert shares == pytest.approx([0.7, 0.1, 0.2], abs=0.01)


@given(seed=st.integers(0, 2**31), few=st.integers(1, 60), more=st.integers(61, 200))
@settings(max_examples=20, deadline=None)
def test_a_patients_split_does_not_depend_on_n(seed: int, few: int, more: int) -> None:
    small = {number: split for number, split, _ in population.roster(seed, few)}
    large = {number: split for number, split, _ in population.roster(seed, more)}
    assert small.items() <= large.items()


def test_a_quarter_of_the_patients_come_back() -> None:
    counts = Counter(study.patient_id for study in studies())
    assert set(counts.values()) == {1, 2}
    assert np.mean([count == 2 for count in counts.values()]) == pytest.approx(0.25, abs=0.04)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n": 0}, "n=0"),
        ({"seed": -1}, "seed=-1"),
        ({"size": 8}, "size=8"),
        ({"size": 9999}, "size"),
        ({"exposure": 2.0}, "exposure=2.0"),
        ({"prevalence": -1.0}, "prevalence=-1.0"),
    ],
)
def test_wrong_options_are_answered(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Phantom(**options)


def test_another_site_has_darker_films_and_more_of_each_condition() -> None:
    usual, darker, sicker = (
        list(Phantom(n=300, size=64, **options).load(None)) for options in ({}, {"exposure": 0.2}, {"prevalence": 2.0})
    )
    assert [s.labels for s in usual] == [s.labels for s in darker]
    assert all(d.images[0].read().mean() < u.images[0].read().mean() for u, d in zip(usual[:20], darker, strict=False))

    def present(studies: list[Study]) -> int:
        return sum(len(s.labels.having(Status.PRESENT)) for s in studies if s.labels)

    assert present(sicker) > 1.3 * present(usual)
    prints = {s[0].images[0].fingerprint() for s in (usual, darker, sicker)}
    assert len(prints) == 3
    assert usual[0].images[0].image_id != darker[0].images[0].image_id  # no two pictures under one name


def test_an_unknown_split_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"train, validate, test.*Did you mean 'validate'"):
        Phantom().load("valdate")


# The same recipe, the same study


def test_another_process_draws_the_same_in_any_order() -> None:
    code = (
        "import hashlib; from rrgbench.datasets.phantom import Phantom\n"
        "for s in reversed(list(Phantom(n=9, seed=3, size=64).load(None))):\n"
        "    print(s.study_id, hashlib.sha256(s.images[0].read().tobytes()).hexdigest(), s.images[0].fingerprint(), "
        "hashlib.sha256(repr((s.sections, s.labels, s.demographics)).encode()).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    import hashlib

    def digest(data: bytes) -> str:
        return hashlib.sha256(data).hexdigest()

    here = [
        f"{s.study_id} {digest(s.images[0].read().tobytes())} {s.images[0].fingerprint()} "
        f"{digest(repr((s.sections, s.labels, s.demographics)).encode())}"
        for s in Phantom(n=9, seed=3, size=64).load(None)
    ]
    assert other.splitlines()[::-1] == here


def test_a_study_does_not_depend_on_n_but_on_the_seed() -> None:
    few, many = (next(iter(Phantom(n=n, size=64).load("test"))) for n in (40, 400))
    assert few.study_id == many.study_id and few.sections == many.sections and few.labels == many.labels
    assert (few.images[0].read() == many.images[0].read()).all()
    assert few.images[0].fingerprint() == many.images[0].fingerprint()
    other = next(s for s in Phantom(n=400, seed=1, size=64).load(None) if s.study_id == "p000000-1")
    same = next(s for s in Phantom(n=400, size=64).load(None) if s.study_id == "p000000-1")
    assert not (other.images[0].read() == same.images[0].read()).all()


def test_fingerprints_tell_every_recipe_from_every_other() -> None:
    images = [s.images[0] for seed in (0, 1) for size in (64, 96) for s in Phantom(60, seed, size).load(None)]
    assert len({image.fingerprint() for image in images}) == len(images)


def test_images_can_be_sent_to_other_processes() -> None:
    study = next(s for s in studies() if s.prior)
    again = pickle.loads(pickle.dumps(study))  # noqa: S301 (our own bytes)
    assert (again.images[0].read() == study.images[0].read()).all()
    assert again.prior.study_id == study.prior.study_id
    assert len(pickle.dumps(study.images[0])) < 1000


# The images


@pytest.mark.parametrize("size", [32, 64, 128, 225])
def test_pixels_are_float32_in_0_to_1_with_air_dark_and_bone_bright(size: int) -> None:
    pixels = np.stack([s.images[0].read() for s in islice(Phantom(n=30, size=size).load(None), 12)])
    assert pixels.shape == (12, size, size) and pixels.dtype == np.float32
    assert pixels.min() >= 0 and pixels.max() <= 1
    mean = pixels.mean(0)
    c = size // 2
    lung, spine = mean[int(0.3 * size) : c, int(0.25 * size) : int(0.35 * size)].mean(), mean[:, c - 1 : c + 1].mean()
    assert lung + 0.25 < spine


def test_the_view_is_named_and_both_occur() -> None:
    views = Counter(study.images[0].view for study in studies())
    assert set(views) == {"PA", "AP"} and min(views.values()) > 0.15 * len(studies())


def shrunk(pixels: np.ndarray, factor: int) -> np.ndarray:
    size = pixels.shape[0] // factor
    return pixels.reshape(size, factor, size, factor).mean((1, 3))


def test_any_size_shows_the_same_anatomy() -> None:
    for visit in visits()[:12]:
        small, large = shrunk(drawing.draw(visit, 64), 2), shrunk(drawing.draw(visit, 256), 8)
        assert np.abs(small - large).mean() < 0.02
        assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("label", CONDITIONS)
def test_a_condition_changes_the_image_inside_its_boxes(label: str) -> None:
    """Most of it lies in the boxes, grown a little for what a heart or a diaphragm pushes away."""
    size, seen = 96, 0
    for visit in (v for v in visits() if any(c.label == label and c.extent > 0.3 for c in v.conditions)):
        without = replace(visit, conditions=tuple(c for c in visit.conditions if c.label != label))
        change = np.abs(drawing.draw(visit, size) - drawing.draw(without, size))
        inside = np.zeros((size, size), bool)
        for condition_box in drawing.boxes(replace(visit, conditions=_only(visit, label)))[label]:
            x0, y0 = condition_box.x - 0.06, condition_box.y - 0.06
            x1, y1 = x0 + condition_box.width + 0.12, y0 + condition_box.height + 0.12
            inside[max(0, int(y0 * size)) : int(y1 * size) + 1, max(0, int(x0 * size)) : int(x1 * size) + 1] = True
        assert change[inside].max() > 0.02, visit
        assert change[inside].mean() > 2 * change[~inside].mean(), visit
        seen += 1
        if seen == 8:
            return
    assert seen >= 5


def _only(visit: population.Visit, label: str) -> tuple[population.Condition, ...]:
    return tuple(condition for condition in visit.conditions if condition.label == label)


def test_an_unchanged_condition_only_moves_with_the_patient() -> None:
    """What differs without any condition is nothing: the noise is the study's, not the call's."""
    for visit in visits()[:6]:
        assert (drawing.draw(visit, 64) == drawing.draw(visit, 64)).all()


# The truth


def test_every_label_is_present_or_absent_and_often_enough_to_score() -> None:
    counts: Counter[str] = Counter()
    for study in studies():
        assert study.labels is not None and not study.labels.not_assessed()
        assert {finding.status for finding in study.labels} <= {Status.PRESENT, Status.ABSENT}
        counts.update(present(study))
    for label in CHEXPERT.labels:
        assert 0.06 <= counts[label] / len(studies()) <= 0.6, label


def test_labels_keep_to_the_hierarchy() -> None:
    for study in studies():
        shown = present(study)
        for child, parent in population.PARENT.items():
            assert child not in shown or parent in shown, study.study_id
        assert (NO_FINDING in shown) == (not shown - {NO_FINDING, SUPPORT_DEVICES}), study.study_id


def test_heart_failure_keeps_company() -> None:
    shown = [present(study) for study in studies()]

    def share(label: str, among: list[set[str]]) -> float:
        return float(np.mean([label in labels for labels in among]))

    edema = [labels for labels in shown if population.EDEMA in labels]
    for label in (population.CARDIOMEGALY, population.EFFUSION):
        assert share(label, edema) > 2 * share(label, shown)


def test_places_are_said_of_what_is_present_and_lie_in_the_image() -> None:
    sided = set(population._SIDES)
    for study in studies():
        assert study.labels is not None
        for finding in study.labels:
            if finding.status is Status.ABSENT or finding.label == NO_FINDING:
                assert (finding.side, finding.severity, finding.boxes) == (None, None, ()), study.study_id
                continue
            if finding.label in sided:
                assert finding.side in ("left", "right", "bilateral")
            assert finding.boxes, (study.study_id, finding.label)
            for box in finding.boxes:
                assert box.x >= 0 and box.x + box.width <= 1.0001 and box.width > 0
                assert box.y >= 0 and box.y + box.height <= 1.0001 and box.height > 0


def test_the_patients_right_is_on_the_images_left() -> None:
    labels = (population.PNEUMOTHORAX, population.EFFUSION, population.FRACTURE, population.LESION)
    for study in studies():
        assert study.labels is not None
        for finding in study.labels.having(Status.PRESENT):
            if finding.label in labels and finding.side in ("left", "right"):
                middle = np.mean([box.x + box.width / 2 for box in finding.boxes])
                assert (middle < 0.5) == (finding.side == "right"), (study.study_id, finding)


# Second studies


def test_a_second_study_has_the_first_as_its_prior_and_the_same_anatomy() -> None:
    by_id = {study.study_id: study for study in studies()}
    for study in studies():
        number, which = int(study.patient_id[1:]), int(study.study_id[-1])
        if which == 1:
            assert study.prior is None and "comparison" not in study.sections
            continue
        assert study.prior is not None and "comparison" in study.sections
        assert study.prior == by_id[f"{study.patient_id}-1"] or study.prior.study_id == f"{study.patient_id}-1"
        assert study.split == study.prior.split and study.demographics["sex"] == study.prior.demographics["sex"]
        first, second = population.visit(0, number, 1), population.visit(0, number, 2)
        assert first.anatomy == second.anatomy and first.acquisition != second.acquisition


def test_conditions_come_go_and_change_between_studies() -> None:
    courses: Counter[str | None] = Counter()
    for visit in visits():
        if visit.visit == 1:
            assert not visit.resolved and {c.change for c in visit.conditions} <= {None}
            continue
        before = {c.label: c for c in population.visit(0, visit.number, 1).conditions}
        courses["resolved"] += len(visit.resolved)
        for condition in visit.conditions:
            courses[condition.change] += 1
            old = before.get(condition.label)
            if condition.change == "new":
                assert old is None
            else:
                assert old is not None and (old.side, old.form, old.at) == (
                    condition.side,
                    condition.form,
                    condition.at,
                )
                order = (condition.extent > old.extent) - (condition.extent < old.extent)
                assert order == {"larger": 1, "smaller": -1, "unchanged": 0}[str(condition.change)]
        assert not {c.label for c in visit.resolved} & {c.label for c in visit.conditions}
    assert set(courses) == {"new", "larger", "smaller", "unchanged", "resolved"}
    assert min(courses.values()) > 50


# The reports

NAMES = {
    population.CARDIOMEGALY: r"cardiomegaly|(heart|cardiac silhouette) is (\w+ )?enlarged|enlargement of the cardiac",
    population.MEDIASTINUM: r"mediastinal widening|widened mediastinum|mediastinum is widened",
    population.LESION: r"nodules?\b|\bmass\b",
    population.EDEMA: r"edema|congestion",
    population.CONSOLIDATION: r"consolidation",
    population.PNEUMONIA: r"pneumonia",
    population.ATELECTASIS: r"atelectasis",
    population.PNEUMOTHORAX: r"pneumothorax",
    population.EFFUSION: r"effusion",
    population.PLEURAL_OTHER: r"pleural (thickening|scarring|plaques)|calcified pleural",
    population.FRACTURE: r"fracture",
    population.OPACITY: r"opacity|opacities",
    SUPPORT_DEVICES: r"pacemaker|catheter|venous line|tube\b|wires",
}
DENIAL = r"\bno\b|\bnot\b|without|resolved|resolution|removed"
HEDGE = r"may|possible|questionable|suspicious|cannot be excluded"
NORMAL = {  # what a word of normality denies
    r"lungs are (well expanded and )?clear": population.OPACITY,
    r"(cardiomediastinal silhouette|mediastinal contours|silhouettes)\b.*(normal|unremarkable)": population.MEDIASTINUM,
    r"normal cardiomediastinal": population.MEDIASTINUM,
    r"heart( is|) (size|normal).*normal|heart size normal|heart is normal": population.CARDIOMEGALY,
    r"osseous": population.FRACTURE,
}


def sentences(study: Study) -> list[str]:
    text = " ".join(study.sections[name] for name in ("findings", "impression"))
    parts = [part for part in re.split(r"(?<=[a-z])\.\s*|\b\d\. |\bwithout\b", text) if part]
    # "without" begins a denial of its own.
    return [("without" + part if f"without{part}" in text else part).lower() for part in parts]


def test_reports_never_deny_what_is_there_nor_assert_what_is_not() -> None:
    said: Counter[tuple[str, str]] = Counter()
    for study in studies():
        shown = present(study)
        for sentence in sentences(study):
            for pattern, label in NORMAL.items():
                if re.search(pattern, sentence):
                    assert label not in shown, (study.study_id, sentence)
                    said[label, "normal"] += 1
            if "no acute cardiopulmonary" in sentence or "normal chest" in sentence:
                assert NO_FINDING in shown, (study.study_id, sentence)
            for label, pattern in NAMES.items():
                if not re.search(pattern, sentence) or (re.search(HEDGE, sentence) and label in shown):
                    continue
                # A hedge that denies ("cannot be excluded") is no denial.
                denied = bool(re.search(DENIAL, sentence)) and "cannot be excluded" not in sentence
                assert denied == (label not in shown), (study.study_id, label, sentence)
                said[label, "denied" if denied else "asserted"] += 1
    for label in (*NAMES,):
        assert said[label, "asserted"] > 20, label
    for label in (population.EFFUSION, population.PNEUMOTHORAX, population.CONSOLIDATION, population.EDEMA):
        assert said[label, "denied"] > 100, label


def test_the_claims_of_the_sentences_agree_with_the_truth() -> None:
    for visit in visits()[:800]:
        shown = visit.labels()
        draft = reports.draft(0, visit)
        for sentence in (*draft.findings, *draft.impression):
            for label, status in sentence.claims.items():
                wanted = {Status.ABSENT} if label not in shown else {Status.PRESENT, Status.UNCERTAIN}
                assert status in wanted, (visit.number, sentence)


def test_some_findings_are_hedged_and_some_go_unmentioned() -> None:
    told: Counter[tuple[str, Status | None]] = Counter()
    for visit in visits():
        draft = reports.draft(0, visit)
        claims: dict[str, Status] = {}
        for sentence in (*draft.findings, *draft.impression):
            claims.update(sentence.claims)
        told.update((c.label, claims.get(c.label)) for c in visit.conditions)
    for label in CONDITIONS:
        assert told[label, Status.PRESENT] > 2 * told[label, Status.UNCERTAIN] > -1
        assert told[label, None] > 0, label
    assert sum(told[label, Status.UNCERTAIN] for label in CONDITIONS) > 0.05 * sum(told.values())
    assert 0.05 < sum(told[label, None] for label in CONDITIONS) / sum(told.values()) < 0.25


def test_radiologists_differ() -> None:
    drafts = [reports.draft(0, visit) for visit in visits()[:800]]
    assert Counter(draft.style for draft in drafts).keys() == set(reports.STYLES)
    texts = Counter(tuple(s.text for s in draft.findings) for draft in drafts)
    assert len(texts) > 0.6 * len(drafts)
    words = {
        style: np.mean([len(s.text.split()) for d in drafts if d.style == style for s in d.findings])
        for style in reports.STYLES
    }
    assert words["terse"] < words["narrative"]
    systematic = [
        s.sections["findings"] for s in studies() if s.sections["findings"].startswith(("Heart: ", "Lines and"))
    ]
    numbered = [s for s in studies() if s.sections["impression"].startswith("1. ")]
    assert systematic and numbered


def test_sections_are_whole_sentences_and_never_empty() -> None:
    for study in studies():
        assert set(study.sections) - {"comparison"} == {"indication", "findings", "impression"}
        for text in study.sections.values():
            assert text and text == text.strip() and text[-1] == "." and "  " not in text and ".." not in text
        assert not re.search(r"\ba [aeiou]|\bNone\b", text), text


def test_only_second_studies_speak_of_change() -> None:
    change = r"since the prior|\bnew\b|resolved|resolution|unchanged|stable|than on the prior"
    spoken = Counter(
        (study.study_id[-1], bool(re.search(change, study.sections["findings"].lower()))) for study in studies()
    )
    assert spoken["1", True] == 0 and spoken["2", True] > spoken["2", False] / 2


def test_indications_do_not_give_the_finding_away() -> None:
    for study in studies():
        assert not any(re.search(pattern, study.sections["indication"].lower()) for pattern in NAMES.values())
