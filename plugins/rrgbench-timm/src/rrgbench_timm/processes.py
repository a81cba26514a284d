"""The processes that train together, as Hugging Face Accelerate joins them; one alone is all there is of one.

Each has the whole model. Gradients are summed once a step, after all its passes, and not by a wrapper of the model
while a pass runs backwards: so a process whose memory did not suffice can do its passes again, in smaller pieces,
while the others wait, and nothing of a model's names changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from accelerate import PartialState
from accelerate.utils import broadcast, gather_object, reduce

from rrgbench.devices import pick_device


@dataclass(frozen=True)
class Processes:
    """This process, ``index`` of ``count``, and its device."""

    device: torch.device
    index: int = 0
    count: int = 1

    @property
    def main(self) -> bool:
        """Whether this is the one process that writes files and logs."""
        return self.index == 0

    def mine(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """This process's part of the rows: every ``count``-th."""
        return rows[self.index :: self.count]

    def summed(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum of every process's tensor, on this device."""
        if self.count == 1:
            return tensor
        total: torch.Tensor = reduce(tensor.to(self.device), "sum")
        return total

    def sum_gradients(self, parameters: Sequence[torch.Tensor], loss: torch.Tensor) -> torch.Tensor:
        """Make each gradient the sum of every process's, in one exchange; the sum of ``loss``, shape (), with them."""
        if self.count == 1:
            return loss
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = self.summed(torch.cat([*(gradient.flatten() for gradient in gradients), loss.view(1)]))
        *pieces, total = flat.split([*(gradient.numel() for gradient in gradients), 1])
        for gradient, piece in zip(gradients, pieces, strict=True):
            gradient.copy_(piece.view(gradient.shape))
        return total[0]

    def share_buffers(self, model: torch.nn.Module) -> None:
        """Give every process the main one's running statistics: each has seen other studies."""
        if self.count > 1:
            for buffer in model.buffers():
                broadcast(buffer)

    def gathered(self, items: list[Any]) -> list[Any]:
        """The items of all processes, one process's after the other's."""
        return list(gather_object(items)) if self.count > 1 else items

    def wait(self) -> None:
        """Wait until every process has come here."""
        if self.count > 1:
            PartialState().wait_for_everyone()


def joined(device: str) -> Processes:
    """The processes that were started together, by `accelerate launch` or torchrun, on the device of an option.

    Raises UsageError for a device that can't be used.
    """
    chosen = pick_device(device)
    state = PartialState(cpu=chosen.type == "cpu")
    if state.num_processes == 1:
        return Processes(chosen)
    return Processes(state.device, state.process_index, state.num_processes)
