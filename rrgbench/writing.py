"""Reports from studies or from their findings. Whatever goes wrong with one of them is that one's recorded failure."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from rrgbench.asking import Asker, for_each
from rrgbench.cache import Cache
from rrgbench.encoding import failing
from rrgbench.errors import FAULTS, LLMError
from rrgbench.interfaces import Writer
from rrgbench.parts import Part
from rrgbench.planning import Plan, context
from rrgbench.spending import Budget
from rrgbench.types import Context, Failure, Findings, Report, Study

MAX_REPORT_CHARACTERS = 100_000  # a hundred times a long report; what is longer is a fault, and would stall metrics


def checked(outcome: object) -> Report | Failure:
    """What a part gave: a report that is none is a failure."""
    if isinstance(outcome, Failure):
        return outcome
    if not isinstance(outcome, Report):
        return Failure("part", f"the part gave a {type(outcome).__name__} in place of a Report or a Failure")
    text = _writable(outcome.text)
    if not text.strip():
        return Failure("empty", "the report is empty")
    if len(text) > MAX_REPORT_CHARACTERS:
        return Failure("too long", f"the report has {len(text):,} characters; {MAX_REPORT_CHARACTERS:,} are allowed")
    return replace(outcome, text=text, by_image={name: _writable(each) for name, each in outcome.by_image.items()})


def _writable(text: str) -> str:
    """Half a surrogate pair can't be written to a file."""
    return text.encode("utf-8", "replace").decode()


def generate(system: Part, studies: Sequence[Study], keep: Any) -> None:
    """Reports of a system that is one step. What it raises costs the study at which it was raised."""
    queue = deque(studies)
    while queue:
        started = time.monotonic()
        for outcome in _outcomes(system, [context(study, system.obj.needs) for study in queue]):
            keep(queue.popleft(), outcome, write_seconds=time.monotonic() - started)
            started = time.monotonic()


def _outcomes(system: Part, contexts: Sequence[Context]) -> Iterator[Report | Failure]:
    """An outcome for each context, as far as the system gets: the last one is what it raised."""
    made = 0
    try:
        for outcome in islice(system.obj.generate(contexts), len(contexts)):
            made += 1
            yield outcome
    except FAULTS as error:
        yield failing(error, "system")
        return
    yield from (Failure("system", f"{system.name} gave no report for this study") for _ in contexts[made:])


async def write(
    plan: Plan,
    findings: Mapping[str, tuple[Findings | Failure, float]],
    studies: Sequence[Study],
    cache: Cache,
    keep: Any,
    budget: Budget | None = None,
) -> None:
    """Reports from findings, as many at a time as the LLM takes.

    Where it can't go on (a wrong key, a budget that is spent) no further study is begun, but the calls in flight are
    paid and so waited for; then RunError is raised.
    """
    llm = plan.parts["llm"]
    asker = None if "prompt" not in plan.parts else Asker(llm, cache, plan.config.timeout, plan.hosts, budget)

    async def one(study: Study) -> None:
        found, seconds = findings[study.study_id]
        if isinstance(found, Failure):
            keep(study, found)
            return
        started = time.monotonic()
        outcome: Report | Failure
        if asker is None:
            outcome, usage, spent = _write_plain(llm.obj, found, study), {}, time.monotonic() - started
        else:
            ask, meter = asker.for_study()
            outcome = await _write_prompted(plan, found, study, ask)
            usage, spent = meter.record(), time.monotonic() - started - meter.waited + meter.seconds
        keep(study, outcome, **usage, encode_seconds=seconds, write_seconds=spent)

    await for_each(llm, asker if studies else None, studies, one)


def _write_plain(writer: Writer, found: Findings, study: Study) -> Report | Failure:
    try:
        return writer.write(found, context(study, getattr(writer, "needs", ())))
    except FAULTS as error:
        return failing(error, "writer")


async def _write_prompted(plan: Plan, found: Findings, study: Study, ask: Any) -> Report | Failure:
    """The report, or why there is none. Raises LLMError where there can be no other either."""
    prompt, renderer = plan.parts["prompt"], plan.parts["renderer"]
    shown = context(study, prompt.obj.needs)
    try:
        outcome: Report | Failure = await prompt.obj.write(found, renderer.obj.render(found, shown), shown, ask)
        return outcome
    except LLMError as error:
        if error.fatal:
            raise
        return Failure(error.kind, str(error))
    except FAULTS as error:
        return failing(error, "prompt")
