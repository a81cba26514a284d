"""The registry of reported numbers: facts with their sources, found by either name, quoted and never ranked."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rrgbench import plugins
from rrgbench.errors import UsageError
from rrgbench.leaderboard import build
from rrgbench.protocols import PROTOCOLS
from rrgbench.published import DATASETS, SCORES, published, quotable, select, verified_means

REPOSITORY = Path(__file__).resolve().parents[1]


def test_every_row_has_numbers_a_source_and_how_far_it_was_read() -> None:
    rows = published()
    assert len(rows) == 105
    for row in rows:
        assert row.metrics and row.source and row.verified in verified_means()
        assert row.protocol is None or row.protocol in PROTOCOLS
        assert row.split in ("test", "validate", None)


def test_the_rows_are_those_that_were_collected() -> None:
    file = Path(os.environ.get("RRGBENCH_SHARED", REPOSITORY.parent / "shared")) / "reference/published_numbers.json"
    if not file.exists():
        pytest.skip("the collection is not here: set RRGBENCH_SHARED")
    collected = json.loads(file.read_text())["rows"]
    mine = [
        {
            "system": row.system,
            "dataset": row.dataset,
            "split": row.split_as_reported,
            "section": row.section,
            "source": row.source,
            "verified": row.verified,
            "metrics": dict(row.metrics),
        }
        for row in published()
    ]
    assert mine == collected


def test_every_erratum_stands_at_some_row_and_at_no_other() -> None:
    by_text: dict[str, set[str]] = {}
    for row in published():
        for text in row.errata:
            by_text.setdefault(text, set()).add(row.system)
    assert len(by_text) == 5
    assert next(who for text, who in by_text.items() if text.startswith("MAIRA-2 BLEU-4")) == {"MAIRA-2"}
    assert next(who for text, who in by_text.items() if text.startswith("LLaVA-Rad BLEU-4")) == {"LLaVA-Rad"}
    assert "RGRG" in next(who for text, who in by_text.items() if text.startswith("ChEX"))


def test_names_here_are_names_that_there_are() -> None:
    kinds = {(entry.kind, entry.name) for entry in plugins.catalogue().of_kind("dataset")}
    assert {("dataset", name) for name in DATASETS.values()} <= kinds
    reported = {name for row in published() for name in row.metrics}
    assert set(SCORES) <= reported
    assert {row.dataset for row in published()} >= set(DATASETS)


def test_rows_are_found_by_either_name() -> None:
    assert select("iu-xray") == select("IU-XRAY") and len(select("iu-xray")) == 21
    here, there = select("mimic-cxr", "bleu_4"), select("MIMIC-CXR", "BLEU4")
    assert here == there and all(list(row.metrics) == ["BLEU4"] for row in here)
    assert {name for row in select(metric="rouge_l") for name in row.metrics} == {"ROUGEL", "ROUGEL_coco"}
    assert {row.system for row in select(system="maira-2")} == {"MAIRA-2"}
    assert select("iu-xray", system="maira") == ()


def test_an_erratum_of_a_metric_goes_with_it() -> None:
    (of_bleu,) = select(metric="BLEU4", system="maira-2")
    assert [text[:14] for text in of_bleu.errata] == ["MAIRA-2 BLEU-4"]
    of_f1 = select(metric="macro14", system="maira-2")
    assert not any("BLEU-4" in text for row in of_f1 for text in row.errata)


def test_unknown_names_get_a_hint() -> None:
    with pytest.raises(UsageError, match="Did you mean 'iu-xray'"):
        select("iu-xry")
    with pytest.raises(UsageError, match="Did you mean 'bleu_4'"):
        select(metric="blue_4")


def test_only_rows_of_the_same_data_split_and_metric_are_quotable() -> None:
    rows = quotable("iu-xray", "test", {"bleu_2", "bleu_4"})
    assert len(rows) == 11 and all(set(row.metrics) == {"BLEU2"} and row.split == "test" for row in rows)
    assert len(quotable("iu-xray", "validate", {"bleu_2"})) == 10
    assert not quotable("iu-xray", "test", {"meteor"}) and not quotable("phantom", "test", {"bleu_2"})


def scores(dataset: str, **changes: Any) -> dict[str, Any]:
    """A run of no real system."""
    values = {"bleu_2": 0.2, "rouge_l": 0.3}
    return {
        "schema_version": 1,
        "run_id": "0" * 12,
        "dataset": dataset,
        "dataset_digest": "1" * 64,
        "split": "test",
        "system": "vit+local",
        "parts": {"encoder": "vit", "llm": "local"},
        "baseline": False,
        "synthetic": False,
        "terms": "open",
        "n": 590,
        "coverage": 1.0,
        "scores": [
            {
                "metric": name,
                "protocol": "findings",
                "value": value,
                "ci": None,
                "n": 590,
                "n_failed": 0,
                "higher_is_better": True,
                "signature": f"{name}|v:1",
            }
            for name, value in values.items()
        ],
        **changes,
    }


def page(tmp_path: Path, record: dict[str, Any]) -> str:
    (tmp_path / "run").mkdir(exist_ok=True)
    (tmp_path / "run" / "scores.json").write_text(json.dumps(record))
    return build([tmp_path / "run"], tmp_path / "page.html").path.read_text()


def test_a_board_quotes_them_in_a_block_of_their_own_outside_of_every_table(tmp_path: Path) -> None:
    html = page(tmp_path, scores("iu-xray"))
    (block,) = re.findall(r'<details class="quotes".*?</details>', html, re.DOTALL)
    assert block.count("<li>") == 11 and "MedVersa" in block and "0.195" in block
    assert "under rexrank" in block and "result_iu_xray.csv" in block and "<table" not in block
    rest = html.replace(block, "")
    assert "MedVersa" not in rest and "result_iu_xray" not in rest
    assert "1 run on 1 board" in html  # no row of the table, no rank


def test_errata_stand_with_their_row_on_a_board(tmp_path: Path) -> None:
    record = scores("mimic-cxr", terms="credentialed")
    record["scores"][0] |= {"metric": "bleu_4", "signature": "bleu|v:1"}
    html = page(tmp_path, record)
    (row,) = re.findall(r"<li><bdi>LLaVA-Rad</bdi>.*?</li>", html)
    assert "15.4" in row and "Erratum: LLaVA-Rad BLEU-4" in row and "under llava-rad" in row


@pytest.mark.parametrize(
    "changes", [{"dataset": "phantom", "synthetic": True}, {"split": "train"}, {"synthetic": True}], ids=str
)
def test_other_data_quote_nothing(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert '<details class="quotes"' not in page(tmp_path, scores("iu-xray") | changes)


@pytest.mark.parametrize(("corpus", "source"), [("iu-xray", "iu_xray.csv"), ("mimic-cxr", "mimic-cxr.csv")])
def test_an_annotation_json_is_quoted_as_the_corpus_that_it_holds(tmp_path: Path, corpus: str, source: str) -> None:
    record = scores("r2gen", dataset_spec=f"r2gen:path=annotation.json ({corpus})")
    assert f"result_{source}" in page(tmp_path, record)


def test_the_command(rrgbench: Callable[..., Any]) -> None:
    done = rrgbench("published", "--dataset", "iu-xray", "--metric", "bleu_2", "--json")
    assert done.code == 0 and len(done.json()) == 21
    text = rrgbench("published", "--system", "maira-2").out
    assert "23.1" in text and "erratum: MAIRA-2 BLEU-4" in text
    assert rrgbench("published", "--metric", "nothing").code == 2
