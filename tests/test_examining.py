"""`data check`, `data info` and `data make` from Python: on datasets with every fault, and on sound ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from rrgbench import examining
from rrgbench.datasets.phantom import Phantom
from rrgbench.errors import ImageError, UsageError
from rrgbench.examining import Checked
from rrgbench.labels import CHEXPERT_5
from rrgbench.parts import Part
from rrgbench.protocols import Step
from rrgbench.types import Finding, Findings, Image, Status, Study, Vocabulary

FIVE = Vocabulary("five", CHEXPERT_5)


def noise() -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).random((4, 5), dtype=np.float32)


def image(name: str, read: Callable[[], Any] = noise, there: bool = True, view: str = "PA") -> Image:
    return Image(name, read, partial(fingerprint, name, there), view)


def fingerprint(name: str, there: bool) -> str:
    if not there:
        raise ImageError(f"the image {name!r} is not in the folder")
    return name


def study(name: str, split: str | None = None, patient: str | None = None, **known: Any) -> Study:
    return Study(name, patient or f"p-{name}", split, **{"images": (image(f"{name}.png"),), **known})


class Given:
    """A dataset of these studies, which may fail on the way, as somebody's own dataset would be written."""

    version = "1"
    terms = "open"
    vocabulary = FIVE

    def __init__(self, *studies: Any, splits: tuple[str, ...] = (), **optional: Any) -> None:
        self.splits = splits
        self._studies = studies
        vars(self).update(optional)

    def load(self, split: str | None) -> Iterator[Study]:
        for each in self._studies:
            if isinstance(each, BaseException):
                raise each
            if split in (None, getattr(each, "split", split)):
                yield each


def part(dataset: Any) -> Part:
    return Part("dataset", "given", "given", dataset, "somebody", {}, "given")


def check(*studies: Any, images: int | None = None, **optional: Any) -> Checked:
    return examining.check(part(Given(*studies, **optional)), images)


def problems(found: Checked) -> str:
    return "\n".join(f"{problem.what} -> {problem.do}" for problem in found.problems)


# Counts


def test_what_there_is_is_counted_by_split() -> None:
    labels = Findings(FIVE, {"Edema": Finding("Edema", Status.PRESENT)})
    found = check(
        study("a", "train", "p1", labels=labels, sections={"findings": "Clear.", "history": "Cough."}),
        study("b", "train", "p1", sections={"impression": "Normal."}, images=(image("b1"), image("b2"))),
        study("c", "test", "p2", sections={"history": "Pain.", "findings": " "}, images=()),
        study("d", None, "p3", sections={"report": "Clear."}),
        splits=("train", "test"),
    )
    assert [c.split for c in found.counts] == ["train", "test", None]
    train, test, none = found.counts
    assert (train.studies, train.patients, train.images, train.reports) == (2, 1, 3, 2)
    assert (train.without_labels, train.without_images) == (1, 0)
    assert train.sections == {"findings": 1, "impression": 1, "history": 1}
    assert (test.studies, test.reports, test.without_images, test.without_labels) == (1, 0, 1, 1)
    assert (none.studies, none.reports) == (1, 1)
    assert found.total and (found.total.studies, found.total.patients, found.total.images) == (4, 3, 4)
    assert not found.problems and found.images_read == 4


def test_a_sound_dataset_has_no_problems() -> None:
    found = examining.check("phantom:n=40,size=32", images=10)
    assert not found.problems and found.images_read == 10
    assert found.total and found.total.studies == 40
    assert [c.split for c in found.counts] == list(Phantom.splits)


OFFICIAL: Mapping[str | None, Mapping[str, int]] = {
    "test": {"studies": 2, "images": 2, "findings": 1},
    None: {"studies": 2},
}


def test_counts_are_compared_with_the_official_ones() -> None:
    two = (study("a", "test", sections={"findings": "Clear."}), study("b", "test"))
    assert not check(*two, splits=("test",), official=OFFICIAL).problems
    found = check(two[0], splits=("test",), official=OFFICIAL)
    assert "split test: 1 studies where officially 2, 1 images where officially 2 -> Some are missing" in problems(
        found
    )
    assert "all studies: 1 studies where officially 2" in problems(found)
    assert "another release" in problems(check(*two, study("c", "test"), splits=("test",), official=OFFICIAL))


def test_synthetic_data_are_not_held_against_the_official_counts() -> None:
    found = check(study("a", "test"), splits=("test",), official=OFFICIAL, synthetic=True)
    assert not found.problems and "Synthetic" in found.notes[0]


