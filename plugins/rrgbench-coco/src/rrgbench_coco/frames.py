"""The form in which every metric here gives its rows and its scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from rrgbench.types import Case


def frame(
    cases: Sequence[Case], values: Iterable[Sequence[float]] | npt.NDArray[np.float64], columns: list[str]
) -> pd.DataFrame:
    """Rows of numbers, one a case, indexed by study_id."""
    index = pd.Index([case.study.study_id for case in cases], name="study_id")
    numbers = values if isinstance(values, np.ndarray) else np.asarray(list(values), float)
    return pd.DataFrame(numbers.reshape(len(cases), len(columns)), index=index, columns=columns)


def unwrap(
    scores: Mapping[str, npt.NDArray[np.float64]], weights: npt.NDArray[np.float64] | None
) -> Mapping[str, float] | Mapping[str, npt.NDArray[np.float64]]:
    """Scores of shape (resamples,), as floats where no resamples were asked for."""
    return scores if weights is not None else {name: float(values[0]) for name, values in scores.items()}
