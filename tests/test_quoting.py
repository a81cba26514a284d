"""How much of a cell an error message shows."""

from __future__ import annotations

import pytest

from rrgbench import quoting

SENTENCE = "The lungs are clear. The heart is of normal size. No acute disease."


def test_a_cell_is_shown_as_far_as_no_report_fits_in_it() -> None:
    assert quoting.cell("x" * 20) == repr("x" * 20)
    assert quoting.cell(SENTENCE) == f"a text of {len(SENTENCE)} characters"


@pytest.mark.parametrize(
    "name",
    [
        "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014",
        "files/p10/p10000032/s50414267/02aa804e-bde0afdd-112c0b34-7bc16630-4e384014.jpg",
        "CheXpert-v1.0 batch 1 (validate & csv)/valid/patient64541/study1/view1_frontal.jpg",
    ],
)
def test_ids_and_paths_are_shown_whole(name: str) -> None:
    assert quoting.name(name) == repr(name)


@pytest.mark.parametrize("text", [SENTENCE, "x" * 900_000, "The lungs are clear\nas in a.png", f"{SENTENCE * 3}.png"])
def test_what_can_be_a_report_is_no_name(text: str) -> None:
    assert quoting.name(text) == f"a text of {len(text):,} characters"


def test_the_first_columns_are_shown_and_long_ones_are_cut() -> None:
    assert quoting.columns(["study_id", SENTENCE]) == "study_id, The lungs are clear.…"
    assert quoting.columns([str(number) for number in range(30)]).endswith(", 18, 19")