# Faults


def test_ids_that_come_twice_and_studies_in_two_splits() -> None:
    found = check(study("a"), study("a"), study("b"))
    assert "Study ids that come twice in a split: 1, such as a" in problems(found)
    assert found.total and found.total.studies == 2
    both = check(study("a", "train"), study("a", "test"), splits=("train", "test"))
    assert "Studies in two splits: 1, such as a" in problems(both)
    assert both.total and both.total.studies == 1


def test_a_patient_in_two_splits() -> None:
    found = check(study("a", "train", "p1"), study("b", "test", "p1"), study("c", None, "p1"), splits=("train", "test"))
    assert "Patients in two splits: 1, such as p1 in train and test" in problems(found)
    assert "Patients" not in problems(check(study("a", "train", "p1"), study("c", None, "p1"), splits=("train",)))


def test_reports_that_stand_in_many_studies_are_no_fault() -> None:
    normal = {"findings": "Lungs  are clear."}
    same = [study(str(number), sections=normal) for number in range(3)]
    other = study("x", sections={"findings": "Lungs are clear.", "impression": "Normal."})
    found = check(*same, study("y", sections={"findings": "Lungs are\nclear."}), other)
    assert not found.problems
    assert "report of more than one study: 1, of 4 studies in all, 4 of them with the commonest" in found.notes[0]


@pytest.mark.parametrize("error", [ValueError("row 7 is odd"), SystemExit(3), KeyError("x")])
def test_a_dataset_that_raises_is_counted_up_to_there(error: BaseException) -> None:
    found = check(study("a"), error, study("b"))
    assert f"Reading all studies stopped after 1 studies: {type(error).__name__}" in problems(found)
    assert found.total and found.total.studies == 1
    half = check(study("a", "train"), error, study("b", "test"), splits=("train", "test"))
    assert (
        "Reading the split 'train' stopped after 1 studies, the split 'test' stopped after 0 studies, all studies"
        f" stopped after 1 studies: {type(error).__name__}"
    ) in problems(half)
    assert len(half.problems) == 1


def test_a_fault_that_the_dataset_comes_upon_again_is_told_once() -> None:
    fault = UsageError("labels.csv, row 3: 'x' is not 1, 0, -1 or blank.")

    def own() -> list[str]:
        raise fault

    found = check(fault, splits=("train", "test"), problems=own)
    assert problems(found).count("row 3") == 1 and "UsageError" not in problems(found)
    other = check(study("a"), problems=own)
    assert [problem.what for problem in other.problems] == [str(fault)]


def test_what_is_no_study_is_named() -> None:
    assert "gives studies, not str" in problems(check("a"))


def test_a_report_that_can_t_be_read_costs_itself() -> None:
    class Broken(dict[str, str]):
        def items(self) -> Any:
            raise UsageError("studies.csv, row 1: the report 'a.txt' is not there.")

    found = check(study("a", sections=Broken()), study("b", sections={"findings": "Clear."}))
    assert "Studies that can't be read: 1, such as a (studies.csv, row 1" in problems(found)
    assert found.total and (found.total.studies, found.total.reports) == (2, 1)


def test_what_the_dataset_itself_finds() -> None:
    assert "no labels here" in problems(check(study("a"), problems=lambda: ["no labels here"]))
    assert "own check failed: ZeroDivisionError" in problems(check(study("a"), problems=lambda: [1 / 0]))


def test_no_study_at_all() -> None:
    assert "There is no study at all" in problems(check())


# Images


def broken() -> npt.NDArray[np.float32]:
    raise ImageError("cut short")


def array(values: object, shape: tuple[int, ...] = (2, 2)) -> Callable[[], npt.NDArray[np.float32]]:
    return lambda: np.broadcast_to(np.asarray(values, dtype=np.float32), shape)


def test_missing_and_unreadable_images_are_told_apart() -> None:
    found = check(
        study("gone", images=(image("gone.png", broken, there=False),)),
        study("bad", images=(image("fine.png"), image("bad.png", broken))),
    )
    assert dict(found.missing_images) == {"gone.png": "cut short"}
    assert dict(found.unreadable_images) == {"bad.png": "cut short"}
    assert "Missing images, of 3 that were read: 1, such as gone.png (cut short)" in problems(found)
    assert "Unreadable images, of 3 that were read: 1, such as bad.png" in problems(found)


