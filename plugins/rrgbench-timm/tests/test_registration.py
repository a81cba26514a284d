from __future__ import annotations

import subprocess
import sys

import pytest
import rrgbench_timm
import torch

from rrgbench import torchvision_ops


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_the_names_are_registered() -> None:
    entries: dict[str, tuple[str, dict]] = {}
    rrgbench_timm.rrgbench_register_encoders(
        lambda name, target, *, summary, needs, **defaults: entries.update({name: (target, defaults)})
    )
    presets = {name: ("rrgbench_timm.encoder:TimmEncoder", {"preset": name}) for name in ("vit", "cnn")}
    frozen = {"probe": ("rrgbench_timm.probing:Probe", {}), "zero-shot": ("rrgbench_timm.zero_shot:ZeroShot", {})}
    assert entries == presets | frozen


def test_registering_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'timm', 'numpy', 'safetensors', 'pydantic'}"
    assert run(f"import sys, rrgbench_timm; print(sorted({heavy} & set(sys.modules)))") == "[]"


def test_timm_can_be_imported_whatever_torch_it_stands_beside() -> None:
    assert run("from rrgbench_timm import models; print(models.timm.is_model('test_vit'))") == "True"


def test_nothing_is_declared_where_torchvision_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.setattr(torchvision_ops, "_declared", [])
    monkeypatch.setattr(torch.ops, "load_library", lambda path: None)
    torchvision_ops.declare_missing()
    assert torchvision_ops._declared == []
