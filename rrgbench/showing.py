"""`rrgbench show`: what a run made of each study, and the exact messages that its prompt sent for one of them.

Messages are not kept in the run folder. They are made again from what is: the prompt's spec, the study, its findings.
Replies come from the call cache, and no language model is asked. That they are the messages that were sent shows in
their hash, which reports.jsonl has.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rrgbench import fidelity, plugins
from rrgbench.asking import Asker, run_async
from rrgbench.cache import Cache
from rrgbench.errors import FAULTS, LLMError, UsageError, did_you_mean
from rrgbench.interfaces import Labeler
from rrgbench.labels import counterparts
from rrgbench.parts import Part, build
from rrgbench.planning import Plan, context, prepare
from rrgbench.protocols import protocol
from rrgbench.replanning import config_of, replanned
from rrgbench.runs import Record, RunFolder, cache_of, findings_of, from_record
from rrgbench.types import Completion, Failure, Findings, Message, Report, Status, Study, Vocabulary
from rrgbench.writing import checked

NOT_CACHED = "the call cache has no reply to this, and none is asked for"
WHOLE = protocol("full-text")  # the texts whose labels are compared


@dataclass(frozen=True)
class Made:
    """What a run made of a study.

    ``record`` is the line of reports.jsonl, with what the report used; ``replies`` are those of replies.jsonl.
    """

    study: Study
    findings: Findings | None
    outcome: Report | Failure
    record: Record
    replies: Sequence[Record] = ()

    @property
    def candidate(self) -> str | None:
        """The report's text, findings and impression together."""
        return WHOLE.candidate(self.outcome) if isinstance(self.outcome, Report) else None

    @property
    def reference(self) -> str | None:
        """The reference's text, findings and impression together."""
        return WHOLE.reference(self.study)


@dataclass(frozen=True)
class Call:
    """One call of the LLM. ``sample`` counts askings of the same messages, from 1; ``reply`` is None if not cached."""

    messages: tuple[Message, ...]
    schema: Mapping[str, Any] | None
    sample: int
    reply: Completion | None


