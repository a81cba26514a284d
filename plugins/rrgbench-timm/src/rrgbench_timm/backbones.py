"""Vision transformers of Hugging Face's transformers with timm's interface: DINOv2, DINOv3, ViT, SigLIP and CLIP.

A name is ``hf:`` and a repository of the hub (``hf:microsoft/rad-dino``, which is a DINOv2) or a folder that holds
config.json and, for its weights, model.safetensors. Of a SigLIP or CLIP with text and vision, the vision tower is
taken. Tried on random weights in folders of the true form: that the released weights give the features that they should
is unverified. A checkpoint's tensors are named as the installed transformers names them, which its later versions may
not: ``versions`` in the checkpoint says which it was.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rrgbench.errors import UsageError
from rrgbench_timm import hf_folder
from rrgbench_timm.hf_folder import PREFIX


def is_one(name: str) -> bool:
    """Whether a model's name is of this module's kind."""
    return name.startswith(PREFIX)


def plain_name(name: str) -> str:
    """The name without its folder's place, which is nobody else's business: a repository's, or the folder's own."""
    where = name.removeprefix(PREFIX)
    is_repository = re.fullmatch(r"[\w.-]+/[\w.-]+", where) and not Path(where).is_dir()
    return name if is_repository else PREFIX + Path(where).expanduser().resolve().name


def arguments(model: nn.Module) -> dict[str, Any]:
    """The arguments by which ``create`` makes this network again, without its hub or folder."""
    return {"config": model.facts}


def create(
    name: str,
    model_args: Mapping[str, Any],
    *,
    size: int,
    in_chans: int,
    classes: int,
    pretrained: bool = False,
    dropout: float = 0.0,
    drop_path: float = 0.0,
) -> Backbone:
    """The backbone of this name with a new linear head; its weights are random unless ``pretrained``.

    ``model_args`` holds nothing, or a ``config`` (as ``arguments`` gives) that stands for the name's own. One channel
    is given to every channel that the network takes. Raises UsageError.
    """
    given = dict(model_args)
    facts = given.pop("config", None)
    if given or (facts is not None and pretrained):
        what = f"hold {', '.join(given)}" if given else "hold a config beside pretrained weights"
        raise UsageError(f"model_args of {name} can't {what}: the folder or the hub's config.json says what it is.")
    facts = hf_folder.facts_of(name) if facts is None else facts
    config: Any = hf_folder.config_of(name, facts)
    if drop_path:
        if not hasattr(config, "drop_path_rate"):
            raise UsageError(f"The model {name} has no drop path, so drop_path={drop_path} can't be. Use dropout.")
        config.drop_path_rate = drop_path
    if in_chans not in (1, config.num_channels):
        raise UsageError(f"The model {name} takes {config.num_channels} channels, not {in_chans}.")
    if size != config.image_size and size % config.patch_size:
        below = size // config.patch_size * config.patch_size
        raise UsageError(
            f"The model {name} cuts images into patches of {config.patch_size} px, which {size} px is no multiple of."
            f" Take size={max(below, config.patch_size)} or size={below + config.patch_size}."
        )
    return Backbone(hf_folder.weighted(name, config, pretrained), facts, classes, dropout)


class Backbone(nn.Module):
    """A vision transformer of transformers and a linear head, with timm's names for what they do.

    Position embeddings are interpolated where a picture has another size than the weights were made for. ``blocks``
    are its layers, ``num_prefix_tokens`` the class and register tokens before the patches'.
    """

    def __init__(self, backbone: Any, facts: Mapping[str, Any], classes: int, dropout: float) -> None:
        super().__init__()
        config: Any = backbone.config
        self.facts = dict(facts)
        self.num_features: int = config.hidden_size
        self.num_classes = classes
        self.has_class_token = config.model_type != "siglip_vision_model"
        self.num_prefix_tokens: int = self.has_class_token + getattr(config, "num_register_tokens", 0)
        self.backbone: Any = backbone
        for name, parameter in backbone.named_parameters():
            if hf_folder.UNUSED.search(name):
                parameter.requires_grad_(False)
        self.head_drop = nn.Dropout(dropout)
        self.head = nn.Linear(self.num_features, classes)
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)
        interpolates = "interpolate_pos_encoding" in inspect.signature(type(backbone).forward).parameters
        self._options = {"interpolate_pos_encoding": True} if interpolates else {}

    @property
    def blocks(self) -> nn.ModuleList:
        """The transformer's layers, from the picture to the head."""
        count = self.backbone.config.num_hidden_layers
        lists = (module for module in self.backbone.modules() if isinstance(module, nn.ModuleList))
        return next(module for module in lists if len(module) == count)

    @property
    def norm(self) -> nn.Module:
        """The norm after the last block."""
        norm: nn.Module = self.backbone.get_submodule(hf_folder.NORMS[self.backbone.config.model_type])
        return norm

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """Pictures (batch, channels, height, width) to normalised tokens (batch, tokens, num_features)."""
        x = x.expand(-1, self.backbone.config.num_channels, -1, -1)
        tokens: torch.Tensor = self.backbone(x, **self._options).last_hidden_state
        # CLIP alone norms the class token only, and on its own.
        return self.norm(tokens) if self.backbone.config.model_type == "clip_vision_model" else tokens

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """Tokens to logits or, with ``pre_logits``, to the features (batch, num_features) before the linear head.

        The class token; of SigLIP, which has none, its attention pooling.
        """
        if self.has_class_token:
            x = x[:, 0]
        else:
            x = self.backbone.head(x) if self.backbone.config.vision_use_head else x.mean(dim=1)
        x = self.head_drop(x)
        return x if pre_logits else self.head(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pictures to logits (batch, classes)."""
        return self.forward_head(self.forward_features(x))

    def forward_intermediates(
        self,
        x: torch.Tensor,
        indices: int,
        return_prefix_tokens: bool = True,
        norm: bool = True,
        output_fmt: str = "NLC",
        intermediates_only: bool = True,
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The tokens after each of the last ``indices`` blocks: (patch tokens, prefix tokens), as timm gives them."""
        if (return_prefix_tokens, output_fmt, intermediates_only) != (True, "NLC", True):
            raise ValueError("only prefix tokens, NLC and intermediates_only are here")
        if not 1 <= indices <= len(self.blocks):
            raise ValueError(f"it has {len(self.blocks)}")
        seen: list[torch.Tensor] = []

        def keep(_: nn.Module, __: Any, output: Any) -> None:
            seen.append(output if isinstance(output, torch.Tensor) else output[0])

        hooks = [block.register_forward_hook(keep) for block in self.blocks[-indices:]]
        try:
            self.forward_features(x)
        finally:
            for hook in hooks:
                hook.remove()
        tokens = [self.norm(one) if norm else one for one in seen]
        return [(one[:, self.num_prefix_tokens :], one[:, : self.num_prefix_tokens]) for one in tokens]

    def get_classifier(self) -> nn.Module:
        """The linear head."""
        return self.head

    def no_weight_decay(self) -> set[str]:
        """The parameters that are tokens or positions and not matrices."""
        names = (name for name, _ in self.backbone.named_parameters())
        return {f"backbone.{n}" for n in names if n.startswith("embeddings.") and "patch_embedding" not in n}

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Which parameters belong to which layer, in timm's words."""
        stem = r"^backbone\.(?:embeddings|pre_layrnorm)"
        blocks = [(r"^backbone\.(?:\w+\.)?layers?\.(\d+)", None), (r"^backbone\.", (99999,))]
        return {"stem": stem, "blocks": blocks}
