from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from rrgbench import plugins
from rrgbench.encoders.ensemble import Ensemble
from rrgbench.encoders.findings_file import FindingsFile
from rrgbench.encoders.oracle import Oracle
from rrgbench.errors import ImageError, RunError, UsageError
from rrgbench.interfaces import Encoder
from rrgbench.labels import CHEXPERT, NIH
from rrgbench.metrics.classification import Classification
from rrgbench.parts import build
from rrgbench.planning import context
from rrgbench.types import Box, Case, Context, Failure, Finding, Findings, Status, Study, Vocabulary

PRESENT, ABSENT, UNCERTAIN = Status.PRESENT, Status.ABSENT, Status.UNCERTAIN


class Fake:
    """Says the same of each study, or what is written for it."""

    version = "1"
    needs: tuple[str, ...] = ("images",)

    def __init__(
        self,
        said: Mapping[str, float] | Mapping[str, Mapping[str, float]],
        vocabulary: Vocabulary = CHEXPERT,
        thresholds: Mapping[str, float] | None = None,
    ) -> None:
        self.said, self.vocabulary, self.seen = said, vocabulary, [0]
        if thresholds is not None:
            self.thresholds = thresholds

    def encode(self, contexts: Sequence[Context]) -> list[Findings | Failure]:
        self.seen.append(len(contexts))
        return [self.findings(each) for each in contexts]

    def findings(self, seen: Context) -> Findings:
        said: Any = self.said.get(seen.study_id, self.said)
        return Findings(self.vocabulary, {label: Finding(label, ABSENT, p) for label, p in said.items()})


class Voter(Fake):
    """Says statuses, and no probabilities."""

    def findings(self, seen: Context) -> Findings:
        statuses: Any = self.said
        return Findings(self.vocabulary, {label: Finding(label, status) for label, status in statuses.items()})


def one(ensemble: Ensemble, study_id: str = "1") -> Findings:
    (found,) = ensemble.encode([Context(study_id)])
    assert isinstance(found, Findings), found
    return found


def edema(*p: float, **options: Any) -> Finding:
    return one(Ensemble([Fake({"Edema": each}) for each in p], **options)).by_label["Edema"]


PROBABILITIES = st.lists(st.floats(0.001, 0.999), min_size=2, max_size=5)


@given(PROBABILITIES)
def test_the_probability_is_the_mean_that_was_asked_for(p: list[float]) -> None:
    assert edema(*p).probability == pytest.approx(np.mean(p))
    assert edema(*p, mean="logits").probability == pytest.approx(expit(np.mean(logit(p))))


def test_probabilities_of_0_and_1_have_a_logit_of_a_millionth() -> None:
    assert edema(0.0, 1.0, mean="logits").probability == pytest.approx(0.5)
    assert edema(0.0, 0.5, mean="logits").probability == pytest.approx(expit(logit(1e-6) / 2))
    assert edema(1.0, 1.0, 1.0).probability == 1.0


@given(PROBABILITIES, st.sampled_from(["probabilities", "logits"]))
def test_members_that_agree_are_an_ensemble_that_agrees(p: list[float], mean: Any) -> None:
    """Each alone reaches its own threshold exactly: so does the mean, in spite of rounding."""
    members = [Fake({"Edema": each}, thresholds={"Edema": each}) for each in p]
    assert one(Ensemble(members, mean)).status("Edema") is PRESENT
    higher = [Fake({"Edema": each}, thresholds={"Edema": each + 1e-6}) for each in p]
    assert one(Ensemble(higher, mean)).status("Edema") is ABSENT


def test_the_threshold_is_the_mean_of_the_members_own() -> None:
    first, second = Fake({"Edema": 0.2}, thresholds={"Edema": 0.1}), Fake({"Edema": 0.2}, thresholds={"Edema": 0.3})
    assert one(Ensemble([first, second])).status("Edema") is PRESENT
    silent = Fake({"Edema": 0.2})  # names none: .5
    assert one(Ensemble([first, silent])).status("Edema") is ABSENT
    assert one(Ensemble([first, silent], threshold=0.2)).status("Edema") is PRESENT
    never = Fake({"Edema": 1.0}, thresholds={"Edema": math.inf})
    for mean in ("probabilities", "logits"):
        assert one(Ensemble([never, never], mean)).status("Edema") is ABSENT  # type: ignore[arg-type]


