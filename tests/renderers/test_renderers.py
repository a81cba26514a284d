from __future__ import annotations

import json
from itertools import pairwise, product

import pytest
from hypothesis import given as hypothesis_given
from hypothesis import settings
from hypothesis import strategies as st

from rrgbench.interfaces import Renderer
from rrgbench.labelers.rules import RuleLabeler
from rrgbench.labels import CHEXPERT, NIH, NO_FINDING, VOCABULARIES
from rrgbench.renderers.json_renderer import JsonRenderer
from rrgbench.renderers.sentences import Sentences
from rrgbench.renderers.srr import HEADERS, StructuredReport
from rrgbench.text.sections import squeeze
from rrgbench.types import Context, Finding, Findings, Status, Vocabulary

HERE = Context("s1")
OWN = Vocabulary("own", ("Lymphadenopathy", 'Odd "label"', "COPD", "Mosaic attenuation pattern"))
SIDES = (None, "left", "right", "bilateral")
SEVERITIES = (None, "mild", "moderate", "severe")


def findings(vocabulary: Vocabulary, *found: Finding) -> Findings:
    return Findings(vocabulary, {finding.label: finding for finding in found})


@st.composite
def any_findings(draw: st.DrawFn, vocabulary: Vocabulary | None = None) -> Findings:
    chosen = vocabulary or draw(st.sampled_from([*VOCABULARIES.values(), OWN]))
    found = {}
    for label in chosen.labels:
        if draw(st.booleans()):
            found[label] = Finding(
                label,
                draw(st.sampled_from(Status)),
                draw(st.none() | st.floats(0, 1)),
                draw(st.sampled_from(SIDES)),
                draw(st.sampled_from(SEVERITIES)),
            )
    return Findings(chosen, found)


EXAMPLE = findings(
    CHEXPERT,
    Finding("Cardiomegaly", Status.PRESENT, 0.912, severity="mild"),
    Finding("Pleural Effusion", Status.UNCERTAIN, 0.48, side="left", severity="mild"),
    Finding("Pneumothorax", Status.ABSENT, 0.031),
    Finding("Consolidation", Status.ABSENT, 0.1),
    Finding("Edema", Status.ABSENT, 0.2),
)


class TestSentences:
    def test_says_present_uncertain_absent_and_what_was_not_assessed(self) -> None:
        assert Sentences().render(EXAMPLE, HERE) == (
            "There may be a small left pleural effusion. There is mild cardiomegaly. "
            "There is no pulmonary edema or consolidation. There is no pneumothorax. "
            "Not assessed: mediastinal widening, lung opacity, lung lesion, pneumonia, atelectasis, "
            "pleural thickening, fracture, support device."
        )

    def test_gives_probabilities_on_request(self) -> None:
        text = Sentences(probabilities=True).render(EXAMPLE, HERE)
        assert "There is mild cardiomegaly (probability 0.91)." in text
        assert "There is no pneumothorax (probability 0.03)." in text

    def test_names_the_labels_of_any_vocabulary_as_words(self) -> None:
        nih = findings(NIH, Finding("Pleural_Thickening", Status.PRESENT, side="right"), Finding("Mass", Status.ABSENT))
        assert Sentences().render(nih, HERE).startswith("There is right pleural thickening. There is no lung mass.")
        own = findings(OWN, Finding("COPD", Status.PRESENT), Finding("Lymphadenopathy", Status.UNCERTAIN, side="left"))
        assert Sentences().render(own, HERE).startswith("There may be left lymphadenopathy. There is COPD.")

    def test_a_study_labelled_no_finding_alone_is_called_so(self) -> None:
        text = Sentences().render(findings(CHEXPERT, Finding(NO_FINDING, Status.PRESENT)), HERE)
        assert text.startswith("No abnormality is found. Not assessed: ")

    def test_no_finding_is_not_said_beside_a_finding(self) -> None:
        both = findings(CHEXPERT, Finding(NO_FINDING, Status.PRESENT), Finding("Edema", Status.PRESENT))
        assert "No abnormality" not in Sentences().render(both, HERE)

    @settings(max_examples=60, deadline=None)
    @hypothesis_given(any_findings(CHEXPERT), st.booleans())
    def test_the_labeler_reads_back_every_status(self, found: Findings, probabilities: bool) -> None:
        row = RuleLabeler().label([Sentences(probabilities).render(found, HERE)]).iloc[0]
        assert {label: row[label] for label in CHEXPERT.labels[1:]} == {
            label: found.status(label) for label in CHEXPERT.labels[1:]
        }


