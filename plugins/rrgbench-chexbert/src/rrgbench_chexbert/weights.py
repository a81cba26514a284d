"""Where CheXbert's files are. Nothing is downloaded: the licence of the weights is for their user to accept."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from rrgbench.cache import file_digest
from rrgbench.errors import UsageError

REPOSITORY, FILE = "StanfordAIMI/RRG_scorers", "chexbert.pth"  # where f1chexbert and RadEval take them from
BERT = ("bert-base-uncased", "google-bert/bert-base-uncased")  # one repository under two names


@dataclass(frozen=True)
class Files:
    """What CheXbert is made of."""

    checkpoint: Path
    config: Path  # config.json of bert-base-uncased
    vocabulary: Path  # its vocab.txt or, where there is none, tokenizer.json

    @property
    def signature(self) -> str:
        """Digests of the weights and the vocabulary."""
        return f"weights:{_digest(self.checkpoint)}|vocabulary:{_digest(self.vocabulary)}"


@lru_cache
def _digest(path: Path) -> str:
    return file_digest(path)[:12]  # the released weights have 1.3 GB


def find(checkpoint: Path | None, bert: Path | None) -> Files:
    """The files that the options name, or those in the usual places. Raises UsageError, which says what to get."""
    weights = checkpoint or next(filter(Path.is_file, _checkpoints()), None)
    if weights is None:
        raise UsageError(
            f"CheXbert's weights are not here. Get {FILE} (1.3 GB) from the hub repository {REPOSITORY}:"
            f" `hf download {REPOSITORY} {FILE} --local-dir {folder()}`, or say where it is:"
            ' labeler="chexbert:checkpoint=FILE".'
        )
    if not weights.is_file():
        raise UsageError(f"The checkpoint {weights} is not there. It is {FILE} of the hub repository {REPOSITORY}.")
    for place in [bert] if bert else _berts():
        vocabulary = next(filter(Path.is_file, (place / "vocab.txt", place / "tokenizer.json")), None)
        if vocabulary and (place / "config.json").is_file():
            return Files(weights, place / "config.json", vocabulary)
    where = f"{bert} lacks them" if bert else "they are not in the hub cache"
    raise UsageError(
        f"CheXbert needs config.json and vocab.txt of {BERT[0]}, and {where}:"
        f" `hf download {BERT[0]} config.json vocab.txt`, or say where they are:"
        ' labeler="chexbert:bert=FOLDER".'
    )


def folder() -> Path:
    """Where f1chexbert looks for the weights: the user's cache folder of the name chexbert."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "chexbert"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chexbert"


def _checkpoints() -> Iterator[Path]:
    """The usual places of the weights. f1chexbert's own download makes a hub cache of its folder."""
    yield folder() / FILE
    yield from _cached(REPOSITORY, FILE, folder())
    yield from _cached(REPOSITORY, FILE)


def _berts() -> Iterator[Path]:
    for repository in BERT:
        for config in _cached(repository, "config.json"):
            yield config.parent


def _cached(repository: str, name: str, cache: Path | None = None) -> Iterator[Path]:
    """The file of a hub repository, where the cache has it."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, name, cache_dir=cache)
    if isinstance(found, str):
        yield Path(found)
