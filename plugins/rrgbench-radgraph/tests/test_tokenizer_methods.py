"""The two tokenizer methods that transformers 5 dropped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rrgbench_radgraph import tokenizer_methods


@pytest.fixture
def tokenizer(models: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(models / "bert")


def test_ids_are_put_between_the_special_tokens(tokenizer: Any) -> None:
    ids = tokenizer("small effusion", add_special_tokens=False)["input_ids"]
    between = tokenizer_methods.build_inputs_with_special_tokens(tokenizer, ids)
    assert between == [tokenizer.cls_token_id, *ids, tokenizer.sep_token_id]
    assert tokenizer_methods.build_inputs_with_special_tokens(tokenizer, []) == between[:1] + between[-1:]


def test_a_pair_is_encoded_with_its_types(tokenizer: Any) -> None:
    encoded = tokenizer_methods.encode_plus(tokenizer, "small", "heart", return_token_type_ids=True)
    words = tokenizer.convert_ids_to_tokens(encoded["input_ids"])
    assert words == ["[CLS]", "small", "[SEP]", "heart", "[SEP]"]
    assert encoded["token_type_ids"] == [0, 0, 0, 1, 1]


def test_methods_that_are_there_are_left_alone(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import PreTrainedTokenizerBase

    def own() -> None: ...

    for name in ("encode_plus", "build_inputs_with_special_tokens"):
        monkeypatch.setattr(PreTrainedTokenizerBase, name, own, raising=False)
    tokenizer_methods.put_back()
    assert PreTrainedTokenizerBase.encode_plus is own
    assert PreTrainedTokenizerBase.build_inputs_with_special_tokens is own
