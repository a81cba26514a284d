"""What an uncertain label and a blank one become in a training or evaluation target.

The four policies of Irvin et al., "CheXpert: A Large Chest Radiograph Dataset with Uncertainty Labels and Expert
Comparison" (AAAI 2019), section 3. Their fifth, U-SelfTrained, is a way of training: U-Ignore first, then the model's
own probability in the place of each uncertain label.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from rrgbench.errors import UsageError, did_you_mean
from rrgbench.types import Status

Policy = Literal["U-Ignore", "U-Zeros", "U-Ones", "U-MultiClass"]
Blank = Literal["ignore", "zero"]
POLICIES: tuple[Policy, ...] = get_args(Policy)

IGNORED = math.nan
_UNCERTAIN: dict[Policy, float] = {"U-Ignore": IGNORED, "U-Zeros": 0.0, "U-Ones": 1.0, "U-MultiClass": 2.0}
_BLANK: dict[Blank, float] = {"ignore": IGNORED, "zero": 0.0}


def targets(statuses: Iterable[Status], policy: Policy, *, blank: Blank) -> npt.NDArray[np.float64]:
    """The target of each status, of shape (statuses,): 1 present, 0 absent, NaN what the loss leaves out.

    ``policy`` says what uncertain becomes: NaN (U-Ignore), 0 (U-Zeros), 1 (U-Ones) or the third class 2
    (U-MultiClass: a softmax over 0, 1, 2, tested by p1 / (p0 + p1)). ``blank`` says what not mentioned becomes: a
    blank is no negative, so whoever trains on it as one (as most do on CheXpert) has to say so.

    >>> statuses = [Status.PRESENT, Status.ABSENT, Status.UNCERTAIN, Status.NOT_MENTIONED]
    >>> targets(statuses, "U-Ones", blank="zero")
    array([1., 0., 1., 0.])
    """
    if policy not in _UNCERTAIN:
        known = ", ".join(POLICIES)
        raise UsageError(f"There is no policy {policy!r}.{did_you_mean(policy, POLICIES)} There are: {known}.")
    if blank not in _BLANK:
        raise UsageError(f"A blank label can become {' or '.join(map(repr, _BLANK))}, not {blank!r}.")
    value = {
        Status.PRESENT: 1.0,
        Status.ABSENT: 0.0,
        Status.UNCERTAIN: _UNCERTAIN[policy],
        Status.NOT_MENTIONED: _BLANK[blank],
    }
    return np.array([value[Status(status)] for status in statuses], dtype=np.float64)
