"""``scores.json`` as runs write them, for the tests: plausible numbers, drawn from a seed, of no real system."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from rrgbench.labels import CHEXPERT, snake

NOTES = {
    "oracle": "oracle: sees the dataset's own labels (upper bound)",
    "template": "template: no language model: the report is written by rules",
    "constant": "constant: the same report for every study",
}
QUALITY = {"oracle": 0.95, "vit": 0.62, "cnn": 0.58}
WRITING = {"template": 1.0, "local": 0.9, "gpt4": 0.96}

METRICS = (
    *(
        f"rulelabel_{avg}_{of}_{n}"
        for avg in ("micro", "macro")
        for of in ("precision", "recall", "f1")
        for n in (14, 5)
    ),
    *(f"rulelabel_{snake(label)}_f1" for label in CHEXPERT.labels),
    *(f"bleu_{n}" for n in (1, 2, 3, 4)),
    "meteor",
    "rouge_l",
    "cider",
    "auroc_macro",
    *(f"auroc_{snake(label)}" for label in CHEXPERT.labels),
    *(f"ap_{snake(label)}" for label in CHEXPERT.labels),
)


def score(metric: str, value: float | None, **changes: Any) -> dict[str, Any]:
    """One score; its interval is ±.04."""
    return {
        "metric": metric,
        "protocol": "full-text",
        "value": value,
        "ci": None if value is None else [value - 0.04, value + 0.04],
        "n": 60,
        "n_failed": 0,
        "higher_is_better": True,
        "signature": f"{metric}|protocol:full-text|version:1",
        "reason": "not computable" if value is None else None,
        **changes,
    }


def run(system: str, scores: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """A ``scores.json`` with the given scores."""
    encoder, _, llm = system.partition("+")
    composed = bool(llm)
    parts = {
        "system": "classify-then-generate" if composed else system,
        "encoder": encoder if composed else None,
        "renderer": "sentences" if composed else None,
        "prompt": "stepwise" if composed and llm != "template" else None,
        "llm": llm or None,
    }
    notes = [NOTES[name] for name in (encoder, llm) if name in NOTES]
    return {
        "schema_version": 1,
        "run_id": f"{random.Random(system).getrandbits(64):016x}",
        "dataset": "phantom",
        "dataset_spec": "phantom:n=1000",
        "dataset_digest": "b94d27b9934d3e08a52e52d7da7dabfac484efe3",
        "split": "test",
        "system": system,
        "parts": parts,
        "specs": parts,
        "baseline": bool(notes),
        "baseline_notes": notes,
        "synthetic": True,
        "terms": "open",
        "n": 60,
        "n_patients": 55,
        "coverage": 1.0,
        "failures": {},
        "created": "2026-11-21T23:41:00+00:00",
        "costs": {"encode_seconds": None, "write_seconds": None, "tokens": None, "usd": None, "calls": 0},
        "scores": scores,
        **changes,
    }


def plausible(system: str, **changes: Any) -> dict[str, Any]:
    """A full run of a system named like "vit+local" or "constant"."""
    draw = random.Random(f"{system} {changes.get('dataset')}")
    encoder, _, llm = system.partition("+")
    quality = QUALITY.get(encoder, 0.08) * WRITING.get(llm, 1.0)
    failed = 2 if llm in ("local", "gpt4") else 0
    scores = []
    for metric in METRICS:
        base = {"cider": 0.8, "meteor": 0.35, "auroc": 0.5}.get(metric.split("_")[0], 0.45 if "_" in metric else 0.5)
        of_encoder = metric.startswith(("auroc", "ap_"))
        if of_encoder and not llm:
            continue
        value: float | None = quality if metric.startswith("rulelabel") else base * quality / 0.8
        if of_encoder:
            value = min(1.0, 0.45 + QUALITY.get(encoder, 0) * 0.55)
        assert value is not None
        value = min(1.0, max(0.0, value * (1 + draw.uniform(-0.12, 0.12))))
        half = 0.02 + 0.05 * draw.random()
        changes_of_score: dict[str, Any] = {"n": 60 if of_encoder else 60 - failed, "n_failed": failed}
        if metric == "auroc_pleural_other":
            value, changes_of_score["reason"] = None, "no study of this split has Pleural Other"
        scores.append(
            score(
                metric,
                value,
                ci=None if value is None else [max(0.0, value - half), min(1.0, value + half)],
                **{"reason": None, **changes_of_score},
            )
        )
    if llm in ("local", "gpt4"):
        write = {"p50": draw.uniform(0.8, 3), "p95": draw.uniform(3, 6)}
        tokens = {"p50": draw.randint(300, 700), "p95": draw.randint(900, 1900)}
    else:
        write, tokens = {"p50": 0.0002, "p95": 0.0004}, None
    costs = {
        "encode_seconds": {"p50": 0.021, "p95": 0.034} if encoder in ("vit", "cnn") else None,
        "write_seconds": write,
        "tokens": tokens,
        "usd": {"gpt4": 1.73, "local": 0}.get(llm),
        "calls": 214 if tokens else 0,
    }
    made = {"costs": costs, "coverage": 1 - failed / 60, "failures": {"timeout": failed} if failed else {}}
    return run(system, scores, **{**made, **changes})


def write(folder: Path, *records: Any) -> Path:
    """Each record as the ``scores.json`` of a run folder under ``folder``; a text is written as it is."""
    for number, record in enumerate(records):
        path = folder / f"run{number}" / "scores.json"
        path.parent.mkdir(parents=True)
        path.write_text(record if isinstance(record, str) else json.dumps(record), encoding="utf-8")
    return folder
