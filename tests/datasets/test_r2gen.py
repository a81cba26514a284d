from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rrgbench.datasets.iu_xray import IUXray
from rrgbench.datasets.r2gen import R2Gen
from rrgbench.errors import ImageError, UsageError
from rrgbench.interfaces import Dataset

KEY_OF = {"train": "train", "validate": "val", "test": "test"}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("r2gen")
    R2Gen.make(folder, studies=16, seed=1)
    return folder


def iu(number: int, **changed: Any) -> dict[str, Any]:
    name = f"CXR{number}_1_IM-{number:04d}"
    return {"id": name, "report": "Clear lungs.", "image_path": [f"{name}/0.png", f"{name}/1.png"], **changed}


def mimic(name: str, study: int = 50414267, subject: int = 10000032, **changed: Any) -> dict[str, Any]:
    path = f"p10/p{subject}/s{study}/{name}.jpg"
    entry = {"id": name, "study_id": study, "subject_id": subject, "report": "Clear lungs.", "image_path": [path]}
    return {**entry, **changed}


def write(folder: Path, **entries: Any) -> Path:
    file = folder / "annotation.json"
    file.write_text(json.dumps(entries))
    return file


# --- the real reports -------------------------------------------------------------------------------------------------


def test_r2gens_entries_of_the_real_reports_are_the_reports_findings(shared: Path, tmp_path: Path) -> None:
    """The file itself is not here; its split is, and its texts are the findings word by word."""
    root = shared / "iu-xray"
    reports = {study.study_id: study for study in IUXray(root, split=root / "r2gen_split.csv").load(None)}
    annotation: dict[str, list[dict[str, Any]]] = {"train": [], "val": [], "test": []}
    with (root / "r2gen_split.csv").open() as file:
        for row in csv.DictReader(file):
            name, text = row["r2gen_id"], reports[row["report_id"]].sections["findings"]
            paths = [f"{name}/{at}.png" for at in range(2)]
            annotation[row["split"]].append({"id": name, "report": text, "image_path": paths, "split": row["split"]})
    dataset = R2Gen(write(tmp_path, **annotation))
    assert (dataset.corpus, dataset.terms) == ("iu-xray", "open")
    assert [len(list(dataset.load(split))) for split in dataset.splits] == [2069, 296, 590]
    for study in dataset.load(None):
        report = reports[study.patient_id]
        assert study.sections == {"findings": report.sections["findings"]}
        assert study.split == report.split
    for split in dataset.splits:
        assert len(list(dataset.load(split))) == dataset.official[split]["studies"]


# --- both corpora -----------------------------------------------------------------------------------------------------


def test_an_entry_of_iu_xray_is_a_study_of_two_images(tmp_path: Path) -> None:
    dataset = R2Gen(write(tmp_path, train=[iu(1)], val=[iu(2, report=" ")], test=[iu(3)]))
    assert isinstance(dataset, Dataset)
    assert (dataset.corpus, dataset.terms, dataset.splits) == ("iu-xray", "open", ("train", "validate", "test"))
    (study,) = dataset.load("train")
    assert (study.study_id, study.patient_id) == ("CXR1_1_IM-0001", "CXR1")
    assert [image.image_id for image in study.images] == ["CXR1_1_IM-0001/0.png", "CXR1_1_IM-0001/1.png"]
    assert dict(study.sections) == {"findings": "Clear lungs."} and study.labels is None
    (empty,) = dataset.load("validate")
    assert dict(empty.sections) == {}  # a blank report is none


def test_entries_of_mimic_cxr_are_images_of_a_study(tmp_path: Path) -> None:
    file = write(tmp_path, test=[mimic("a"), mimic("b", 50414268), mimic("c")], train=[mimic("d", 59, 19)])
    dataset = R2Gen(file)
    assert (dataset.corpus, dataset.terms, dataset.splits) == ("mimic-cxr", "credentialed", ("train", "test"))
    one, two = dataset.load("test")
    assert (one.study_id, one.patient_id) == ("s50414267", "p10000032")
    assert [image.image_id for image in one.images] == ["a", "c"]
    assert [image.image_id for image in two.images] == ["b"]
    assert dataset.official["test"] == {"studies": 2347, "images": 3858}


