"""Which labels two vocabularies can be compared on, and what the averages over them are called."""

from __future__ import annotations

from collections.abc import Sequence

from rrgbench.labels import CHEXPERT, CHEXPERT_5, NO_FINDING, counterparts, snake
from rrgbench.types import Vocabulary


def comparable(truth: Vocabulary, made: Vocabulary) -> Vocabulary:
    """The labels that both have, in the vocabulary into which the other one can be translated.

    NIH's labels translate into CheXpert's, not back (Mass and Nodule are one Lung Lesion), so that a CheXpert encoder
    on NIH's data is compared in CheXpert's words.
    """
    forward, back = counterparts(truth, made), counterparts(made, truth)
    target, table = (made, forward) if len(forward) >= len(back) else (truth, back)
    return Vocabulary(target.name, tuple(label for label in target.labels if label in table))


def averaged(labels: Sequence[str]) -> dict[str, list[int]]:
    """The groups of labels (snake case) that averages are taken over: positions by suffix.

    ``14`` and ``5`` are CheXpert's and stand only for all of them; any other set is ``all``.
    """
    if set(labels) == {snake(label) for label in CHEXPERT.labels}:
        return {"14": list(range(len(labels))), "5": [labels.index(snake(label)) for label in CHEXPERT_5]}
    return {"all": list(range(len(labels)))}


def clinical(labels: Sequence[str]) -> dict[str, list[int]]:
    """The same groups and, where the labels are CheXpert's, ``13``: without No Finding, which is no finding."""
    groups = averaged(labels)
    if "14" in groups:
        groups["13"] = [at for at in groups["14"] if labels[at] != snake(NO_FINDING)]
    return groups


def described(labels: Sequence[str]) -> str:
    """The labels compared, as a signature says them."""
    if set(labels) == {snake(label) for label in CHEXPERT.labels}:
        return "labels:chexpert-14"
    return "labels:" + "+".join(labels)
