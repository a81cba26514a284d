"""CLIP-type models of transformers: an image tower and a text tower into one space, from a folder or the hub's cache.

Code that a repository brings is never run, and weights come from safetensors only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rrgbench.errors import UsageError
from rrgbench_timm import hf_folder, pixels

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_FILES = ["*.json", "*.txt", "*.model", "model*.safetensors"]


@dataclass(frozen=True)
class Clip:
    """A model: how it compares, and what it takes.

    A logit is ``scale`` times a cosine, plus ``bias`` of a sigmoid-trained model (SigLIP; None of others). ``project``
    takes image tokens, (batch, tokens, width), to the space of texts; None where there is no such way. The pictures
    have ``size`` pixels, and a ``mean`` and ``std`` for each channel.
    """

    model: Any
    tokenizer: Any
    scale: float
    bias: float | None
    project: Callable[[torch.Tensor], torch.Tensor] | None
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(iter(self.model.parameters())).device  # type: ignore[no-any-return]


def locate(model: str) -> Path:
    """The folder of a model that is named by a folder or by its name on the hub. Raises UsageError."""
    return hf_folder.folder(model, _FILES)


def load(where: Path, device: torch.device) -> Clip:
    """The model of a folder, with its tokenizer. Raises UsageError."""
    hf_folder.needs_transformers()
    from transformers import AutoModel, AutoTokenizer

    try:
        with hf_folder.quiet():
            model, info = AutoModel.from_pretrained(
                where,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
            tokenizer = AutoTokenizer.from_pretrained(where, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UsageError(f"The model {where} can't be loaded: {type(error).__name__}: {reason}") from error
    if not all(hasattr(model, name) for name in ("get_image_features", "get_text_features", "logit_scale")):
        raise UsageError(f"The model {where} ({type(model).__name__}) doesn't compare images with texts, as CLIP does.")
    if missing := sorted(info["missing_keys"]):
        raise UsageError(f"The weights of {where} lack {len(missing)} tensors of the network, first {missing[0]}.")
    if bad := next((name for name, p in model.named_parameters() if not p.isfinite().all()), None):
        raise UsageError(f"The weights of {where} hold NaN or infinite numbers, first in {bad!r}.")
    size, (mean, std) = hf_folder.default_size(str(where)), hf_folder.normalisation(str(where))
    made_for = model.config.vision_config.image_size
    if made_for != size:
        raise UsageError(f"The image processor of {where} makes images of {size} px, its network takes {made_for} px.")
    project = None
    if hasattr(model, "visual_projection"):
        norm, projection = model.vision_model.post_layernorm, model.visual_projection
        project = lambda tokens: projection(norm(tokens))  # noqa: E731  (as CLIP does with the class token)
    bias = getattr(model, "logit_bias", None)
    return Clip(
        model=model.to(device).eval(),
        tokenizer=tokenizer,
        scale=float(model.logit_scale.detach().exp()),
        bias=None if bias is None else float(bias.detach()),
        project=project,
        size=size,
        mean=mean,
        std=std,
    )


def texts(clip: Clip, written: Sequence[str]) -> torch.Tensor:
    """The embeddings of sentences, shape (sentences, dim)."""
    sigmoid = clip.bias is not None
    tokens = clip.tokenizer(
        list(written),
        # SigLIP was trained on sentences of one length, and looks at the padding, too (transformers' documentation).
        padding="max_length" if sigmoid else True,
        max_length=clip.model.config.text_config.max_position_embeddings,
        truncation=True,
        return_tensors="pt",
    )
    names = ("input_ids",) if sigmoid else ("input_ids", "attention_mask")
    with torch.inference_mode():
        found = clip.model.get_text_features(**{name: tokens[name].to(clip.device) for name in names})
    out: torch.Tensor = found.pooler_output
    return out


def images(clip: Clip, grey: torch.Tensor, *, tokens: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The embeddings of pictures, uint8 (batch, size, size): (batch, dim), and those of their tokens if asked for.

    The tokens, (batch, tokens, dim), are the class token and then the patches, row by row.
    """
    found = clip.model.get_image_features(
        pixel_values=pixels.as_input(grey.unsqueeze(1).float() / 255.0, clip.mean, clip.std)
    )
    return found.pooler_output, clip.project(found.last_hidden_state) if tokens and clip.project else None
