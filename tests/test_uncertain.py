"""The label policies of CheXpert (Irvin et al., AAAI 2019)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrgbench.errors import UsageError
from rrgbench.types import Status
from rrgbench.uncertain import POLICIES, targets

STATUSES = [Status.PRESENT, Status.ABSENT, Status.UNCERTAIN, Status.NOT_MENTIONED]
NAN = float("nan")


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("U-Ignore", [1, 0, NAN]),
        ("U-Zeros", [1, 0, 0]),
        ("U-Ones", [1, 0, 1]),
        ("U-MultiClass", [1, 0, 2]),
    ],
)
@pytest.mark.parametrize(("blank", "becomes"), [("ignore", NAN), ("zero", 0)])
def test_the_four_vectors(policy: str, expected: list[float], blank: str, becomes: float) -> None:
    found = targets(STATUSES, policy, blank=blank)  # type: ignore[arg-type]
    np.testing.assert_array_equal(found, [*expected, becomes])
    assert found.dtype == np.float64


def test_what_a_blank_becomes_has_to_be_said() -> None:
    with pytest.raises(TypeError, match="blank"):
        targets(STATUSES, "U-Ones")  # type: ignore[call-arg]


@given(st.lists(st.sampled_from(list(Status))), st.sampled_from(POLICIES), st.sampled_from(["ignore", "zero"]))
def test_what_is_certain_is_the_same_under_every_policy(statuses: list[Status], policy: str, blank: str) -> None:
    found = targets(statuses, policy, blank=blank)  # type: ignore[arg-type]
    assert found.shape == (len(statuses),)
    for status, value in zip(statuses, found, strict=True):
        if status in (Status.PRESENT, Status.ABSENT):
            assert value == (status is Status.PRESENT)


def test_an_unknown_policy_is_answered() -> None:
    with pytest.raises(UsageError, match="U-Ones, U-MultiClass"):
        targets(STATUSES, "U-SelfTrained", blank="zero")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="'ignore' or 'zero', not 'one'"):
        targets(STATUSES, "U-Ones", blank="one")  # type: ignore[arg-type]
