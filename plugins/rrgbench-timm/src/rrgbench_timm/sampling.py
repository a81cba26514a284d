"""In which order studies are learned from, and how often those of rare labels come."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def order(n: int, epoch: int, seed: int, weights: npt.NDArray[np.float64] | None = None) -> npt.NDArray[np.int64]:
    """The rows 0..n-1 in the order of an epoch, shape (n,); a pure function of what it is given.

    Without ``weights`` every row comes once, in an order that is shuffled anew each epoch. With them, shape (n,), n
    rows are drawn with replacement, each time row i with the chance weights[i] / sum(weights).
    """
    rng = np.random.default_rng([seed, epoch])
    if weights is None:
        return rng.permutation(n)
    return rng.choice(n, size=n, p=weights / weights.sum()).astype(np.int64)


def rarity_weights(target: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """How often each study should come, shape (studies,), at least 1: the more often the rarer the labels it shows.

    ``target``, shape (studies, labels), is 1 where present; all else (absent, uncertain, NaN) counts as not present. A
    study's weight is the greatest of its present labels' 1 / sqrt(share of the studies that show the label), and 1 if
    it shows none. So a study of a label that 1 % show weighs ten times one that shows nothing: the root leaves rare
    labels rare, rather than repeating a handful of their pictures a hundred times. This is the resampling of Mahajan et
    al. (ECCV 2018), max(1, sqrt(t / share)) and the greatest over an image's labels, which Gupta et al. (LVIS, CVPR
    2019) took up as repeat factor sampling; here t = 1, so that every label's share counts.
    """
    present = target == 1
    share = present.mean(axis=0)
    often = 1 / np.sqrt(np.where(share > 0, share, 1.0))
    weights: npt.NDArray[np.float64] = np.where(present, often, 1.0).max(axis=1)
    return weights
