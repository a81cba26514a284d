from __future__ import annotations

import gzip
import json
from pathlib import Path

import pandas as pd
import pytest

from rrgbench.errors import UsageError
from rrgbench.tables import by_id, label_cell, read_table, require
from rrgbench.types import Status


def write(folder: Path, name: str, text: str | bytes) -> Path:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_three_forms_of_the_same_table(tmp_path: Path) -> None:
    csv = read_table(write(tmp_path, "a.csv", 'study_id,report\n007,"Clear, lungs."\n008,\n'))
    lines = '{"study_id": "007", "report": "Clear, lungs."}\n\n{"study_id": "008", "report": null}\n'
    jsonl = read_table(write(tmp_path, "a.jsonl", lines))
    listed = [{"study_id": "007", "report": "Clear, lungs."}, {"study_id": "008"}]
    json_list = read_table(write(tmp_path, "a.json", json.dumps(listed)))
    mapping = read_table(write(tmp_path, "b.json", '{"007": "Clear, lungs.", "008": ""}'))
    for frame in (csv, jsonl, json_list, mapping):
        assert frame.to_dict("list") == {"study_id": ["007", "008"], "report": ["Clear, lungs.", ""]}


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    assert list(read_table(write(tmp_path, "a.csv", b"\xef\xbb\xbfstudy_id\n1\n")).columns) == ["study_id"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", "", "empty"),
        ("a.csv", "study_id,report\n", "no rows"),
        ("a.csv", b"study_id\n\xff\xfe\n", "not UTF-8 at byte 9"),
        ("a.csv", "a,b\n1,2\n1,2,3,4\n", "line 3"),
        ("a.csv", "study_id,report\ns1,Clear lungs, no effusion\n", "more cells than the header.*quotes"),
        ("a.jsonl", '{"study_id": 1}\n{"study_id":', "line 2"),
        ("a.jsonl", "[1]", "line 1.*object"),
        ("a.json", "{", "not sound JSON"),
        ("a.json", "[1]", "list of records"),
        ("a.xlsx", "x", ".csv, .jsonl or .json"),
        ("a.csv", "study_id,x\n1,a\n2,b\0c\n", "line 3: a NUL byte.*UTF-8"),
        ("a.csv", "study_id\n1\n".encode("utf-16-le"), "line 1: a NUL byte.*UTF-16"),
        ("a.csv", '"study_id' + "x" * 200_000, "the header can't be read.*quote"),
        ("a.csv", b"study_id,x\n" + b"1,abc\n" * 100_000 + b"1,\xff\n", "not UTF-8 at byte 600013"),
        ("a.json", "[" * 100_000, "not sound JSON"),
        ("a.json", '{"1": "a", "2": "b", "1": "c"}', "the key '1' stands twice"),
        ("a.json", '[{"study_id": "1", "report": "a", "report": "b"}]', "the key 'report' stands twice"),
        ("a.jsonl", '{"a": 1}\n{"a": 1, "a": 2}', "line 2: .*the key 'a' stands twice"),
        # told before the rows, which commas cut into cells that the header lacks
        ("a.csv", "study_id;report\ns1;Clear lungs, no effusion\n", "separated by semicolons"),
        ("a.csv", "study_id\treport\ns1\tClear, dry, large\n", "separated by semicolons or tabs"),
        ("a.csv.gz", b"study_id\n1\n", "not a sound .gz file"),
        ("a.csv.gz", gzip.compress(b"study_id,x\n" + bytes(range(65, 91)) * 100, mtime=0)[:40], "cut short"),
        ("a.csv.gz", gzip.compress(b"", mtime=0)[:10] + b"\xff" * 20, "not a sound .gz file"),
    ],
)
def test_a_bad_file_is_named_with_the_place(tmp_path: Path, name: str, content: str | bytes, says: str) -> None:
    file = write(tmp_path, name, content)
    with pytest.raises(UsageError, match=says) as caught:
        read_table(file)
    assert str(file) in str(caught.value)


def test_each_form_may_be_packed(tmp_path: Path) -> None:
    for name, text in (("a.csv.gz", "study_id\n1\n"), ("a.JSONL.GZ", '{"study_id": "1"}'), ("a.json.gz", '{"1": "x"}')):
        assert read_table(write(tmp_path, name, gzip.compress(text.encode())))["study_id"].tolist() == ["1"]


def test_a_file_of_gigabytes_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rrgbench.tables.MAX_FILE_BYTES", 1000)
    text = b"study_id\n" + b"1\n" * 1000
    for file in (write(tmp_path, "a.csv", text), write(tmp_path, "b.csv.gz", gzip.compress(text))):
        with pytest.raises(UsageError, match="more than 1e-06 GB"):
            read_table(file)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        read_table(tmp_path / "a.csv")


def test_a_missing_column_is_answered_with_the_nearest_one(tmp_path: Path) -> None:
    frame = read_table(write(tmp_path, "a.csv", "study_id,reports\n1,x\n"))
    with pytest.raises(UsageError, match=r"no column 'report' \(report=…\). Did you mean 'reports'"):
        require(frame, "a.csv", report="report")
    with pytest.raises(UsageError, match="separated by semicolons"):
        require(pd.DataFrame({"study_id;report": ["1;x"]}), "b.csv", id="study_id")


def test_ids_must_be_there_and_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="row 2: the id column 'study_id' is blank"):
        by_id(read_table(write(tmp_path, "a.csv", "study_id,x\n1,a\n ,b\n")), "a.csv", "study_id")
    with pytest.raises(UsageError, match="row 3: the id '1' stands in row 1 already"):
        by_id(read_table(write(tmp_path, "b.csv", "study_id,x\n1,a\n2,b\n1,c\n")), "b.csv", "study_id")


def test_label_cells_are_chexpert_s() -> None:
    cells = {"1.0": Status.PRESENT, "0": Status.ABSENT, "-1": Status.UNCERTAIN, "": Status.NOT_MENTIONED}
    assert {cell: label_cell(cell, "a.csv", 1, "Edema") for cell in cells} == cells
    with pytest.raises(UsageError, match="a.csv, row 4, column 'Edema': 'maybe' is not 1, 0, -1 or blank"):
        label_cell("maybe", "a.csv", 4, "Edema")
    with pytest.raises(UsageError, match="column 'Edema': a text of 900,000 characters is not 1, 0, -1 or blank"):
        label_cell("x" * 900_000, "a.csv", 4, "Edema")


def test_what_a_file_without_a_header_holds_is_not_printed(tmp_path: Path) -> None:
    frame = read_table(write(tmp_path, "a.csv", "s1,The lungs are clear and the heart is of normal size.\ns2,x\n"))
    with pytest.raises(UsageError, match="There are: s1, The lungs are clear ….$"):
        require(frame, "a.csv", report="report")
