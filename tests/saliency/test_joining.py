"""The maps of several encoders as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from rrgbench.errors import UsageError
from rrgbench.labels import CHEXPERT, NIH
from rrgbench.saliency.joining import of_members
from rrgbench.types import Context, Failure, Vocabulary

TWO = [Context("a"), Context("b")]


class Member:
    """Gives one map for each of its labels; fails on the studies named."""

    needs = ("images",)

    def __init__(
        self, vocabulary: Vocabulary, size: int = 4, fails: Sequence[str] = (), **maps: Sequence[float]
    ) -> None:
        self.vocabulary, self._size, self._fails = vocabulary, size, fails
        self.thresholds = dict.fromkeys(maps, 0.5)
        self._maps = maps

    def saliency(self, contexts: Sequence[Context], labels: Sequence[str], method: str) -> list[object]:
        assert all(label in self._maps for label in labels), "asked for a label that it does not assess"
        maps = {label: np.repeat(np.float32([self._maps[label]]), self._size, axis=0) for label in labels}
        return [Failure("image", "dark") if seen.study_id in self._fails else maps for seen in contexts]


def test_maps_are_averaged_by_their_shares_of_their_maxima() -> None:
    members = [Member(CHEXPERT, Edema=[0, 1, 2, 4]), Member(CHEXPERT, Edema=[300, 0, 0, 0])]
    (found, _) = of_members(members, CHEXPERT, TWO, ["Edema"], "grad-cam")
    assert isinstance(found, dict)
    assert found["Edema"].dtype == np.float32 and found["Edema"][0].tolist() == [0.5, 0.125, 0.25, 0.5]


def test_another_vocabulary_is_translated_and_another_size_fitted() -> None:
    other = Member(NIH, size=8, Mass=[1.0] * 4 + [0.0] * 4, Nodule=[0.0] * 6 + [5.0] * 2, Effusion=[1.0] * 8)
    own = Member(CHEXPERT, **{"Lung Lesion": [0.0, 0.0, 0.0, 1.0]})
    (found, _) = of_members([own, other], CHEXPERT, TWO, ["Lung Lesion", "Pleural Effusion"], "grad-cam")
    assert isinstance(found, dict)
    assert found["Lung Lesion"].shape == (4, 4)
    assert found["Lung Lesion"][1] == pytest.approx([1 / 2, 7 / 16, 1 / 8, 13 / 14])  # of 8 values 4, by a triangle
    assert (found["Pleural Effusion"] == 1).all()  # of the one member that assesses it


def test_an_empty_map_stays_empty_and_a_failure_is_the_ensemble_s() -> None:
    members = [Member(CHEXPERT, Edema=[0, 0]), Member(CHEXPERT, fails=["b"], Edema=[0, 0])]
    first, second = of_members(members, CHEXPERT, TWO, ["Edema"], "grad-cam")
    assert isinstance(first, dict) and not first["Edema"].any()
    assert second == Failure("image", "dark")


def test_what_can_t_be_is_refused() -> None:
    with pytest.raises(UsageError, match="can't say where it looks"):
        of_members([object()], CHEXPERT, TWO, ["Edema"], "grad-cam")
    with pytest.raises(UsageError, match="No member .* assesses 'Fracture'"):
        of_members([Member(CHEXPERT, Edema=[1, 0])], CHEXPERT, TWO, ["Fracture"], "grad-cam")
