"""How an encoder is trained: every choice, with its default, in one record that the checkpoint keeps."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from rrgbench.errors import UsageError
from rrgbench.interfaces import Encoder
from rrgbench.uncertain import Blank

LossName = Literal["bce", "weighted", "focal", "asymmetric"]
ScheduleName = Literal["cosine", "one-cycle", "step", "plateau"]
Uncertain = Literal["U-Ignore", "U-Zeros", "U-Ones", "U-MultiClass", "U-SelfTrained"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The options of a training. Raises UsageError for one that makes no sense.

    Length: ``epochs``; ``batch`` studies a step, of all devices together; ``limit`` takes the first studies of each
    split only; ``patience`` epochs without a better validation AUROC end it early (None: never).

    Optimiser: ``adamw`` or ``sgd`` (momentum 0.9, Nesterov); ``lr`` the peak; ``weight_decay`` of matrices only;
    ``accumulate`` passes a step, each over ``batch / accumulate`` studies, for less memory; ``clip`` the gradient's
    norm (0: don't); ``ema`` the decay of an average of the weights, which is then what is kept (0: none).

    Schedule: ``warmup`` in epochs, then ``cosine`` to 0, ``one-cycle`` (its own warm-up, over 30 % of the steps),
    ``step`` (times ``decay`` every ``decay_epochs``) or ``plateau`` (times ``decay`` after ``decay_epochs`` epochs
    without a better validation AUROC).

    Loss: ``bce``; ``weighted`` by each label's share of positives; ``focal``; ``asymmetric``; ``gamma`` the focusing of
    the last two (None: their papers'). ``uncertain`` and ``blank`` say what labels that are uncertain or not mentioned
    become. ``teacher`` is an encoder (with weights, or a file of probabilities) whose probabilities are learned from:
    under ``U-SelfTrained`` for the uncertain labels only, otherwise mixed into every target by ``teacher_weight``.

    Regularisation: ``dropout`` and ``drop_path`` rates; ``augment`` (turned, moved, scaled, exposed a little
    differently) and ``mirror``, which is off because a finding has a side; ``balance`` draws studies of rare labels
    more often.

    Fine-tuning: ``freeze`` names the layers that stay, by the beginnings of their names, or ``backbone`` for all but
    the head; ``layer_decay`` times the learning rate for each layer further from the head; ``lora`` the rank of
    low-rank updates of frozen matrices (0: none).

    After training: ``thresholds`` on validation by the best F1, Youden's J or the fixed ``recall``; ``calibrate`` the
    probabilities there.

    Machine: ``precision`` of the arithmetic; ``stored`` that of the weights kept; ``workers`` processes that read
    images (None: as many as there are cores to spare); ``save_minutes`` between the states from which a killed training
    goes on. ``licence`` is that of the weights.
    """

    epochs: int = 12
    batch: int = 64
    limit: int | None = None
    patience: int | None = None
    optimiser: Literal["adamw", "sgd"] = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.05
    accumulate: int = 1
    clip: float = 1.0
    ema: float = 0.0
    schedule: ScheduleName = "cosine"
    warmup: float = 1.0
    decay: float = 0.1
    decay_epochs: int = 4
    loss: LossName = "bce"
    gamma: float | None = None
    uncertain: Uncertain = "U-Ignore"
    blank: Blank = "ignore"
    teacher: Encoder | None = None
    teacher_weight: float = 0.5
    dropout: float = 0.0
    drop_path: float = 0.0
    augment: bool = True
    mirror: bool = False
    balance: bool = False
    freeze: list[str] = field(default_factory=list)
    layer_decay: float = 1.0
    lora: int = 0
    thresholds: Literal["f1", "youden", "recall"] = "f1"
    recall: float = 0.9
    calibrate: Literal["none", "temperature", "platt"] = "none"
    precision: Literal["fp32", "bf16"] = "fp32"
    stored: Literal["fp16", "fp32"] = "fp32"
    workers: int | None = None
    save_minutes: float = 10.0
    licence: str | None = None

    def __post_init__(self) -> None:
        positive = {name: getattr(self, name) > 0 for name in ("epochs", "lr", "accumulate", "decay_epochs")}
        at_least_0 = {
            name: getattr(self, name) >= 0 for name in ("weight_decay", "warmup", "clip", "lora", "save_minutes")
        }
        shares = {name: 0 <= getattr(self, name) <= 1 for name in ("teacher_weight", "recall", "decay")}
        below_1 = {name: 0 <= getattr(self, name) < 1 for name in ("ema", "dropout", "drop_path")}
        infinite = {name: value != math.inf for name, value in vars(self).items()}
        checks = [
            (infinite, "is finite"),
            (positive, "is above 0"),
            (at_least_0, "is at least 0"),
            (shares, "lies in 0..1"),
            (below_1, "is at least 0 and below 1"),
            ({"layer_decay": 0 < self.layer_decay <= 1}, "lies above 0 and at most at 1"),
            ({"batch": self.batch >= 2 * self.accumulate}, "is at least 2 for each pass of a step"),
            ({"limit": self.limit is None or self.limit >= 2}, "is at least 2"),
            ({"gamma": self.gamma is None or self.gamma >= 0}, "is at least 0"),
            ({"patience": self.patience is None or self.patience >= 1}, "is at least 1"),
            ({"workers": self.workers is None or self.workers >= 0}, "is at least 0"),
        ]
        for fine, words in checks:
            if wrong := next((name for name, ok in fine.items() if not ok), None):
                raise UsageError(f"The recipe can't have {wrong}={getattr(self, wrong)}: it {words}.")
        if self.batch % self.accumulate:
            raise UsageError(f"The recipe's batch {self.batch} can't be parted into {self.accumulate} equal passes.")
