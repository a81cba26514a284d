"""From a dataset with boxes and encoders whose maps are known to scores, files and the page."""

from __future__ import annotations

import json
import stat
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from rrgbench import plugins
from rrgbench.errors import UsageError
from rrgbench.saliency.looking import file_name, saliency
from rrgbench.saliency.results import Saliency
from tests.saliency import pointing

ROWS = [  # study, patient, labels, boxes in tenths of the image
    ("s0", "p0", "Cardiomegaly", "Cardiomegaly,2,4,4,4"),
    ("s1", "p1", "Effusion|Mass", "Effusion,1,7,2,2;Mass,6,1,2,1;Mass,2,2,1,1"),
    ("s2", "p2", "Effusion", ""),
    ("s3", "p2", "Effusion|Infiltration", "Effusion,7,7,2,2;Infiltrate,1,1,3,3"),
    ("s4", "p3", "No Finding", ""),
    ("<s5> & co", "p4", "Cardiomegaly", "Cardiomegaly,3,3,5,5"),
]


@pytest.fixture(autouse=True)
def _parts(monkeypatch: pytest.MonkeyPatch) -> None:
    there = plugins.load([pointing.Plugin()])  # type: ignore[list-item]
    assert there.plugins[-1].problem is None
    monkeypatch.setattr(plugins, "catalogue", lambda: there)


@pytest.fixture
def boxed(tmp_path: Path) -> str:
    """Six studies in NIH's words, some with boxes; images twice as wide as high."""
    folder = tmp_path / "data"
    folder.mkdir()
    lines = ["study_id,patient,image,labels,boxes"]
    for at, (study, patient, labels, boxes) in enumerate(ROWS):
        PIL.Image.fromarray(np.random.default_rng(at).integers(0, 255, (40, 80), dtype=np.uint8)).save(
            folder / f"{at}.png"
        )
        lines.append(f'{study},{patient},{at}.png,{labels},"{boxes}"')
    (folder / "studies.csv").write_text("\n".join(lines) + "\n")
    options = "image=image,patient=patient,labels=labels,vocabulary=nih,boxes=boxes,box_grid=10"
    return f"table:path={folder / 'studies.csv'},{options},terms=open"


def values(found: Saliency, encoder: str) -> dict[str, float]:
    return {score.metric: score.value for score in found.scores if score.encoder == encoder}


def test_a_map_of_the_boxes_scores_one_and_its_opposite_none(boxed: str) -> None:
    found = saliency(["pointing", "pointing:at=across", "pointing:at=nowhere"], boxed, resamples=50)
    right, across, nowhere = (values(found, name) for name in found.encoders)
    names = ["macro", "cardiomegaly", "lung_lesion", "pleural_effusion"]  # NIH's Mass and Effusion in CheXpert's words
    assert list(right) == [f"{metric}_{name}" for metric in ("pointing_game", "iou") for name in names]
    assert {right[f"pointing_game_{name}"] for name in names} == {1.0}
    assert all(right[f"iou_{name}"] > 0.95 for name in names)
    assert all(value < 0.001 for value in across.values())  # what enlarging lets run over the edge
    assert set(nowhere.values()) == {0.0}


def test_chance_is_the_boxes_share_of_the_image(boxed: str) -> None:
    chance = {score.metric: score.chance for score in saliency(["pointing"], boxed).scores}
    assert chance["iou_cardiomegaly"] == chance["pointing_game_cardiomegaly"] == pytest.approx((0.16 + 0.25) / 2, 0.02)
    assert chance["pointing_game_lung_lesion"] == pytest.approx(0.03, abs=0.002)


def test_boxes_of_labels_that_an_encoder_does_not_assess_are_named(boxed: str) -> None:
    (note,) = saliency(["pointing"], boxed).notes
    assert "Infiltration (1)" in note and "Effusion" not in note


def test_encoders_that_are_called_alike_are_told_apart(boxed: str, tmp_path: Path) -> None:
    specs = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "w.bin").touch()
        specs.append(f"pointing:weights={tmp_path / name / 'w.bin'}")
    found = saliency([*specs, specs[0]], boxed, out=tmp_path / "out")
    assert list(found.encoders) == ["pointing:weights=w.bin", "pointing:weights=w.bin (2)"]
    assert len(list((tmp_path / "out" / "maps").iterdir())) == 2


def test_only_the_labels_asked_for(boxed: str) -> None:
    found = saliency(["pointing"], boxed, labels=["cardiomegaly", "Pleural Effusion"])
    assert {case.label for case in found.cases} == {"Cardiomegaly", "Pleural Effusion"}
    with pytest.raises(
        UsageError, match=r"does not assess 'Cardiomegalie'.*Did you mean 'Cardiomegaly'.*It assesses: .*Edema"
    ):
        saliency(["pointing"], boxed, labels=["Cardiomegalie"])


def test_a_label_called_present_without_a_box_is_looked_at_but_not_measured(boxed: str) -> None:
    found = saliency(["pointing"], boxed)
    (case,) = (case for case in found.cases if case.study_id == "s2")
    assert case.called and case.true and not case.boxed and case.hit is None
    assert next(score.n for score in found.scores if score.metric == "iou_pleural_effusion") == 2


