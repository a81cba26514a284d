"""``check_reports()``: the error-checking benchmark. A language model, or a rule without one, looks for errors."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rrgbench import governance, planning, plugins, progress, scoring, stats
from rrgbench.asking import Asker, for_each, run_async
from rrgbench.audit.questions import NONE, SCHEMA, TYPES, VERSION, Answer, Item, answered, by_rule, items, messages
from rrgbench.audit.subjects import subjects
from rrgbench.cache import Cache, digest
from rrgbench.config import RunConfig, check
from rrgbench.encoding import encode, encode_cached
from rrgbench.errors import LLMError, UsageError
from rrgbench.metrics import counts
from rrgbench.parts import build
from rrgbench.planning import Plan
from rrgbench.protocols import protocol as named_protocol
from rrgbench.runs import private_folder, score_record, slug
from rrgbench.types import Failure, Findings, Score


@dataclass(frozen=True)
class Checked:
    """The result. ``always`` is the accuracy of calling every report what is the more frequent: erroneous or not."""

    dataset: str
    synthetic: bool
    terms: str
    split: str | None
    protocol: str
    system: str
    seed: int
    n: int
    by_type: Mapping[str, int]
    always: float
    failures: Mapping[str, int]
    scores: tuple[Score, ...]
    folder: Path

    def record(self) -> dict[str, Any]:
        """All of it, as JSON; aggregates only."""
        kept = {key: value for key, value in vars(self).items() if key not in ("scores", "folder")}
        return {**kept, "scores": [score_record(score) for score in self.scores]}


def check_reports(
    dataset: str,
    *,
    llm: str | None = None,
    encoder: str = "vit",
    renderer: str = "sentences",
    split: str | None = None,
    protocol: str = "findings",
    limit: int | None = None,
    seed: int = 0,
    resamples: int = 1000,
    timeout: float = 300.0,
    attestation: Path | None = None,
    out: Path = Path("runs"),
) -> Checked:
    """Let an LLM (without one, a rule) check reports, and score its answers. Raises UsageError before any work."""
    catalogue = plugins.catalogue()
    given = {"split": split, "protocol": protocol, "limit": limit, "seed": seed, "resamples": resamples, "out": out}
    config = check(RunConfig, {**given, "timeout": timeout, "attestation": attestation, "metric": None})
    specs = {"dataset": dataset, "encoder": encoder, "renderer": renderer, **({"llm": llm} if llm else {})}
    parts = {kind: build(catalogue, kind, spec) for kind, spec in specs.items()}
    if "llm" in parts and not hasattr(parts["llm"].obj, "complete"):
        raise UsageError(f"{llm} is no language model: it can't be asked. Leave --llm out for the answer of a rule.")
    plan = planning.planned(config, parts, (named_protocol(protocol),), (), {})
    for part in parts.values():
        governance.check_again(part.public, part.hosts, plan.hosts)
    drawn = items(subjects(plan.studies, plan.protocols[0]), seed)
    if not drawn:
        raise UsageError(f"No study of {parts['dataset'].spec} has the text that {protocol} compares.")
    system = f"{parts['encoder'].name}+{parts['llm'].name if llm else 'rule'}"
    signature = "|".join(["check", *(part.signature for part in plan.makers.values()), f"seed:{seed}|v:{VERSION}"])
    data = f"{parts['dataset'].name}/{plan.split or 'all'}/{plan.dataset_digest[:12]}"
    folder = out / slug(parts["dataset"].name) / f"check-{slug(system)}-{digest(signature, data, protocol)[:12]}"
    if plan.terms != "open":
        private_folder(folder.parent)
        private_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    cache = Cache(out / ".cache.sqlite")
    try:
        findings = _encoded(plan, cache)
        answers = run_async(_asked(plan, drawn, findings, cache)) if llm else [by_rule(i, findings) for i in drawn]
    finally:
        cache.close()
    said = [answer.type if isinstance(answer.type, str) else None for answer in answers]
    by_type = Counter(item.type for item in drawn)
    errors = sum(item.type != NONE for item in drawn) / len(drawn)
    done = Checked(
        dataset=parts["dataset"].public,
        synthetic=bool(getattr(parts["dataset"].obj, "synthetic", False)),
        terms=plan.terms,
        split=plan.split,
        protocol=protocol,
        system=system,
        seed=seed,
        n=len(drawn),
        by_type={name: by_type[name] for name in TYPES},
        always=max(errors, 1 - errors),
        failures=Counter(answer.type.kind for answer in answers if isinstance(answer.type, Failure)),
        scores=scores(drawn, said, protocol, f"{signature}|{plan.protocols[0].signature}|data:{data}", resamples, seed),
        folder=folder,
    )
    lines = [_line(item, answer) for item, answer in zip(drawn, answers, strict=True)]
    (folder / "answers.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    record = json.dumps(done.record(), indent=2, ensure_ascii=False, allow_nan=False)
    (folder / "check.json").write_text(f"{record}\n", encoding="utf-8")
    return done


def _encoded(plan: Plan, cache: Cache) -> dict[str, Findings | Failure]:
    encoder = plan.parts["encoder"]
    contexts = [planning.context(study, encoder.obj.needs) for study in plan.studies]
    with progress.stage("encode", len(contexts)) as advance:
        if getattr(encoder.obj, "cached", True):
            found = encode_cached(encoder, contexts, cache, advance)
        else:
            found = encode(encoder, contexts, advance)
    return {study_id: findings for study_id, (findings, _) in found.items()}


async def _asked(
    plan: Plan, drawn: Sequence[Item], findings: Mapping[str, Findings | Failure], cache: Cache
) -> list[Answer]:
    """The LLM's answer to each item, as many at a time as it takes."""
    llm, renderer = plan.parts["llm"], plan.parts["renderer"]
    asker = Asker(llm, cache, plan.config.timeout, plan.hosts)
    answers: dict[int, Answer] = {}
    with progress.stage("check", len(drawn), "reports") as advance:

        async def one(at: int) -> None:
            found = findings[drawn[at].subject.study.study_id]
            if isinstance(found, Failure):
                answers[at] = Answer(found)
            else:
                seen = str(renderer.obj.render(found, planning.context(drawn[at].subject.study, ())))
                answers[at] = await _ask(asker, seen, drawn[at])
            advance(1)

        await for_each(llm, asker, range(len(drawn)), one)
    return [answers[at] for at in range(len(drawn))]


