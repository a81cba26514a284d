"""What may be wrong with an official tree, whichever it is: each a clear error that names the file."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rrgbench.datasets.chexpert import CheXpert
from rrgbench.datasets.chexpert_plus import CheXpertPlus
from rrgbench.datasets.drr_rate import DRRRate
from rrgbench.datasets.nih_cxr14 import NIHCXR14
from rrgbench.errors import ImageError, UsageError
from rrgbench.types import Study


@dataclass(frozen=True)
class Tree:
    """One dataset's tree, the table that its studies are in, and the column of the images' names or paths."""

    make: Any
    table: str
    id: str
    column: str  # another that must be there

    @property
    def name(self) -> str:
        return str(self.make.__name__)


TREES = (
    Tree(CheXpert, "CheXpert-v1.0/train.csv", "Path", "Frontal/Lateral"),
    Tree(CheXpertPlus, "df_chexpert_plus_240401.csv", "path_to_image", "section_impression"),
    Tree(NIHCXR14, "Data_Entry_2017.csv", "Image Index", "Finding Labels"),
    Tree(DRRRate, "multi_abnormality_labels/train_predicted_labels.csv", "ImageName", "Lung opacity"),
)


@pytest.fixture(params=TREES, ids=lambda tree: tree.name)
def tree(request: pytest.FixtureRequest) -> Tree:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def root(tree: Tree, tmp_path: Path) -> Path:
    tree.make.make(tmp_path / "tree", 12, 0)
    return tmp_path / "tree"


def studies(tree: Tree, root: Path) -> list[Study]:
    return list(tree.make(root).load(None))


def edit(file: Path, change: Callable[[bytes], bytes]) -> None:
    file.write_bytes(change(file.read_bytes()))


def fails(tree: Tree, root: Path, *says: str) -> None:
    with pytest.raises(UsageError) as caught:
        studies(tree, root)
    for words in (Path(tree.table).name, *says):
        assert words in str(caught.value)


def test_a_gzipped_table_is_the_same(tree: Tree, root: Path) -> None:
    plain = studies(tree, root)
    file = root / tree.table
    Path(f"{file}.gz").write_bytes(gzip.compress(file.read_bytes()))
    file.unlink()
    packed = studies(tree, root)
    assert [(s.study_id, s.labels, dict(s.sections)) for s in packed] == [
        (s.study_id, s.labels, dict(s.sections)) for s in plain
    ]


def test_a_truncated_gz(tree: Tree, root: Path) -> None:
    file = root / tree.table
    Path(f"{file}.gz").write_bytes(gzip.compress(file.read_bytes())[:-20])
    file.unlink()
    fails(tree, root, "cut short")


def test_another_delimiter(tree: Tree, root: Path) -> None:
    edit(root / tree.table, lambda text: text.replace(b",", b";"))
    fails(tree, root, "separated by semicolons")


def test_a_missing_column(tree: Tree, root: Path) -> None:
    for column in (tree.id, tree.column):
        before = (root / tree.table).read_bytes()
        edit(root / tree.table, lambda text, column=column: text.replace(column.encode(), b"Other", 1))  # type: ignore[misc]
        fails(tree, root, repr(column))
        (root / tree.table).write_bytes(before)


def test_another_encoding(tree: Tree, root: Path) -> None:
    edit(root / tree.table, lambda text: text.replace(b"\n", b"\nK\xf6ln", 1))
    fails(tree, root, "UTF")


def test_no_rows(tree: Tree, root: Path) -> None:
    edit(root / tree.table, lambda text: text.splitlines(keepends=True)[0])
    fails(tree, root, "no rows")


@pytest.mark.parametrize(
    "name", ["../../../etc/passwd", "/etc/passwd", "train/../../secret.png", "", "x" * 5000, "a\x00b"]
)
def test_ids_that_are_paths_or_nothing(tree: Tree, root: Path, name: str) -> None:
    def first_id(text: bytes) -> bytes:
        header, row, rest = text.split(b"\n", 2)
        at = header.decode().strip().split(",").index(tree.id)
        cells = row.split(b",")
        cells[at] = name.encode()
        return b"\n".join([header, b",".join(cells), rest])

    edit(root / tree.table, first_id)
    fails(tree, root, "row 1", tree.id)


def test_an_id_that_stands_twice(tree: Tree, root: Path) -> None:
    with (root / tree.table).open(newline="") as file:
        rows = list(csv.reader(file))
    with (root / tree.table).open("a", newline="") as file:
        csv.writer(file).writerow(rows[-1])
    fails(tree, root, "stands there twice")


def test_a_table_that_is_a_link_out_of_the_root(tree: Tree, root: Path) -> None:
    file = root / tree.table
    file.rename(root.parent / "elsewhere.csv")
    file.symlink_to(root.parent / "elsewhere.csv")
    fails(tree, root, "a link that leads out")


def test_an_image_that_is_a_link_out_of_the_root(tree: Tree, root: Path) -> None:
    first = next(study for study in studies(tree, root) if study.images)
    (file,) = [
        file
        for file in root.rglob("*.*")
        if file.suffix in (".png", ".jpg")
        and file.with_suffix("").as_posix().endswith(first.images[0].image_id.split(".")[0])
    ]
    file.rename(root.parent / "elsewhere.png")
    file.symlink_to(root.parent / "elsewhere.png")
    image = next(study for study in studies(tree, root) if study.study_id == first.study_id).images[0]
    with pytest.raises(ImageError, match="outside"):
        image.read()
    with pytest.raises(ImageError, match="outside"):
        image.fingerprint()


def test_the_root_must_be_a_folder(tree: Tree, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="read from a folder"):
        tree.make(tmp_path / "nothing")


def test_a_tree_is_made_in_an_empty_folder_only(tree: Tree, root: Path) -> None:
    with pytest.raises(UsageError, match="empty folder"):
        tree.make.make(root, 12, 0)


def test_a_made_tree_says_that_it_is_synthetic(tree: Tree, root: Path) -> None:
    assert tree.make(root).synthetic
    for mark in root.rglob("SYNTHETIC.txt"):
        mark.unlink()
    assert not tree.make(root).synthetic


def test_the_same_seed_makes_the_same_tree(tree: Tree, root: Path, tmp_path: Path) -> None:
    tree.make.make(tmp_path / "again", 12, 0)
    tree.make.make(tmp_path / "other", 12, 1)
    assert tree.make(root).signature == tree.make(tmp_path / "again").signature
    assert tree.make(root).signature != tree.make(tmp_path / "other").signature
