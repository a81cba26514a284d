"""Two methods of tokenizers that radgraph 0.1.18 calls and transformers 5 dropped, put back only where they lack."""

from __future__ import annotations

from typing import Any


def put_back() -> None:
    """Give tokenizers ``encode_plus`` and ``build_inputs_with_special_tokens``; under transformers 4, nothing."""
    from transformers import PreTrainedTokenizerBase

    for method in (encode_plus, build_inputs_with_special_tokens):
        if not hasattr(PreTrainedTokenizerBase, method.__name__):
            setattr(PreTrainedTokenizerBase, method.__name__, method)


def encode_plus(self: Any, text: Any, text_pair: Any = None, **options: Any) -> Any:
    """Token ids of one text or pair, as transformers 4 did: calling the tokenizer does the same."""
    return self(text, text_pair, **options)


def build_inputs_with_special_tokens(self: Any, ids: list[int]) -> list[int]:
    """The ids between the special tokens that this tokenizer puts around a text (for BERT, [CLS] and [SEP])."""
    whole, bare = self("a")["input_ids"], self("a", add_special_tokens=False)["input_ids"]
    start = next(at for at in range(len(whole)) if whole[at : at + len(bare)] == bare)
    return [*whole[:start], *ids, *whole[start + len(bare) :]]