async def _ask(asker: Asker, seen: str, item: Item) -> Answer:
    ask, _ = asker.for_study()
    try:
        reply = (await ask(messages(item, seen), schema=SCHEMA)).text
    except LLMError as error:
        if error.fatal:
            raise
        return Answer(Failure(error.kind, str(error)))
    return Answer(answered(reply), reply)


# --- scores -----------------------------------------------------------------------------------------------------------


def scores(
    drawn: Sequence[Item], said: Sequence[str | None], protocol: str, signature: str, resamples: int, seed: int
) -> tuple[Score, ...]:
    """Accuracy, precision, recall and F1 of calling a report erroneous; accuracy and macro F1 over the four types, and
    the recall of each. Higher is better. A report without an answer is left out of the values and counted."""
    known = [at for at, answer in enumerate(said) if answer is not None]
    weights = scoring.resamples([item.subject.study for item in drawn], resamples, seed)
    truth = np.array([[float(drawn[at].type == name) for name in TYPES] for at in known]).reshape(-1, len(TYPES))
    called = np.array([[float(said[at] == name) for name in TYPES] for at in known]).reshape(-1, len(TYPES))
    values = {name: float(value[0]) for name, value in _values(truth, called, np.ones((1, len(known)))).items()}
    resampled = _values(truth, called, weights[:, known]) if weights is not None else {}
    n = {f"recall_{name}": int(truth[:, at].sum()) for at, name in enumerate(TYPES)}
    return tuple(
        Score(
            metric=f"check_{name}",
            protocol=protocol,
            value=value if np.isfinite(value) else None,
            ci=stats.percentile_interval(resampled[name]) if resampled and np.isfinite(value) else None,
            n=n.get(name, len(known)),
            n_failed=len(said) - len(known),
            higher_is_better=True,
            signature=signature,
            reason=None if np.isfinite(value) else "undefined: 0/0 on these reports",
        )
        for name, value in values.items()
    )


def _values(truth: stats.Array, called: stats.Array, weights: stats.Array) -> dict[str, stats.Array]:
    """Each score by name, shape (resamples,); the matrices have a column a type of ``TYPES``."""
    error, error_called = 1 - truth[:, 0], 1 - called[:, 0]
    tp, fp, fn = (each[:, 0] for each in counts.counts(error[:, None], error_called[:, None], weights))
    of_types = counts.counts(truth, called, weights)
    recalls = stats.divide(of_types[0], of_types[0] + of_types[2])
    return {
        "accuracy": stats.mean(error == error_called, weights),
        "precision": stats.divide(tp, tp + fp),
        "recall": stats.divide(tp, tp + fn),
        "f1": counts.f1(tp, fp, fn),
        "type_accuracy": counts.exact_match(truth, called, weights),
        "type_macro_f1": counts.mean_of_defined(counts.f1(*of_types)),
        **{f"recall_{name}": recalls[:, at] for at, name in enumerate(TYPES)},
    }


def _line(item: Item, answer: Answer) -> str:
    """A line of answers.jsonl."""
    failure = asdict(answer.type) if isinstance(answer.type, Failure) else None
    record = {
        "study_id": item.subject.study.study_id,
        "type": item.type,
        "answer": None if failure else answer.type,
        "failure": failure,
        "reply": answer.reply,
        "edit": item.edit.record() if item.edit else None,
    }
    return json.dumps(record, ensure_ascii=False)
