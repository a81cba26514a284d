"""bert-score itself, with what it needs to work on local files and with transformers 5. Imports torch."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from rrgbench import torchvision_ops
from rrgbench.errors import UsageError

torchvision_ops.declare_missing()

import bert_score  # type: ignore[import-untyped]  # noqa: E402
from bert_score import utils  # noqa: E402
from transformers import AutoConfig, AutoTokenizer, GPT2Tokenizer, RobertaTokenizer  # noqa: E402

_NO_LIMIT = 1_000_000  # tokenizers that don't know their longest input say 1e30


def layer(model: str, folder: Path, asked: int | None) -> int:
    """The layer to compare: the one asked for, or bert-score's choice for the model. Raises UsageError."""
    number = utils.model2layers.get(model) if asked is None else asked
    if number is None:
        raise UsageError(
            f"bert-score has no layer of its own for the model {model!r}: say bertscore:model={model},layer=…."
        )
    config = AutoConfig.from_pretrained(folder)
    if not 0 <= number <= config.num_hidden_layers:
        raise UsageError(f"The model {model!r} has the layers 1 to {config.num_hidden_layers}, not {number}.")
    if "t5" in str(folder) and "t5" not in config.model_type:
        raise UsageError(f"bert-score takes whatever has 't5' in its path for a T5 model: rename {folder}.")
    return int(number)


def baseline(model: str, layer: int) -> torch.Tensor:
    """bert-score's baseline of precision, recall and F1 for English and this model. Raises UsageError."""
    file = Path(bert_score.__file__).parent / "rescale_baseline" / "en" / f"{model}.tsv"
    if not file.is_file():
        raise UsageError(
            f"bert-score has no baseline to rescale by for the model {model!r}: say bertscore:rescale=no,…."
        )
    table = pd.read_csv(file)
    return torch.tensor([float(table[name].iloc[layer]) for name in ("P", "R", "F")])


def load(folder: Path, layer: int, device: torch.device) -> tuple[Any, Any]:
    """The tokenizer and the network up to the layer."""
    tokenizer = AutoTokenizer.from_pretrained(folder, use_fast=False)
    network = utils.get_model(str(folder), layer).to(device)
    _mend(tokenizer)
    _limit(tokenizer, network.config)
    return tokenizer, network


def _mend(tokenizer: Any) -> None:
    """Give a tokenizer what transformers 4 had and bert-score relies on (``utils.sent_encode``).

    transformers 5 dropped the method that makes the input of an empty text, and passes over ``add_prefix_space``
    in silence: the first word of every text would be other word pieces in RoBERTa's vocabulary.
    """
    encode = tokenizer.encode
    if not hasattr(tokenizer, "build_inputs_with_special_tokens"):
        tokenizer.build_inputs_with_special_tokens = lambda ids: encode("", add_special_tokens=True)
    if isinstance(tokenizer, GPT2Tokenizer | RobertaTokenizer):
        tokenizer.encode = lambda text, add_prefix_space, **options: encode(f" {text}", **options)


def _limit(tokenizer: Any, config: Any) -> None:
    """Cut texts at what the network can read, also where the tokenizer does not say it."""
    positions = getattr(config, "max_position_embeddings", _NO_LIMIT)
    if isinstance(tokenizer, RobertaTokenizer):
        positions -= config.pad_token_id + 1  # RoBERTa counts positions from there
    tokenizer.model_max_length = min(tokenizer.model_max_length, positions)
    if tokenizer.model_max_length >= _NO_LIMIT:
        raise UsageError("The model doesn't say how long a text may be: put model_max_length in tokenizer_config.json.")


def no_idf(tokenizer: Any) -> Mapping[int, float]:
    """Weights of word pieces without idf: 1, and 0 for the marks of a text's beginning and end (``score.py``)."""
    weights: defaultdict[int, float] = defaultdict(lambda: 1.0)
    weights.update({tokenizer.sep_token_id: 0.0, tokenizer.cls_token_id: 0.0})
    return weights


def idf(references: Sequence[str], tokenizer: Any) -> Mapping[int, float]:
    """Weights of word pieces by their rarity in the references."""
    weights: Mapping[int, float] = utils.get_idf_dict(references, tokenizer, nthreads=0)
    return weights


def score(
    candidates: Sequence[str],
    references: Sequence[str],
    tokenizer: Any,
    network: Any,
    weights: Mapping[int, float],
    baseline: torch.Tensor | None,
    batch: int,
) -> list[tuple[float, ...]]:
    """Precision, recall and F1 of each pair. NaN where precision or recall is (bert-score then says that F1 is 0)."""
    where = next(network.parameters()).device
    pairs = list(references), list(candidates)
    values = utils.bert_cos_score_idf(network, *pairs, tokenizer, weights, batch_size=batch, device=where).cpu()
    if baseline is not None:
        values = (values - baseline) / (1 - baseline)
    return [tuple(row) if not any(map(math.isnan, row)) else (math.nan,) * 3 for row in values.tolist()]
