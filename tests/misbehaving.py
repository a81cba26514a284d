"""Parts that count what they are asked, and fail where they are told to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rrgbench import hookimpl, hookspecs
from rrgbench.errors import LLMError, UsageError
from rrgbench.interfaces import LLM
from rrgbench.labels import CHEXPERT
from rrgbench.types import Completion, Context, Failure, Finding, Findings, Message, Report, Status, Study

HERE = "tests.misbehaving"


class Plugin:
    """Registers them all, as a plugin's module would."""

    name = value = "misbehaving"
    dist = None

    def load(self) -> object:
        return self

    @hookimpl
    def rrgbench_register_datasets(self, register: hookspecs.Register) -> None:
        register("leaky", f"{HERE}:Leaky")

    @hookimpl
    def rrgbench_register_encoders(self, register: hookspecs.Register) -> None:
        register("counting", f"{HERE}:CountingEncoder")

    @hookimpl
    def rrgbench_register_renderers(self, register: hookspecs.Register) -> None:
        register("names", f"{HERE}:Names")

    @hookimpl
    def rrgbench_register_prompts(self, register: hookspecs.Register) -> None:
        register("plain", f"{HERE}:Plain")
        register("learning", f"{HERE}:Learning")

    @hookimpl
    def rrgbench_register_llms(self, register: hookspecs.Register) -> None:
        register("scripted", f"{HERE}:Scripted")
        register("remote", f"{HERE}:Scripted", host="api.example.com")

    @hookimpl
    def rrgbench_register_systems(self, register: hookspecs.Register) -> None:
        register("stumbling", f"{HERE}:Stumbling")

    @hookimpl
    def rrgbench_register_labelers(self, register: hookspecs.Register) -> None:
        register("nobody", f"{HERE}:Nobody")

    @hookimpl
    def rrgbench_register_metrics(self, register: hookspecs.Register) -> None:
        register("raising", f"{HERE}:RaisingMetric")
        register("length", f"{HERE}:Length")
        register("judged", f"{HERE}:Judged")


class CountingEncoder:
    """Cardiomegaly for everyone; raises for the studies it is told to."""

    version = "1"
    needs = ("images",)
    calls: list[str] = []

    def __init__(self, fail: list[str] | None = None) -> None:
        self._fail = fail or []

    def encode(self, contexts: Sequence[Context]) -> list[Findings | Failure]:
        for context in contexts:
            if context.study_id in self._fail:
                raise RuntimeError(f"can't look at {context.study_id}")
            context.images[0].read()
        type(self).calls += [context.study_id for context in contexts]
        return [Findings(CHEXPERT, {"Cardiomegaly": Finding("Cardiomegaly", Status.PRESENT, 0.9)}) for _ in contexts]


class Names:
    """The study and its present labels, so that no two prompts are alike."""

    version = "1"

    def render(self, findings: Findings, context: Context) -> str:
        return f"{context.study_id}: " + ", ".join(f.label for f in findings.having(Status.PRESENT))


class Plain:
    """Asks ``samples`` times for the same and joins the replies."""

    version = "1"
    needs = ()

    def __init__(self, samples: int = 1) -> None:
        self._samples = samples

    async def write(self, findings: Findings, text: str, context: Context, ask: Any) -> Report | Failure:
        replies = [await ask([Message("user", text)]) for _ in range(self._samples)]
        return Report(" ".join(reply.text for reply in replies))


class Learning(Plain):
    """Notes which patients it was shown."""

    learnt: list[str] = []
    renderers: list[object] = []

    def prepare(self, train: Sequence[Study], renderer: object) -> None:
        type(self).learnt = [study.patient_id for study in train]
        self._renderer = renderer

    async def write(self, findings: Findings, text: str, context: Context, ask: Any) -> Report | Failure:
        if self._renderer not in type(self).renderers:
            type(self).renderers.append(self._renderer)
        return await super().write(findings, text, context, ask)


