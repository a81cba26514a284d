"""Make ``import torchvision``, and so most of transformers, work where torchvision's compiled part does not load.

torchvision's usual wheel is built against CUDA. Beside a CPU build of torch its ``_C`` library does not load, and
``import torchvision`` stops with "operator torchvision::nms does not exist", because it describes the shapes of two
operators that the library should have declared. Declaring their schemas is enough for the import. The operators
themselves stay unavailable; nothing here uses them.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import torch

_SCHEMAS = {name: f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor" for name in ("nms", "qnms")}
_declared: list[torch.library.Library] = []  # an operator lives as long as the Library that declared it


def declare_missing() -> None:
    """Declare ``torchvision::nms`` and ``qnms`` if torchvision's library can't. Call before importing transformers."""
    if "torchvision" in sys.modules or _declared:
        return
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return
    for library in sorted(Path(spec.origin).parent.glob("_C.*")):
        try:
            torch.ops.load_library(str(library))
        except OSError:
            continue
        return
    missing = [schema for name, schema in _SCHEMAS.items() if not hasattr(torch.ops.torchvision, name)]
    if missing:
        _declared.append(torch.library.Library("torchvision", "FRAGMENT"))
        for schema in missing:
            _declared[0].define(schema)
