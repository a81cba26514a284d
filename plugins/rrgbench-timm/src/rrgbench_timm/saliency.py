"""Where a network looks: maps over the radiograph, for `rrgbench saliency`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from rrgbench.errors import ImageError, UsageError, did_you_mean
from rrgbench.normalisation import Adjust, unchanged
from rrgbench.types import Context, Failure
from rrgbench_timm import pixels
from rrgbench_timm.cams import gradient_maps
from rrgbench_timm.checkpoint import Card
from rrgbench_timm.predicting import out_of_memory
from rrgbench_timm.rollout import rollout_map

Method = Literal["grad-cam", "hirescam", "rollout"]
Map = npt.NDArray[np.float32]


def of_contexts(
    model: nn.Module,
    contexts: Sequence[Context],
    labels: Sequence[str],
    method: str,
    *,
    card: Card,
    size: int,
    adjust: Adjust = unchanged,
    batch: int = 32,
) -> list[dict[str, Map] | Failure]:
    """A map a label over each context's first frontal image, in order; a failure where it can't be read.

    ``model`` and ``card`` are a checkpoint's, ``size`` is that of the pictures that it takes, ``adjust`` its preset's.
    A map is float32, at least 0, over the whole image, in its orientation and aspect, with ``size`` values on the
    longer side. It says where in this image; its values can't be compared with another image's. Raises UsageError for
    a label that the checkpoint does not assess, and for a ``method`` that the model has not.
    """
    assessed = [label for label in card.labels if card.thresholds[label] is not None]
    for label in labels:
        if label not in assessed:
            there = f"It assesses: {', '.join(assessed)}."
            raise UsageError(f"The checkpoint does not assess {label!r}.{did_you_mean(label, assessed)} {there}")
    columns = [card.labels.index(label) for label in labels]
    device = next(model.parameters()).device
    out: list[dict[str, Map] | Failure] = []
    for start in range(0, len(contexts), batch):
        read = [_picture(context, size, adjust) for context in contexts[start : start + batch]]
        pictures = [picture for picture in read if not isinstance(picture, Failure)]
        if not pictures or not columns:
            out += [picture if isinstance(picture, Failure) else {} for picture in read]
            continue
        grey = torch.from_numpy(np.stack([grey for grey, _ in pictures])).unsqueeze(1).float() / 255
        found = iter(_as_many_as_fit(model, pixels.as_input(grey.to(device), card.mean, card.std), columns, method))
        for picture in read:
            if isinstance(picture, Failure):
                out.append(picture)
                continue
            over = over_image(next(found), picture[1], size).cpu().numpy()
            out.append({label: over[at].copy() for at, label in enumerate(labels)})
    return out


def maps(model: nn.Module, x: torch.Tensor, columns: Sequence[int], method: str = "grad-cam") -> torch.Tensor:
    """A map for each picture and output column, over the whole picture: (batch, columns, cells, cells), at least 0.

    ``model`` is a classifier with timm's ``forward_features`` and ``forward_head``, ``x`` its input.

    - ``grad-cam`` (Selvaraju et al., ICCV 2017, equations 1 and 2): the positive part of the sum of a feature map's
      channels, each weighted by the mean over all cells of the logit's gradient.
    - ``hirescam`` (Draelos & Carin, arXiv:2011.08891): each cell of a channel weighted by the gradient there, which is
      the same where the channels are averaged and a linear layer follows.
    - ``rollout`` (Abnar & Zuidema, ACL 2020), of a plain ViT: ``rollout_map``. It is the same for every column.

    The first two look at the deepest feature map (a convolution's, or the grid of a transformer's tokens) that has at
    least 7 x 7 cells, or the most that there are, and that the logits hang on: in a ViT whose head reads the class
    token alone, the tokens that enter the last block. Raises UsageError where a method is not defined for the model.
    """
    known = get_args(Method)
    if method not in known:
        raise UsageError(f"There is no method {method!r}.{did_you_mean(method, known)} There are: {', '.join(known)}.")
    was_training = model.training
    model.eval()  # beside the usual, LeViT's modules drop what they keep from inference mode, which has no gradients
    try:
        if method == "rollout":
            return rollout_map(model, x).unsqueeze(1).expand(-1, len(columns), -1, -1)
        return gradient_maps(model, x, columns, elementwise=method == "hirescam")
    finally:
        model.train(was_training)


def over_image(found: torch.Tensor, shape: tuple[int, int], size: int) -> torch.Tensor:
    """Maps over the padded square, (columns, cells, cells), as maps over the image of ``shape`` (height, width) in it.

    Enlarged bilinearly, so that the image's longer side has ``size`` values. The padding is that of ``pixels.read``.
    """
    whole = max(shape)
    axes = []
    for length in shape:
        first, number = (whole - length) // 2, max(1, round(size * length / whole))
        centres = first + (torch.arange(number, dtype=torch.float64) + 0.5) * length / number
        axes.append(2 * centres / whole - 1)  # grid_sample's coordinates: the square is -1 to 1
    y, x = (axis.to(found) for axis in axes)
    places = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    return functional.grid_sample(found[None], places[None], padding_mode="border", align_corners=False)[0]


def _picture(context: Context, size: int, adjust: Adjust) -> tuple[npt.NDArray[np.uint8], tuple[int, int]] | Failure:
    """The grey levels that the network sees, and the shape of the image that they come from."""
    image = pixels.frontal(context.images)
    if image is None:
        return Failure("image", f"The study {context.study_id} has no image.")
    try:
        whole = image.read()
        return pixels.read(replace(image, read=lambda: whole), size, adjust), (whole.shape[0], whole.shape[1])
    except ImageError as error:
        return Failure("image", str(error))


def _as_many_as_fit(model: nn.Module, x: torch.Tensor, columns: Sequence[int], method: str) -> torch.Tensor:
    """``maps``, of half as many pictures at once where memory does not suffice."""
    try:
        return maps(model, x, columns, method)
    except (RuntimeError, MemoryError) as error:
        if len(x) == 1 or not out_of_memory(error):
            raise
    return torch.cat([_as_many_as_fit(model, half, columns, method) for half in x.chunk(2)])
