"""The list of prices."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from rrgbench_openai.chat import OpenAIChat
from rrgbench_openai.prices import PACKAGED, Prices

from rrgbench.errors import UsageError

REPOSITORY = Path(__file__).resolve().parents[3]


def test_costs_are_list_prices_by_model_and_unknown_elsewhere() -> None:
    dollars = Prices.read().dollars
    assert dollars("gpt-4", 1000, 500) == pytest.approx(0.06)
    assert dollars("gpt-4-0613", 1000, 500) == pytest.approx(0.06)
    assert dollars("gpt-4o-2024-08-06", 1_000_000, 0) == pytest.approx(2.5)
    assert dollars("gpt-4o-2024-05-13", 1_000_000, 0) == pytest.approx(5.0)
    assert dollars("gpt-4o-mini-2024-07-18", 0, 1_000_000) == pytest.approx(0.6)
    assert dollars("gpt-4-vision", 10, 10) is None
    assert dollars("served-model", 10, 10) is None


def test_a_cached_prompt_and_a_batch_are_cheaper_where_they_have_a_price(tmp_path: Path) -> None:
    dollars = Prices.read().dollars
    assert dollars("gpt-4o", 1_000_000, 0, cached_tokens=400_000) == pytest.approx(0.6 * 2.5 + 0.4 * 1.25)
    assert dollars("gpt-4", 1_000_000, 0, cached_tokens=400_000) == pytest.approx(30)
    assert dollars("gpt-4o", 1_000_000, 1_000_000, batch=True) == pytest.approx(6.25)
    file = tmp_path / "prices.yaml"
    file.write_text("models: {m: {prompt: 1, completion: 2, date: 2026-11, source: the bill}}")
    assert Prices.read(file).dollars("m", 1_000_000, 0, batch=True) is None


def test_each_price_says_as_of_when_from_where_and_that_nobody_checked_it() -> None:
    table = yaml.safe_load(PACKAGED.read_text())
    for name, entry in table["models"].items():
        assert entry["date"] and entry["source"] in table["sources"] and entry["unverified"] is True, name


def test_the_users_file_is_the_packaged_one() -> None:
    assert (REPOSITORY / "configs" / "prices.yaml").samefile(PACKAGED)


def test_prices_of_ones_own_hold_for_any_host(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text("models: {mine: {prompt: 1, completion: 2, date: 2026-11, source: the bill}}")
    elsewhere = {"base_url": "https://llm.example.org/v1"}
    assert OpenAIChat(model="mine", **elsewhere).price(10, 10) is None
    assert OpenAIChat(model="mine", prices=file, **elsewhere).price(1_000_000, 1_000_000) == pytest.approx(3)
    assert OpenAIChat(model="other", prices=file, **elsewhere).price(10, 10) is None
    assert OpenAIChat(model="mine", base_url="http://127.0.0.1:1/v1").price(10, 10) == 0.0
    assert OpenAIChat(model="gpt-4o", batch=True).price(1_000_000, 0) == pytest.approx(1.25)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("models: []", "'models'"),
        ("models: {m: {prompt: 1, date: 2026-11, source: x}}", "m, completion"),
        ("models: {m: {prompt: -1, completion: 1, date: 2026-11, source: x}}", "m, prompt"),
        ("models: {m: {prompt: 1, completion: 1, date: 2026-11, source: x, batch: 50}}", "m, batch"),
        ("models: {m: {prompt: 1, completion: 1, source: x}}", "m, date"),
    ],
)
def test_a_list_that_is_none_is_refused_with_the_place(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=says):
        Prices.read(file)