@pytest.mark.parametrize(
    ("read", "says"),
    [
        (array(0.5), "all its pixels are the same"),
        (array([0, 2]), "from 0 to 2, not from 0 to 1"),
        (array([-1, 1]), "from -1 to 1"),
        (array([0, np.nan]), "nan"),
        (array([0, 1], (3, 2, 2)), "(3, 2, 2), not (height, width)"),
        (array([], (0, 0)), "ValueError"),
        (lambda: None, "AttributeError"),
    ],
)
def test_pixels_that_no_encoder_should_see(read: Callable[[], Any], says: str) -> None:
    assert says in check(study("a", images=(image("a.png", read),))).unreadable_images["a.png"]


def test_a_sample_is_drawn_by_its_seed_and_each_image_has_its_chance() -> None:
    drawn: list[str] = []
    many = [study(str(n), images=(image(str(n), lambda n=n: drawn.append(str(n)) or noise()),)) for n in range(60)]  # type: ignore[misc]

    def sample(seed: int) -> set[str]:
        drawn.clear()
        found = examining.check(part(Given(*many)), 20, seed)
        assert found.images_read == len(drawn) == 20
        # (1 - p)^20 = 0.05 at p = 13.9 %
        assert found.notes == (
            "20 of 60 images were read and are sound: of all, fewer than 13.9% are not, with 95 %"
            " confidence; `--images all` reads every one.",
        )
        return set(drawn)

    assert sample(0) == sample(0) != sample(1)
    assert set().union(*(sample(seed) for seed in range(20))) == {str(n) for n in range(60)}


def test_no_image_is_read_unless_asked_for() -> None:
    assert check(study("a", images=(image("a", broken),)), images=0).problems == ()


def test_an_image_of_several_studies_is_noted_and_one_that_comes_twice_in_a_study_a_problem() -> None:
    found = check(study("a", images=(image("0"),)), study("b", images=(image("0"),)))
    assert "Image ids that come in several studies: 1, such as 0" in found.notes and not found.problems
    twice = check(study("a", images=(image("0"), image("0"))))
    assert "Image ids that come twice in a study: 1, such as 0 (a)" in problems(twice)


# Specs


def test_a_root_that_can_t_be_opened_is_a_problem_and_a_wrong_spec_a_wrong_request(tmp_path: Path) -> None:
    found = examining.check(f"table:path={tmp_path / 'gone.csv'}")
    assert "no such file" in found.problems[0].what and found.total is None
    for spec, says in (
        ("tabel:path=x.csv", "Did you mean 'table'"),
        ("table:pth=x.csv", "Did you mean 'path'"),
        ("mimic-cxr:root=gone,labels=radiolgist", "'labels' of dataset 'mimic-cxr' can't be 'radiolgist'"),
        ("phantom:n=many", "'n' of dataset 'phantom' can't be 'many'"),
    ):
        with pytest.raises(UsageError, match=says):
            examining.check(spec)


# Info


def labelled(name: str, split: str | None = None, **statuses: Status) -> Study:
    mine = Findings(FIVE, {label: Finding(label, status) for label, status in statuses.items()})
    other = Findings(FIVE, {"Edema": Finding("Edema", Status.ABSENT)})
    return study(name, split, labels=mine, labels_by_source={"other": other, "mine": mine})


def test_labels_are_counted_by_source_among_the_studies_that_have_any() -> None:
    dataset = Given(
        labelled("a", Edema=Status.PRESENT), labelled("b", Edema=Status.UNCERTAIN), study("c"), notes=lambda: ["Old."]
    )
    info = examining.info(part(dataset))
    assert (info.terms, info.vocabulary, info.synthetic, info.notes) == ("open", "five", False, ("Old.",))
    assert info.labels_in_use == "mine" and set(info.labels) == {"mine", "other"}
    assert info.labels["mine"]["Edema"] == {"present": 1, "absent": 0, "uncertain": 1, "not mentioned": 0}
    assert info.labels["mine"]["Atelectasis"]["not mentioned"] == 2
    assert info.labels["other"]["Edema"]["absent"] == 2


def test_the_split_is_the_one_that_a_run_would_take() -> None:
    three = (study("a", "train", "p1"), study("b", "test", "p2"), study("c", "test", "p2"))
    info = examining.info(part(Given(*three, splits=("train", "test"))))
    assert info.split == "test"
    assert info.splits == (Step("train", 1, 1, 1), Step("test", 2, 2, 1))
    assert info.labels == {} and info.labels_in_use is None
    assert examining.info(part(Given(*three, splits=("train", "test"))), "train").protocols[0].filters[0].studies == 1
    assert examining.info(part(Given(*three[1:]))).splits == (Step("all", 2, 2, 1),)
    with pytest.raises(UsageError, match="no split 'tset'"):
        examining.info(part(Given(*three, splits=("train", "test"))), "tset")