class Scripted:
    """Replies with the prompt; fails in the way that ``script`` says for a study whose id is in the prompt."""

    version = "1"
    calls: list[str] = []
    neutral = ("script",)

    def __init__(self, host: str | None = None, script: dict[str, str] | None = None, model: str = "m") -> None:
        self.host = host
        self._script = script or {}
        self._model = model

    async def complete(self, messages: Sequence[Message], schema: Any = None) -> Completion:
        said = messages[-1].content
        study = said.split(":")[0]
        type(self).calls.append(study)
        how = self._script.get(study)
        if how == "once" and type(self).calls.count(study) == 1:
            raise LLMError("rate limit", "slow down", retry=True, wait=0.0)
        if how == "exit":
            raise SystemExit(0)
        if how == "crash":
            raise ZeroDivisionError("a plugin's own fault")
        if how == "empty":
            return Completion("  ", self._model)
        if how == "long":
            return Completion("word " * 30_000, self._model)
        if how == "surrogate":
            return Completion("half a pair \ud83d", self._model, 10, 5)
        if how and how != "once":
            raise LLMError(how, f"the server said {how}")
        return Completion(f"{self._model} says {said}", self._model, 10, 5, 0.001)


class Stumbling:
    """A system of one step that raises at some studies and gives nothing for the last."""

    version = "1"
    needs = ()

    def __init__(self, fail: list[str] | None = None, gives: dict[str, str] | None = None) -> None:
        self._fail = fail or []
        self._gives = gives or {}

    def generate(self, contexts: Sequence[Context]) -> Iterator[Report | Failure]:
        for context in contexts:
            if context.study_id in self._fail:
                raise RuntimeError(f"stumbled over {context.study_id}")
            wrong: Any = {"nothing": None, "text": "Normal."}
            gives = self._gives.get(context.study_id)
            yield wrong[gives] if gives else Report(f"Normal study {context.study_id}.")


class Nobody:
    """A labeler."""

    version = "1"
    name = "nobody"
    vocabulary = CHEXPERT


class Length:
    """The mean number of characters."""

    version = "1"
    higher_is_better = {"length": True}

    def __init__(self, needs_also: str | None = None) -> None:
        self.needs = ("report", *([needs_also] if needs_also else []))

    def rows(self, cases: Sequence[Any]) -> Any:
        import pandas as pd

        return pd.DataFrame(
            {"n": [float(len(case.candidate)) for case in cases]}, index=[case.study.study_id for case in cases]
        )

    def reduce(self, rows: Any, weights: Any = None) -> Any:
        from rrgbench import stats

        mean = stats.mean(rows["n"], stats.unit_weights(weights, len(rows)))
        return {"length": mean if weights is not None else float(mean[0])}


class Judged(Length):
    """A metric that asks an LLM."""

    def __init__(self, judge: LLM) -> None:
        super().__init__()


class RaisingMetric(Length):
    """A metric with a fault."""

    higher_is_better = {"raising": True}

    def __init__(self, how: str = "raises") -> None:
        super().__init__()
        self._how = how

    def rows(self, cases: Sequence[Any]) -> Any:
        rows = super().rows(cases)
        if self._how == "exits":
            raise SystemExit(0)
        if self._how == "sets":
            return rows.assign(n=[{"a", "set"} for _ in cases])
        if self._how == "twins":
            return rows.assign(m=1.0).set_axis(["n", "n"], axis=1)
        if self._how == "refuses":
            raise UsageError(f"no such text: {cases[0].candidate}")
        raise ValueError("a metric's own fault")


class Leaky:
    """Two splits that share a patient."""

    version = "1"
    terms = "open"
    vocabulary = CHEXPERT
    splits = ("train", "test")

    def load(self, split: str | None) -> list[Study]:
        patients = {"train": ["a", "b", "shared"], "test": ["shared", "c"]}
        labels = Findings(CHEXPERT, {"Edema": Finding("Edema", Status.PRESENT)})
        return [
            Study(f"{name}-{patient}", patient, name, sections={"findings": "Edema."}, labels=labels)
            for name in ([split] if split else patients)
            for patient in patients[name]
        ]


def folder_of(out: Path) -> Path:
    """The only run folder below ``out``."""
    (manifest,) = out.rglob("manifest.json")
    return manifest.parent