def test_a_label_is_averaged_over_the_members_that_assess_it() -> None:
    first = Fake({"Edema": 0.2}, thresholds={"Edema": 0.2})
    second = Fake({"Edema": 0.4, "Fracture": 0.8}, thresholds={"Edema": 0.6, "Fracture": 0.8})
    found = one(Ensemble([first, second]))
    assert found.by_label["Edema"].probability == pytest.approx(0.3)
    assert found.by_label["Fracture"] == Finding("Fracture", PRESENT, 0.8)
    assert "Pneumonia" not in found.by_label


def test_other_vocabularies_are_translated_into_the_first_member_s() -> None:
    nih = Fake({"Mass": 0.3, "Nodule": 0.5, "Hernia": 0.9}, NIH, thresholds={"Mass": 0.2, "Nodule": 0.58})
    found = one(Ensemble([Fake({"Lung Lesion": 0.1}, thresholds={"Lung Lesion": 0.2}), nih]))
    assert found.vocabulary == CHEXPERT
    assert found.by_label == {"Lung Lesion": Finding("Lung Lesion", PRESENT, 0.3)}  # at (.2 + (.2 + .58) / 2) / 2
    turned = one(Ensemble([nih, Fake({"Lung Lesion": 0.1})]))
    assert turned.vocabulary == NIH and set(turned.by_label) == {"Mass", "Nodule", "Hernia"}


def test_members_without_probabilities_vote() -> None:
    votes = [Voter({"Edema": status}) for status in (PRESENT, PRESENT, ABSENT)]
    assert one(Ensemble(votes)).by_label["Edema"] == Finding("Edema", PRESENT, 2 / 3)
    assert one(Ensemble(votes[1:])).by_label["Edema"] == Finding("Edema", PRESENT, 0.5)
    silent = Voter({"Edema": Status.NOT_MENTIONED})
    assert one(Ensemble([votes[2], silent])).by_label["Edema"] == Finding("Edema", ABSENT, 0.0)
    assert "Edema" not in one(Ensemble([silent, silent])).by_label


def test_what_all_call_uncertain_is_uncertain() -> None:
    doubtful = Voter({"Edema": UNCERTAIN})
    assert one(Ensemble([doubtful, doubtful])).by_label["Edema"] == Finding("Edema", UNCERTAIN, 0.5)
    assert one(Ensemble([doubtful, Voter({"Edema": PRESENT})])).by_label["Edema"] == Finding("Edema", PRESENT, 0.75)


def test_where_a_present_finding_is_comes_from_the_first_member_that_says_it() -> None:
    box = Box(0.1, 0.2, 0.3, 0.4)

    class Seer(Fake):
        def findings(self, seen: Context) -> Findings:
            said = {"Edema": ("left", 0.9), "Fracture": ("right", 0.1)}
            return Findings(
                CHEXPERT, {x: Finding(x, PRESENT, p, side, "mild", (box,)) for x, (side, p) in said.items()}
            )

    class Other(Seer):
        def findings(self, seen: Context) -> Findings:
            return Findings(CHEXPERT, {"Edema": Finding("Edema", PRESENT, 0.9, "right", "severe")})

    found = one(Ensemble([Fake({"Edema": 0.9, "Fracture": 0.1}), Seer({}), Other({})]))
    assert found.by_label["Edema"] == Finding("Edema", PRESENT, 0.9, "left", "mild", (box,))
    assert found.by_label["Fracture"] == Finding("Fracture", ABSENT, 0.1)


