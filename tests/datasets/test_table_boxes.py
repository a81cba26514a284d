"""``table:boxes=``: where findings are, from a cell."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rrgbench.datasets.table import Table
from rrgbench.errors import UsageError
from rrgbench.types import Box
from tests.conftest import REPOSITORY

SHARED = Path(os.environ.get("RRGBENCH_SHARED", REPOSITORY.parent / "shared"))


def table(folder: Path, rows: str, **options: object) -> Table:
    file = folder / "studies.csv"
    file.write_text(f"study_id,y,b\n{rows}")
    return Table(file, **{"labels": "y", "boxes": "b", **options})  # type: ignore[arg-type]


def boxes(of: Table) -> list[dict[str, tuple[Box, ...]]]:
    return [{f.label: f.boxes for f in study.labels or () if f.boxes} for study in of.load(None)]


def test_boxes_are_fractions_of_the_image_or_of_a_grid(tmp_path: Path) -> None:
    rows = '1,Edema,"Edema,.25,.5,.25,.125"\n2,No Finding,\n3,,\n'
    assert boxes(table(tmp_path, rows)) == [{"Edema": (Box(0.25, 0.5, 0.25, 0.125),)}, {}, {}]
    rows = '1,Mass|Nodule,"Mass,256,512,256,128; nodule ,0,0,8,16;Mass,512,0,512,1024"\n'
    assert boxes(table(tmp_path, rows, box_grid=1024, vocabulary="nih")) == [
        {"Mass": (Box(0.25, 0.5, 0.25, 0.125), Box(0.5, 0, 0.5, 1)), "Nodule": (Box(0, 0, 1 / 128, 1 / 64),)}
    ]


def test_a_box_that_rounding_lets_over_the_edge_is_cut_there(tmp_path: Path) -> None:
    ((box,),) = (found["Mass"] for found in boxes(table(tmp_path, '1,Mass,"Mass,500,0,524.4,9"\n', box_grid=1024)))
    assert box.x + box.width == 1


def test_chestxray14_s_own_word_for_infiltration(tmp_path: Path) -> None:
    rows = '1,Infiltration,"Infiltrate,1,1,2,2"\n'
    (found,) = boxes(table(tmp_path, rows, box_grid=10, vocabulary="nih"))
    assert list(found) == ["Infiltration"]


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("Mass,1,2,3", "'Mass,1,2,3' is not label,x,y,width,height"),
        ("Mass,1,2,3,wide", "is not label,x,y,width,height"),
        ("Maß,1,2,3,4", "is no label of nih"),
        ("Mas,1,2,3,4", "'Mas' is no label of nih. Did you mean 'Mass'?"),
        ("Mass,8,2,3,4", "8, 2, 3, 4 is not inside an image that is 10 wide"),
        ("Mass,1,2,0,4", "is not inside"),
        ("Mass,-1,2,3,4", "is not inside"),
        ("Mass,nan,2,3,4", "is not inside"),
        ("Mass,1,2,3,4;", "'' is not label"),
        ("Nodule,1,2,3,4", "row 2: a box of Nodule, which is not present by the labels"),
        ("The lungs are clear, with no effusion or pneumothorax.", "a text of 54 characters is not label"),
    ],
)
def test_a_wrong_box_is_refused_with_its_row(tmp_path: Path, cell: str, says: str) -> None:
    with pytest.raises(UsageError) as error:
        table(tmp_path, f'1,Mass,\n2,Mass,"{cell}"\n', box_grid=10, vocabulary="nih")
    assert says in str(error.value) and "row 2" in str(error.value)


def test_wrong_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no column 'bx'"):
        table(tmp_path, "1,Mass,\n", boxes="bx")
    with pytest.raises(UsageError, match="labels="):
        table(tmp_path, "1,Mass,\n", labels=None)
    with pytest.raises(UsageError, match="box_grid=0"):
        table(tmp_path, "1,Mass,\n", box_grid=0)


def test_the_boxes_of_the_real_nih_images() -> None:
    file = SHARED / "data" / "nih" / "studies.csv"
    if not file.is_file():
        pytest.skip("the NIH images are not there")
    options = {"labels": "finding_labels", "boxes": "boxes_1024px", "box_grid": 1024, "vocabulary": "nih"}
    found = [each for each in boxes(Table(file, id="image_index", image="file", **options)) if each]  # type: ignore[arg-type]
    assert len(found) == 8
    first = found[0]["Cardiomegaly"][0]
    assert (round(first.x * 1024), round(first.y * 1024)) == (337, 276)
