"""``structured``: one JSON object by a schema, with a sentence a finding and the impression."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rrgbench.interfaces import Ask
from rrgbench.prompts import texts
from rrgbench.prompts.instructions import SECTIONS, Target, is_refusal, split_thinking
from rrgbench.prompts.stepwise import named
from rrgbench.text import wording
from rrgbench.text.sections import joined, squeeze
from rrgbench.types import Context, Failure, Findings, Report

SENTENCE = 200  # characters of a finding's sentence; "A moderate right-sided pleural effusion is seen." has 48
IMPRESSION = 400  # of the impression


class Structured:
    """One call: the model fills a JSON object with a bounded string for each present or uncertain finding.

    Code writes the denials, and an impression where no finding is one to name there. A reply that is no such object
    is an unparsable failure that says what is wrong with which part of it. A study in which all is absent costs no
    call. The renderer's text is not used. ``text`` is a file of the user's own in the place of texts/structured.md.
    """

    version = "1"
    needs: tuple[str, ...] = ()

    def __init__(self, target: Target = "both", text: Path | None = None) -> None:
        self.target: Target = target
        self._text = texts.load("structured", ("positives", "form"), ("positives",), text)
        self.signature = self._text.signature

    async def write(self, findings: Findings, text: str, context: Context, ask: Ask) -> Report | Failure:
        """The report, put together region by region, or why there is none."""
        wanted = SECTIONS[self.target]
        positives = wording.positives(findings)
        labels = [finding.label for finding in positives] if "findings" in wanted else []
        impressed = "impression" in wanted and bool(wording.leading(findings))
        said, impression = {finding.label: wording.sentence(finding) for finding in positives}, ""
        if labels or impressed:
            schema = _schema(labels, impressed)
            lines = "\n".join(f"{finding.label}: {named(finding)}" for finding in positives)
            messages = self._text.fill(positives=lines, form=_form(labels, impressed))
            read = _read((await ask(messages, schema)).text, labels, impressed)
            if isinstance(read, Failure):
                return read
            said, impression = said | read[0], read[1]
        regions = {
            name: [said[f.label] for f in positives if wording.region(f.label) == name] for name in wording.REGIONS
        }
        report = wording.compose(findings, regions, impression)
        if isinstance(report, Failure):
            return report
        sections = {name: report.sections[name] for name in wanted}
        return Report(joined(sections), sections)


def _schema(labels: Sequence[str], impressed: bool) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    if labels:
        properties["findings"] = _object({label: {"type": "string", "maxLength": SENTENCE} for label in labels})
    if impressed:
        properties["impression"] = {"type": "string", "maxLength": IMPRESSION}
    return _object(properties)


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _form(labels: Sequence[str], impressed: bool) -> str:
    """The object as the model is shown it."""
    form: dict[str, Any] = {"findings": dict.fromkeys(labels, "...")} if labels else {}
    return json.dumps(form | ({"impression": "..."} if impressed else {}), ensure_ascii=False)


def _read(reply: str, labels: Sequence[str], impressed: bool) -> tuple[dict[str, str], str] | Failure:
    """A sentence for each label and the impression ("" where none was asked for)."""
    text = split_thinking(reply)[1].strip()
    start = text.find("{")
    if start < 0:
        if not text:
            return Failure("empty", "the model gave an empty reply")
        if is_refusal(text):
            return Failure("refused", f"the model refused: {squeeze(text)[:200]}")
        return Failure("unparsable", f"there is no JSON object in the reply: {squeeze(text)[:80]!r}")
    try:
        data, _ = json.JSONDecoder().raw_decode(text, start)
    except json.JSONDecodeError as error:
        how = "is cut" if not text[error.pos :].strip() or "Unterminated" in error.msg else "is not valid"
        return Failure("unparsable", f"the JSON {how} ({error.msg}) after {text[start : error.pos][-60:]!r}")
    except RecursionError:
        return Failure("unparsable", "the JSON is nested too deeply")
    found = data.get("findings", {}) if labels else {}
    if not isinstance(found, dict):
        return Failure("unparsable", "the JSON's 'findings' is no object")
    said = {}
    for label in labels:
        sentence = _string(found, label, SENTENCE)
        if isinstance(sentence, Failure):
            return sentence
        said[label] = sentence
    impression = _string(data, "impression", IMPRESSION) if impressed else ""
    return impression if isinstance(impression, Failure) else (said, impression)


def _string(data: Mapping[str, Any], key: str, most: int) -> str | Failure:
    """What stands under a key, as a sentence."""
    if key not in data:
        return Failure("unparsable", f"the JSON lacks {key!r}")
    if not isinstance(data[key], str):
        return Failure("unparsable", f"the JSON's {key!r} is no text")
    text = squeeze(data[key])
    if not text:
        return Failure("empty", f"{key}: the model gave no sentence")
    ended = text[-1] in ".!?"
    if len(data[key]) >= most and not ended:
        return Failure("truncated", f"{key}: the sentence does not end within {most} characters")
    return wording.capitalised(text if ended else f"{text}.")