@pytest.mark.parametrize("way", ["encode", "stream"])
def test_a_study_that_a_member_fails_on_is_a_failure_that_names_the_member(way: str) -> None:
    class Refuses(Fake):
        def encode(self, contexts: Sequence[Context]) -> list[Findings | Failure]:
            if any(each.study_id == "2" for each in contexts):
                raise ImageError("the file 2.png is cut off")
            return [Failure("labels", "none") if each.study_id == "3" else self.findings(each) for each in contexts]

    ensemble = Ensemble([Fake({"Edema": 0.1}), Refuses({"Edema": 0.3})])
    contexts = [Context(str(number)) for number in range(1, 5)]
    found = ensemble.encode(contexts) if way == "encode" else list(chain(*ensemble.stream(iter(contexts))))
    assert [type(each) for each in found] == [Findings, Failure, Failure, Findings]
    assert found[1] == Failure("image", "member 2 of 2 (Refuses): the file 2.png is cut off")
    assert found[2] == Failure("labels", "member 2 of 2 (Refuses): none")


@pytest.mark.parametrize("error", [UsageError, RunError])
def test_a_member_that_can_not_work_at_all_ends_the_run(error: type[Exception]) -> None:
    class Broken(Fake):
        def encode(self, contexts: Sequence[Context]) -> list[Findings | Failure]:
            raise error("no weights")

    with pytest.raises(error, match="no weights"):
        Ensemble([Fake({"Edema": 0.1}), Broken({})]).encode([Context("1"), Context("2")])


def test_each_member_gets_batches_of_its_own_size_and_sees_what_it_needs_only() -> None:
    class Picky(Fake):
        needs = ("labels", "prior")
        batch = 2

        def findings(self, seen: Context) -> Findings:
            assert seen.images == () and seen.labels is not None
            return super().findings(seen)

    class Plain(Fake):
        batch = "auto"

        def findings(self, seen: Context) -> Findings:
            assert seen.images and seen.labels is None
            return super().findings(seen)

    picky, plain = Picky({"Edema": 0.1}), Plain({"Edema": 0.3})
    ensemble = Ensemble([picky, plain])
    assert (ensemble.needs, ensemble.batch) == (("labels", "prior", "images"), 32)
    images: Any = ("an image",)
    seen = [Context(str(n), images=images, labels=Findings(CHEXPERT, {})) for n in range(5)]
    assert len(ensemble.encode(seen)) == 5
    assert (picky.seen[1:], plain.seen[1:]) == ([2, 2, 1], [5])


def test_a_stream_reads_ahead_where_a_member_can_and_never_by_all() -> None:
    class Streaming(Fake):
        ahead = 0

        def stream(self, contexts: Iterable[Context]) -> Iterator[list[Findings]]:
            for each in contexts:
                Streaming.ahead += 1
                yield [self.findings(each)]

    taken = 0

    def endless() -> Iterator[Context]:
        nonlocal taken
        while True:
            taken += 1
            yield Context(str(taken))

    batches = Ensemble([Streaming({"Edema": 0.2}), Fake({"Edema": 0.4})]).stream(endless())
    first = [each for _ in range(2) for each in next(batches)]
    assert len(first) == 64 and Streaming.ahead == 64 and taken <= 64 + 32
    assert isinstance(first[0], Findings) and first[0].by_label["Edema"].probability == pytest.approx(0.3)


# --- the mean of weights ----------------------------------------------------------------------------------------------


class Network(Fake):
    """One weight."""

    def __init__(self, weight: float, **given: Any) -> None:
        super().__init__({"Edema": float(expit(weight))}, **given)
        self.weight = weight

    def averaged(self, others: Sequence[Network]) -> Network:
        return Network(float(np.mean([self.weight, *(each.weight for each in others)])))


def test_the_mean_of_weights_is_one_network_at_the_mean_of_the_thresholds() -> None:
    ensemble = Ensemble([Network(w, thresholds={"Edema": t}) for w, t in ((-1.0, 0.2), (2.0, 0.5))], "weights")
    assert one(ensemble).by_label["Edema"] == Finding("Edema", PRESENT, float(expit(0.5)))
    assert ensemble.thresholds["Edema"] == pytest.approx(0.35)


