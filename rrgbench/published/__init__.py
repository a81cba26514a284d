"""Numbers that papers and boards report, with where each was read. They are quoted, and never ranked.

``numbers.json`` holds them as they were printed: some on a scale of 0 to 1, some of 0 to 100, and metrics of one name
by many implementations. docs/published.md says more.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from rrgbench.errors import UsageError, did_you_mean

# The names of the registry's datasets here, and of its metrics: a metric that is called the same, at least. What the
# source's metric was is often not stated, so a name that could be several here (F1-RadGraph, CE_F1) has no counterpart.
DATASETS = {"MIMIC-CXR": "mimic-cxr", "IU-Xray": "iu-xray", "CheXpert Plus": "chexpert-plus"}
SCORES = {
    **{f"BLEU{n}": f"bleu_{n}" for n in (1, 2, 3, 4)},
    "METEOR": "meteor",
    "METEOR_java": "meteor",
    "METEOR_nltk": "meteor_nltk",
    "ROUGEL": "rouge_l",
    "ROUGEL_coco": "rouge_l",
    "CIDEr": "cider",
    "CIDErD": "cider",
    **{f"{average}{n}": f"chexbert_{average}_f1_{n}" for average in ("micro", "macro") for n in (14, 5)},
    "RadGraph": "radgraph_combined",
    "RG_E": "radgraph_e",
    "RG_ER": "radgraph_er",
    "RG_bar_ER": "radgraph_er_bar",
    "RadCliQ_v0": "radcliq_v0",
    "RadCliQ_v1": "radcliq_v1",
    "inv_RadCliQ_v1": "radcliq_v1_inverse",
    "BERTScore": "bertscore_f1",
    "BERTScore_distilbert": "bertscore_f1",
    "SembScore": "chexbert_similarity",
    "RaTEScore": "ratescore",
    "GREEN": "green",
    "RadFact_P": "radfact_logical_precision",
    "RadFact_R": "radfact_logical_recall",
    "CheXprompt_sig_errors": "chexprompt_significant_errors",
    "CheXprompt_sig_error_free_pct": "chexprompt_significant_error_free",
    "TemporalF1": "temporal_f1",
}


@dataclass(frozen=True)
class Published:
    """One system's reported numbers on one dataset.

    ``metrics`` and ``section`` are as in the source, and so is ``split_as_reported``; ``split`` is what it is called
    here, ``protocol`` the one here that the source's tables follow (docs/protocols.md), where there is one.
    ``verified`` says how far the source was read, ``errata`` what is known to be wrong or in doubt.
    """

    system: str
    dataset: str
    split: str | None
    split_as_reported: str
    section: str
    protocol: str | None
    metrics: Mapping[str, float]
    verified: str
    source: str
    errata: tuple[str, ...]


@lru_cache(maxsize=1)
def published() -> tuple[Published, ...]:
    """Every row of the registry."""
    record = _record()
    return tuple(Published(**row, errata=_errata(row, record["errata"])) for row in record["rows"])


def verified_means() -> dict[str, str]:
    """What each value of ``verified`` means."""
    return dict(_record()["verified"])


def select(dataset: str | None = None, metric: str | None = None, system: str | None = None) -> tuple[Published, ...]:
    """The rows of a dataset, with a metric, of systems whose name holds a text; names in any case.

    A dataset and a metric may be given by the registry's name or by the one that they have here ("iu-xray", "bleu_4");
    of a metric only its own numbers are kept. Raises UsageError for a dataset or a metric that there is none of.
    """
    rows = published()
    if dataset is not None:
        wanted = _known("dataset", dataset, {row.dataset: DATASETS.get(row.dataset) for row in rows})
        rows = tuple(row for row in rows if row.dataset in wanted)
    if metric is not None:
        names = dict.fromkeys(name for row in published() for name in row.metrics)
        wanted = _known("metric", metric, {name: SCORES.get(name) for name in names})
        rows = tuple(
            _with(row, kept) for row in rows if (kept := {k: v for k, v in row.metrics.items() if k in wanted})
        )
    if system is not None:
        rows = tuple(row for row in rows if system.lower() in row.system.lower())
    return rows


def quotable(dataset: str, split: str | None, scores: Collection[str]) -> tuple[Published, ...]:
    """What may stand beside a board: rows of its dataset (as it is called here) and split, with its scores alone."""
    return tuple(
        _with(row, kept)
        for row in published()
        if DATASETS.get(row.dataset) == dataset and row.split == split
        if (kept := {name: value for name, value in row.metrics.items() if SCORES.get(name) in scores})
    )


def _with(row: Published, metrics: Mapping[str, float]) -> Published:
    """The row with fewer metrics, and the errata of the others left out."""
    errata = [each for each in _record()["errata"] if "metric" not in each or each["metric"] in metrics]
    return Published(**{**vars(row), "metrics": metrics, "errata": _errata(vars(row), errata)})


def _errata(row: Mapping[str, Any], errata: Collection[Mapping[str, str]]) -> tuple[str, ...]:
    """Those that are about a row: of its system, its source, a metric that it has."""
    return tuple(
        each["text"]
        for each in errata
        if each.get("system", row["system"]) == row["system"]
        and row["source"].startswith(each.get("source", ""))
        and ("metric" not in each or each["metric"] in row["metrics"])
    )


def _known(what: str, asked: str, names: Mapping[str, str | None]) -> set[str]:
    found = {name for name, here in names.items() if asked.lower() in (name.lower(), (here or name).lower())}
    if not found:
        known = sorted({name for pair in names.items() for name in pair if name})
        raise UsageError(f"No reported number is of the {what} {asked!r}.{did_you_mean(asked, known)} There are:"
                         f" {', '.join(names)}.")  # fmt: skip
    return found


@lru_cache(maxsize=1)
def _record() -> dict[str, Any]:
    text = files("rrgbench.published").joinpath("numbers.json").read_text(encoding="utf-8")
    record: dict[str, Any] = json.loads(text)
    return record
