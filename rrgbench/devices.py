"""For plugins: the torch device that an option names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rrgbench.errors import UsageError

if TYPE_CHECKING:
    import torch


def pick_device(name: str) -> torch.device:
    """The device that an option names; ``auto`` is a GPU where there is one, else the CPU. Raises UsageError."""
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"The device {name!r} can't be used here: {str(error).splitlines()[0]} Write device=auto or device=cpu."
        ) from error
    return device
