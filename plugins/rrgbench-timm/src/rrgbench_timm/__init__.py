"""The encoders ``vit`` and ``cnn``: any timm model, by name. Registration only; torch is imported when one is used."""

from __future__ import annotations

from rrgbench import hookimpl
from rrgbench.hookspecs import Register

_NEEDS = tuple(f"module:{module} | pip install rrgbench-timm" for module in ("timm", "torch", "safetensors"))


@hookimpl
def rrgbench_register_encoders(register: Register) -> None:
    """Register ``vit`` and ``cnn``, one class with two presets."""
    for preset, words in (("vit", "vision transformer"), ("cnn", "convolutional network")):
        register(
            preset,
            "rrgbench_timm.encoder:TimmEncoder",
            summary=f"A {words} from timm; ships small weights trained on drawn radiographs (phantom)",
            needs=_NEEDS,
            preset=preset,
        )
