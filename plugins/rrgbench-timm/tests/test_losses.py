"""The losses against numbers worked out by hand, against independent formulas, and against timm's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rrgbench_timm import models
from rrgbench_timm.losses import binary_logits, collapse_head, elementwise
from rrgbench_timm.recipe import LossName

from rrgbench.errors import UsageError

NAN = float("nan")
NAMES: list[LossName] = ["bce", "weighted", "focal", "asymmetric"]
TRAIN = np.array([[1, 0, 1], [0, 0, NAN], [0, 0, 0], [NAN, 0, 0.5]], dtype=np.float32)
LOG3 = math.log(3)  # the logit of a probability of 3/4


def one(name: LossName, logit: float, target: float, gamma: float | None = None, label: int = 0) -> float:
    logits, targets = torch.zeros(1, 3, dtype=torch.float64), torch.full((1, 3), NAN)
    logits[0, label], targets[0, label] = logit, target
    return elementwise(name, gamma, TRAIN)(logits, targets)[0, label].item()


@pytest.mark.parametrize(
    ("name", "gamma", "target", "by_hand"),
    [
        ("bce", None, 1, math.log(4 / 3)),
        ("bce", None, 0, math.log(4)),
        ("weighted", None, 1, 2 / 3 * math.log(4 / 3)),  # one present and two absent are known of the first label
        ("weighted", None, 0, 1 / 3 * math.log(4)),
        ("focal", None, 1, 0.25 * (1 / 4) ** 2 * math.log(4 / 3)),
        ("focal", None, 0, 0.75 * (3 / 4) ** 2 * math.log(4)),
        ("focal", 0.5, 1, 0.25 * (1 / 4) ** 0.5 * math.log(4 / 3)),
        ("focal", 0, 0, 0.75 * math.log(4)),
        ("asymmetric", None, 1, math.log(4 / 3)),  # gamma+ is 0
        ("asymmetric", None, 0, 0.7**4 * math.log(1 / 0.3)),  # the margin takes .05 from 3/4
        ("asymmetric", 1, 0, 0.7 * math.log(1 / 0.3)),
    ],
)
def test_a_probability_of_three_quarters_by_hand(
    name: LossName, gamma: float | None, target: float, by_hand: float
) -> None:
    assert one(name, LOG3, target, gamma) == pytest.approx(by_hand, rel=1e-12)


def test_the_weights_count_what_is_known_of_the_training_split() -> None:
    assert one("weighted", 0, 0, label=1) == pytest.approx(math.log(2))  # one class only: not weighted
    # Of the third label 1.5 are expected to be present and 1.5 absent.
    assert one("weighted", 0, 1, label=2) == pytest.approx(0.5 * math.log(2))
    nothing_known = elementwise("weighted", None, np.full((2, 1), NAN, dtype=np.float32))
    assert nothing_known(torch.zeros(1, 1), torch.ones(1, 1)).item() == pytest.approx(math.log(2))


@settings(deadline=None)
@given(st.sampled_from(NAMES), st.floats(-30, 30), st.floats(0, 1))
def test_a_soft_target_costs_what_is_expected_of_hard_ones(name: LossName, logit: float, target: float) -> None:
    hard = target * one(name, logit, 1) + (1 - target) * one(name, logit, 0)
    soft = one(name, logit, float(np.float32(target)))
    assert soft == pytest.approx(hard, rel=1e-5, abs=1e-6) and soft >= 0


def test_asymmetric_is_timms_with_the_papers_numbers() -> None:
    from timm.loss import AsymmetricLossMultiLabel  # after models, which makes timm importable everywhere

    logits = torch.linspace(-12, 12, 50, dtype=torch.float32).repeat(2, 1)
    target = torch.stack([torch.zeros(50), torch.ones(50)])
    mine, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    loss = elementwise("asymmetric", None, np.zeros((1, 50)))(mine, target)
    reference = AsymmetricLossMultiLabel(gamma_neg=4, gamma_pos=0, clip=0.05, reduction="none")(theirs, target)
    torch.testing.assert_close(loss, reference, rtol=1e-5, atol=1e-6)
    loss.sum().backward()
    reference.sum().backward()
    torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-6)


def test_focal_is_the_formula_of_torchvisions_sigmoid_focal_loss() -> None:
    logits = torch.linspace(-8, 8, 33, dtype=torch.float64).repeat(2, 1)
    target = torch.stack([torch.zeros(33), torch.ones(33)]).double()
    p = 1 / (1 + np.exp(-logits.numpy()))
    p_t = np.where(target == 1, p, 1 - p)
    alpha_t = np.where(target == 1, 0.25, 0.75)
    reference = -alpha_t * (1 - p_t) ** 2 * np.log(p_t)
    np.testing.assert_allclose(elementwise("focal", None, np.zeros((1, 33)))(logits, target), reference, rtol=1e-9)


@pytest.mark.parametrize("gamma", [None, 0.0, 0.5, 3.0])
@pytest.mark.parametrize("multiclass", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_known_costs_nothing_and_pulls_at_nothing(
    name: LossName, multiclass: bool, gamma: float | None
) -> None:
    if multiclass and name == "asymmetric":
        return
    extreme = torch.tensor([[200.0, -200.0, 0.0], [0.3, 200.0, -200.0], [-200.0, 0.0, 200.0]])
    logits = (extreme.repeat_interleave(3, 1) * torch.tensor([1.0, -1.0, 0.5] * 3) if multiclass else extreme).clone()
    target = torch.tensor([[NAN, NAN, NAN], [1, 1, 1], [0, 0, 0]])
    loss = elementwise(name, gamma, TRAIN, multiclass=multiclass)(logits.requires_grad_(), target)
    assert (loss[0] == 0).all() and torch.isfinite(loss).all()
    loss.sum().backward()
    assert (logits.grad[0] == 0).all() and torch.isfinite(logits.grad).all()
    assert (logits.grad[1:] != 0).any()


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_the_loss(name: LossName) -> None:
    logits = torch.tensor([[-3.0, -1.0, 0.2], [1.5, 4.0, NAN]], dtype=torch.float64).nan_to_num().requires_grad_()
    target = torch.tensor([[0.0, 1.0, 0.3], [0.0, 1.0, NAN]], dtype=torch.float64)
    loss = elementwise(name, None, TRAIN)
    assert torch.autograd.gradcheck(lambda z: loss(z, target), logits)


def test_half_precision_logits_are_judged_in_single() -> None:
    loss = elementwise("focal", None, TRAIN)(torch.zeros(1, 3, dtype=torch.bfloat16), torch.ones(1, 3))
    assert loss.dtype == torch.float32


def test_a_third_class_is_a_softmax_over_three() -> None:
    target = torch.tensor([[0.0, 1.0], [2.0, NAN], [0.25, 2.0]])
    logits = torch.randn(3, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    z = logits.numpy().reshape(3, 2, 3)
    p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    expected = np.array(
        [
            [-np.log(p[0, 0, 0]), -np.log(p[0, 1, 1])],
            [-np.log(p[1, 0, 2]), 0.0],
            [-0.75 * np.log(p[2, 0, 0]) - 0.25 * np.log(p[2, 0, 1]), -np.log(p[2, 1, 2])],
        ]
    )
    loss = elementwise("bce", None, target.numpy(), multiclass=True)(logits, target)
    np.testing.assert_allclose(loss, expected, rtol=1e-12)
    focal = elementwise("focal", None, target.numpy(), multiclass=True)(logits, target)
    assert focal[0, 1].item() == pytest.approx((1 - p[0, 1, 1]) ** 2 * expected[0, 1])
    # Of the first label .75 + 1 are absent, .25 present, 1 uncertain; of the second one each present and uncertain.
    weighted = elementwise("weighted", None, target.numpy(), multiclass=True)(logits, target)
    assert weighted[0].tolist() == pytest.approx([1.25 / 3 * expected[0, 0], 0.5 * expected[0, 1]])
    assert weighted[1, 0].item() == pytest.approx(2 / 3 * expected[1, 0])


def test_what_goes_not_together_is_refused() -> None:
    with pytest.raises(UsageError, match="loss=bce, weighted or focal"):
        elementwise("asymmetric", None, TRAIN, multiclass=True)
    with pytest.raises(ValueError, match="teacher"):
        elementwise("bce", None, np.array([[2.0, NAN]]))


def test_binary_logits_are_tested_as_the_paper_does() -> None:
    logits = torch.randn(5, 6, dtype=torch.float64)
    p = torch.softmax(logits.reshape(5, 2, 3), -1)
    torch.testing.assert_close(torch.sigmoid(binary_logits(logits, 2)), p[..., 1] / (p[..., 0] + p[..., 1]))
    assert binary_logits(logits, 6) is logits


HEADS = {
    "test_resnet": {},
    "test_vit": {},
    "test_convnext": {},
    "densenet121": {},
    "levit_128s": {},
    "resnetv2_50x1_bit": {},  # its head is a convolution
}


@pytest.mark.parametrize("name", HEADS)
def test_a_head_of_three_classes_becomes_one_of_one(name: str) -> None:
    def create(classes: int) -> torch.nn.Module:
        return models.create(name, HEADS[name], size=64, in_chans=1, classes=classes, seed=0)

    model = create(12)
    torch.manual_seed(0)
    for parameter in model.parameters():  # timm starts some heads at 0
        torch.nn.init.normal_(parameter, std=0.05)
    x = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        before = binary_logits(model(x), 4)
    collapse_head(model, 4)
    with torch.inference_mode():
        torch.testing.assert_close(model(x), before, rtol=1e-4, atol=1e-5)
    assert before.std() > 1e-4 and model.num_classes == 4
    create(4).load_state_dict(model.state_dict())  # an ordinary model of four labels
    with pytest.raises(UsageError, match="3 outputs for each of 4 labels"):
        collapse_head(model, 4)
