"""CheXbert itself: BERT, and a linear layer for each label on the last hidden state of [CLS].

Smit et al., EMNLP 2020; models/bert_labeler.py and bert_tokenizer.py of stanfordmlgroup/CheXbert. Written on torch
alone (a BERT layer is torch's TransformerEncoderLayer), so that it is the same beside any version of transformers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import BertWordPieceTokenizer, Tokenizer
from torch import Tensor, nn

from rrgbench.errors import UsageError
from rrgbench_chexbert.weights import Files

MAX_TOKENS = 512  # bert_tokenizer.py: [CLS], the first 510 tokens, [SEP]
CLASSES = (*[4] * 13, 2)  # of each head: blank, positive, negative, uncertain; of the last: blank, positive
PADDING = 16  # tokens by which texts that are read together may differ
KEPT = 20_000  # texts whose reading is kept: a grid of systems has the same references (3 kB a text)
_SPACE = re.compile(r"\s+")


class Reading(NamedTuple):
    """What CheXbert makes of one text."""

    classes: npt.NDArray[np.int8]  # of each head, shape (14,)
    vector: npt.NDArray[np.float32]  # the last hidden state of [CLS], shape (hidden size,)


class Network(nn.Module):
    """The network, of the sizes that the checkpoint has."""

    def __init__(self, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
        super().__init__()
        words, positions = state["bert.embeddings.word_embeddings.weight"], "bert.embeddings.position_embeddings.weight"
        hidden = words.shape[1]
        self.words = nn.Embedding(*words.shape)
        self.positions = nn.Embedding(*state[positions].shape)
        self.segments = nn.Embedding(*state["bert.embeddings.token_type_embeddings.weight"].shape)
        self.norm = nn.LayerNorm(hidden, config["layer_norm_eps"])
        layer = nn.TransformerEncoderLayer(
            hidden,
            config["num_attention_heads"],
            state["bert.encoder.layer.0.intermediate.dense.weight"].shape[0],
            activation="gelu",
            layer_norm_eps=config["layer_norm_eps"],
            batch_first=True,
        )
        self.layers = nn.TransformerEncoder(layer, config["num_hidden_layers"], enable_nested_tensor=False)
        self.heads = nn.ModuleList(nn.Linear(hidden, n) for n in CLASSES)
        self.load_state_dict(_renamed(state, config["num_hidden_layers"]))

    def forward(self, ids: Tensor, padding: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Vectors of shape (texts, hidden) and a head's scores of shape (texts, classes) each.

        ``ids`` has shape (texts, tokens), ``padding`` is true where there is no token.
        """
        embedded = self.words(ids) + self.positions.weight[: ids.shape[1]] + self.segments.weight[0]
        vectors = self.layers(self.norm(embedded), src_key_padding_mask=padding)[:, 0]
        return vectors, [head(vectors) for head in self.heads]


