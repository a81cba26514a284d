"""``stepwise``: one call a finding. What small models follow; a whole report at once is too much for them.

The wording was chosen on SmolLM2-135M-Instruct (Q4_1, temperature 0), 60 random findings with their side and severity
and ``rulelabel`` as the judge: 59 sentences said the finding, its status, its side and nothing else. The same with two
exemplars, or with no plural among them, gave 52. In smaller trials, exemplars with "There may be" gave 6 of 18, a plain
completion 9 of 18, and "Write this finding as one sentence" without exemplars 9 of 18. The exemplars' findings are such
that no vocabulary here has, so that an exemplar that is copied is not taken for the finding.
"""

from __future__ import annotations

import re
from pathlib import Path

from rrgbench.interfaces import Ask
from rrgbench.prompts import texts
from rrgbench.prompts.instructions import SECTIONS, Target, is_refusal, split_thinking
from rrgbench.text import wording
from rrgbench.text.sections import joined, squeeze, strip_chatter
from rrgbench.types import Context, Failure, Finding, Findings, Report, Status

_SENTENCE = re.compile(r"(.+?[.!?])(?=[\s\"']|$)")


class Stepwise:
    """The model writes one sentence for each present or uncertain finding; code writes the denials.

    Of each reply the first sentence is kept. The impression repeats those sentences, so that what the model got wrong
    is put right nowhere. A study in which all is absent costs no call. The renderer's text is not used.
    ``text`` is a file of the user's own in the place of texts/stepwise.md.
    """

    version = "1"
    needs: tuple[str, ...] = ()

    def __init__(self, target: Target = "both", text: Path | None = None) -> None:
        self.target: Target = target
        self._text = texts.load("stepwise", ("finding",), ("finding",), text)
        self.signature = self._text.signature

    async def write(self, findings: Findings, text: str, context: Context, ask: Ask) -> Report | Failure:
        """The report, put together region by region; the first sentence that can't be had makes it a failure."""
        said: dict[str, str] = {}
        regions: dict[str, list[str]] = {name: [] for name in wording.REGIONS}
        for finding in wording.positives(findings):
            sentence = _first_sentence((await ask(self._text.fill(finding=named(finding)))).text)
            if isinstance(sentence, Failure):
                return Failure(sentence.kind, f"{finding.label}: {sentence.message}")
            said[finding.label] = sentence
            regions[wording.region(finding.label)].append(sentence)
        impression = wording.prose(said[finding.label] for finding in wording.leading(findings))
        report = wording.compose(findings, regions, impression)
        if isinstance(report, Failure):
            return report
        sections = {name: report.sections[name] for name in SECTIONS[self.target]}
        return Report(joined(sections), sections)


def named(finding: Finding) -> str:
    """A present or uncertain finding in words: ``possible left pneumothorax``."""
    text = wording.phrase(finding)
    return f"possible {text}" if finding.status is Status.UNCERTAIN else text


def _first_sentence(reply: str) -> str | Failure:
    text = squeeze(strip_chatter(split_thinking(reply)[1])).strip("\"' ")
    if not text:
        return Failure("empty", "the model gave no sentence")
    if is_refusal(text):
        return Failure("refused", f"the model refused: {text[:200]}")
    match = _SENTENCE.match(text)
    return wording.capitalised(match[1] if match else f"{text}.")
