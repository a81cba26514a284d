"""Metrics that ask a language model: how they are asked, what is kept of the replies, and what a failed one becomes.

A judge (``interfaces.Judge``) gives the row of one case with the core's ``ask``: metered, cached, paced and gated as a
prompt's is. Or the replies come from a file that was recorded before, and nothing is asked.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from rrgbench import progress
from rrgbench.asking import Asker, Meter, check, for_each, prompt_digest, run_async, total
from rrgbench.cache import Cache
from rrgbench.encoding import failing
from rrgbench.errors import FAULTS, LLMError, UsageError
from rrgbench.interfaces import Ask
from rrgbench.parts import Part
from rrgbench.spending import Budget
from rrgbench.types import Case, Completion, Failure, Message

T = TypeVar("T")
Line = dict[str, Any]

_MISSED = "Your reply can't be used: "
RETRY = _MISSED + "{why}. Reply again, in the form that was asked for and with nothing else."
# Errors of a call that are a reply which can't be used and may be asked for again, as the model is told of them.
_NO_REPLY = {"truncated": "it is too long and was cut before its end", "empty": "it is empty"}


# --- for judges -------------------------------------------------------------------------------------------------------


class Unreadable(Exception):
    """A reply that can't be read; why, in words that the model is told, too."""


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What was read, or why nothing was; and the replies as they came."""

    value: T | Failure
    replies: tuple[str, ...]


async def answered(
    ask: Ask, messages: Sequence[Message], read: Callable[[str], T], schema: Mapping[str, Any] | None = None
) -> Answer[T]:
    """Ask, and read the reply; where ``read`` raises ``Unreadable``, ask once more and say why.

    A second unreadable reply is a failure, and so is a call that fails. Raises LLMError where no other call can help
    either.
    """
    replies: list[str] = []
    failure = None
    for _ in range(2):
        try:
            reply = (await ask(messages, schema=schema)).text
        except LLMError as error:
            if error.fatal or error.kind == "pending":
                raise
            if error.kind not in _NO_REPLY:
                return Answer(failure or Failure(error.kind, str(error)), tuple(replies))
            reply, why, told = error.paid.text if error.paid else "", str(error), _NO_REPLY[error.kind]
        else:
            try:
                return Answer(read(reply), (*replies, reply))
            except Unreadable as error:
                why = told = str(error)
                if isinstance(ask, _Recording):
                    ask.unreadable(reply, why)
        replies.append(reply)
        failure = failure or Failure("unparsable", why)
        said = [Message("assistant", reply)] if reply.strip() else []
        messages = [*messages, *said, Message("user", RETRY.format(why=told.rstrip(".")))]
    assert failure is not None
    return Answer(failure, tuple(replies))


class Recorded:
    """Replies that a judge gave before: JSONL, CSV or JSON with ``study_id`` and ``reply``.

    A run folder's replies.jsonl is such a file; its lines name the ``prompt`` (a digest) that a reply answers, so that
    a reply is never taken for another text's. Lines without one are the replies to a study's questions in their order.
    """

    def __init__(self, path: Path) -> None:
        from rrgbench import tables

        self._path = path
        frame = tables.read_table(path)
        if lacking := [name for name in ("study_id", "reply") if name not in frame.columns]:
            raise UsageError(f"{path}: there is no column {lacking[0]!r}; recorded replies have study_id and reply.")
        self._in_order: dict[tuple[str, str], list[Line]] = defaultdict(list)
        self._answering: dict[tuple[str, str], tuple[str | None, ...]] = {}  # the texts that these were taken for
        self._judges: dict[str, None] = {}
        self._by_prompt: dict[tuple[str, str], list[Line]] = defaultdict(list)
        models = set()
        for line in ({str(key): str(cell) for key, cell in row.items()} for row in frame.to_dict("records")):
            if prompt := line.get("prompt"):
                self._by_prompt[line["study_id"], prompt].append(line)
                self._judges[line.get("metric", "")] = None
            elif not line.get("failure"):  # else it says why there is no score, and is no reply
                self._in_order[line["study_id"], line.get("image_id", "")].append(line)
            models.add(line.get("model", ""))
        named = "+".join(sorted(filter(None, models))) or "not named"
        self.signature = f"replies:file|judge:{named}"  # which file: no property of the way a score is made

    def check(self, name: str) -> None:
        """Raise UsageError where the file has what several judges replied, or one that was asked twice."""
        mine = [metric for metric in self._judges if metric.partition(":")[0] == name]
        if len(mine) > 1:
            raise UsageError(
                f"{self._path} holds what several judges replied ({', '.join(mine)}): keep the lines of one of them, by"
                " their 'metric'."
            )

    def check_studies(self, ids: Sequence[str]) -> None:
        """Raise UsageError where the file has no reply to any of these studies."""
        there = {study_id for study_id, _ in (*self._by_prompt, *self._in_order)}
        if not there & set(ids):
            raise UsageError(
                f"{self._path} has no reply to any of these studies: its first study_id is"
                f" {next(iter(there), 'none')!r}, a study here is {ids[0]!r}."
            )

    def ask_for(self, case: Case) -> Ask:
        """An ``ask`` that gives the replies of one case. Those without a prompt are for one text of a study alone."""
        study_id = case.study.study_id
        place = next(
            (place for place in ((study_id, case.image_id or ""), (study_id, "")) if place in self._in_order),
            (study_id, ""),
        )
        texts = (case.candidate, case.reference, case.image_id)
        in_order = iter(self._in_order[place] if self._answering.setdefault(place, texts) == texts else ())
        given: Counter[str] = Counter()

        async def ask(messages: Sequence[Message], schema: Mapping[str, Any] | None = None) -> Completion:
            prompt = prompt_digest(messages, schema)
            replies = self._by_prompt.get((study_id, prompt), ())
            if given[prompt] < len(replies):
                given[prompt] += 1
                return _replied(replies[given[prompt] - 1])
            for line in in_order:
                return _replied(line)
            raise LLMError("missing", f"{self._path.name} has no reply to this question of this study")

        return ask


def _replied(line: Line) -> Completion:
    reply = Completion(line["reply"], line.get("model", ""))
    if kind := line.get("failure"):
        raise LLMError(kind, line.get("why", ""), paid=reply)
    return reply


# --- for the core -----------------------------------------------------------------------------------------------------


@dataclass
class Judging:
    """How judges are asked in a run, and what they said: ``lines`` as replies.jsonl keeps them, ``usage`` by metric."""

    cache: Cache
    timeout: float
    hosts: frozenset[str] | None = None
    budget: Budget | None = None
    lines: list[Line] = field(default_factory=list)
    usage: dict[str, dict[str, Any]] = field(default_factory=dict)


def is_judge(metric: Part) -> bool:
    """Whether a metric gives its rows by asking."""
    return hasattr(metric.obj, "row")


def check_judge(metric: Part, hosts: frozenset[str] | None, budget: Budget) -> list[str]:
    """Warnings on a judge's language model. Raises UsageError where it can't be asked as it is wished to be."""
    if not is_judge(metric):
        return []
    if (llm := _llm(metric)) is None:
        metric.obj.recorded.check(metric.name)
        return []
    if not hasattr(llm.obj, "complete"):
        raise UsageError(f"{llm.spec} is no language model: {metric.name} can't ask it. `rrgbench list llms` has some.")
    check(llm, hosts, budget)
    if temperature := llm.shown.get("temperature"):
        return [f"{metric.public}: the judge draws its replies (temperature {temperature}); published ones use 0"]
    return []


def rows_of(metric: Part, cases: Sequence[Case], judging: Judging | None, protocol: str = "") -> pd.DataFrame:
    """The rows of any metric. Of a judge, a row of NaN where it failed. Raises what the metric raises, and RunError."""
    if not is_judge(metric):
        rows: pd.DataFrame = metric.obj.rows(cases)
        return rows
    llm = _llm(metric)
    if judging is None and llm is not None:
        raise UsageError(f"{metric.spec} asks a language model, which can't be done here; give it replies=FILE.")
    if llm is None:
        metric.obj.recorded.check_studies([case.study.study_id for case in cases])
    meters: list[Meter] = []
    lines: list[Line] = []
    outcomes: list[Mapping[str, float] | Failure] = [Failure("judge", "was not judged")] * len(cases)
    try:
        run_async(_judge(metric, llm, cases, judging, meters, lines, outcomes))
    finally:
        if judging is not None:
            failures = Counter(each.kind for each in outcomes if isinstance(each, Failure))
            used = _usage(meters) | _read(lines) | {"failures": dict(failures)}
            judging.usage[f"{metric.spec}@{protocol}"] = used
            judging.lines += [{"metric": metric.public, "protocol": protocol, **line} for line in lines]
    records = [{} if isinstance(each, Failure) else dict(each) for each in outcomes]
    return pd.DataFrame(records, index=[case.study.study_id for case in cases], dtype=float)


def _llm(metric: Part) -> Part | None:
    return next((part for part in metric.nested if part.kind == "llm"), None)


async def _judge(
    metric: Part,
    llm: Part | None,
    cases: Sequence[Case],
    judging: Judging | None,
    meters: list[Meter],
    lines: list[Line],
    outcomes: list[Mapping[str, float] | Failure],
) -> None:
    """Fill ``outcomes`` with the row of each case, or why there is none. Raises RunError."""
    asker = None
    if llm is not None and judging is not None:
        asker = Asker(llm, judging.cache, judging.timeout, judging.hosts, judging.budget)

    async def one(at: int) -> None:
        case = cases[at]
        of_case = {"study_id": case.study.study_id, **({"image_id": case.image_id} if case.image_id else {})}
        if asker is not None:
            ask, meter = asker.for_study(first=getattr(metric.obj, "repeat", 1) - 1)
            meters.append(meter)
        else:
            ask = metric.obj.recorded.ask_for(case)
        mine: list[Line] = []
        try:
            outcome = await metric.obj.row(case, _Recording(ask, mine))
        except LLMError as error:
            if error.fatal:
                raise
            outcome = Failure(error.kind, str(error))
        except FAULTS as error:
            outcome = failing(error, "judge")
        finally:
            lines.extend({**of_case, **line} for line in mine)
        advance(1)
        outcomes[at] = outcome
        if isinstance(outcome, Failure):
            lines.append({**of_case, "reply": None, "failure": outcome.kind, "why": outcome.message})

    with progress.stage(f"judge {metric.name}", len(cases), "reports", inner=True) as advance:
        await for_each(llm, asker, range(len(cases)), one)


class _Recording:
    """An ``ask`` that keeps what was replied, and what of it could not be read."""

    def __init__(self, ask: Ask, lines: list[Line]) -> None:
        self._ask, self._lines = ask, lines

    async def __call__(self, messages: Sequence[Message], schema: Mapping[str, Any] | None = None) -> Completion:
        line: Line = {"prompt": prompt_digest(messages, schema)}
        if messages[-1].content.startswith(_MISSED):
            line["retry"] = True
        try:
            completion: Completion = await self._ask(messages, schema=schema)
        except LLMError as error:
            if not error.fatal:
                reply = {"reply": error.paid.text, "model": error.paid.model} if error.paid else {"reply": None}
                self._lines.append({**line, **reply, "failure": error.kind, "why": str(error)})
            raise
        self._lines.append({**line, "reply": completion.text, "model": completion.model})
        return completion

    def unreadable(self, reply: str, why: str) -> None:
        """Note why a reply could not be read."""
        next(line for line in reversed(self._lines) if line["reply"] == reply)["unreadable"] = why


def _read(lines: Sequence[Line]) -> dict[str, int]:
    """How many questions there were, of how many the first reply, and one at all, could be read, and how many of these
    replies are word for word the same."""
    asked = [line for line in lines if "prompt" in line]
    good = [line for line in asked if not {"failure", "unreadable"} & line.keys()]
    at_once = sum("retry" not in line for line in good)
    alike = Counter(line["reply"] for line in good).most_common(1)
    return {
        "questions": sum("retry" not in line for line in asked),
        "read_at_once": at_once,
        "read": len(good),
        "most_alike": alike[0][1] if alike else 0,
    }


def _usage(meters: Sequence[Meter]) -> dict[str, Any]:
    """What a judge's calls used. Replies from the cache count with what they once cost."""
    completions = [completion for meter in meters for completion in meter.completions]
    return {
        "model": "+".join(sorted({completion.model for completion in completions})) or None,
        "calls": sum(len(meter.prompts) for meter in meters),
        "calls_from_cache": sum(meter.from_cache for meter in meters),
        "prompt_tokens": total([completion.prompt_tokens for completion in completions]),
        "completion_tokens": total([completion.completion_tokens for completion in completions]),
        "cost": total([completion.cost for completion in completions]),
        "seconds": round(sum(meter.seconds for meter in meters), 3),
    }


def failed(metric: Any, rows: pd.DataFrame) -> dict[str, npt.NDArray[np.bool_]]:
    """At which rows a judge failed, by score: one of its scores may be there where another isn't."""
    each = [metric.judged(rows.iloc[[at]]) for at in range(len(rows))]
    names = each[0] if each else {}
    return {name: np.array([row[name].failed > 0 for row in each], dtype=bool) for name in names}


# --- replies.jsonl ----------------------------------------------------------------------------------------------------


def merged(earlier: Iterable[Line], now: Sequence[Line]) -> list[Line]:
    """The lines of replies.jsonl: those of now, and earlier ones of other metrics and protocols."""
    again = {(line["metric"], line["protocol"]) for line in now}
    return [*(line for line in earlier if (line.get("metric"), line.get("protocol")) not in again), *now]
