"""The vocabulary that an encoder's labels are."""

from __future__ import annotations

from collections.abc import Sequence

from rrgbench.errors import UsageError
from rrgbench.labels import VOCABULARIES
from rrgbench.types import Vocabulary


def of_labels(labels: Sequence[str]) -> Vocabulary:
    """The known vocabulary of exactly these labels, or one of their own. Raises UsageError for none, or one twice."""
    if len(set(labels)) != len(labels) or not labels:
        raise UsageError(f"The labels of an encoder are distinct names, at least one; given: {', '.join(labels)}.")
    known = (vocabulary for vocabulary in VOCABULARIES.values() if vocabulary.labels == tuple(labels))
    return next(known, Vocabulary("custom", tuple(labels)))
