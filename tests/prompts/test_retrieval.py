from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrgbench.errors import UsageError
from rrgbench.labels import CHEXPERT, NIH
from rrgbench.prompts.retrieval import Retrieval, vector
from rrgbench.renderers.sentences import Sentences
from rrgbench.types import Context, Failure, Finding, Findings, Status, Study, Vocabulary
from tests.prompts.helpers import REPLY, Model, findings, report, write

EDEMA = Vocabulary("edema", ("Edema",))
P, A, U = Status.PRESENT, Status.ABSENT, Status.UNCERTAIN


def study(name: str, found: Findings) -> Study:
    sections = {"findings": f"Text of {name}.", "impression": f"Impression of {name}."}
    return Study(name, f"p-{name}", "train", (), sections, found)


def one(label: str, status: Status = P, vocabulary: Vocabulary = CHEXPERT, **more: Any) -> Findings:
    return Findings(vocabulary, {label: Finding(label, status, **more)})


def ready(train: Iterable[Study], **options: Any) -> Retrieval:
    prompt = Retrieval(**options)
    prompt.prepare(train, Sentences())
    return prompt


def shown(prompt: Retrieval, found: Findings) -> list[str]:
    """The names of the exemplars, in the order in which the model sees them."""
    model = Model(REPLY)
    report(prompt, model, found)
    return [m.content.split()[3].rstrip(".") for m in model.asked[0] if m.role == "assistant"]


TRAIN = [
    study("edema", findings(Edema=P, Pneumothorax=A)),
    study("left", one("Pleural Effusion", side="left", severity="mild")),
    study("right", one("Pleural Effusion", side="right", severity="mild")),
    study("large", one("Pleural Effusion", side="left", severity="severe")),
    study("maybe", one("Pleural Effusion", U, side="left", severity="mild")),
    study("normal", findings(Edema=A, Pneumothorax=A, Pleural_Effusion=A)),
]


class TestByFindings:
    def test_the_nearest_stands_last_with_its_own_findings_and_report(self) -> None:
        model = Model(REPLY)
        report(ready(TRAIN, k=2), model, one("Edema"))
        assert [message.role for message in model.asked[0]] == ["system"] + ["user", "assistant"] * 2 + ["user"]
        assert model.asked[0][3].content.startswith("Findings:\nThere is pulmonary edema. There is no pneumothorax.")
        assert model.asked[0][4].content == "FINDINGS: Text of edema.\nIMPRESSION: Impression of edema."

    def test_status_counts_most_then_side_and_severity(self) -> None:
        near = shown(ready(TRAIN, k=6), one("Pleural Effusion", side="left", severity="mild"))[::-1]
        assert near[0] == "left"
        assert set(near[1:3]) == {"right", "large"}
        assert near[3:5] == ["maybe", "normal"] and near[5] == "edema"

    def test_ties_fall_by_study_id_whatever_the_order(self) -> None:
        assert shown(ready(TRAIN, k=3), one("Pleural Effusion", side="bilateral", severity="moderate"))[::-1] == [
            "large",
            "left",
            "right",
        ]
        same = [study(name, one("Fracture")) for name in "dbca"]
        assert shown(ready(same, k=2), one("Fracture")) == ["b", "a"]
        assert ready(same).signature == ready(same[::-1]).signature

    def test_a_probability_moves_a_finding_within_its_status(self) -> None:
        status = [
            vector(found, EDEMA)[0]
            for found in (
                one("Edema", vocabulary=EDEMA),
                one("Edema", vocabulary=EDEMA, probability=0.1),
                one("Edema", A, vocabulary=EDEMA, probability=0.4),
            )
        ]
        assert status == pytest.approx([1.0, 0.55, 0.2])

    def test_other_vocabularies_are_compared_on_the_labels_that_both_have(self) -> None:
        both = [
            study(name, Findings(NIH, {x: Finding(x, P if x == label else A) for x in NIH.labels}))
            for name, label in (("mass", "Mass"), ("fluid", "Effusion"))
        ]
        assert shown(ready(both, k=1), one("Lung Lesion")) == ["mass"]
        assert shown(ready(both, k=1), one("Pleural Effusion")) == ["fluid"]
        result = write(ready(TRAIN, k=1), Model(REPLY), one("own", vocabulary=Vocabulary("own", ("own",))))
        assert isinstance(result, Failure) and "no label in common" in result.message

    def test_the_signature_is_a_digest_of_the_index(self) -> None:
        before = ready(TRAIN).signature
        assert before.startswith(f"{Retrieval().signature}|index:")
        assert ready(TRAIN[1:]).signature != before
        changed = [study("edema", findings(Edema=U)), *TRAIN[1:]]
        assert ready(changed).signature != before

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"k": 0}, "zero-shot"),
            ({"by": "features"}, "by=features together with encoder"),
            ({"encoder": object()}, "by=features together with encoder"),
            ({"by": "features", "encoder": object()}, "no features to compare"),
        ],
    )
    def test_a_wrong_request_is_refused(self, options: dict[str, Any], says: str) -> None:
        with pytest.raises(UsageError, match=says):
            Retrieval(**options)

    def test_too_small_a_split_says_what_to_do(self) -> None:
        with pytest.raises(UsageError, match="wants 3 exemplars and the training split has 2"):
            ready(TRAIN[:2])
        with pytest.raises(UsageError, match="prepare"):
            write(Retrieval(), Model(REPLY))