def test_images_lie_below_their_folder(tmp_path: Path, made: Path) -> None:
    dataset = R2Gen(made / "mimic_cxr" / "annotation.json")
    assert all(image.read().shape == (128, 128) for study in dataset.load("test") for image in study.images)
    file = write(tmp_path, test=[iu(1, image_path=["../../etc/passwd", "CXR1_1_IM-0001/0.png"])])
    with pytest.raises(ImageError, match=r"'../../etc/passwd' is not here; give images=FOLDER"):
        next(iter(R2Gen(file).load("test"))).images[0].read()
    (tmp_path / "images").mkdir()
    outside, missing = next(iter(R2Gen(file).load("test"))).images
    with pytest.raises(ImageError, match="lies outside"):
        outside.fingerprint()
    with pytest.raises(ImageError, match=r"CXR1_1_IM-0001/0.png' is not in"):
        missing.read()


def test_the_same_file_elsewhere_is_the_same_data(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    one, two = R2Gen(write(tmp_path, test=[iu(1)])), R2Gen(write(tmp_path / "a", test=[iu(1)]))
    assert one.signature == two.signature != R2Gen(write(tmp_path, test=[iu(2)])).signature


def test_the_signature_says_which_corpus_it_is(tmp_path: Path) -> None:
    assert R2Gen(write(tmp_path, test=[iu(1)])).signature.startswith("corpus:iu-xray|file:")
    file = write(tmp_path, test=[mimic("a")])
    assert R2Gen(file).signature.startswith("corpus:mimic-cxr|file:")
    assert R2Gen(file, corpus="mimic-cxr").signature.startswith("file:")  # the option says it already


# --- what is wrong ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "entries",
    [
        {"test": [iu(1), mimic("a")]},
        {"test": [mimic("a", study_id=None)]},
        {"test": [{"id": "0a1b", "report": "x", "image_path": ["p10/p1/s5/0a1b.jpg"]}]},
    ],
)
def test_what_may_be_mimics_is_never_taken_for_open(tmp_path: Path, entries: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="neither MIMIC-CXR's"):
        R2Gen(write(tmp_path, **entries), corpus="iu-xray")


def test_a_spec_can_not_call_mimic_cxr_open(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="its entries are those of mimic-cxr, not of iu-xray"):
        R2Gen(write(tmp_path, test=[mimic("a")]), corpus="iu-xray")
    with pytest.raises(UsageError, match="its entries are those of iu-xray"):
        R2Gen(write(tmp_path, test=[iu(1)]), corpus="mimic-cxr")


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({}, 'the keys "train", "val", "test"'),
        ({"test": {}}, "'test' must be a list"),
        ({"test": []}, "there is no entry"),
        ({"val": [iu(1), 5]}, "val, entry 2: must be an object"),
        ({"train": [iu(1)], "val": [iu(2), {"id": "CXR3_"}]}, "val, entry 2: there is no 'report'"),
        ({"test": [iu(1, id=None)]}, "test, entry 1: there is no 'id'"),
        ({"test": [iu(1, id=["x"])]}, "test, entry 1: 'id' must be text"),
        ({"test": [mimic("a", study_id=True)]}, "entry 1: 'study_id' must be text or a whole number"),
        ({"test": [iu(1, report=["x"])]}, "entry 1: 'report' must be text"),
        ({"test": [iu(1, report="x" * 1_000_001)]}, "entry 1: 'report' must be text of at most 1,000,000"),
        ({"test": [iu(1, report="half \ud800")]}, "entry 1: holds half a character"),
        ({"test": [iu(1, image_path="a.png")]}, "'image_path' must be a list"),
        ({"test": [iu(1, image_path=[])]}, "'image_path' must be a list"),
        ({"train": [iu(1)], "test": [iu(2), iu(1)]}, "test, entry 2: the id 'CXR1_1_IM-0001' stands in train, entry 1"),
        ({"test": [mimic("a"), mimic("a")]}, "test, entry 2: the id 'a' stands in test, entry 1"),
        ({"test": [mimic("a"), mimic("b", report="Other.")]}, "test, entry 2: another report than that of 'a'"),
        ({"test": [mimic("a"), mimic("b", subject=19)]}, "test, entry 2: another subject_id than that of 'a'"),
        ({"train": [mimic("a")], "test": [mimic("b")]}, "test, entry 1: another split than that of 'a'"),
    ],
)
def test_what_is_wrong_with_the_file_is_said(tmp_path: Path, entries: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        R2Gen(write(tmp_path, **entries))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not sound JSON"),
        (json.dumps({"test": [iu(1)]}).encode()[:-5], "not sound JSON.*cut short"),
        (b"[" * 100_000, "not sound JSON"),
        (b'{"test": [], "test": []}', "the key 'test' stands twice"),
        (json.dumps({"test": [iu(1, report="Gr\xf6\xdfe")]}, ensure_ascii=False).encode("latin-1"), "not UTF-8"),
        (json.dumps({"test": [iu(1)]}).encode("utf-16"), "not UTF-8"),
        (b"[]", 'the keys "train"'),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, data: bytes, says: str) -> None:
    (tmp_path / "annotation.json").write_bytes(data)
    with pytest.raises(UsageError, match=says):
        R2Gen(tmp_path / "annotation.json")