class Reader:
    """Texts to what CheXbert makes of them. Each different text is read once, and batched with others of its length.

    A text's vector does not depend on the texts beside it, but for the rounding of float32 (about 1e-6).
    """

    def __init__(self, files: Files, device: torch.device) -> None:
        config = _config(files.config)
        state = _state(files.checkpoint)
        self._tokenizer = _tokenizer(files.vocabulary)
        try:
            self._network = Network(state, config).eval().to(device)
        except (KeyError, RuntimeError, AssertionError) as error:
            raise UsageError(
                f"The checkpoint {files.checkpoint} is not CheXbert's for {files.config}:"
                f" {' '.join(str(error).split())[:300]}."
            ) from error
        words = self._network.words.num_embeddings
        if self._tokenizer.get_vocab_size() > words or config["vocab_size"] != words:
            raise UsageError(
                f"The checkpoint {files.checkpoint} knows {words} tokens, {files.config} {config['vocab_size']} and"
                f" {files.vocabulary} {self._tokenizer.get_vocab_size()}: they don't belong together."
            )
        self._tokenizer.enable_truncation(min(MAX_TOKENS, self._network.positions.num_embeddings))
        self._tokenizer.no_padding()
        self._device = device
        self._known: dict[str, Reading] = {}

    def read(self, texts: Sequence[str], batch: int) -> list[Reading]:
        """What it makes of each text, in order."""
        prepared = [collapsed(text) for text in texts]
        known = {text: self._known[text] for text in dict.fromkeys(prepared) if text in self._known}
        new = [text for text in dict.fromkeys(prepared) if text not in known]
        ids = self.tokens(new)
        for together in _batches([len(of_text) for of_text in ids], batch):
            for at, reading in zip(together, self._forward([ids[i] for i in together]), strict=True):
                known[new[at]] = reading
        self._known = known if len(self._known) + len(new) > KEPT else self._known | known
        return [known[text] for text in prepared]

    def tokens(self, prepared: Sequence[str]) -> list[list[int]]:
        """The token ids of each text, from [CLS] to [SEP]."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch(list(prepared))]

    @torch.inference_mode()
    def _forward(self, ids: Sequence[Sequence[int]]) -> list[Reading]:
        longest = max(map(len, ids))
        padded = torch.tensor([[*row, *[0] * (longest - len(row))] for row in ids], device=self._device)
        padding = torch.tensor([[at >= len(row) for at in range(longest)] for row in ids], device=self._device)
        vectors, scores = self._network(padded, padding)
        classes = torch.stack([head.argmax(dim=1) for head in scores], dim=1).to(torch.int8)
        return [Reading(*pair) for pair in zip(classes.cpu().numpy(), vectors.cpu().numpy(), strict=True)]


def _batches(lengths: Sequence[int], batch: int) -> Iterator[list[int]]:
    """The places of texts to read together: of about the same length, so that little is computed of padding."""
    by_length = sorted(range(len(lengths)), key=lambda at: lengths[at])
    for _, group in groupby(by_length, key=lambda at: lengths[at] // PADDING):
        alike = list(group)
        for start in range(0, len(alike), batch):
            yield alike[start : start + batch]


@lru_cache(maxsize=1)
def reader(files: Files, device: torch.device) -> Reader:
    """The reader of these files, loaded once for all parts that use it."""
    return Reader(files, device)


def collapsed(text: str) -> str:
    """White space as single spaces, as in bert_tokenizer.py. Half a surrogate pair becomes ?: no tokenizer takes it."""
    return _SPACE.sub(" ", text).strip().encode("utf-8", "replace").decode()


def _config(path: Path) -> dict[str, Any]:
    """BERT's configuration: what the weights alone don't say."""
    try:
        config: dict[str, Any] = {"layer_norm_eps": 1e-12, **json.loads(path.read_text(encoding="utf-8"))}
        return {
            "num_attention_heads": int(config["num_attention_heads"]),
            "num_hidden_layers": int(config["num_hidden_layers"]),
            "layer_norm_eps": float(config["layer_norm_eps"]),
            "vocab_size": int(config["vocab_size"]),
        }
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{path} is no configuration of BERT: {error!r}.") from error


def _tokenizer(path: Path) -> Tokenizer | BertWordPieceTokenizer:
    """BERT's uncased WordPiece tokenizer."""
    try:
        if path.suffix == ".txt":
            return BertWordPieceTokenizer(str(path), lowercase=True)
        return Tokenizer.from_file(str(path))
    except Exception as error:  # what tokenizers raises is plain Exception
        raise UsageError(f"{path} is no vocabulary of BERT: {' '.join(str(error).split())}.") from error


def _state(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint, without running what a pickle could run."""
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        state = {key.removeprefix("module."): value.float() for key, value in loaded["model_state_dict"].items()}
    except (UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"The checkpoint {path} is not CheXbert's: it must be a file of torch.save that holds nothing but tensors"
            f" and numbers, the weights under 'model_state_dict' ({type(error).__name__}:"
            f" {' '.join(str(error).split())[:200]})."
        ) from error
    if broken := [key for key, value in state.items() if not value.isfinite().all()]:
        raise UsageError(f"The checkpoint {path} holds NaN or infinite weights, first in {broken[0]!r}.")
    return state


def _renamed(state: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """The checkpoint's tensors by the names that they have here. Raises KeyError for what is lacking."""
    out = {
        "words.weight": state["bert.embeddings.word_embeddings.weight"],
        "positions.weight": state["bert.embeddings.position_embeddings.weight"],
        "segments.weight": state["bert.embeddings.token_type_embeddings.weight"],
    }
    for kind in ("weight", "bias"):
        out[f"norm.{kind}"] = state[f"bert.embeddings.LayerNorm.{kind}"]
        for at in range(len(CLASSES)):
            out[f"heads.{at}.{kind}"] = state[f"linear_heads.{at}.{kind}"]
        for at in range(layers):
            old, new = f"bert.encoder.layer.{at}", f"layers.layers.{at}"
            out[f"{new}.self_attn.in_proj_{kind}"] = torch.cat(
                [state[f"{old}.attention.self.{name}.{kind}"] for name in ("query", "key", "value")]
            )
            for there, here in _PIECES.items():
                out[f"{new}.{here}.{kind}"] = state[f"{old}.{there}.{kind}"]
    return out


_PIECES = {
    "attention.output.dense": "self_attn.out_proj",
    "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "linear1",
    "output.dense": "linear2",
    "output.LayerNorm": "norm2",
}
