from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrgbench.labelers.rules import RuleLabeler
from rrgbench.labels import CHEXPERT
from rrgbench.prompts.structured import IMPRESSION, SENTENCE, Structured
from rrgbench.types import Completion, Failure, Finding, Findings, Message, Report, Status
from tests.prompts.helpers import Model, findings, report, write

FOUND = Findings(
    CHEXPERT,
    {
        "Pleural Effusion": Finding("Pleural Effusion", Status.PRESENT, side="left", severity="mild"),
        "Cardiomegaly": Finding("Cardiomegaly", Status.UNCERTAIN),
        "Pneumothorax": Finding("Pneumothorax", Status.ABSENT),
    },
)
GOOD = {
    "findings": {"Pleural Effusion": "A small left pleural effusion", "Cardiomegaly": "possible cardiomegaly is seen."},
    "impression": "Small left effusion; possible cardiomegaly.",
}


class Schemas(Model):
    """Keeps the schemas, too."""

    schemas: list[Any]

    async def ask(self, messages: Sequence[Message], schema: Any = None) -> Completion:
        self.schemas = [*getattr(self, "schemas", []), schema]
        return await super().ask(messages, schema)


def reply(**changed: Any) -> str:
    return json.dumps(GOOD | changed)


def unparsable(text: str, kind: str = "unparsable") -> str:
    result = write(Structured(), Model(text), FOUND)
    assert isinstance(result, Failure) and result.kind == kind, result
    return result.message


def test_golden_messages_and_schema() -> None:
    model = Schemas(reply())
    report(Structured(), model, FOUND)
    system, user = model.asked[0]
    form = '{"findings": {"Pleural Effusion": "...", "Cardiomegaly": "..."}, "impression": "..."}'
    assert f"one JSON object of this form and nothing else: {form}\n" in system.content
    assert user.content == "Pleural Effusion: small left pleural effusion\nCardiomegaly: possible cardiomegaly"
    sentence = {"type": "string", "maxLength": SENTENCE}
    closed = {"type": "object", "additionalProperties": False}
    labels = ["Pleural Effusion", "Cardiomegaly"]
    assert model.schemas == [
        {
            **closed,
            "required": ["findings", "impression"],
            "properties": {
                "findings": {**closed, "required": labels, "properties": dict.fromkeys(labels, sentence)},
                "impression": {"type": "string", "maxLength": IMPRESSION},
            },
        }
    ]


def test_code_writes_the_denials_and_puts_the_regions_in_order() -> None:
    result = report(Structured(), Model(reply()), FOUND)
    assert result.sections == {
        "findings": "A small left pleural effusion. There is no pneumothorax. Possible cardiomegaly is seen.",
        "impression": "Small left effusion; possible cardiomegaly.",
    }
    row = RuleLabeler().label([result.text]).iloc[0]
    assert {label: row[label] for label in FOUND.by_label} == {f.label: f.status for f in FOUND}


@pytest.mark.parametrize(("target", "asked"), [("findings", ["findings"]), ("impression", ["impression"])])
def test_only_what_is_wanted_is_asked_for(target: Any, asked: list[str]) -> None:
    model = Schemas(json.dumps({key: GOOD[key] for key in asked}))
    result = report(Structured(target=target), model, FOUND)
    assert list(result.sections) == asked and model.schemas[0]["required"] == asked
    assert f'"{target}": ' in model.told


def test_what_needs_no_model_costs_no_call() -> None:
    model = Model("never")
    normal = report(Structured(), model, findings(Edema=Status.ABSENT))
    assert normal.sections["impression"] == "No acute cardiopulmonary abnormality."
    tubes = report(Structured(target="impression"), model, findings(Support_Devices=Status.PRESENT))
    assert tubes.text == "No acute cardiopulmonary abnormality." and not model.asked
    assert isinstance(write(Structured(), model, Findings(CHEXPERT, {})), Failure) and not model.asked


@pytest.mark.parametrize("around", ["{}", "```json\n{}\n```", "<think>{{}}</think>Here:\n{}\nI hope this helps."])
def test_an_object_is_found_among_what_models_write_around_it(around: str) -> None:
    assert report(Structured(), Model(around.format(reply())), FOUND).sections["impression"] == GOOD["impression"]


def test_a_cut_or_broken_object_is_unparsable_and_the_place_is_shown() -> None:
    whole = reply()
    assert "the JSON is cut" in (cut := unparsable(whole[:60])) and "after" in cut
    assert "the JSON is cut" in unparsable(whole[:-1])
    assert "the JSON is not valid" in (bad := unparsable(whole.replace('": {', '" {'))) and '"findings"' in bad
    assert "no JSON object" in unparsable("The lungs are clear.")
    assert "too deep" in unparsable('{"a":' * 100_000)


def test_a_part_that_is_missing_or_no_text_is_named() -> None:
    assert "lacks 'Cardiomegaly'" in unparsable(reply(findings={"Pleural Effusion": "Effusion."}))
    assert "lacks 'impression'" in unparsable(json.dumps({"findings": GOOD["findings"]}))
    assert "'findings' is no object" in unparsable(reply(findings=["Effusion."]))
    assert "'impression' is no text" in unparsable(reply(impression=None))
    assert "impression: the model gave no sentence" in unparsable(reply(impression=" "), "empty")
    assert "does not end within" in unparsable(reply(impression="x" * IMPRESSION), "truncated")
    assert "refused" in unparsable("I'm sorry, I can't.", "refused")
    assert "empty" in unparsable("", "empty")


def test_a_small_model_that_is_held_to_the_schema_gives_a_report(gguf: Path) -> None:
    """One call of a real model. What it says is another matter: `fidelity` measures that."""
    local = pytest.importorskip("rrgbench_local.gguf").LocalGGUF(model=gguf, max_tokens=400, threads=1)

    class Local(Model):
        async def ask(self, messages: Sequence[Message], schema: Any = None) -> Completion:
            try:
                return await local.complete(messages, schema)  # type: ignore[no-any-return]
            finally:
                await local.aclose()

    result = report(Structured(target="findings"), Local(), FOUND)
    assert "There is no pneumothorax." in result.text and len(result.text) < 3 * SENTENCE


@given(st.text(max_size=60) | st.integers(0, len(reply())).map(lambda end: reply()[:end]))
def test_any_reply_gives_a_report_or_says_why_not(text: str) -> None:
    result = write(Structured(), Model(text), FOUND)
    assert isinstance(result, Report) == (text == reply())
    assert isinstance(result, Report) or result.message
