"""From cases to scores."""

from __future__ import annotations

import numpy as np
import pytest

from rrgbench.saliency.results import Case, SaliencyScore, scores

LABELS = ["Edema", "Cardiomegaly", "Fracture"]


def case(patient: str, label: str, hit: bool, iou: float = 0.0, share: float = 0.1) -> Case:
    return Case("vit", f"{patient}-{label}", patient, label, 0.9, True, True, True, hit, iou, share)


def by_name(cases: list[Case], resamples: int = 0) -> dict[str, SaliencyScore]:
    return {score.metric: score for score in scores(cases, LABELS, resamples, 0)}


def test_macro_is_the_mean_over_labels_and_not_over_findings() -> None:
    cases = [case("a", "Edema", True, 0.5, 0.2)] * 9 + [case("b", "Cardiomegaly", False, 0.1, 0.4)]
    found = by_name(cases)
    assert found["pointing_game_edema"].value == 1 and found["pointing_game_cardiomegaly"].value == 0
    assert found["pointing_game_macro"].value == 0.5
    assert found["iou_macro"].value == pytest.approx(0.3) and found["iou_edema"].value == 0.5
    assert found["iou_macro"].chance == found["pointing_game_macro"].chance == pytest.approx(0.3)
    assert (found["iou_macro"].n, found["iou_macro"].n_patients) == (10, 2)
    assert [score.label for score in found.values()] == ["macro", "Edema", "Cardiomegaly"] * 2  # the encoder's order


def test_what_has_no_boxes_is_not_measured() -> None:
    called = Case("vit", "s", "p", "Edema", 0.9, True, False, False)
    assert scores([called], LABELS, 100, 0) == []
    assert by_name([called, case("a", "Edema", True)])["pointing_game_edema"].n == 1


def test_intervals_draw_patients_and_not_findings() -> None:
    rng = np.random.default_rng(0)
    apart = [case(f"p{at}", "Edema", bool(hit)) for at, hit in enumerate(rng.random(60) < 0.5)]
    together = [case(f"p{at // 12}", "Edema", at // 12 < 2) for at in range(60)]  # five patients, each all or nothing

    def width(cases: list[Case]) -> float:
        ci = by_name(cases, 500)["pointing_game_edema"].ci
        assert ci
        return ci[1] - ci[0]

    assert 0.18 < width(apart) < 0.32  # 2 * 1.96 * sqrt(.25 / 60) = .25
    assert width(together) > 0.6


def test_where_all_findings_fare_alike_resampling_says_nothing() -> None:
    cases = [case(f"p{at}", "Edema", False, 0.1 * at) for at in range(5)]
    found = by_name(cases, 200)
    assert found["pointing_game_edema"].ci is None and found["pointing_game_macro"].ci is None
    assert found["iou_edema"].ci is not None
    assert by_name([case("a", "Edema", True, 0.1), case("a", "Edema", False, 0.3)], 200)["iou_edema"].ci is None


def test_chance_is_what_random_points_get() -> None:
    from rrgbench.saliency.measures import covered, hits
    from rrgbench.types import Box

    rng = np.random.default_rng(0)
    cases = []
    for at in range(3000):
        x, y, width, height = rng.random(4) * (0.5, 0.5, 0.5, 0.5)
        boxes = [Box(x, y, width, height)]
        share = float(covered(boxes, (128, 128)).mean())
        cases.append(case(str(at), "Edema", hits((rng.random(), rng.random()), boxes), share=share))
    found = by_name(cases)["pointing_game_edema"]
    assert found.value == pytest.approx(found.chance, abs=0.02)
