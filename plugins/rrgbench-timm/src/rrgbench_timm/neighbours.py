"""Exact nearest neighbours by cosine, and two ways to judge by them: softmax-weighted votes and ML-kNN.

Labels are judged apart, as both methods do: a label's neighbours are the nearest of the training studies for which it
is known, so that labels that are missing cost only themselves. A label that is known of fewer studies than are asked
for takes all but one of them (all others, seen from a training study). Memory is bounded whatever the number of
studies: similarities are computed in blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch

Features = npt.NDArray[np.float32]
Targets = npt.NDArray[np.float32]

QUERIES, TRAINING = 256, 16_384  # in a block: its similarities take 32 MiB
# Cosines are compared to 1e-9, and equal ones by the order of training: the last bits of a sum, which differ with the
# size of a batch, decide nothing. Cosine and row stand in one integer, so that no two are equal.
_COSINES, _ROWS = 2**30, 2**32
_NONE = -(2**62) - _ROWS  # below every cosine's


def usable(targets: Targets, ks: Sequence[int]) -> npt.NDArray[np.int64]:
    """How many neighbours each label has where k are asked for: shape (labels, len(ks))."""
    others = np.maximum((~np.isnan(targets)).sum(axis=0) - 1, 0)
    out: npt.NDArray[np.int64] = np.minimum(np.asarray(ks)[None, :], others[:, None]).astype(np.int64)
    return out


def counts(
    queries: Features,
    training: Features,
    targets: Targets,
    ks: Sequence[int],
    *,
    itself: bool = False,
    device: torch.device | str = "cpu",
) -> npt.NDArray[np.int64]:
    """How many of the k nearest are positive, for each k: shape (queries, labels, len(ks)).

    ``targets``, shape (training, labels), holds 1, 0 and NaN where a label is not known. ``itself``: the queries are
    the training studies, in order, and none is its own neighbour.
    """
    out = np.zeros((len(queries), targets.shape[1], len(ks)), dtype=np.int64)
    for rows, positive, _ in _nearest(queries, training, targets, max(ks), itself, torch.device(device)):
        out[rows] = _first(positive, usable(targets, ks)).round().long().numpy()
    return out


def shares(
    queries: Features,
    training: Features,
    targets: Targets,
    ks: Sequence[int],
    temperature: float = 0.07,
    *,
    device: torch.device | str = "cpu",
) -> npt.NDArray[np.float64]:
    """The positive share of the k nearest, each weighing exp(cosine / temperature): shape (queries, labels, len(ks)).

    DINOv2's kNN (facebookresearch/dinov2, eval/knn.py; temperature 0.07) takes the softmax over the greatest k and does
    not divide again for the smaller ones: the same class wins, but only shares of the k can be compared between
    studies. NaN for a label that no other study knows.
    """
    out = np.full((len(queries), targets.shape[1], len(ks)), np.nan)
    taken = usable(targets, ks)
    for rows, positive, cosine in _nearest(queries, training, targets, max(ks), False, torch.device(device)):
        weight = torch.exp((cosine - cosine[..., :1]) / temperature).nan_to_num()  # -inf - -inf: no neighbour at all
        out[rows] = (_first(weight * positive, taken) / _first(weight, taken)).numpy()
    return out


def ml_knn(
    positive: npt.NDArray[np.int64], targets: Targets, k: npt.NDArray[np.int64], smoothing: float = 1.0
) -> npt.NDArray[np.float64]:
    """The probability of each label given how many of its neighbours are positive: shape (labels, greatest k + 1).

    ML-kNN (Zhang & Zhou, Pattern Recognition 40, 2007, equations 1-3 and figure 1): the prior of a label times the
    share, among the training studies that have it, of those with so many positive neighbours, over the same for both
    answers, all smoothed. ``positive``, shape (training, labels), are the ``counts`` of the training studies without
    themselves; ``k``, shape (labels,), is how many neighbours a label has.
    """
    table = np.full((targets.shape[1], int(k.max(initial=0)) + 1), np.nan)
    for label, neighbours in enumerate(k):
        each = []
        for answer in (1, 0):
            so = targets[:, label] == answer
            seen = np.bincount(positive[so, label], minlength=neighbours + 1)
            prior = (smoothing + so.sum()) / (2 * smoothing + (~np.isnan(targets[:, label])).sum())
            each.append(prior * (smoothing + seen) / (smoothing * (neighbours + 1) + so.sum()))
        table[label, : neighbours + 1] = each[0] / (each[0] + each[1])
    return table


def looked_up(table: npt.NDArray[np.float64], positive: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The probabilities of studies, shape (studies, labels), from ``ml_knn``'s table and their counts."""
    return table[np.arange(len(table)), positive]


def _first(values: torch.Tensor, taken: npt.NDArray[np.int64]) -> torch.Tensor:
    """The sum of each label's first values: (queries, labels, k) and (labels, ks) to (queries, labels, ks)."""
    sums = torch.nn.functional.pad(values.cumsum(-1), (1, 0))
    return sums.gather(-1, torch.from_numpy(taken).expand(len(values), -1, -1))


def _nearest(
    queries: Features, training: Features, targets: Targets, k: int, itself: bool, device: torch.device
) -> Iterator[tuple[slice, torch.Tensor, torch.Tensor]]:
    """Blocks of queries: their rows; the answer (1, 0) and the cosine of each label's nearest, nearest first.

    Both are float64 of shape (queries, labels, k), on the CPU; where there are fewer, 0 and minus infinity.
    """
    # Labels that are known of the same studies have the same neighbours.
    patterns, which = np.unique(~np.isnan(targets), axis=1, return_inverse=True)
    answers = torch.from_numpy(np.nan_to_num(targets)).double()
    column = torch.arange(targets.shape[1]).view(1, -1, 1)
    for start in range(0, len(queries), QUERIES):
        asked = _unit(queries[start : start + QUERIES], device)
        best = [torch.empty((len(asked), 0), dtype=torch.int64, device=device) for _ in patterns.T]
        for at in range(0, len(training), TRAINING):
            near = asked @ _unit(training[at : at + TRAINING], device).T
            row = torch.arange(at, at + near.shape[1], device=device)
            keys = torch.round(near * _COSINES).long() * _ROWS + (_ROWS - 1 - row)
            if itself:
                keys[torch.arange(start, start + len(asked), device=device)[:, None] == row] = _NONE
            for number, pattern in enumerate(patterns.T):
                known = torch.from_numpy(pattern[at : at + TRAINING]).to(device)
                both = torch.cat([best[number], torch.where(known, keys, _NONE)], dim=1)
                best[number] = both.topk(min(k, both.shape[1]), dim=1).values
        key = torch.stack(best, dim=1).cpu()[:, torch.from_numpy(which.reshape(-1))]
        key = torch.nn.functional.pad(key, (0, k - key.shape[-1]), value=_NONE)
        there = key > _NONE
        row = (_ROWS - 1 - key % _ROWS).where(there, 0)
        cosine = torch.div(key, _ROWS, rounding_mode="floor") / _COSINES
        positive = answers[row, column].where(there, 0.0)
        yield slice(start, start + len(asked)), positive, cosine.double().where(there, -torch.inf)


def _unit(features: Features, device: torch.device) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.from_numpy(np.array(features)).to(device).double(), dim=1)
