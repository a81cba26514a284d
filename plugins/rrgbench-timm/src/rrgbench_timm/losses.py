"""The losses, label by label: a target that is not known costs nothing, one between 0 and 1 is both in part.

Each is a pair of functions, the loss if a label is present and if it is absent: a target t costs t times the one and
1 - t times the other, which is the loss that is expected if the label is present with probability t.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from rrgbench.errors import UsageError
from rrgbench_timm.recipe import LossName

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

FOCAL_GAMMA = 2.0  # Lin et al., "Focal Loss for Dense Object Detection" (ICCV 2017), section 4 and table 1b
FOCAL_ALPHA = 0.25  # the same; the best with a gamma of 1 to 5. torchvision.ops.sigmoid_focal_loss has both, too
# Ridnik et al., "Asymmetric Loss For Multi-Label Classification" (ICCV 2021): the paper's gamma+ and margin. (The
# authors' code, and timm's after it, have a gamma+ of 1 by default.)
ASYMMETRIC_GAMMA_ABSENT = 4.0
ASYMMETRIC_GAMMA_PRESENT = 0.0
ASYMMETRIC_MARGIN = 0.05

CLASSES = 3  # of U-MultiClass: 0 absent, 1 present, 2 uncertain


def elementwise(
    name: LossName, gamma: float | None, targets: npt.NDArray[np.floating], *, multiclass: bool = False
) -> Loss:
    """The loss of each label of each study: (logits, target) to a tensor of target's shape (batch, labels).

    ``targets``, of shape (studies, labels), are those of the training split, NaN where not known; ``weighted`` counts
    them. A target that is NaN costs exactly 0 and has no gradient. What comes back is at least float32.

    ``bce``: binary cross-entropy. ``weighted``: the same, times the share of the other class among the label's known
    targets, |N| / (|P| + |N|) where present and |P| / (|P| + |N|) where absent (CheXNet: Rajpurkar et al. 2017,
    arXiv:1711.05225, section 2.1); a label that has one class only keeps weights of 1. ``focal``: -alpha (1 - p)^gamma
    log p where present and -(1 - alpha) p^gamma log(1 - p) where absent (Lin et al. 2017, equation 5), with their
    alpha of .25. ``asymmetric``: -log p where present and -q^gamma log(1 - q) with q = max(p - .05, 0) where absent
    (Ridnik et al. 2021, section 2). ``gamma`` is the exponent of the last two, None for 2 and 4; gradients run
    through it.

    With ``multiclass`` (U-MultiClass) logits have shape (batch, 3 labels), index 3 label + class, a target 2 is
    uncertain, and the loss is the cross-entropy of a softmax over the three (Irvin et al. 2019, section 3);
    ``weighted`` is then the share of the two others, and ``focal`` has no alpha, which is for two. Raises UsageError
    for ``asymmetric`` there, ValueError for a target of 2 elsewhere.
    """
    if multiclass and name == "asymmetric":
        raise UsageError(
            "The asymmetric loss is for labels that are present or absent: under uncertain=U-MultiClass, take"
            " loss=bce, weighted or focal."
        )
    if not multiclass and (targets > 1).any():
        raise ValueError("A target of 2 is for U-MultiClass, or is still to be replaced by the teacher's probability.")
    weights = _weights(targets, CLASSES if multiclass else 2) if name == "weighted" else None
    if multiclass:
        return _multiclass(weights, (FOCAL_GAMMA if gamma is None else gamma) if name == "focal" else 0.0)
    if name == "bce":
        return _masked(lambda z, t: F.binary_cross_entropy_with_logits(z, t, reduction="none"))
    if weights is not None:
        absent, present = weights.unbind(-1)
        return _masked(lambda z, t: t * present.to(z) * F.softplus(-z) + (1 - t) * absent.to(z) * F.softplus(z))
    if name == "focal":
        return _focal(FOCAL_GAMMA if gamma is None else gamma)
    return _asymmetric(ASYMMETRIC_GAMMA_ABSENT if gamma is None else gamma)


def binary_logits(logits: torch.Tensor, labels: int) -> torch.Tensor:
    """The logit of each label being present, shape (batch, labels).

    Of (batch, labels) logits they are these; of the (batch, 3 labels) of U-MultiClass, present less absent: its
    sigmoid is p1 / (p0 + p1), by which Irvin et al. (2019, section 3) test.
    """
    if logits.shape[1] == labels:
        return logits
    classes = _by_class(logits.T, labels)
    return (classes[:, 1] - classes[:, 0]).T


@torch.no_grad()
def collapse_head(model: torch.nn.Module, labels: int) -> None:
    """Make a U-MultiClass model, of 3 outputs a label, one of 1 output a label, in place: ``binary_logits`` of before.

    A logit is linear in the head's weights, so present less absent is a head of its own. Changes every last layer of
    ``model.get_classifier()`` (LeViT has two, whose mean is its output). Raises UsageError where there is none.
    """
    found = model.get_classifier()  # type: ignore[operator]
    for head in found if isinstance(found, tuple) else (found,):
        linear = [layer for layer in head.modules() if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d)]
        if not linear or len(linear[-1].weight) != CLASSES * labels:
            raise UsageError(f"{type(model).__name__} has no linear head of 3 outputs for each of {labels} labels.")
        layer = linear[-1]
        for name, value in list(layer.named_parameters(recurse=False)):
            classes = _by_class(value, labels)
            difference = torch.nn.Parameter(classes[:, 1] - classes[:, 0], requires_grad=value.requires_grad)
            setattr(layer, name, difference)
        setattr(layer, "out_features" if isinstance(layer, torch.nn.Linear) else "out_channels", labels)
    if hasattr(model, "num_classes"):
        model.num_classes = labels  # type: ignore[assignment]  # torch types every attribute as a tensor


def _by_class(of_outputs: torch.Tensor, labels: int) -> torch.Tensor:
    """(3 labels, ...) as (labels, 3, ...): the outputs of a label stand side by side."""
    return of_outputs.reshape(labels, CLASSES, *of_outputs.shape[1:])


def _masked(of_known: Loss) -> Loss:
    def loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        known = ~torch.isnan(target)
        return torch.where(known, of_known(logits, target.nan_to_num().to(logits)), 0.0)

    return loss


def _focal(gamma: float) -> Loss:
    def loss(z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        # -log p = softplus(-z), and p^gamma = exp(-gamma softplus(-z)): no gradient of it is ever infinite.
        if_present, if_absent = F.softplus(-z), F.softplus(z)
        present = FOCAL_ALPHA * torch.exp(-gamma * if_absent) * if_present
        absent = (1 - FOCAL_ALPHA) * torch.exp(-gamma * if_present) * if_absent
        return t * present + (1 - t) * absent

    return _masked(loss)


def _asymmetric(gamma: float) -> Loss:
    def loss(z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        present = torch.exp(-ASYMMETRIC_GAMMA_PRESENT * F.softplus(z)) * F.softplus(-z)
        p = torch.sigmoid(z)
        above = p > ASYMMETRIC_MARGIN
        q = torch.where(above, p - ASYMMETRIC_MARGIN, 0.5)  # what stands below the margin must not reach the gradient
        absent = torch.where(above, -(q**gamma) * torch.log1p(-q), 0.0)
        return t * present + (1 - t) * absent

    return _masked(loss)


def _multiclass(weights: torch.Tensor | None, gamma: float) -> Loss:
    def loss(z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        log_p = F.log_softmax(z.reshape(*t.shape, CLASSES), -1)
        cost = -log_p
        if gamma:
            # log(1 - p) as the log-sum of the other classes, which is finite where p rounds to 1.
            others = torch.stack([log_p[..., [j for j in range(CLASSES) if j != i]] for i in range(CLASSES)], -2)
            cost = cost * torch.exp(gamma * torch.logsumexp(others, -1))
        if weights is not None:
            cost = cost * weights.to(z)
        return (_shares(t) * cost).sum(-1)

    return _masked(loss)


def _shares(target: torch.Tensor) -> torch.Tensor:
    """How much each class is meant by a target 0..1 or 2, shape (..., 3)."""
    uncertain = target == 2
    certain = torch.where(uncertain, 0.0, 1 - target), torch.where(uncertain, 0.0, target)
    return torch.stack([*certain, uncertain.to(target)], -1)


def _weights(targets: npt.NDArray[np.floating], classes: int) -> torch.Tensor:
    """For each label and class the share of the label's other classes, shape (labels, classes); float64."""
    target = torch.from_numpy(np.asarray(targets, dtype=np.float64))
    known = ~torch.isnan(target)
    count = (_shares(target.nan_to_num()) * known[..., None]).sum(0)[:, :classes]
    total = count.sum(1, keepdim=True)
    one_class = (count > 0).sum(1, keepdim=True) < 2
    return torch.where(one_class, 1.0, 1 - count / total)