@dataclass(frozen=True)
class Told:
    """What a prompt sends for a study: ``hash`` is that of all its messages, as reports.jsonl has it.

    ``notes`` say whether that is what was sent, and what is missing.
    """

    spec: str
    signature: str
    hash: str | None
    calls: tuple[Call, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class OpenedRun:
    """A run folder with its dataset read again; ``terms`` are the strictest of both."""

    folder: Path
    manifest: Mapping[str, Any]
    summary: Mapping[str, Any] | None  # scores.json; None before the run has come to its end
    plan: Plan
    records: Mapping[str, Record]
    findings: Mapping[str, Findings]
    replies: Mapping[str, Sequence[Record]]  # of judges, by study_id

    @property
    def terms(self) -> str:
        """Of the data and of what made the reports."""
        return self.plan.terms

    @cached_property
    def made(self) -> tuple[Made, ...]:
        """What became of each study, in the order of the dataset."""
        return tuple(self._made(study) for study in self.plan.studies)

    def of(self, study_id: str) -> Made:
        """What became of one study. Raises UsageError where the run has no such study."""
        studies = {study.study_id: study for study in self.plan.studies}
        if study_id not in studies:
            raise UsageError(
                f"The run {self.folder} has no study {study_id!r}.{did_you_mean(study_id, studies)} It has"
                f" {len(studies)}, from {next(iter(studies))} on."
            )
        return self._made(studies[study_id])

    def _made(self, study: Study) -> Made:
        record = self.records.get(study.study_id, {})
        lost = Failure("missing", "the run has no report of this study (yet)")
        outcome = from_record(record) if record else lost
        replies = self.replies.get(study.study_id, ())
        return Made(study, self.findings.get(study.study_id), outcome, record, replies)

    def told(self, made: Made) -> Told | None:
        """The messages that the run's prompt sends for a study; None for a system without a prompt.

        Raises UsageError where the prompt can't be built here.
        """
        parts, signatures = self.manifest["parts"], self.manifest["signatures"]
        if "prompt" not in parts or made.findings is None:
            return None
        renderer, prompt = (build(plugins.catalogue(), kind, parts[kind]) for kind in ("renderer", "prompt"))
        learning = {"dataset": self.plan.parts["dataset"], "renderer": renderer, "prompt": prompt}
        prepare(learning, self.plan.studies)
        notes = [
            f"the {part.kind} is not what it was: {signatures[part.kind]} then, {part.signature} now"
            for part in (renderer, prompt)
            if part.signature != signatures[part.kind]
        ]
        calls, prompt_hash, outcome = self._replayed(made, made.findings, renderer, prompt)
        recorded = made.record.get("prompt_hash")
        whole = all(call.reply for call in calls)
        if not calls:
            notes.append("the prompt asks for nothing in this study")
        elif not recorded:
            notes.append("whether these messages were sent was not recorded")
        elif prompt_hash == recorded:
            notes.append("these are the messages that were sent: their hash is the one that was recorded")
        else:
            notes.append(f"these are not the messages that were sent, or not all: the hash of those was {recorded}")
        if not whole:
            notes.append(f"there may be more: {NOT_CACHED}")
        elif prompt_hash == recorded and outcome != made.outcome:
            notes.append(f"from the same replies the prompt now makes something else: {outcome}")
        return Told(prompt.spec, prompt.signature, prompt_hash, tuple(calls), tuple(notes))

    def _replayed(
        self, made: Made, findings: Findings, renderer: Part, prompt: Part
    ) -> tuple[list[Call], str | None, Report | Failure]:
        """The calls for a report, the hash of their messages, and what the prompt makes of the replies."""
        calls: list[Call] = []
        shown = context(made.study, prompt.obj.needs)
        was = self.manifest["signatures"]["llm"]
        llm = _Recorded("llm", was, was, _Silent(), plugins.BUILTIN, {}, was)

        async def write(cache: Cache) -> tuple[str | None, Report | Failure]:
            ask, meter = Asker(llm, cache, timeout=1.0, hosts=None).for_study()

            async def recording(messages: Sequence[Message], schema: Mapping[str, Any] | None = None) -> Completion:
                at, alike = len(calls), [call for call in calls if list(call.messages) == list(messages)]
                calls.append(Call(tuple(messages), schema, len(alike) + 1, None))
                reply: Completion = await ask(messages, schema)
                calls[at] = Call(tuple(messages), schema, len(alike) + 1, reply)
                return reply

            try:
                outcome = await prompt.obj.write(findings, renderer.obj.render(findings, shown), shown, recording)
            except LLMError as error:
                outcome = Failure(error.kind, str(error))
            except FAULTS as error:
                outcome = Failure("prompt", f"{type(error).__name__}: {error}")
            prompt_hash: str | None = meter.record()["prompt_hash"]
            return prompt_hash, checked(outcome)

        with _cache(self.folder) as cache:
            return calls, *run_async(write(cache))


class _Silent:
    """In the place of the run's LLM: answers nothing."""

    version = "1"
    host = None

    async def complete(self, messages: Sequence[Message], schema: Mapping[str, Any] | None = None) -> Completion:
        raise LLMError("missing", NOT_CACHED)


@dataclass(frozen=True)
class _Recorded(Part):
    """A part of which the signature alone is known: ``spec`` holds it."""

    @property
    def signature(self) -> str:
        return self.spec


@contextmanager
def _cache(folder: Path) -> Iterator[Cache]:
    """The call cache beside a run folder; an empty one where there is none."""
    path = cache_of(folder)
    with tempfile.TemporaryDirectory() as scratch:
        cache = Cache(path if path.exists() else Path(scratch) / path.name)
        try:
            yield cache
        finally:
            cache.close()


def open_run(folder: Path) -> OpenedRun:
    """A run folder, finished or not, with its dataset read again. Raises UsageError where either can't be read."""
    with RunFolder.existing(folder) as run:
        manifest, summary = run.read_json("manifest.json"), run.read_json("scores.json")
        assert manifest is not None  # existing() saw it
        records = run.records()
        there = (folder / "findings.parquet").exists()
        findings = findings_of(run.read_frame("findings.parquet")) if there else {}
        replies: dict[str, list[Record]] = {}
        for line in run.read_lines("replies.jsonl"):
            replies.setdefault(str(line.get("study_id")), []).append(line)
    plan = replanned(folder, manifest, config_of(folder, manifest))
    return OpenedRun(folder, manifest, summary, plan, records, findings, replies)


# --- labels side by side ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LabelRow:
    """A label as the reference, the findings that were given and the report have it; None where there is no such.

    ``against_given`` and ``against_reference`` are what is wrong with the report (``fidelity.fault``), if anything.
    """

    label: str
    reference: Status | None
    given: Status | None
    report: Status | None
    against_given: fidelity.Kind | None
    against_reference: fidelity.Kind | None


def side_by_side(made: Sequence[Made], labeler: Labeler) -> list[list[LabelRow]]:
    """For each study the labels that anything says are present or uncertain, in the order of the vocabulary.

    Texts are read by ``labeler``; where a study has no reference text, its own labels stand for it. Raises UsageError
    where labeler and findings have no label in common.
    """
    own = next((each.findings.vocabulary for each in made if each.findings), labeler.vocabulary)
    shared = fidelity.judged(own, labeler)
    texts = list(dict.fromkeys(text for each in made for text in (each.candidate, each.reference) if text))
    read = dict(zip(texts, fidelity.said(texts, labeler, shared), strict=True)) if texts else {}
    out = []
    for each in made:
        nothing: list[Status | None] = [None] * len(shared)
        reference = read[each.reference] if each.reference else _known(each.study.labels, shared)
        given = fidelity.given(each.findings, shared) if each.findings else nothing
        report = read[each.candidate] if each.candidate else nothing
        rows = zip(shared.labels, reference or nothing, given, report, strict=True)
        out.append([_row(*row) for row in rows if set(row[1:]) & set(fidelity.POSITIVE)])
    return out


def _known(labels: Findings | None, shared: Vocabulary) -> list[Status] | None:
    """A dataset's own labels; None where it has none, or lacks one of them."""
    if labels is None or not counterparts(labels.vocabulary, shared).keys() >= set(shared.labels):
        return None
    return fidelity.given(labels, shared)


def _row(label: str, reference: Status | None, given: Status | None, report: Status | None) -> LabelRow:
    def wrong(before: Status | None) -> fidelity.Kind | None:
        return fidelity.fault(before, report) if before is not None and report is not None else None

    return LabelRow(label, reference, given, report, wrong(given), wrong(reference))
