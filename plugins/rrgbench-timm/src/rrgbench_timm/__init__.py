"""The encoders ``vit``, ``cnn``, ``probe`` and ``zero-shot``. Registration only; torch is imported when one is used."""

from __future__ import annotations

from rrgbench import hookimpl
from rrgbench.hookspecs import Register

_NEEDS = tuple(f"module:{module} | pip install rrgbench-timm" for module in ("timm", "torch", "safetensors"))


@hookimpl
def rrgbench_register_encoders(register: Register) -> None:
    """Register ``vit`` and ``cnn``, one class with two presets, and what works on frozen features."""
    for preset, words in (("vit", "vision transformer"), ("cnn", "convolutional network")):
        register(
            preset,
            "rrgbench_timm.encoder:TimmEncoder",
            summary=f"A {words} from timm; ships small weights trained on drawn radiographs (phantom)",
            needs=_NEEDS,
            preset=preset,
        )
    register(
        "probe",
        "rrgbench_timm.probing:Probe",
        summary="A linear layer, kNN or ML-kNN on another encoder's frozen features",
        needs=_NEEDS,
    )
    register(
        "zero-shot",
        "rrgbench_timm.zero_shot:ZeroShot",
        summary="A CLIP or SigLIP model that is asked for each label in words",
        needs=(*_NEEDS, "module:transformers | pip install 'rrgbench-timm[hf]'"),
    )