def test_weights_that_can_not_be_averaged() -> None:
    with pytest.raises(UsageError, match="mean=weights: Fake can't be averaged"):
        Ensemble([Fake({}), Network(1.0)], "weights")


def test_a_failure_of_the_mean_network_names_no_member() -> None:
    class Fails(Network):
        def averaged(self, others: Sequence[Network]) -> Fails:
            return Fails(0.0)

        def encode(self, contexts: Sequence[Context]) -> list[Findings | Failure]:
            return [Failure("image", "black")]

    (found,) = Ensemble([Fails(0.0), Fails(0.0)], "weights").encode([Context("1")])
    assert found == Failure("image", "the mean of the members' weights: black")


# --- thresholds that are fitted ---------------------------------------------------------------------------------------


def studies(n: int = 40) -> tuple[list[Study], Mapping[str, Mapping[str, float]]]:
    """Every other one has edema, of which the probability is .3, else .1."""
    made, said = [], {}
    for number in range(n):
        status = PRESENT if number % 2 else ABSENT
        labels = Findings(CHEXPERT, {"Edema": Finding("Edema", status)})
        made.append(Study(f"s{number}", f"p{number}", labels=labels))
        said[f"s{number}"] = {"Edema": 0.3 if number % 2 else 0.1}
    return made, said


def test_fitted_thresholds_are_the_best_of_the_mean_and_judge_no_patient_by_its_own() -> None:
    made, said = studies()
    odd = replace(made[1], study_id="odd", patient_id="odd")  # present at .15: it alone could move its threshold
    member = Fake({**said, "odd": {"Edema": 0.15}, "new": {"Edema": 0.19}})
    ensemble = Ensemble([member, member], threshold="fit")
    assert ensemble.calibrate([*made, odd]) == []
    found = {name: one(ensemble, name).status("Edema") for name in ("s1", "s0", "odd", "new")}
    assert found == {"s1": PRESENT, "s0": ABSENT, "odd": ABSENT, "new": PRESENT}  # of all, .125 is the best


def test_fitted_thresholds_are_in_the_signature_and_are_fitted_once_for_a_grid() -> None:
    made, said = studies()
    member = Fake(said)
    ensemble = Ensemble([member, member], threshold="fit")
    assert ensemble.signature == ""
    ensemble.calibrate(made)
    encoded, fitted = len(member.seen), ensemble.signature
    ensemble.calibrate(made)
    assert len(member.seen) == encoded and ensemble.signature == fitted
    ensemble.calibrate(made[:20])
    assert len(member.seen) > encoded and ensemble.signature != fitted
    assert Ensemble([member, member]).signature == ""


def test_members_calibrate_too_and_all_warnings_come_up() -> None:
    class Careful(Fake):
        def calibrate(self, studies: Sequence[Study]) -> list[str]:
            return [f"{len(studies)} studies"]

    made, said = studies(2)
    careful = Careful(said)
    assert Ensemble([careful, Fake(said)]).calibrate(made) == ["2 studies"]
    first, second = Ensemble([careful, Fake(said)], threshold="fit").calibrate(made)
    assert first == "2 studies" and "too few positive studies of Edema" in second


def test_what_can_not_be_fitted_is_said() -> None:
    made, said = studies(4)
    with pytest.raises(UsageError, match=r"^The ensemble: threshold=fit needs labelled studies"):
        Ensemble([Fake(said), Fake(said)], threshold="fit").calibrate([replace(each, labels=None) for each in made])

    class Blind(Fake):
        def encode(self, contexts: Sequence[Context]) -> list[Findings | Failure]:
            return [Failure("image", "no image") for _ in contexts]

    with pytest.raises(UsageError, match=r"fails on each study .* member 2 of 2 \(Blind\): no image"):
        Ensemble([Fake(said), Blind({})], threshold="fit").calibrate(made)


def test_an_unlabelled_study_is_not_encoded_for_fitting() -> None:
    made, said = studies()
    member = Fake(said)
    Ensemble([member, Fake(said)], threshold="fit").calibrate([*made, Study("x", "x")])
    assert sum(member.seen) == len(made)


