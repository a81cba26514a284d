"""What R2Gen's tokenizer and data loader do to a cleaned report, and so to the references that its papers score.

Source: cuhksz-nlp/R2Gen, modules/tokenizers.py, datasets.py and trainer.py. A report becomes ``[0] + ids + [0]``, cut
to ``max_seq_length`` with the leading 0; for scoring, that 0 is dropped and the rest decoded up to the next 0. So at
most ``max_seq_length - 1`` words are left: 99 of MIMIC-CXR (length 100, threshold 10), 59 of IU X-Ray (60 and 3).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

UNKNOWN = "<unk>"


def vocabulary(texts: Iterable[str], min_count: int) -> frozenset[str]:
    """The words that stand at least ``min_count`` times in the cleaned training reports, and ``<unk>``.

    The training split alone counts (only the repository's first version counted val, too), and a report counts as often
    as annotation.json lists it: once an image for MIMIC-CXR, once a study for IU X-Ray.
    """
    counts = Counter(word for text in texts for word in text.split())
    return frozenset(word for word, n in counts.items() if n >= min_count) | {UNKNOWN}


def encode_decode(text: str, vocabulary: Collection[str] | None, max_length: int) -> str:
    """A cleaned text as it comes back from R2Gen's tokenizer: cut, and words outside the vocabulary ``<unk>``.

    ``max_length`` is R2Gen's ``max_seq_length``, so one word fewer is left. With no vocabulary the text is only cut.

    >>> encode_decode("no focal bronchiectasis . heart is normal .", {"no", "focal", ".", "heart", "<unk>"}, 6)
    'no focal <unk> . heart'
    """
    words = text.split()[: max(0, max_length - 1)]
    return " ".join(word if vocabulary is None or word in vocabulary else UNKNOWN for word in words)