def test_each_protocol_says_how_much_its_filters_leave() -> None:
    lateral = (image("l", view="LATERAL"),)
    dataset = Given(
        study("a", None, "p1", sections={"findings": "Clear."}, images=(image("1"), *lateral)),
        study("b", None, "p1", sections={"impression": "Normal."}),
        study("c", None, "p2", sections={"findings": "Clear."}, images=lateral),
    )
    info = examining.info(part(dataset), names=["llava-rad", "findings"])
    frontal, findings = info.protocols
    assert (frontal.unit, frontal.views, findings.unit) == ("image", "frontal", "study")
    assert frontal.filters[0] == Step("in the split", 3, 4, 2) and frontal.filters[-1] == Step("with findings", 1, 1, 1)
    assert findings.filters[-1] == Step("with findings", 2, 3, 2)
    assert len(examining.info(part(dataset)).protocols) > 5
    with pytest.raises(UsageError, match="no protocol 'finding'"):
        examining.info(part(dataset), names=["finding"])


def test_limits_and_what_the_data_lack_are_told() -> None:
    dataset = Given(study("a", sections={"findings": "Clear."}, images=(image("1", view=""),)))
    info = examining.info(part(dataset), names=["findings", "r2gen", "r2gen-iu", "libra"])
    findings, mimic, iu, libra = info.protocols
    assert findings.limits == () == findings.warnings
    assert mimic.limits == ("at most 99 words", "<unk> for words seen fewer than 10 times in training")
    assert iu.limits == ("at most 59 words", "<unk> for words seen fewer than 3 times in training")
    assert mimic.warnings == ()  # that there is no vocabulary here says nothing of a run
    assert libra.warnings == ("libra counts frontal images, and the data don't say which are: all count",)


def test_the_counts_of_the_real_iu_reports(shared: Path) -> None:
    """The figures of the collection's own description, and of R2Gen's split."""
    root = shared / "iu-xray"
    found = examining.check(f"iu-xray:root={root},split={root / 'r2gen_split.csv'}", images=0)
    assert found.total and (found.total.studies, found.total.images) == (3955, 7470)
    assert found.total.studies - found.total.sections["findings"] == 530
    assert found.total.studies - found.total.sections["impression"] == 34
    assert found.total.without_images == 104 and found.total.studies - found.total.reports == 28
    assert [c.studies for c in found.counts if c.split] == [2069, 296, 590]
    assert any("53 of them with the commonest one" in note for note in found.notes)


# Make


def test_a_tree_is_made_and_its_spec_returned(tmp_path: Path) -> None:
    (spec,) = examining.make("mimic-cxr", tmp_path / "tree", 12, 3)
    assert spec == f"mimic-cxr:root={tmp_path / 'tree'}"
    found = examining.check(spec, images=None)
    assert found.total and found.total.studies == 12 and not found.problems, problems(found)


def test_a_dataset_that_is_opened_by_a_file_gets_the_file(tmp_path: Path) -> None:
    specs = examining.make("r2gen", tmp_path / "tree", 10)
    assert specs and all(spec.startswith("r2gen:path=") and spec.endswith("annotation.json") for spec in specs)


def test_the_spec_of_a_made_tree_has_the_options_that_give_its_splits(tmp_path: Path) -> None:
    (spec,) = examining.make("iu-xray", tmp_path / "tree", 20)
    assert spec == f"iu-xray:root={tmp_path / 'tree'},split={tmp_path / 'tree' / 'r2gen_split.csv'}"
    assert examining.info(spec, names=["findings"]).split == "test"


@pytest.mark.parametrize("name", ["mimic-cxr", "chexpert"])
def test_nothing_is_written_over(tmp_path: Path, name: str) -> None:
    (tmp_path / "mine.txt").write_text("x")
    for place in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(UsageError, match="empty folder"):
            examining.make(name, place, 3)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_a_dataset_without_a_layout_to_write_names_those_that_have_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'phantom' can't make.*mimic-cxr"):
        examining.make("phantom", tmp_path / "tree", 3)
    assert not (tmp_path / "tree").exists()
