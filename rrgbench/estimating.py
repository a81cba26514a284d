"""What a run will ask of its LLM and what that will cost, before the first call. An estimate, from a few studies.

The prompt runs as it will run, but its ``ask`` only counts: it answers with a report of the usual length, or with JSON
that fits the schema. No call leaves, and the encoder sees no study where the dataset has labels to stand in for it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rrgbench.asking import run_async
from rrgbench.encoders.oracle import Oracle
from rrgbench.encoding import encode
from rrgbench.errors import FAULTS
from rrgbench.planning import Plan, context
from rrgbench.spending import price
from rrgbench.types import Completion, Failure, Findings, Message, Study

STUDIES_BY_LABELS, STUDIES_BY_ENCODER = 64, 8
CHARACTERS_A_TOKEN = 4  # of English, by the usual rule of thumb; a tokenizer would have to be fetched from its maker
REPLY = (
    "FINDINGS: The lungs are clear. There is no pleural effusion or pneumothorax. The heart size is normal. The"
    " mediastinal and hilar contours are unremarkable. There is no acute osseous abnormality. IMPRESSION: No acute"
    " cardiopulmonary abnormality."
)
TEXT = 80  # characters of a string in a reply by a schema, where it allows as many


@dataclass(frozen=True)
class Estimate:
    """Calls, tokens and US dollars (None: not known) of a whole run, and how they were found."""

    calls: int
    prompt_tokens: int
    completion_tokens: int
    usd: float | None
    how: str


def estimate(plan: Plan) -> Estimate | None:
    """What a run of this plan will ask; None where it asks no language model.

    Replies that are in the cache are counted, though they will cost nothing.
    """
    if "prompt" not in plan.parts:
        return None
    labelled = all(study.labels for study in plan.studies)
    sample = _spread(plan.studies, STUDIES_BY_LABELS if labelled else STUDIES_BY_ENCODER)
    tally = _Tally()
    run_async(_write(plan, sample, _findings(plan, sample, labelled), tally))
    times = len(plan.studies) / len(sample)
    calls, asked, said = (math.ceil(n * times) for n in (tally.calls, tally.prompt_tokens, tally.completion_tokens))
    usd = price(plan.parts["llm"].obj, asked, said)
    how = (
        f"from {len(sample)} of {len(plan.studies)} studies by"
        f" {'their labels, not the encoder' if labelled else 'the encoder'}, {CHARACTERS_A_TOKEN} characters a token,"
        " replies as long as a usual report; what the cache holds already is free and not taken off"
    )
    return Estimate(calls, asked, said, None if usd is None else round(usd, 4), how)


def _spread(studies: Sequence[Study], number: int) -> list[Study]:
    """So many studies, evenly spread: the first ones may be of one kind."""
    number = min(number, len(studies))
    return [studies[at * len(studies) // number] for at in range(number)]


def _findings(plan: Plan, sample: Sequence[Study], labelled: bool) -> list[Findings | Failure]:
    if labelled:
        return Oracle().encode([context(study, ("labels",)) for study in sample])
    encoder = plan.parts["encoder"]
    encoded = encode(encoder, [context(study, encoder.obj.needs) for study in sample], lambda _: None)
    return [encoded[study.study_id][0] for study in sample]


class _Tally:
    """An ``ask`` that only counts."""

    def __init__(self) -> None:
        self.calls = self.prompt_tokens = self.completion_tokens = 0

    async def ask(self, messages: Sequence[Message], schema: Mapping[str, Any] | None = None) -> Completion:
        text = REPLY if schema is None else json.dumps(example(schema))
        asked = sum(len(message.content) for message in messages) + len(json.dumps(schema) if schema else "")
        used = Completion(text, "estimate", _tokens(asked), _tokens(len(text)), 0.0)
        self.calls += 1
        self.prompt_tokens += used.prompt_tokens or 0
        self.completion_tokens += used.completion_tokens or 0
        return used


async def _write(plan: Plan, sample: Sequence[Study], found: Sequence[Findings | Failure], tally: _Tally) -> None:
    prompt, renderer = plan.parts["prompt"].obj, plan.parts["renderer"].obj
    for study, findings in zip(sample, found, strict=True):
        if isinstance(findings, Findings):
            shown = context(study, prompt.needs)
            try:
                await prompt.write(findings, renderer.render(findings, shown), shown, tally.ask)
            except FAULTS:  # it can't read the made-up reply: what it asked is counted
                continue


def _tokens(characters: int) -> int:
    return math.ceil(characters / CHARACTERS_A_TOKEN)


def example(schema: Mapping[str, Any]) -> Any:
    """A value that a JSON schema allows, with strings of a usual length. Knows what prompts use of JSON Schema."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return example(schema[key][0])
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object":
        return {name: example(each) for name, each in schema.get("properties", {}).items()}
    if kind == "array":
        return [example(schema.get("items", {})) for _ in range(max(1, schema.get("minItems", 1)))]
    if kind in ("integer", "number"):
        return schema.get("minimum", 0)
    if kind in ("boolean", "null"):
        return {"boolean": True, "null": None}[kind]
    length = max(schema.get("minLength", 0), min(TEXT, schema.get("maxLength", TEXT)))
    return (REPLY * (length // len(REPLY) + 1))[:length]