class TestJson:
    def test_one_object_in_the_order_of_the_vocabulary(self) -> None:
        data = json.loads(JsonRenderer().render(EXAMPLE, HERE))
        assert list(data) == ["findings", "not_assessed"]
        order = ["Cardiomegaly", "Edema", "Consolidation", "Pneumothorax", "Pleural Effusion"]
        assert [item["label"] for item in data["findings"]] == order
        assert data["findings"][0] == {
            "label": "Cardiomegaly",
            "status": "present",
            "side": None,
            "severity": "mild",
            "probability": 0.912,
        }
        assert data["not_assessed"] == [label for label in CHEXPERT.labels if label not in order]

    @settings(max_examples=60, deadline=None)
    @hypothesis_given(any_findings())
    def test_is_valid_and_says_all_that_is_known(self, found: Findings) -> None:
        data = json.loads(JsonRenderer().render(found, HERE), parse_constant=pytest.fail)
        back = {item["label"]: (Status(item["status"]), item["side"], item["severity"]) for item in data["findings"]}
        assert back == {f.label: (f.status, f.side, f.severity) for f in found if f.status != Status.NOT_MENTIONED}
        assert sorted([*back, *data["not_assessed"]]) == sorted(found.vocabulary.labels)


def read_back(text: str) -> dict[str, Status]:
    row = RuleLabeler().label([text]).iloc[0]
    return {label: row[label] for label in CHEXPERT.labels[1:]}


def given(found: Findings) -> dict[str, Status]:
    return {label: found.status(label) for label in CHEXPERT.labels[1:]}


class TestSrr:
    def test_the_eight_headers_of_structured_reporting(self) -> None:
        assert "; ".join(HEADERS) == (
            "Lungs and Airways; Pleura; Cardiovascular; Hila and Mediastinum; Tubes, Catheters, and Support Devices; "
            "Musculoskeletal and Chest Wall; Abdominal; Other"
        )

    def test_a_line_a_finding_under_its_header(self) -> None:
        assert StructuredReport().render(EXAMPLE, HERE) == (
            "Lungs and Airways:\n- There is no pulmonary edema.\n- There is no consolidation.\n"
            "Pleura:\n- There is no pneumothorax.\n- There may be a small left pleural effusion.\n"
            "Cardiovascular:\n- There is mild cardiomegaly.\n"
            "Other:\n- Not assessed: mediastinal widening, lung opacity, lung lesion, pneumonia, atelectasis, "
            "pleural thickening, fracture, support device."
        )

    def test_every_label_of_the_known_vocabularies_has_a_place(self) -> None:
        placed = [label for labels in HEADERS.values() for label in labels]
        assert len(placed) == len(set(placed))
        assert set(placed) == {x for v in VOCABULARIES.values() for x in v.labels} - {NO_FINDING}
        own = findings(OWN, Finding("COPD", Status.PRESENT), Finding("Mosaic attenuation pattern", Status.ABSENT))
        lines = StructuredReport().render(own, HERE).splitlines()
        assert lines[lines.index("Other:") + 1] == "- There is COPD."

    @pytest.mark.parametrize("statuses", list(product((Status.PRESENT, Status.ABSENT), repeat=3)))
    def test_the_labeler_reads_back_all_combinations_of_the_three(self, statuses: tuple[Status, ...]) -> None:
        three = zip(("Atelectasis", "Cardiomegaly", "Pneumothorax"), statuses, strict=True)
        found = findings(CHEXPERT, *(Finding(*pair) for pair in three))
        assert read_back(StructuredReport().render(found, HERE)) == given(found)

    @settings(max_examples=80, deadline=None)
    @hypothesis_given(any_findings(CHEXPERT))
    def test_the_labeler_reads_back_every_status_on_lines_and_on_one(self, found: Findings) -> None:
        text = StructuredReport().render(found, HERE)
        assert read_back(text) == read_back(squeeze(text)) == given(found)

    @hypothesis_given(any_findings())
    def test_is_the_format_for_any_vocabulary(self, found: Findings) -> None:
        lines = StructuredReport().render(found, HERE).splitlines()
        headers = [line.removesuffix(":") for line in lines if not line.startswith("- ")]
        assert headers == [header for header in HEADERS if header in headers]
        assert all(after.startswith("- ") for line, after in pairwise([*lines, ""]) if not line.startswith("- "))


@pytest.mark.parametrize("renderer", [Sentences(), Sentences(probabilities=True), JsonRenderer(), StructuredReport()])
def test_renderers_are_pure(renderer: Renderer) -> None:
    assert isinstance(renderer, Renderer)
    shuffled = Findings(CHEXPERT, dict(reversed(EXAMPLE.by_label.items())))
    assert renderer.render(EXAMPLE, HERE) == renderer.render(shuffled, Context("another"))
    assert "\n" not in renderer.render(EXAMPLE, HERE) or isinstance(renderer, StructuredReport)