# --- what a run is told of it -----------------------------------------------------------------------------------------


def test_one_member_is_no_ensemble() -> None:
    with pytest.raises(UsageError, match="at least two members, not 1"):
        Ensemble([Fake({})])


@pytest.mark.parametrize("threshold", [1.5, -0.1, math.nan])
def test_a_threshold_is_a_number_from_0_to_1(threshold: float) -> None:
    with pytest.raises(UsageError, match="a number in 0..1"):
        Ensemble([Fake({}), Fake({})], threshold=threshold)


def test_a_member_whose_thresholds_are_each_patient_s_own_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "p.csv"
    file.write_text("study_id,Edema\n1,0.3\n")
    fitted, fixed = FindingsFile(file, threshold="fit"), FindingsFile(file, threshold=0.2)
    with pytest.raises(UsageError, match="give the ensemble threshold=fit"):
        Ensemble([fixed, fitted])
    assert one(Ensemble([fixed, fixed])).status("Edema") is PRESENT
    inner = Ensemble([fitted, fitted], threshold="fit")
    with pytest.raises(UsageError, match="to the outer ensemble only"):
        Ensemble([inner, fixed])


def test_an_ensemble_may_be_a_member() -> None:
    soup = Ensemble([Network(w, thresholds={"Edema": t}) for w, t in ((-1.0, 0.2), (1.0, 0.4))], "weights")
    found = one(Ensemble([soup, Fake({"Edema": 0.1}, thresholds={"Edema": 0.25})]))
    assert (found.status("Edema"), found.by_label["Edema"].probability) == (PRESENT, 0.3)  # at (.3 + .25) / 2
    assert Ensemble([soup, soup], threshold=0.7).thresholds["Fracture"] == 0.7
    votes = Ensemble([Voter({"Edema": PRESENT}), Oracle()])
    assert Ensemble([votes, votes]).thresholds["Edema"] == 0.5


def test_a_baseline_s_ensemble_is_a_baseline_and_what_is_not_cached_alone_is_not_together() -> None:
    mixed = Ensemble([Fake({}), Oracle()])
    assert mixed.baseline == "a member sees the dataset's own labels, an upper bound" and not mixed.cached
    plain = Ensemble([Fake({}), Fake({})])
    assert plain.baseline is None and plain.cached and plain.trained_on is None
    a, b = Fake({}), Fake({})
    a.trained_on, b.trained_on = "phantom", "mimic-cxr"  # type: ignore[attr-defined]
    assert Ensemble([a, b, a, Fake({})]).trained_on == "phantom + mimic-cxr"