class Colours:
    """Features that a test writes down: of the image's id."""

    version, needs, batch = "1", ("images",), 2

    def __init__(self, by_id: dict[str, Sequence[float]]) -> None:
        self.by_id, self.seen = by_id, 0

    def features(self, contexts: Sequence[Context]) -> list[Any]:
        assert len(contexts) <= self.batch
        self.seen += len(contexts)
        gone = Failure("image", "no such image")
        return [np.array(v, dtype=np.float32) if (v := self.by_id.get(c.study_id)) else gone for c in contexts]


class TestByFeatures:
    def test_by_the_cosine_whatever_the_findings(self) -> None:
        encoder = Colours({"edema": (1, 0), "left": (0, 9), "right": (2, 2), "s1": (5, 4)})
        prompt = ready(TRAIN, k=3, by="features", encoder=encoder)
        assert encoder.seen == 0, "features are made when the first report is written"
        assert prompt.needs == ("images",)
        assert shown(prompt, one("Fracture"))[::-1] == ["right", "edema", "left"]
        shown(prompt, one("Edema"))
        assert encoder.seen == len(TRAIN) + 2, "the training split is looked at once"

    def test_a_study_without_features_is_a_failure_and_costs_no_call(self) -> None:
        model = Model(REPLY)
        prompt = ready(TRAIN, k=1, by="features", encoder=Colours({"left": (1, 0)}))
        assert write(prompt, model, one("Edema")) == Failure("image", "no such image")
        prompt = ready(TRAIN, k=2, by="features", encoder=Colours({"left": (1, 0), "s1": (1, 1)}))
        result = write(prompt, model, one("Edema"))
        assert isinstance(result, Failure) and "only 1 training studies have features" in result.message
        assert not model.asked


SIDES, SEVERITIES = st.sampled_from([None, "left", "right", "bilateral"]), st.sampled_from([None, "mild", "severe"])
FINDING = st.builds(Finding, st.just("Edema"), st.sampled_from(Status), st.none() | st.floats(0, 1), SIDES, SEVERITIES)


@settings(max_examples=60)
@given(FINDING, FINDING)
def test_a_status_always_outweighs_side_and_severity(this: Finding, that: Finding) -> None:
    """Present and absent are further apart than any two findings of one status without probabilities."""
    bare = [Finding(f.label, f.status, None, f.side, f.severity) for f in (this, that)]
    a, b = (np.array(vector(Findings(CHEXPERT, {"Edema": f}), CHEXPERT)) for f in bare)
    apart = float(np.abs(a - b).sum())
    if this.status is that.status:
        assert apart <= 0.5
    elif {this.status, that.status} == {P, A}:
        assert apart >= 1.0