def test_an_image_that_an_entry_lists_twice_is_kept_once_and_told(tmp_path: Path) -> None:
    complete = {"train": [iu(1)], "val": [iu(2)]}
    dataset = R2Gen(write(tmp_path, **complete, test=[iu(3, image_path=["a.png", "b.png", "a.png"])]))
    assert [image.image_id for image in next(iter(dataset.load("test"))).images] == ["a.png", "b.png"]
    assert dataset.problems() == ["1 studies have an image twice, such as 'CXR3_1_IM-0003'; it is kept once"]
    path = mimic("a")["image_path"]
    twice = R2Gen(
        write(tmp_path, train=[mimic("c", 1)], val=[mimic("d", 2)], test=[mimic("a"), mimic("b", image_path=path)])
    )
    assert twice.problems() == ["1 studies have an image twice, such as 's50414267'; each entry counts"]


def test_a_split_without_an_entry_is_a_problem(tmp_path: Path) -> None:
    assert R2Gen(write(tmp_path, train=[iu(1)], val=[iu(2)], test=[iu(3)])).problems() == []
    assert R2Gen(write(tmp_path, train=[], test=[iu(3)])).problems() == [
        "annotation.json has no entry under 'train': no split train",
        "annotation.json has no entry under 'val': no split validate",
    ]


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be read: No such file"):
        R2Gen(tmp_path / "annotation.json")
    file = write(tmp_path, test=[iu(1)])
    with pytest.raises(UsageError, match=r"no split 'val'.*It has: test"):
        R2Gen(file).load("val")
    with pytest.raises(UsageError, match="the folder that image_path starts from"):
        R2Gen(file, images=tmp_path / "nowhere")


# --- a made tree ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("folder", "terms"), [("iu_xray", "open"), ("mimic_cxr", "credentialed")])
def test_a_made_tree_runs_end_to_end(made: Path, rrgbench: Callable[..., Any], folder: str, terms: str) -> None:
    done = rrgbench(
        *("run", "--dataset", f"r2gen:path={made / folder / 'annotation.json'}", "--system", "constant"),
        *("--protocol", "findings", "--split", "train", "--metric", "bleu", "--json"),
    )
    assert done.code == 0, done.err
    summary = done.json()
    assert (summary["synthetic"], summary["terms"], summary["coverage"]) == (True, terms, 1)
    assert summary["n"] == sum(1 for _ in R2Gen(made / folder / "annotation.json").load("train"))


def test_a_made_tree_has_the_drawn_findings(made: Path) -> None:
    from rrgbench.datasets import drawn

    truth = list(drawn.studies(16, 1))
    for folder in ("iu_xray", "mimic_cxr"):
        studies = {s.sections["findings"]: s for s in R2Gen(made / folder / "annotation.json").load(None)}
        assert studies.keys() == {study.sections["findings"] for study in truth}
        assert all(studies[study.sections["findings"]].split == study.split for study in truth)
    patients = [s.patient_id for s in R2Gen(made / "mimic_cxr" / "annotation.json").load(None)]
    assert len(set(patients)) == len({study.patient_id for study in truth})