def test_the_spec_holds_its_members_and_so_does_the_signature(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text(f"study_id,Edema\n1,0.{len(name)}\n")
    spec = f"ensemble:members=['findings:path={tmp_path}/a.csv,threshold=0.3',oracle],mean=logits"
    part = build(plugins.catalogue(), "encoder", spec)
    assert [nested.name for nested in part.nested] == ["findings", "oracle"]
    assert "members:(findings|" in part.signature and "(oracle|" in part.signature and "mean:logits" in part.signature
    assert str(tmp_path) not in part.public and part.baseline is not None
    assert build(plugins.catalogue(), "encoder", part.spec).signature == part.signature


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("ensemble", "needs the option 'members'"),
        ("ensemble:members=oracle", "at least two members"),
        ("ensemble:members=[oracle,oracles]", "oracles"),
        ("ensemble:members=[oracle,oracle],mean=median", "mean"),
        ("ensemble:members=[oracle,oracle],threshold=best", "threshold"),
        ("ensemble:members=[oracle,oracle],mean=weights", "can't be averaged"),
    ],
)
def test_what_can_not_be_built_is_said(spec: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        build(plugins.catalogue(), "encoder", spec)


# --- a CNN and a ViT in one -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def phantoms() -> list[Study]:
    return list(build(plugins.catalogue(), "dataset", "phantom:n=60").obj.load(None))


def shipped(spec: str) -> Any:
    catalogue = plugins.catalogue()
    if any(entry.missing() for entry in catalogue.named("vit")) or not catalogue.named("vit"):
        pytest.skip("the plugin with vit and cnn is not installed")
    return build(catalogue, "encoder", spec).obj


def test_a_cnn_and_a_vit_are_the_stated_mean_and_not_worse_than_the_mean_of_them(phantoms: list[Study]) -> None:
    contexts = [context(study, ("images",)) for study in phantoms]

    def auroc(findings: Iterable[Any]) -> float:
        metric = Classification()
        cases = [Case(study, found, None, None, None) for study, found in zip(phantoms, findings, strict=True)]
        return float(metric.reduce(metric.rows(cases))["auroc_macro"])  # type: ignore[arg-type]

    said = {name: shipped(name).encode(contexts) for name in ("vit", "cnn")}
    alone = [auroc(found) for found in said.values()]
    means: dict[str, Callable[[float, float], float]] = {
        "probabilities": lambda a, b: (a + b) / 2,
        "logits": lambda a, b: float(expit((logit(np.clip([a, b], 1e-6, 1 - 1e-6))).mean())),
    }
    for mean, of in means.items():
        found = shipped(f"ensemble:members=[vit,cnn],mean={mean}").encode(contexts)
        for one_of, vit, cnn in zip(found, *said.values(), strict=True):
            for finding in one_of:
                expected = of(*(each.by_label[finding.label].probability for each in (vit, cnn)))
                assert finding.probability == pytest.approx(expected, rel=1e-5, abs=1e-8)
        assert auroc(found) >= np.mean(alone)


def test_a_run_of_both_from_the_command_line(rrgbench: Callable[..., Any]) -> None:
    shipped("vit")
    spec = "ensemble:members=[vit,cnn],threshold=fit"
    options = ("--llm", "template", "--metric", "classification", "--resamples", "50", "--json")
    done = rrgbench("run", "--dataset", "phantom:n=100", "--encoder", spec, *options)
    assert done.code == 0, done.err
    assert "fit thresholds: " in done.err and "encode: " in done.err
    scores = {score["metric"]: score["value"] for score in done.json()["scores"]}
    assert scores["auroc_macro"] > 0.8


TABLES = st.integers(2, 4).flatmap(
    lambda members: st.lists(st.lists(st.floats(0, 1), min_size=members, max_size=members), min_size=1, max_size=5)
)


@settings(max_examples=25, deadline=None)
@given(TABLES)
def test_order_and_company_of_studies_don_t_matter(rows: list[list[float]]) -> None:
    columns = zip(*rows, strict=True)
    members: list[Encoder] = [Fake({str(n): {"Edema": p} for n, p in enumerate(column)}) for column in columns]
    ensemble = Ensemble(members)
    contexts = [Context(str(n)) for n in range(len(rows))]
    together = ensemble.encode(contexts)
    assert ensemble.encode(contexts[::-1]) == together[::-1]
    assert [ensemble.encode([each])[0] for each in contexts] == together


class Looking(Fake):
    """A member that says where it looks: at one row of a 2 x 2 map."""

    def __init__(self, row: int) -> None:
        super().__init__({"Edema": 0.5})
        self.row = row

    def saliency(
        self, contexts: Sequence[Context], labels: Sequence[str], method: str
    ) -> list[dict[str, np.ndarray] | Failure]:
        found = np.zeros((2, 2), np.float32)
        found[self.row] = 3
        return [dict.fromkeys(labels, found) for _ in contexts]


def test_it_looks_where_its_members_look_on_average() -> None:
    (found,) = Ensemble([Looking(0), Looking(0), Looking(1)]).saliency([Context("s")], ["Edema"])
    assert isinstance(found, dict)
    assert np.allclose(found["Edema"], [[2 / 3], [1 / 3]])


def test_a_member_that_cannot_say_where_it_looks_is_named() -> None:
    with pytest.raises(UsageError, match="Fake, can't say where it looks"):
        Ensemble([Fake({"Edema": 0.5}), Fake({"Edema": 0.4})]).saliency([Context("s")], ["Edema"])