def test_a_failure_costs_its_study_alone_and_is_named(boxed: str) -> None:
    found = saliency(["pointing:fail=[s0,blind-s1]", "pointing"], boxed)
    failing, whole = found.encoders
    assert found.failures == {failing: {"s0": "RuntimeError: no map of this one", "s1": "too dark"}, whole: {}}
    assert {case.study_id for case in found.cases if case.encoder == failing} == {"s2", "s3", "<s5> & co"}
    assert found.record()["failures"] == {failing: 2, whole: 0}


@pytest.mark.parametrize(("gives", "says"), [("negative", "from 0 on"), ("few", "1 studies for")])
def test_maps_that_are_no_maps_are_failures(boxed: str, gives: str, says: str) -> None:
    found = saliency([f"pointing:gives={gives}"], boxed)
    failed = found.failures[f"pointing:gives={gives}"]
    if gives == "few":  # alone, a study gets its map
        assert not failed and found.scores
    else:
        assert len(failed) == 5 and says in failed["s0"] and not found.scores


@pytest.mark.parametrize(
    ("encoder", "options", "says"),
    [
        ("oracle", {}, "oracle can't say where it looks"),
        ("pointing", {"method": "rollout"}, "no rollout here"),
        ("pointing", {"split": "test"}, "has no split 'test'"),
    ],
)
def test_what_can_t_be_is_refused_in_words(boxed: str, encoder: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        saliency([encoder], boxed, **options)


def test_a_dataset_without_boxes_gives_maps_and_says_that_nothing_is_measured(table: str, tmp_path: Path) -> None:
    found = saliency(["pointing"], table, out=tmp_path / "out")
    assert not found.scores and len(found.cases) == 10
    assert "Nothing is measured" in (tmp_path / "out" / "index.html").read_text()


# --- the folder -------------------------------------------------------------------------------------------------------


def test_the_folder_holds_maps_figures_and_cases(boxed: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = saliency(["pointing", "pointing:at=across"], boxed, out=out)
    assert {file.name for file in out.iterdir()} == {"index.html", "maps", "saliency.json", "saliency.csv", "cases.csv"}
    with np.load(out / "maps" / "pointing" / "s1.npz", allow_pickle=False) as maps:
        assert set(maps) == {"Pleural Effusion", "Lung Lesion"}
        effusion = maps["Pleural Effusion"]
    assert effusion.dtype == np.uint8 and effusion[30, 6] == 255 and effusion[5, 5] == 0
    assert (out / "maps" / file_name("pointing:at=across") / f"{file_name('<s5> & co')}.npz").is_file()
    record = json.loads((out / "saliency.json").read_text())
    assert record == json.loads(json.dumps(found.record()))
    text = (out / "saliency.json").read_text() + (out / "saliency.csv").read_text()
    assert "s1" not in text and "p0" not in text  # aggregates
    assert len((out / "cases.csv").read_text().splitlines()) == 1 + len(found.cases)


def test_a_folder_that_holds_something_is_refused_before_anything_is_done(boxed: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    saliency(["pointing"], boxed, limit=1, out=tmp_path / "out")  # an empty one will do
    with pytest.raises(UsageError, match="not an empty folder"):
        saliency(["pointing"], boxed, out=tmp_path / "out")


@pytest.mark.parametrize(("encoder", "data"), [("pointing", "private"), ("pointing:terms=private", "open")])
def test_what_comes_from_data_that_is_not_open_is_the_owner_s_alone(
    boxed: str, tmp_path: Path, encoder: str, data: str
) -> None:
    out = tmp_path / "out"
    saliency([encoder], boxed.replace("terms=open", f"terms={data}"), out=out)
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert "data that is not open" in (out / "index.html").read_text()


def test_two_studies_never_share_a_file() -> None:
    ids = ["a/b", "a b", "a-b", "x" * 90, "x" * 91]
    assert len({file_name(each) for each in ids}) == 5 and file_name("a-b") == "a-b"
    assert not any("/" in file_name(each) for each in ids)


class _Page(HTMLParser):
    """What the page refers to, and what it says."""

    def __init__(self) -> None:
        super().__init__()
        self.defined: list[str] = []
        self.used: list[str] = []
        self.hrefs: list[str] = []
        self.text: list[str] = []
        self.boxes = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "image" and given.get("id"):
            self.defined.append(str(given["id"]))
        if tag == "use":
            self.used.append(str(given["href"])[1:])
        if tag == "rect" and given.get("class") == "box":
            self.boxes += 1
        self.hrefs += [str(value) for name, value in attrs if name in ("href", "src") and tag != "use"]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_shows_each_image_alone_and_with_each_encoder_s_map(boxed: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    saliency(["pointing", "pointing:at=across"], boxed, out=out)
    html = (out / "index.html").read_text()
    page = _Page()
    page.feed(html)
    assert len(page.defined) == len(set(page.defined)) == 5  # of s4 nothing is to be seen
    assert set(page.used) == set(page.defined)
    assert all(href.startswith("data:image/") for href in page.hrefs)  # it loads nothing
    said = " ".join(page.text)
    assert "<s5> & co" in said and "<s5>" not in html.replace("&lt;s5&gt;", "")
    for words in ("hit", "miss", "p\u00a00.90", "called present", "image alone", "present, but no box", "Chance"):
        assert words in said, words
    assert page.boxes == 2 * 6  # of both encoders: each box of a label that they assess
